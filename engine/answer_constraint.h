// Keeps one answer within its grammar (internal to the engine).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/token_mask.h"

namespace vitrine {

class AnswerConstraint {
 public:
  // `after`: the grammar holds behind the first place where the answer spells it; empty: from the start.
  // `may_end`: whether the answer may end before.
  AnswerConstraint(GrammarPointer grammar, std::string after, bool may_end);

  // Tokens that may come next; valid until the next call with the same `masks`. Errors: TokenMasks::allowed().
  Result<std::span<const uint64_t>> allowed(TokenMasks& masks, const Tokenizer& tokenizer);
  // The next token, none that ends generation. False when it was not allowed.
  bool accept(TokenId id, const Tokenizer& tokenizer);
  // Nothing can follow.
  bool complete() const { return constrained_ && matcher_.must_end(); }

 private:
  size_t next_matched(size_t matched, char byte) const;
  const TokenMask& free_mask(const TokenMasks& masks, const Tokenizer& tokenizer);

  GrammarMatcher matcher_;
  bool constrained_;
  // Until then (Knuth, Morris, Pratt, 1977): bytes of `after_` that the answer ends with.
  std::string after_;
  std::vector<size_t> failure_;
  size_t matched_ = 0;
  bool may_end_;
  std::map<size_t, TokenMask> free_;  // by `matched_`
};

}  // namespace vitrine
