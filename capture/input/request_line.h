// Small helpers both whole-file sources share: URL → exchange, header → exchange.
#pragma once

#include <string_view>

#include "capture/exchange.h"

namespace vitrine {

// Splits an absolute URL (RFC 3986 section 3) into scheme, authority (without
// user information) and path with query (without fragment). False when it has no scheme.
bool split_url(std::string_view url, Exchange& exchange);
std::string host_of(std::string_view authority);  // without port, lower case, brackets kept off IPv6
// Copies what later stages need (content type, referer, origin, host) from one head.
void note_header(Exchange& exchange, Direction direction, std::string_view name, std::string_view value);
bool iequals(std::string_view left, std::string_view right);
std::string lower(std::string_view text);
// "HTTP/2", "h2", "HTTP/1.1", "http/2.0" … ; unknown for the rest.
Protocol protocol_named(std::string_view text);
// Base64 with or without padding; white space skipped. False on other characters.
bool decode_base64(std::string_view text, std::string& out);

}  // namespace vitrine
