// How much of what was said a tap's log keeps.
#pragma once

#include <string_view>

#include "base/result.h"

namespace vitrine {

// docs/exchange-log.md, CONTENT, says exactly what each leaves out.
enum class TapContent : uint8_t {
  none,  // bodies and messages: size and keyed digest only; query values and credentials likewise
  hash,  // as none, but JSON and forms keep names and kinds; each value is a size and a keyed digest
  full,
};
std::string_view to_string(TapContent content);          // "none", "hash", "full"
Result<TapContent> parse_tap_content(std::string_view);  // error: usage, names the three

}  // namespace vitrine
