// A name from a file, for a message: between quotes, on one line, without what a terminal would obey.
#pragma once

#include <string>
#include <string_view>

#include "base/text.h"

namespace vitrine {

inline std::string quoted_name(std::string_view text) { return std::string("'").append(printable(text)).append("'"); }

}  // namespace vitrine
