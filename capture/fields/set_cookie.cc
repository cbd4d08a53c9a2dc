#include "capture/fields/set_cookie.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/text.h"

namespace vitrine {
namespace {

constexpr size_t kMaxAttributes = 32;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads `least` to `most` digits at the front; false otherwise.
bool take_number(std::string_view& text, size_t least, size_t most, int& out) {
  size_t n = 0;
  while (n < text.size() && n < most && is_digit(text[n])) ++n;
  if (n < least || (n < text.size() && is_digit(text[n]))) return false;
  std::from_chars(text.data(), text.data() + n, out);
  text.remove_prefix(n);
  return true;
}

bool take_time(std::string_view token, int& hour, int& minute, int& second) {
  const auto colon = [&token] {
    if (token.empty() || token.front() != ':') return false;
    token.remove_prefix(1);
    return true;
  };
  return take_number(token, 1, 2, hour) && colon() && take_number(token, 1, 2, minute) && colon() &&
         take_number(token, 1, 2, second);
}

int month_of(std::string_view token) {
  static constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                                 "jul", "aug", "sep", "oct", "nov", "dec"};
  if (token.size() < 3) return 0;
  char lower[3];
  std::transform(token.begin(), token.begin() + 3, lower, [](char c) { return ascii_lower(c); });
  for (int i = 0; i < 12; ++i) {
    if (std::string_view(lower, 3) == kMonths[i]) return i + 1;
  }
  return 0;
}

// RFC 6265's delimiters: everything but digits, letters, ':' and what is above 0x7f.
bool is_delimiter(char c) {
  const auto u = static_cast<uint8_t>(c);
  return u == 0x09 || (u >= 0x20 && u <= 0x2f) || (u >= 0x3b && u <= 0x40) || (u >= 0x5b && u <= 0x60) ||
         (u >= 0x7b && u <= 0x7e);
}

}  // namespace

SetCookie parse_set_cookie(std::string_view header) {
  SetCookie cookie;
  size_t at = 0;
  for (bool first = true; at <= header.size() && cookie.attributes.size() < kMaxAttributes; first = false) {
    const size_t end = std::min(header.find(';', at), header.size());
    const std::string_view pair = header.substr(at, end - at);
    const size_t equals = std::min(pair.find('='), pair.size());
    std::string_view name = trim(pair.substr(0, equals));
    std::string_view value = trim(pair.substr(std::min(equals + 1, pair.size())));
    if (first && equals == pair.size()) std::swap(name, value);  // a nameless cookie
    const size_t offset = value.empty() ? end : static_cast<size_t>(value.data() - header.data());
    if (first) {
      cookie.name = name;
      cookie.value = value;
      cookie.value_offset = offset;
    } else if (!name.empty()) {
      cookie.attributes.push_back({name, value, offset});
    }
    at = end + 1;
  }
  return cookie;
}

std::optional<Timestamp> parse_cookie_date(std::string_view text) {
  int hour = -1, minute = 0, second = 0, day = -1, month = 0, year = -1;
  while (!text.empty()) {
    size_t begin = 0;
    while (begin < text.size() && is_delimiter(text[begin])) ++begin;
    text.remove_prefix(begin);
    size_t length = 0;
    while (length < text.size() && !is_delimiter(text[length])) ++length;
    std::string_view token = text.substr(0, length);
    text.remove_prefix(length);
    if (token.empty()) continue;
    int number = 0;
    std::string_view rest = token;
    if (hour < 0) {
      int h = 0, m = 0, s = 0;
      if (take_time(token, h, m, s)) {
        hour = h;
        minute = m;
        second = s;
        continue;
      }
    }
    if (day < 0 && take_number(rest, 1, 2, number)) {
      day = number;
      continue;
    }
    if (month == 0 && (month = month_of(token)) != 0) continue;
    rest = token;
    if (year < 0 && take_number(rest, 2, 4, number)) year = number;
  }
  if (year >= 70 && year <= 99) year += 1900;
  if (year >= 0 && year <= 69) year += 2000;
  if (hour < 0 || hour > 23 || minute > 59 || second > 59 || month == 0 || year < 1601 || year > 9999)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day < 0 ? 0 : day))};
  if (!date.ok()) return std::nullopt;
  const int64_t seconds =
      std::chrono::sys_days(date).time_since_epoch().count() * int64_t{86400} + hour * 3600 + minute * 60 + second;
  // Nanoseconds reach to the year 2262; a later date means "for ever".
  constexpr int64_t kLast = INT64_MAX / 1'000'000'000;
  return Timestamp{std::clamp(seconds, -kLast, kLast) * 1'000'000'000};
}

std::optional<int64_t> cookie_lifetime_seconds(std::string_view max_age, std::string_view expires, Timestamp now) {
  if (!max_age.empty()) {
    int64_t seconds = 0;
    const auto result = std::from_chars(max_age.data(), max_age.data() + max_age.size(), seconds);
    if (result.ptr == max_age.data() + max_age.size()) {
      if (result.ec == std::errc{}) return seconds;
      if (result.ec == std::errc::result_out_of_range) return max_age.front() == '-' ? INT64_MIN : INT64_MAX;
    }
  }
  if (const auto date = parse_cookie_date(expires)) return date->ns / 1'000'000'000 - now.ns / 1'000'000'000;
  return std::nullopt;
}

}  // namespace vitrine
