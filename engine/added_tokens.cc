#include "engine/added_tokens.h"

namespace vitrine {

const AddedTokenMatcher::Node* AddedTokenMatcher::child(const Node& node, uint8_t byte) const {
  for (const Edge& edge : node.edges) {
    if (edge.byte == byte) return &nodes_[edge.node];
  }
  return nullptr;
}

void AddedTokenMatcher::add(std::string_view text, uint32_t index) {
  if (text.empty()) return;
  starts_[static_cast<uint8_t>(text[0])] = true;
  uint32_t at = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (const Node* next = child(nodes_[at], byte)) {
      at = static_cast<uint32_t>(next - nodes_.data());
      continue;
    }
    const auto fresh = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
    nodes_[at].edges.push_back({byte, fresh});
    at = fresh;
  }
  if (nodes_[at].index == kNone) nodes_[at].index = index;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<uint8_t>(text[begin])]) continue;
    std::optional<Match> longest;
    const Node* node = nodes_.data();
    for (size_t at = begin; at < text.size(); ++at) {
      node = child(*node, static_cast<uint8_t>(text[at]));
      if (node == nullptr) break;
      if (node->index != kNone) longest = Match{begin, at + 1, node->index};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace vitrine
