#include "engine/byte_dfa.h"

#include <algorithm>
#include <set>

namespace vitrine {
namespace {

using Edge = ByteDfa::Edge;
using Edges = std::vector<std::vector<Edge>>;

void sort_and_join(std::vector<Edge>& edges) {
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.low < b.low; });
  std::vector<Edge> joined;
  for (const Edge& edge : edges) {
    if (!joined.empty() && joined.back().to == edge.to && joined.back().high + 1 == edge.low) {
      joined.back().high = edge.high;
    } else {
      joined.push_back(edge);
    }
  }
  edges = std::move(joined);
}

// Builds the states of spell_json_string(): one for each of the character automaton's, and shared
// ones inside characters.
class StringSpeller {
 public:
  StringSpeller(const CharDfa& characters, CompileBudget& budget) : characters_(characters), budget_(budget) {}

  Result<ByteDfa> build() {
    const auto count = static_cast<uint32_t>(characters_.accepts.size());
    if (count == 0) return ByteDfa();
    edges_.resize(count + 2);  // the opening quote, the inside of the string by state, the end
    end_ = count + 1;
    edges_[0] = {{'"', '"', 1}};
    for (uint32_t state = 0; state < count; ++state) {
      std::vector<Edge> out = inside(characters_.edges[state]);
      if (characters_.accepts[state]) out.push_back({'"', '"', end_});
      sort_and_join(out);
      edges_[state + 1] = std::move(out);
      if (budget_.steps == 0 || edges_.size() > budget_.states) return over_budget();
    }
    if (!budget_.add_states(edges_.size())) return over_budget();
    std::vector<uint8_t> accepts(edges_.size(), 0);
    accepts[end_] = 1;
    return ByteDfa(std::move(edges_), accepts);
  }

 private:
  using CharEdges = std::vector<CharDfa::Edge>;

  static uint32_t target(const CharEdges& edges, char32_t c) {
    for (const auto& edge : edges) {
      if (edge.low <= c && c <= edge.high) return edge.to + 1;
    }
    return ByteDfa::kDead;
  }

  uint32_t shared(std::vector<Edge> edges) {
    sort_and_join(edges);
    if (edges.empty()) return ByteDfa::kDead;
    std::vector<uint32_t> key;
    for (const Edge& edge : edges) {
      key.push_back(static_cast<uint32_t>(edge.low) << 8 | edge.high);
      key.push_back(edge.to);
    }
    const auto [at, fresh] = ids_.try_emplace(std::move(key), static_cast<uint32_t>(edges_.size()));
    if (fresh) edges_.push_back(std::move(edges));
    return at->second;
  }

  // The state in which `rest` continuation bytes follow that complete characters from `base` on.
  uint32_t continuation(const CharEdges& all, char32_t base, int rest) {
    budget_.spend(1);
    if (rest == 0) return target(all, base);
    const char32_t last = base + (char32_t{1} << (6 * rest)) - 1;
    CharEdges edges;
    for (const auto& edge : all) {
      if (edge.low <= last && edge.high >= base) edges.push_back(edge);
    }
    if (edges.empty()) return ByteDfa::kDead;
    std::vector<Edge> out;
    const char32_t step = char32_t{1} << (6 * (rest - 1));
    const bool whole = edges.size() == 1 && edges[0].low <= base && edges[0].high >= last;
    if (whole) {
      out.push_back({0x80, 0xBF, continuation(edges, base, rest - 1)});
    } else {
      for (uint32_t i = 0; i < 64; ++i) {
        const uint32_t to = continuation(edges, base + i * step, rest - 1);
        if (to != ByteDfa::kDead) out.push_back({static_cast<uint8_t>(0x80 + i), static_cast<uint8_t>(0x80 + i), to});
      }
    }
    return shared(std::move(out));
  }

  std::vector<Edge> inside(const CharEdges& edges) {
    std::vector<Edge> out;
    const auto add = [&out](uint32_t low, uint32_t high, uint32_t to) {
      if (to != ByteDfa::kDead) out.push_back({static_cast<uint8_t>(low), static_cast<uint8_t>(high), to});
    };
    for (const auto& edge : edges) {
      budget_.spend(4);
      for (const auto& [low, high] : {std::pair<char32_t, char32_t>{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x7F}}) {
        if (std::max(low, edge.low) <= std::min(high, edge.high)) {
          add(std::max(low, edge.low), std::min(high, edge.high), edge.to + 1);
        }
      }
    }
    // Lead bytes; below U+0080 and U+0800 their first continuations would be overlong.
    const bool beyond_ascii = !edges.empty() && edges.back().high >= 0x80;
    if (beyond_ascii) {
      for (uint32_t lead = 0xC2; lead <= 0xDF; ++lead) add(lead, lead, continuation(edges, (lead & 0x1F) << 6, 1));
      CharEdges longer = from(edges, 0x800);
      for (uint32_t lead = 0xE0; lead <= 0xEF; ++lead) add(lead, lead, continuation(longer, (lead & 0x0F) << 12, 2));
      longer = from(edges, 0x10000);
      for (uint32_t lead = 0xF0; lead <= 0xF4; ++lead) add(lead, lead, continuation(longer, (lead & 0x07) << 18, 3));
    }
    add('\\', '\\', escapes(edges));
    return out;
  }

