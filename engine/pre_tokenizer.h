// Cuts text into the pieces that byte-pair merges never cross.
//
// Regular expressions come from the model file, so they are foreign: they run in
// PCRE2 with bounds on size, nesting, work per match and time per text. The
// references run Oniguruma in its Ruby syntax; differences are levelled here: \s
// is Unicode White_Space, ^ and $ are ends of lines.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/tokenizer_data.h"

namespace vitrine {

// GPT-2's expression; ByteLevel of tokenizer.json implies it.
inline constexpr std::string_view kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

class PreTokenizer {
 public:
  static Result<PreTokenizer> create(const std::vector<PreTokenizerStep>& steps);
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;

  // The pieces of `text`, in order: views of `text` or of `scratch` (when a
  // step rewrites it). `first`: the text stands at the start of the whole input.
  // REQUIRES: well-formed UTF-8. Fails with `limit` when the work is out of
  // bounds. Thread-safe.
  Result<std::vector<std::string_view>> split(std::string_view text, bool first, std::string& scratch) const;

 private:
  struct Step;
  PreTokenizer();
  std::vector<Step> steps_;
};

}  // namespace vitrine
