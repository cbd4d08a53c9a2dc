#include "engine/tokenizer.h"
#include "engine/unicode.h"

namespace vitrine {

StreamingDetokenizer::StreamingDetokenizer(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer), skip_special_(skip_special) {}

std::string StreamingDetokenizer::push(TokenId id) {
  std::string out;
  if (skip_special_ && tokenizer_.is_special(id)) return out;
  std::string_view bytes = tokenizer_.bytes(id);
  if (bytes.empty()) return out;
  if (at_start_ && tokenizer_.strip_first_space() && bytes[0] == ' ') bytes.remove_prefix(1);
  at_start_ = false;
  held_.append(bytes);
  size_t at = 0;
  while (at < held_.size()) {
    const Utf8Step step = utf8_step(held_, at);
    if (step.kind == Utf8Step::Kind::cut) break;
    if (step.kind == Utf8Step::Kind::character) {
      out.append(held_, at, step.length);
    } else {
      out.append(kReplacement);
    }
    at += step.length;
  }
  held_.erase(0, at);
  return out;
}

std::string StreamingDetokenizer::finish() {
  // What is held is one character that was cut: one U+FFFD, as for any other maximal subpart.
  std::string out(held_.empty() ? std::string_view() : kReplacement);
  held_.clear();
  at_start_ = true;
  return out;
}

}  // namespace vitrine
