// How much of what was said a tap's log keeps.
#pragma once

#include <string_view>

#include "base/result.h"
#include "capture/types.h"

namespace vitrine {

using TapContent = RecordedContent;

Result<TapContent> parse_tap_content(std::string_view text);  // error: usage, names the three

}  // namespace vitrine
