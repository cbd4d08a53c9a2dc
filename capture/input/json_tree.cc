#include "capture/input/json_tree.h"

#include <algorithm>
#include <charconv>

namespace vitrine {

bool JsonTree::read(JsonTokenizer& json, uint32_t max_nodes) {
  nodes_.clear();
  arena_.clear();
  overflowed_ = false;
  struct Open {
    uint32_t node;
    uint32_t last_child;
  };
  std::vector<Open> open;
  // What is still open when reading stops early reaches as far as it was read.
  const auto stopped = [&] {
    for (const Open& container : open) {
      Node& node = nodes_[container.node];
      node.cut = true;
      node.length = std::max(last_.offset, node.offset + 1) - node.offset;
    }
    return false;
  };
  std::string_view key;
  std::string scratch;
  const auto keep = [&](const JsonToken& token) -> std::string_view {
    if (!token.escaped) return token.raw;
    return arena_.emplace_back(unescaped(token, scratch));
  };
  while (json.next(last_)) {
    using Kind = JsonToken::Kind;
    if (last_.kind == Kind::key) {
      key = keep(last_);
      continue;
    }
    if (last_.kind == Kind::end_object || last_.kind == Kind::end_array) {
      Node& node = nodes_[open.back().node];
      node.length = last_.offset + last_.length - node.offset;
      open.pop_back();
      if (open.empty()) return true;
      continue;
    }
    if (nodes_.size() >= max_nodes) {
      overflowed_ = true;
      if (!json.skip(last_)) return stopped();
      if (open.empty()) return true;
      continue;
    }
    Node node;
    node.kind = last_.kind;
    node.key = key;
    node.offset = last_.offset;
    node.length = last_.length;
    node.cut = last_.cut;
    node.text = last_.kind == Kind::string ? keep(last_) : last_.raw;
    key = {};
    const auto index = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back(node);
    if (!open.empty()) {
      Open& parent = open.back();
      if (parent.last_child == 0) nodes_[parent.node].first_child = index;
      else nodes_[parent.last_child].next_sibling = index;
      parent.last_child = index;
    }
    if (node.kind == Kind::begin_object || node.kind == Kind::begin_array) {
      open.push_back({index, 0});
    } else if (open.empty()) {
      return true;
    }
  }
  return stopped();
}

const JsonTree::Node* JsonTree::first(const Node* container) const {
  return container == nullptr || container->first_child == 0 ? nullptr : &nodes_[container->first_child];
}

const JsonTree::Node* JsonTree::next(const Node* child) const {
  return child->next_sibling == 0 ? nullptr : &nodes_[child->next_sibling];
}

const JsonTree::Node* JsonTree::find(const Node* object, std::string_view key) const {
  const Node* found = nullptr;
  if (object == nullptr || object->kind != JsonToken::Kind::begin_object) return nullptr;
  for (const Node* child = first(object); child != nullptr; child = next(child)) {
    if (child->key == key) found = child;
  }
  return found;
}

std::string_view JsonTree::string(const Node* object, std::string_view key) const {
  const Node* node = find(object, key);
  return node != nullptr && node->kind == JsonToken::Kind::string ? node->text : std::string_view();
}

double JsonTree::number(const Node* object, std::string_view key, double fallback) const {
  const Node* node = find(object, key);
  if (node == nullptr || node->kind != JsonToken::Kind::number) return fallback;
  double value = fallback;
  std::from_chars(node->text.data(), node->text.data() + node->text.size(), value);
  return value;
}

bool JsonTree::boolean(const Node* object, std::string_view key, bool fallback) const {
  const Node* node = find(object, key);
  if (node == nullptr) return fallback;
  if (node->kind == JsonToken::Kind::literal_true) return true;
  if (node->kind == JsonToken::Kind::literal_false) return false;
  return fallback;
}

}  // namespace vitrine