  static CharEdges from(const CharEdges& edges, char32_t low) {
    CharEdges out;
    for (auto edge : edges) {
      edge.low = std::max(edge.low, low);
      if (edge.low <= edge.high) out.push_back(edge);
    }
    return out;
  }

  uint32_t escapes(const CharEdges& edges) {
    std::vector<Edge> out, high[2];
    const auto add = [](std::vector<Edge>& list, char byte, uint32_t to) {
      if (to != ByteDfa::kDead) list.push_back({static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), to});
    };
    constexpr std::string_view kShort = "\b\f\n\r\t\"\\", kLetters = "bfnrt\"\\";
    for (size_t i = 0; i < kShort.size(); ++i) add(out, kLetters[i], target(edges, static_cast<char32_t>(kShort[i])));
    for (char32_t c = 0; c < 0x20; ++c) {
      if (kShort.find(static_cast<char>(c)) != std::string_view::npos) continue;
      add(high[c >> 4], "0123456789abcdef"[c & 15], target(edges, c));
    }
    std::vector<Edge> third;
    add(third, '0', shared(std::move(high[0])));
    add(third, '1', shared(std::move(high[1])));
    uint32_t zeros = shared(std::move(third));
    for (int i = 0; i < 2 && zeros != ByteDfa::kDead; ++i) zeros = shared({{'0', '0', zeros}});
    add(out, 'u', zeros);
    return shared(std::move(out));
  }

  const CharDfa& characters_;
  CompileBudget& budget_;
  Edges edges_;
  uint32_t end_ = 0;
  std::map<std::vector<uint32_t>, uint32_t> ids_;
};

}  // namespace

ByteDfa::ByteDfa(std::vector<std::vector<Edge>> edges, const std::vector<uint8_t>& accepts) {
  const std::vector<uint8_t> alive = states_that_can_accept(edges, accepts);
  if (alive.empty() || !alive[kStart]) return;
  std::vector<uint32_t> number(accepts.size());
  uint32_t count = 0;
  for (uint32_t state = 0; state < accepts.size(); ++state) number[state] = alive[state] ? count++ : kDead;
  for (uint32_t state = 0; state < accepts.size(); ++state) {
    if (!alive[state]) continue;
    for (Edge& edge : edges[state]) edge.to = number[edge.to];
    std::erase_if(edges[state], [](const Edge& edge) { return edge.to == kDead; });
    sort_and_join(edges[state]);
    edges_.insert(edges_.end(), edges[state].begin(), edges[state].end());
    first_.push_back(static_cast<uint32_t>(edges_.size()));
    accepts_.push_back(accepts[state]);
  }
}

Result<ByteDfa> spell_texts(std::span<const std::string> texts, CompileBudget& budget) {
  // Sorted, texts that begin alike are neighbours: the tree is built along its right edge.
  std::vector<std::string_view> sorted(texts.begin(), texts.end());
  std::sort(sorted.begin(), sorted.end());
  Edges edges(1);
  std::vector<uint8_t> accepts(1, 0);
  std::vector<uint32_t> path = {0};
  std::string_view last;
  for (const std::string_view text : sorted) {
    const auto common = static_cast<size_t>(
        std::mismatch(last.begin(), last.begin() + std::min(last.size(), text.size()), text.begin()).first -
        last.begin());
    path.resize(common + 1);
    if (!budget.spend(text.size()) || !budget.add_states(text.size() - common)) return over_budget();
    for (size_t i = common; i < text.size(); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      const auto to = static_cast<uint32_t>(edges.size());
      edges[path.back()].push_back({byte, byte, to});
      edges.emplace_back();
      accepts.push_back(0);
      path.push_back(to);
    }
    accepts[path.back()] = 1;
    last = text;
  }
  return ByteDfa(std::move(edges), accepts);
}

Result<ByteDfa> spell_json_string(const CharDfa& characters, CompileBudget& budget) {
  return StringSpeller(characters, budget).build();
}

void append_spelled(std::string& out, std::string_view text) {
  constexpr std::string_view kShort = "\b\f\n\r\t\"\\", kLetters = "bfnrt\"\\";
  for (const char c : text) {
    if (const size_t at = kShort.find(c); at != std::string_view::npos) {
      out.push_back('\\');
      out.push_back(kLetters[at]);
    } else if (static_cast<uint8_t>(c) < 0x20) {
      out += "\\u00";
      out.push_back(c < 0x10 ? '0' : '1');
      out.push_back("0123456789abcdef"[c & 15]);
    } else {
      out.push_back(c);
    }
  }
}

