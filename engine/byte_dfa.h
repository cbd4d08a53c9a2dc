// Automata over bytes: what strings and numbers of a grammar may be spelled.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/schema_regex.h"
#include "engine/schema_value.h"

namespace vitrine {

// Deterministic; every state leads to acceptance. No states: no text at all.
class ByteDfa {
 public:
  static constexpr uint32_t kDead = UINT32_MAX;
  static constexpr uint32_t kStart = 0;
  struct Edge {
    uint8_t low = 0, high = 0;  // inclusive
    uint32_t to = 0;
  };

  ByteDfa() = default;
  // Edges per state, disjoint; drops states without a way to acceptance.
  ByteDfa(std::vector<std::vector<Edge>> edges, const std::vector<uint8_t>& accepts);

  uint32_t step(uint32_t state, uint8_t byte) const {
    for (uint32_t at = first_[state]; at < first_[state + 1]; ++at) {
      if (byte < edges_[at].low) return kDead;
      if (byte <= edges_[at].high) return edges_[at].to;
    }
    return kDead;
  }
  bool accepts(uint32_t state) const { return accepts_[state] != 0; }
  std::span<const Edge> edges(uint32_t state) const {
    return std::span(edges_).subspan(first_[state], first_[state + 1] - first_[state]);
  }
  size_t states() const { return accepts_.size(); }
  bool empty() const { return accepts_.empty(); }

 private:
  std::vector<uint32_t> first_ = {0};  // per state: its edges in edges_, ascending
  std::vector<Edge> edges_;
  std::vector<uint8_t> accepts_;
};

// Exactly one of `texts`.
Result<ByteDfa> spell_texts(std::span<const std::string> texts, CompileBudget& budget);

// Strings of `characters` as JSON, quotes included, each character in the one spelling
// JSON.stringify gives it (ECMA-262, QuoteJSONString).
Result<ByteDfa> spell_json_string(const CharDfa& characters, CompileBudget& budget);
void append_spelled(std::string& out, std::string_view text);  // the same for one string, without quotes

// Any JSON string in any spelling (RFC 8259, section 7), quotes included. States by name:
// a character begins when kTextInside is left other than by the quote.
const ByteDfa& any_json_string();
inline constexpr uint32_t kTextInside = 1, kTextEnd = 2;

struct NumberBounds {
  bool integer = false;
  struct Bound {
    Decimal value;
    bool exclusive = false;
  };
  std::optional<Bound> minimum, maximum;
  uint32_t multiple_of = 0;  // integers only; 0: of nothing
};
// See engine/grammar.h for the spellings.
Result<ByteDfa> spell_number(const NumberBounds& bounds, CompileBudget& budget);
inline constexpr uint32_t kWholeDigits = 20, kFractionDigits = 20, kExponentDigits = 2;

// Whether no text is accepted by both; nothing when that needs more than `steps` pairs.
std::optional<bool> disjoint(const ByteDfa& a, const ByteDfa& b, uint64_t steps);

}  // namespace vitrine
