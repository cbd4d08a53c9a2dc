#include "capture/tap/content_mode.h"

namespace vitrine {

Result<TapContent> parse_tap_content(std::string_view text) {
  for (const TapContent content : {TapContent::none, TapContent::hash, TapContent::full}) {
    if (text == to_string(content)) return content;
  }
  return fail(ErrorCode::usage, "content of a tap is none, hash or full", std::string(text));
}

}  // namespace vitrine
