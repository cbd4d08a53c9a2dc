// Regular expressions of JSON Schema's `pattern` as automata over characters.
//
// The language of ECMA-262 (2024, with the u flag) without what is not regular or not needed:
// characters, '.', classes, \d \D \w \W \s \S, \t \n \v \f \r \0 \cX \xHH \uHHHH \u{…}, escaped
// punctuation, '|', ( ), (?: ), (?<name> ), * + ? {m} {m,} {m,n} and their lazy forms, ^ and $
// anywhere. Back references, look-around, \b, \B and \p are refused by name. As in JSON Schema a
// pattern matches anywhere in a string unless it is anchored.
//
// Construction: Thompson's automaton, then subsets, both within a budget.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vitrine {

// What compiling may still use. One per grammar.
struct CompileBudget {
  uint64_t steps = 0;
  uint64_t states = 0;
  bool spend(uint64_t count) { return count <= steps ? (steps -= count, true) : (steps = 0, false); }
  bool add_states(uint64_t count) { return count <= states ? (states -= count, true) : (states = 0, false); }
};
tl::unexpected<Error> over_budget();  // limit

// Deterministic; no state without a way to acceptance. No states: no string at all.
struct CharDfa {
  struct Edge {
    char32_t low = 0, high = 0;  // inclusive; Unicode scalar values
    uint32_t to = 0;
  };
  std::vector<std::vector<Edge>> edges;  // per state: ascending, disjoint; state 0 is the start
  std::vector<uint8_t> accepts;

  bool empty() const { return accepts.empty(); }
  bool accepts_text(std::string_view utf8) const;  // REQUIRES: well-formed UTF-8
};

// Errors: malformed, unsupported (naming the construct), limit.
Result<CharDfa> compile_regex(std::string_view pattern, CompileBudget& budget);

CharDfa any_text();
Result<CharDfa> intersect(const CharDfa& a, const CharDfa& b, CompileBudget& budget);
// The strings of `a` with minimum to maximum characters.
Result<CharDfa> with_length(const CharDfa& a, uint32_t minimum, uint32_t maximum, CompileBudget& budget);
// The shortest and the longest string of `a`, in characters; the latter UINT32_MAX when there is none.
std::pair<uint32_t, uint32_t> lengths(const CharDfa& a);

// Per state, whether an accepting one can be reached from it. `edges` per state, each with a member `to`.
template <class Edge>
std::vector<uint8_t> states_that_can_accept(const std::vector<std::vector<Edge>>& edges,
                                            const std::vector<uint8_t>& accepts) {
  std::vector<std::vector<uint32_t>> from(accepts.size());
  for (uint32_t state = 0; state < edges.size(); ++state) {
    for (const Edge& edge : edges[state]) from[edge.to].push_back(state);
  }
  std::vector<uint8_t> alive = accepts;
  std::vector<uint32_t> work;
  for (uint32_t state = 0; state < accepts.size(); ++state) {
    if (accepts[state]) work.push_back(state);
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (const uint32_t before : from[state]) {
      if (alive[before]) continue;
      alive[before] = 1;
      work.push_back(before);
    }
  }
  return alive;
}

}  // namespace vitrine
