// Small texts the flow collector reads itself: URLs of referrers, Set-Cookie,
// and the keyed hash that counts distinct values.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"
#include "capture/exchange.h"

namespace vitrine {

// "https://Chat.Example:8443/a?b" → "chat.example"; without a scheme, "null"
// and anything else that is no URL → empty. Brackets of IPv6 are removed.
std::string host_of_url(std::string_view url);

// The path without query and fragment, at most 512 bytes.
std::string url_path_of(std::string_view target);

// Did the values of an exchange go without TLS? False where it is not known.
bool is_cleartext(const ConnectionInfo& connection, std::string_view scheme);

std::string tls_version_name(uint16_t version);  // "tls 1.3", "tls" when not known

// What a Set-Cookie header says (capture/fields/set_cookie.h reads it); the
// lifetime in seconds from `now`, never negative, none = session.
struct CookieAttributes {
  std::string name, domain;  // domain without the leading dot, lower case
  std::optional<int64_t> max_age;
  bool secure = false, http_only = false;
  std::string same_site;
};
CookieAttributes read_set_cookie(std::string_view header, Timestamp now);

// Names in a Cookie header, in order.
void for_each_cookie(std::string_view header, const std::function<void(std::string_view name)>& found);

// SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash fast enough for every value.
using SipKey = std::array<uint64_t, 2>;
SipKey sip_key(std::string_view case_key);
uint64_t sip_hash(const SipKey& key, std::string_view value);

}  // namespace vitrine
