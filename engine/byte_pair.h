// The merge step of byte-pair encoding: symbols of a piece are joined pair by
// pair, always the pair of lowest rank, leftmost first (Sennrich et al., 2016;
// ties and stale candidates as in Hugging Face's `tokenizers`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer_data.h"

namespace vitrine {

// (left id, right id) -> (rank, id of the joined token). Open addressing: a
// vocabulary has up to half a million merges, and start-up waits for this table.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = 0;
    TokenId joined = 0;
  };

  explicit MergeTable(size_t expected = 0);

  // A pair that is there already keeps its place and gets the new value.
  void insert(TokenId left, TokenId right, Merge merge);
  const Merge* find(TokenId left, TokenId right) const;
  size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const;
  void grow(size_t capacity);

  std::vector<Slot> slots_;
  size_t size_ = 0;
};

// Token texts -> ids, without a copy of the texts: borrows them.
class TokenIndex {
 public:
  TokenIndex() = default;
  explicit TokenIndex(size_t expected);

  // REQUIRES: texts[id] is set, and `texts` outlives the index. The first id of a text stays.
  bool insert(const std::vector<std::string>& texts, TokenId id);
  std::optional<TokenId> find(const std::vector<std::string>& texts, std::string_view text) const;

 private:
  void grow(const std::vector<std::string>& texts, size_t capacity);
  std::vector<TokenId> slots_;  // -1: empty
  size_t size_ = 0;
};

// Merges `symbols` in place. n symbols cost O(n log n) time; `scratch` is kept
// between calls so that short pieces allocate nothing.
class PairMerger {
 public:
  void merge(const MergeTable& table, std::vector<TokenId>& symbols);

 private:
  struct Symbol {
    TokenId id;         // -1: joined into its left neighbour
    uint32_t previous;  // kNone at the ends
    uint32_t next;
  };
  struct Candidate {
    uint32_t rank;
    uint32_t position;  // of the left symbol
    TokenId joined;
  };
  static constexpr uint32_t kNone = ~uint32_t{0};
  void propose(const MergeTable& table, uint32_t left);

  std::vector<Symbol> chain_;
  std::vector<Candidate> heap_;
};

}  // namespace vitrine
