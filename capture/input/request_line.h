// Small helpers both whole-file sources share: URL → exchange, header → exchange.
#pragma once

#include <string>
#include <string_view>

#include "capture/exchange.h"

namespace vitrine {

// Splits an absolute URL (RFC 3986 section 3) into scheme, authority (without
// user information) and path with query (without fragment). False when it has
// no scheme or no authority.
bool split_url(std::string_view url, Exchange& exchange);
// The port an authority names, or `fallback`.
uint16_t port_of_authority(std::string_view authority, uint16_t fallback);
// Copies what later stages need (content type, referer, origin) from one header.
void note_header(Exchange& exchange, Direction direction, std::string_view name, std::string_view value);
// "HTTP/2", "h2", "HTTP/1.1", "http/2.0" …; unknown for the rest.
Protocol protocol_named(std::string_view text);

}  // namespace vitrine
