#include "base/time.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>

namespace vitrine {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// Reads exactly `width` digits at `position`.
std::optional<int> digits(std::string_view text, size_t position, size_t width) {
  if (position + width > text.size()) return std::nullopt;
  int value = 0;
  for (size_t i = position; i < position + width; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

}  // namespace

void append_rfc3339(std::string& out, Timestamp time) {
  using namespace std::chrono;
  int64_t seconds = time.ns / kSecond;
  int64_t fraction = time.ns % kSecond;
  if (fraction < 0) {
    fraction += kSecond;
    --seconds;
  }
  const sys_days day = floor<days>(sys_seconds{std::chrono::seconds{seconds}});
  const year_month_day date{day};
  const int64_t rest = seconds - duration_cast<std::chrono::seconds>(day.time_since_epoch()).count();
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), rest / 3600, rest / 60 % 60,
                 rest % 60);
  if (fraction % 1'000'000 == 0) {
    fmt::format_to(std::back_inserter(out), ".{:03}Z", fraction / 1'000'000);
  } else if (fraction % 1000 == 0) {
    fmt::format_to(std::back_inserter(out), ".{:06}Z", fraction / 1000);
  } else {
    fmt::format_to(std::back_inserter(out), ".{:09}Z", fraction);
  }
}

std::string to_rfc3339(Timestamp time) {
  std::string out;
  append_rfc3339(out, time);
  return out;
}

std::optional<Timestamp> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const auto y = digits(text, 0, 4), m = digits(text, 5, 2), d = digits(text, 8, 2);
  if (!y || !m || !d || text[4] != '-' || text[7] != '-') return std::nullopt;
  const year_month_day date{year{*y}, month{static_cast<unsigned>(*m)}, day{static_cast<unsigned>(*d)}};
  if (!date.ok() || *y < 1950 || *y > 2199) return std::nullopt;
  int64_t seconds = duration_cast<std::chrono::seconds>(sys_days{date}.time_since_epoch()).count();
  if (text.size() == 10) return Timestamp{seconds * kSecond};
  if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') return std::nullopt;
  const auto hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (!hour || !minute || !second || text[13] != ':' || text[16] != ':') return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  seconds += *hour * 3600 + *minute * 60 + *second;
  size_t at = 19;
  int64_t fraction = 0;
  if (at < text.size() && text[at] == '.') {
    int64_t unit = kSecond / 10;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      fraction += (text[at] - '0') * unit;
  }
  if (at >= text.size()) return std::nullopt;
  if (text[at] == 'Z' || text[at] == 'z')
    return at + 1 == text.size() ? std::optional(bounded_time(seconds * kSecond + fraction)) : std::nullopt;
  if (text[at] != '+' && text[at] != '-') return std::nullopt;
  const auto oh = digits(text, at + 1, 2), om = digits(text, at + 4, 2);
  if (!oh || !om || text[at + 3] != ':' || at + 6 != text.size()) return std::nullopt;
  const int64_t offset = (*oh * 60 + *om) * 60;
  seconds += text[at] == '+' ? -offset : offset;
  return bounded_time(seconds * kSecond + fraction);
}

}  // namespace vitrine
