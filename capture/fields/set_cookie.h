// Set-Cookie as it is sent (RFC 6265 section 5.2): its parts as spans, and its
// lifetime.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace vitrine {

struct SetCookie {
  struct Attribute {
    std::string_view name;    // as sent: "Max-Age"
    std::string_view value;   // empty for flags ("Secure")
    size_t value_offset = 0;  // in the header value
  };
  std::string_view name, value;
  size_t value_offset = 0;
  std::vector<Attribute> attributes;  // at most 32
};
SetCookie parse_set_cookie(std::string_view header);

// A cookie-date (RFC 6265 section 5.1.1): the lenient form of browsers.
std::optional<Timestamp> parse_cookie_date(std::string_view text);

// Seconds a cookie lives from `now`: Max-Age wins over Expires (RFC 6265
// section 5.3); 0 or less = deletes it; nothing = session cookie (neither
// given, or unreadable). Empty views stand for absent attributes.
std::optional<int64_t> cookie_lifetime_seconds(std::string_view max_age, std::string_view expires, Timestamp now);

}  // namespace vitrine
