// The syntax tree of a regular expression (internal to schema_regex).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vitrine {

// Unicode scalar values: ascending, disjoint, not adjacent.
using CharSet = std::vector<std::pair<char32_t, char32_t>>;
void normalize(CharSet& set);        // sorts and joins; drops surrogates
CharSet complement(const CharSet&);  // REQUIRES: normalized

struct RegexNode {
  enum class Kind : uint8_t { empty, set, sequence, choice, repeat, begin, end };
  static constexpr uint32_t kUnlimited = UINT32_MAX;
  Kind kind = Kind::empty;
  CharSet set;
  std::vector<uint32_t> children;  // indices; repeat: one
  uint32_t minimum = 0, maximum = kUnlimited;
};

struct RegexTree {
  std::vector<RegexNode> nodes;
  uint32_t root = 0;
};

Result<RegexTree> parse_regex(std::string_view pattern);

}  // namespace vitrine
