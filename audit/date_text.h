// Calendar dates as the policy files write them.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"

namespace vitrine {

bool is_date(std::string_view text);           // YYYY-MM-DD, a day that exists
bool is_date_or_month(std::string_view text);  // the same, or YYYY-MM
std::string date_of(Timestamp time);           // in UTC

}  // namespace vitrine
