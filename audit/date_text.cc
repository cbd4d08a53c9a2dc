#include "audit/date_text.h"

namespace vitrine {
namespace {

bool digits(std::string_view text, size_t at, size_t count) {
  for (size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
  }
  return true;
}
int two(std::string_view text, size_t at) { return (text[at] - '0') * 10 + (text[at + 1] - '0'); }

bool is_month(std::string_view text) {
  return text.size() >= 7 && digits(text, 0, 4) && text[4] == '-' && digits(text, 5, 2) && two(text, 5) >= 1 &&
         two(text, 5) <= 12;
}

}  // namespace

bool is_date(std::string_view text) {
  if (text.size() != 10 || !is_month(text) || text[7] != '-' || !digits(text, 8, 2)) return false;
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int year = two(text, 0) * 100 + two(text, 2), month = two(text, 5), day = two(text, 8);
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day >= 1 && day <= kDays[month - 1] + (month == 2 && leap);
}

bool is_date_or_month(std::string_view text) { return is_date(text) || (text.size() == 7 && is_month(text)); }

std::string date_of(Timestamp time) { return to_rfc3339(time).substr(0, 10); }

}  // namespace vitrine
