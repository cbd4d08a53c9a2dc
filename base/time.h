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

// What a file says may be any number. Readers keep its times between the years 1950 and 2200: the difference of two,
// and one with years added, then fit in 64 bits, and nobody behind them has to think of it.
inline constexpr Timestamp kEarliestTime{-631'152'000'000'000'000};
inline constexpr Timestamp kLatestTime{7'258'118'400'000'000'000};
constexpr Timestamp bounded_time(__int128 ns) {
  return ns < kEarliestTime.ns ? kEarliestTime
         : ns > kLatestTime.ns ? kLatestTime
                               : Timestamp{static_cast<int64_t>(ns)};
}

// RFC 3339 in UTC with nanoseconds, trailing zeros of the fraction cut to
// milli- or microseconds: "2026-11-23T10:00:00.123Z". Appends to `out`.
void append_rfc3339(std::string& out, Timestamp time);
std::string to_rfc3339(Timestamp time);

// Reads RFC 3339 date-times (any offset, any fraction up to 9 digits) and plain
// dates "2026-11-23" (midnight UTC), of the years 1950 to 2199.
std::optional<Timestamp> parse_rfc3339(std::string_view text);

}  // namespace vitrine
