// Finds added tokens in text: leftmost, then longest.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/tokenizer_data.h"

namespace vitrine {

// A trie over bytes. Its depth is bounded by the longest token, so a search
// costs at most text length × token length, and in practice one step per byte.
class AddedTokenMatcher {
 public:
  static constexpr size_t kMaxTokenBytes = 512;

  void add(std::string_view text, uint32_t index);  // the first index of a text stays
  bool empty() const { return nodes_.size() <= 1; }

  struct Match {
    size_t begin = 0, end = 0;
    uint32_t index = 0;
  };
  // The first match at or behind `from`.
  std::optional<Match> find(std::string_view text, size_t from) const;

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Edge {
    uint8_t byte;
    uint32_t node;
  };
  struct Node {
    uint32_t index = kNone;
    std::vector<Edge> edges;  // few: most tokens share their first bytes
  };
  const Node* child(const Node& node, uint8_t byte) const;

  std::vector<Node> nodes_{Node{}};
  bool starts_[256] = {};  // bytes some token begins with
};

}  // namespace vitrine
