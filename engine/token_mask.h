// Which tokens may come next (internal to the engine): for the state of a grammar, one bit per
// token of the vocabulary.
//
// Masks are kept by state: where the text is in the schema, without counts that no token can
// exhaust and without levels that no token can reach. Inside a string the tokens without quotes
// and escapes are known beforehand, the others are tried.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "engine/grammar_matcher.h"
#include "engine/token_trie.h"

namespace vitrine {

class TokenMasks {
 public:
  static constexpr size_t kCacheBytes = size_t{64} << 20;
  // Items looked at for one mask: some tenths of a second. Only schemas with many alternatives that are all still
  // open come near it.
  static constexpr uint64_t kMaxWork = 20'000'000;

  // Borrows `tokenizer`.
  explicit TokenMasks(const Tokenizer& tokenizer, size_t cache_bytes = kCacheBytes);

  // Tokens whose bytes the grammar lets follow, and those that end generation where the text may
  // end. Valid until the next call. Errors: limit (kMaxWork); unsupported: no token may follow
  // because the vocabulary cannot spell what should.
  Result<std::span<const uint64_t>> allowed(GrammarMatcher& matcher);

  const Vocabulary& vocabulary() const { return vocabulary_; }
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  struct Entry {
    std::string key;
    TokenMask mask;
  };

  std::string key_of(const GrammarMatcher& matcher) const;
  Status fill(GrammarMatcher& matcher, TokenMask& mask);
  bool walk(const TokenTrie& trie, const GrammarLevel* top, GrammarStepper& stepper, TokenMask& mask);
  bool walk_lexeme(const TokenTrie& trie, const GrammarLevel* top, GrammarStepper& stepper, TokenMask& mask);
  bool walk_below(const TokenTrie& trie, uint32_t first, uint32_t last, uint32_t depth, const GrammarLevel* top,
                  GrammarStepper& stepper, TokenMask& mask);

  const Tokenizer& tokenizer_;
  Vocabulary vocabulary_;
  size_t cache_bytes_, used_bytes_ = 0;
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
  uint64_t hits_ = 0, misses_ = 0;
  LevelArena arena_;
  std::vector<const GrammarLevel*> levels_;
  std::vector<LevelArena::Mark> marks_;
  std::vector<uint32_t> states_;
};

}  // namespace vitrine
