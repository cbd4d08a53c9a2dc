// A small tree over one JSON value of an input file, with the byte span of
// every value: what HAR entries and exchange-log lines are read through.
// Values and keys are views of the input, or of the tree's own arena when they
// had escapes. Duplicate keys: find() gives the last, as JSON.parse does.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_tokenizer.h"

namespace vitrine {

class JsonTree {
 public:
  struct Node {
    JsonToken::Kind kind = JsonToken::Kind::literal_null;  // begin_object, begin_array, or a scalar
    std::string_view key;                                  // in an object
    std::string_view text;                                 // string: unescaped; number, literal: lexeme
    uint64_t offset = 0;                                   // in the input; strings: of the opening quote
    uint64_t length = 0;                                   // quotes or brackets included
    bool cut = false;                            // the input ended, or was damaged, inside this string or container
    uint32_t first_child = 0, next_sibling = 0;  // 0 = none (node 0 is the root, nobody's child)
  };

  // Reads one value at the front of what `json` has left; false when it ended
  // before (the tree then holds what came). REQUIRES: nothing read of the value yet.
  // Bound: `max_nodes`, further ones are dropped and overflowed() is set.
  bool read(JsonTokenizer& json, uint32_t max_nodes = 1u << 20);

  bool empty() const { return nodes_.empty(); }
  bool overflowed() const { return overflowed_; }
  const JsonToken& last_token() const { return last_; }
  const Node& root() const { return nodes_.front(); }
  // Member by name, or null; also null when `object` is null or no object.
  const Node* find(const Node* object, std::string_view key) const;
  const Node* first(const Node* container) const;
  const Node* next(const Node* child) const;
  // Text of a string member, or "".
  std::string_view string(const Node* object, std::string_view key) const;
  // Numeric member, or `fallback` when absent or no number.
  double number(const Node* object, std::string_view key, double fallback) const;
  bool boolean(const Node* object, std::string_view key, bool fallback) const;

 private:
  std::vector<Node> nodes_;
  std::deque<std::string> arena_;
  JsonToken last_;
  bool overflowed_ = false;
};

}  // namespace vitrine
