#include "engine/schema_regex.h"

#include <algorithm>
#include <map>
#include <optional>

#include "engine/regex_ast.h"
#include "engine/unicode.h"

namespace vitrine {
namespace {

using Edges = std::vector<std::vector<CharDfa::Edge>>;

// Drops states from which nothing can be accepted; state 0 stays the start.
CharDfa trim(Edges edges, std::vector<uint8_t> accepts) {
  const std::vector<uint8_t> alive = states_that_can_accept(edges, accepts);
  CharDfa out;
  if (alive.empty() || !alive[0]) return out;
  std::vector<uint32_t> number(accepts.size());
  for (uint32_t state = 0; state < accepts.size(); ++state) {
    if (alive[state]) {
      number[state] = static_cast<uint32_t>(out.accepts.size());
      out.accepts.push_back(accepts[state]);
    }
  }
  for (uint32_t state = 0; state < accepts.size(); ++state) {
    if (!alive[state]) continue;
    auto& kept = out.edges.emplace_back();
    for (const CharDfa::Edge& edge : edges[state]) {
      if (!alive[edge.to]) continue;
      const uint32_t to = number[edge.to];
      if (!kept.empty() && kept.back().to == to && kept.back().high + 1 == edge.low) {
        kept.back().high = edge.high;
      } else {
        kept.push_back({edge.low, edge.high, to});
      }
    }
  }
  return out;
}

// Thompson's automaton. An assertion is passed only where it holds.
class Nfa {
 public:
  struct State {
    enum class Kind : uint8_t { split, set, begin, end, match };
    Kind kind = Kind::split;
    uint32_t set = 0;
    std::vector<uint32_t> next;
  };

  explicit Nfa(const RegexTree& tree, CompileBudget& budget) : tree_(tree), budget_(budget) {}

  Status build() {
    const uint32_t match = add(State::Kind::match);
    const auto start = fragment(tree_.root, match);
    if (!start) return over_budget();
    start_ = *start;
    return {};
  }

  const std::vector<State>& states() const { return states_; }
  const CharSet& set(uint32_t index) const { return tree_.nodes[index].set; }
  uint32_t start() const { return start_; }

 private:
  uint32_t add(State::Kind kind, std::vector<uint32_t> next = {}, uint32_t set = 0) {
    states_.push_back({kind, set, std::move(next)});
    return static_cast<uint32_t>(states_.size() - 1);
  }

  // States that match node `index` and go on at `after`; nothing when the budget is spent.
  std::optional<uint32_t> fragment(uint32_t index, uint32_t after) {
    if (!budget_.spend(8) || states_.size() > budget_.states) return std::nullopt;
    const RegexNode& node = tree_.nodes[index];
    switch (node.kind) {
      case RegexNode::Kind::empty: return after;
      case RegexNode::Kind::set: return add(State::Kind::set, {after}, index);
      case RegexNode::Kind::begin: return add(State::Kind::begin, {after});
      case RegexNode::Kind::end: return add(State::Kind::end, {after});
      case RegexNode::Kind::sequence: {
        for (auto child = node.children.rbegin(); child != node.children.rend(); ++child) {
          const auto before = fragment(*child, after);
          if (!before) return before;
          after = *before;
        }
        return after;
      }
      case RegexNode::Kind::choice: {
        std::vector<uint32_t> branches;
        for (const uint32_t child : node.children) {
          const auto branch = fragment(child, after);
          if (!branch) return branch;
          branches.push_back(*branch);
        }
        return add(State::Kind::split, std::move(branches));
      }
      case RegexNode::Kind::repeat: {
        const uint32_t child = node.children[0];
        if (node.maximum == RegexNode::kUnlimited) {
          const uint32_t loop = add(State::Kind::split, {after});
          const auto body = fragment(child, loop);
          if (!body) return body;
          states_[loop].next.push_back(*body);
          after = loop;
        } else {
          const uint32_t end = after;
          for (uint32_t i = node.minimum; i < node.maximum; ++i) {
            const auto body = fragment(child, after);
            if (!body) return body;
            after = add(State::Kind::split, {*body, end});
          }
        }
        for (uint32_t i = 0; i < node.minimum; ++i) {
          const auto body = fragment(child, after);
          if (!body) return body;
          after = *body;
        }
        return after;
      }
    }
    return std::nullopt;
  }

  const RegexTree& tree_;
  CompileBudget& budget_;
  std::vector<State> states_;
  uint32_t start_ = 0;
};

// Subsets of the automaton's states. A set that holds the match accepts whatever follows.
class Subsets {
 public:
  Subsets(const Nfa& nfa, CompileBudget& budget) : nfa_(nfa), budget_(budget), seen_(nfa.states().size(), 0) {}

