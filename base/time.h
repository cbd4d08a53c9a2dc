// Times on the wire: nanoseconds since the Unix epoch, UTC.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine {

struct Timestamp {
  int64_t ns = 0;
  auto operator<=>(const Timestamp&) const = default;
};

// RFC 3339 in UTC with nanoseconds, trailing zeros of the fraction cut to
// milli- or microseconds: "2026-11-23T10:00:00.123Z". Appends to `out`.
void append_rfc3339(std::string& out, Timestamp time);
std::string to_rfc3339(Timestamp time);

// Reads RFC 3339 date-times (any offset, any fraction up to 9 digits) and plain
// dates "2026-11-23" (midnight UTC).
std::optional<Timestamp> parse_rfc3339(std::string_view text);

}  // namespace vitrine
