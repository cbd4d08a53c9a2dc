#include "engine/answer_constraint.h"

namespace vitrine {

AnswerConstraint::AnswerConstraint(GrammarPointer grammar, std::string after, bool may_end)
    : matcher_(std::move(grammar)), constrained_(after.empty()), after_(std::move(after)), may_end_(may_end) {
  failure_.assign(after_.size(), 0);
  for (size_t i = 1, length = 0; i < after_.size(); ++i) {
    while (length > 0 && after_[i] != after_[length]) length = failure_[length - 1];
    if (after_[i] == after_[length]) ++length;
    failure_[i] = length;
  }
}

size_t AnswerConstraint::next_matched(size_t matched, char byte) const {
  while (matched > 0 && after_[matched] != byte) matched = failure_[matched - 1];
  return after_[matched] == byte ? matched + 1 : 0;
}

// Before the grammar holds, all tokens but those that complete `after_` and go on as no text of it does.
const TokenMask& AnswerConstraint::free_mask(const TokenMasks& masks, const Tokenizer& tokenizer) {
  const auto [found, fresh] = free_.try_emplace(matched_);
  TokenMask& mask = found->second;
  if (!fresh) return mask;
  mask.assign(masks.vocabulary().plain.size(), 0);
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
    if (tokenizer.ends_generation(id) && !may_end_) continue;
    const std::string_view bytes = tokenizer.bytes(id);
    bool good = !bytes.empty() || tokenizer.ends_generation(id);
    if (bytes.find(after_.back()) != std::string_view::npos) {
      size_t matched = matched_;
      for (size_t at = 0; at < bytes.size(); ++at) {
        matched = next_matched(matched, bytes[at]);
        if (matched < after_.size()) continue;
        good = GrammarMatcher(matcher_.shared()).accept(bytes.substr(at + 1));
        break;
      }
    }
    if (good) allow(mask, id);
  }
  return mask;
}

Result<std::span<const uint64_t>> AnswerConstraint::allowed(TokenMasks& masks, const Tokenizer& tokenizer) {
  if (constrained_) return masks.allowed(matcher_);
  return std::span<const uint64_t>(free_mask(masks, tokenizer));
}

bool AnswerConstraint::accept(TokenId id, const Tokenizer& tokenizer) {
  const std::string_view bytes = tokenizer.bytes(id);
  if (constrained_) return matcher_.accept(bytes);
  for (size_t at = 0; at < bytes.size(); ++at) {
    matched_ = next_matched(matched_, bytes[at]);
    if (matched_ < after_.size()) continue;
    constrained_ = true;
    free_.clear();
    return matcher_.accept(bytes.substr(at + 1));
  }
  return true;
}

}  // namespace vitrine