  Result<CharDfa> build() {
    // The start is a state of its own: only there does '^' hold.
    sets_.push_back(collapsed(closure({nfa_.start()}, true, false)));
    for (uint32_t state = 0; state < sets_.size(); ++state) {
      if (!budget_.spend(16)) return over_budget();
      if (sets_.size() > budget_.states) return over_budget();
      if (matched(sets_[state])) {
        accepts_.push_back(1);
        edges_.push_back(any_text().edges[0]);
        for (CharDfa::Edge& edge : edges_.back()) edge.to = state;
        continue;
      }
      accepts_.push_back(state == 0 ? matched(closure({nfa_.start()}, true, true))
                                    : matched(closure(sets_[state], false, true)));
      edges_.emplace_back();
      if (!expand(state)) return over_budget();
    }
    if (!budget_.add_states(sets_.size())) return over_budget();
    return trim(std::move(edges_), std::move(accepts_));
  }

 private:
  using Set = std::vector<uint32_t>;  // ascending

  bool matched(const Set& set) const {
    return std::any_of(set.begin(), set.end(),
                       [this](uint32_t s) { return nfa_.states()[s].kind == Nfa::State::Kind::match; });
  }

  // States reachable without a character; of those, the ones that wait for something.
  Set closure(const Set& from, bool at_begin, bool at_end) {
    ++round_;
    Set work = from, out;
    while (!work.empty()) {
      const uint32_t s = work.back();
      work.pop_back();
      if (seen_[s] == round_) continue;
      seen_[s] = round_;
      budget_.spend(1);
      const Nfa::State& state = nfa_.states()[s];
      switch (state.kind) {
        case Nfa::State::Kind::split: work.insert(work.end(), state.next.begin(), state.next.end()); break;
        case Nfa::State::Kind::begin:
          if (at_begin) work.push_back(state.next[0]);
          break;
        case Nfa::State::Kind::end:
          if (at_end) {
            work.push_back(state.next[0]);
          } else {
            out.push_back(s);
          }
          break;
        default: out.push_back(s);
      }
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  Set collapsed(Set set) const { return matched(set) ? Set{0} : set; }  // state 0 is the match

  uint32_t id_of(const Set& targets) {
    Set set = collapsed(closure(targets, false, false));
    const auto [at, fresh] = ids_.try_emplace(set, static_cast<uint32_t>(sets_.size()));
    if (fresh) sets_.push_back(std::move(set));
    return at->second;
  }

  bool expand(uint32_t state) {
    struct Part {
      char32_t low, high;
      uint32_t to;
    };
    std::vector<Part> parts;
    std::vector<char32_t> cuts = {0, 0xD800, 0xE000, 0x110000};
    for (const uint32_t s : sets_[state]) {
      if (nfa_.states()[s].kind != Nfa::State::Kind::set) continue;
      for (const auto& [low, high] : nfa_.set(nfa_.states()[s].set)) {
        parts.push_back({low, high, nfa_.states()[s].next[0]});
        cuts.push_back(low);
        cuts.push_back(high + 1);
      }
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      if (cuts[i] == 0xD800) continue;
      if (!budget_.spend(parts.size() + 4)) return false;
      Set targets = {nfa_.start()};  // a match may begin anywhere
      for (const Part& part : parts) {
        if (part.low <= cuts[i] && cuts[i] <= part.high) targets.push_back(part.to);
      }
      const uint32_t to = id_of(targets);
      if (budget_.steps == 0) return false;
      edges_[state].push_back({cuts[i], cuts[i + 1] - 1, to});
    }
    return true;
  }

  const Nfa& nfa_;
  CompileBudget& budget_;
  std::vector<uint64_t> seen_;
  uint64_t round_ = 0;
  std::map<Set, uint32_t> ids_;
  std::vector<Set> sets_;
  Edges edges_;
  std::vector<uint8_t> accepts_;
};

// Pairs of states explored from the start. `step` gives the edges of a pair.
template <class State, class Step, class Accepts>
Result<CharDfa> explore(State start, Step step, Accepts accepts, CompileBudget& budget) {
  std::map<State, uint32_t> ids = {{start, 0}};
  std::vector<State> states = {start};
  Edges edges;
  std::vector<uint8_t> accepting;
  for (size_t at = 0; at < states.size(); ++at) {
    const State state = states[at];
    accepting.push_back(accepts(state));
    edges.emplace_back();
    bool enough = true;
    step(state, [&](char32_t low, char32_t high, State to) {
      const auto [found, fresh] = ids.try_emplace(to, static_cast<uint32_t>(states.size()));
      if (fresh) states.push_back(to);
      edges[at].push_back({low, high, found->second});
      enough = budget.spend(4) && enough;
    });
    if (!enough || states.size() > budget.states) return over_budget();
  }
  if (!budget.add_states(states.size())) return over_budget();
  return trim(std::move(edges), std::move(accepting));
}

}  // namespace

tl::unexpected<Error> over_budget() {
  return fail(ErrorCode::limit, "it needs more states or steps than are allowed for a schema");
}

CharDfa any_text() { return {{{{0, 0xD7FF, 0}, {0xE000, 0x10FFFF, 0}}}, {1}}; }

bool CharDfa::accepts_text(std::string_view utf8) const {
  if (empty()) return false;
  uint32_t state = 0;
  for (size_t at = 0; at < utf8.size();) {
    const Utf8Step step = utf8_step(utf8, at);
    const auto& out = edges[state];
    const auto edge =
        std::find_if(out.begin(), out.end(), [&](const Edge& e) { return e.low <= step.code && step.code <= e.high; });
    if (edge == out.end()) return false;
    state = edge->to;
    at += step.length;
  }
  return accepts[state] != 0;
}

Result<CharDfa> compile_regex(std::string_view pattern, CompileBudget& budget) {
  const auto tree = parse_regex(pattern);
  if (!tree) return tl::make_unexpected(tree.error());
  Nfa nfa(*tree, budget);
  if (Status built = nfa.build(); !built) return tl::make_unexpected(built.error());
  Subsets subsets(nfa, budget);
  return subsets.build();
}

Result<CharDfa> intersect(const CharDfa& a, const CharDfa& b, CompileBudget& budget) {
  if (a.empty() || b.empty()) return CharDfa{};
  using Pair = std::pair<uint32_t, uint32_t>;
  return explore(
      Pair{0, 0},
      [&](Pair at, auto emit) {
        const auto &x = a.edges[at.first], &y = b.edges[at.second];
        for (size_t i = 0, j = 0; i < x.size() && j < y.size();) {
          const char32_t low = std::max(x[i].low, y[j].low), high = std::min(x[i].high, y[j].high);
          if (low <= high) emit(low, high, Pair{x[i].to, y[j].to});
          if (x[i].high < y[j].high) {
            ++i;
          } else {
            ++j;
          }
        }
      },
      [&](Pair at) { return a.accepts[at.first] && b.accepts[at.second]; }, budget);
}

Result<CharDfa> with_length(const CharDfa& a, uint32_t minimum, uint32_t maximum, CompileBudget& budget) {
  if (a.empty() || minimum > maximum) return CharDfa{};
  if (minimum == 0 && maximum == UINT32_MAX) return a;
  using Pair = std::pair<uint32_t, uint32_t>;  // state, characters so far (as far as they matter)
  const uint32_t most = maximum == UINT32_MAX ? minimum : maximum;
  return explore(
      Pair{0, 0},
      [&](Pair at, auto emit) {
        if (at.second == maximum) return;
        for (const CharDfa::Edge& edge : a.edges[at.first]) {
          emit(edge.low, edge.high, Pair{edge.to, std::min(at.second + 1, most)});
        }
      },
      [&](Pair at) { return a.accepts[at.first] && at.second >= minimum; }, budget);
}

std::pair<uint32_t, uint32_t> lengths(const CharDfa& a) {
  if (a.empty()) return {0, 0};
  const size_t count = a.accepts.size();
  std::vector<uint32_t> nearest(count, UINT32_MAX), entering(count, 0), farthest(count, 0), order = {0};
  nearest[0] = 0;
  uint32_t shortest = UINT32_MAX;
  for (size_t at = 0; at < order.size(); ++at) {
    const uint32_t state = order[at];
    if (a.accepts[state]) shortest = std::min(shortest, nearest[state]);
    for (const CharDfa::Edge& edge : a.edges[state]) {
      ++entering[edge.to];
      if (nearest[edge.to] != UINT32_MAX) continue;
      nearest[edge.to] = nearest[state] + 1;
      order.push_back(edge.to);
    }
  }
  // Kahn's order exists only without a cycle; every state leads to acceptance, so a cycle has no end.
  std::vector<uint32_t> free;
  if (entering[0] == 0) free.push_back(0);
  size_t sorted = 0;
  uint32_t longest = 0;
  while (!free.empty()) {
    const uint32_t state = free.back();
    free.pop_back();
    ++sorted;
    if (a.accepts[state]) longest = std::max(longest, farthest[state]);
    for (const CharDfa::Edge& edge : a.edges[state]) {
      farthest[edge.to] = std::max(farthest[edge.to], farthest[state] + 1);
      if (--entering[edge.to] == 0) free.push_back(edge.to);
    }
  }
  return {shortest, sorted == order.size() ? longest : UINT32_MAX};
}

}  // namespace vitrine