const ByteDfa& any_json_string() {
  static const ByteDfa dfa = [] {
    enum : uint32_t {
      kBefore,
      kInside = kTextInside,
      kEnd = kTextEnd,
      kOne,
      kTwo,
      kTwoE0,
      kTwoED,
      kThree,
      kThreeF0,
      kThreeF4,  // continuation bytes to come
      kEscape,
      kHex4,
      kHex3AfterD,
      kHex3,
      kHex2,
      kHex1,  // \uXXXX
      kHigh2,
      kHigh1,
      kLowSlash,
      kLowU,
      kLowD,
      kLow3,
      kLow2,
      kLow1,
      kStates,  // \uD8XX\uDCXX
    };
    Edges edges(kStates);
    edges[kBefore] = {{'"', '"', kInside}};
    edges[kInside] = {{' ', 0x21, kInside},  {'"', '"', kEnd},   {0x23, 0x5B, kInside},  {'\\', '\\', kEscape},
                      {0x5D, 0x7F, kInside}, {0xC2, 0xDF, kOne}, {0xE0, 0xE0, kTwoE0},   {0xE1, 0xEC, kTwo},
                      {0xED, 0xED, kTwoED},  {0xEE, 0xEF, kTwo}, {0xF0, 0xF0, kThreeF0}, {0xF1, 0xF3, kThree},
                      {0xF4, 0xF4, kThreeF4}};
    edges[kOne] = {{0x80, 0xBF, kInside}};
    edges[kTwo] = {{0x80, 0xBF, kOne}};
    edges[kTwoE0] = {{0xA0, 0xBF, kOne}};
    edges[kTwoED] = {{0x80, 0x9F, kOne}};
    edges[kThree] = {{0x80, 0xBF, kTwo}};
    edges[kThreeF0] = {{0x90, 0xBF, kTwo}};
    edges[kThreeF4] = {{0x80, 0x8F, kTwo}};
    for (const char c : std::string_view("\"\\/bfnrt")) {
      edges[kEscape].push_back({static_cast<uint8_t>(c), static_cast<uint8_t>(c), kInside});
    }
    edges[kEscape].push_back({'u', 'u', kHex4});
    const auto hex = [&](uint32_t from, uint32_t to) {
      edges[from] = {{'0', '9', to}, {'A', 'F', to}, {'a', 'f', to}};
    };
    edges[kHex4] = {{'0', '9', kHex3}, {'A', 'C', kHex3},       {'D', 'D', kHex3AfterD}, {'E', 'F', kHex3},
                    {'a', 'c', kHex3}, {'d', 'd', kHex3AfterD}, {'e', 'f', kHex3}};
    edges[kHex3AfterD] = {{'0', '7', kHex2}, {'8', '9', kHigh2}, {'A', 'B', kHigh2}, {'a', 'b', kHigh2}};
    hex(kHex3, kHex2);
    hex(kHex2, kHex1);
    hex(kHex1, kInside);
    hex(kHigh2, kHigh1);
    hex(kHigh1, kLowSlash);
    edges[kLowSlash] = {{'\\', '\\', kLowU}};
    edges[kLowU] = {{'u', 'u', kLowD}};
    edges[kLowD] = {{'D', 'D', kLow3}, {'d', 'd', kLow3}};
    edges[kLow3] = {{'C', 'F', kLow2}, {'c', 'f', kLow2}};
    hex(kLow2, kLow1);
    hex(kLow1, kInside);
    std::vector<uint8_t> accepts(kStates, 0);
    accepts[kEnd] = 1;
    return ByteDfa(std::move(edges), accepts);
  }();
  return dfa;
}

std::optional<bool> disjoint(const ByteDfa& a, const ByteDfa& b, uint64_t steps) {
  if (a.empty() || b.empty()) return true;
  using Pair = std::pair<uint32_t, uint32_t>;
  std::set<Pair> seen = {{ByteDfa::kStart, ByteDfa::kStart}};
  std::vector<Pair> work(seen.begin(), seen.end());
  while (!work.empty()) {
    const Pair at = work.back();
    work.pop_back();
    if (a.accepts(at.first) && b.accepts(at.second)) return false;
    for (const Edge& x : a.edges(at.first)) {
      for (const Edge& y : b.edges(at.second)) {
        if (steps-- == 0) return std::nullopt;
        if (x.low > y.high || y.low > x.high) continue;
        if (seen.insert({x.to, y.to}).second) work.emplace_back(x.to, y.to);
      }
    }
  }
  return true;
}

}  // namespace vitrine
