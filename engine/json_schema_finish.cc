// From values as they were read to a program without dead ends.
#include <algorithm>
#include <map>

#include "engine/json_schema.h"

namespace vitrine {
namespace {

constexpr int kExclusionDepth = 4;             // objects within objects that tell alternatives apart
constexpr uint64_t kExclusionSteps = 100'000;  // per pair of automata

bool numeric(const Leaf& leaf) { return leaf.kind == Leaf::Kind::number; }

}  // namespace

// Alternatives of values that include others.
Status SchemaCompiler::flatten() {
  const size_t count = program_.values.size();
  std::vector<std::vector<LeafId>> all(count);
  std::vector<uint32_t> seen(count, kNone);
  uint64_t total = 0;
  for (ValueId value = 0; value < count; ++value) {
    std::vector<ValueId> work = {value};
    seen[value] = value;
    std::vector<LeafId>& leaves = all[value];
    while (!work.empty()) {
      const ValueId at = work.back();
      work.pop_back();
      const auto& own = program_.values[at].leaves;
      leaves.insert(leaves.end(), own.begin(), own.end());
      if (!budget_.spend(1 + own.size() + includes_[at].size())) return over_budget();
      for (const ValueId more : includes_[at]) {
        if (seen[more] == value) continue;
        seen[more] = value;
        work.push_back(more);
      }
    }
    std::sort(leaves.begin(), leaves.end());
    leaves.erase(std::unique(leaves.begin(), leaves.end()), leaves.end());
    total += leaves.size();
    if (total > uint64_t{32} * options_.nodes) {
      return fail(ErrorCode::limit, "the schema has too many alternatives");
    }
  }
  for (ValueId value = 0; value < count; ++value) program_.values[value].leaves = std::move(all[value]);
  return {};
}

// Heights grow from what needs no nesting; what gets none within the bound is never written.
void SchemaCompiler::measure() {
  const uint32_t most = program_.document_depth;
  for (Leaf& leaf : program_.leaves) leaf.height = leaf.kind <= Leaf::Kind::number ? 0 : kNone;
  const auto height_of = [this](ValueId value) { return value == kNone ? kNone : program_.values[value].height; };
  for (uint32_t round = 0; round <= most; ++round) {
    for (Value& value : program_.values) {
      value.height = kNone;
      for (const LeafId leaf : value.leaves) value.height = std::min(value.height, program_.leaves[leaf].height);
    }
    bool changed = false;
    for (Leaf& leaf : program_.leaves) {
      if (leaf.height != kNone || leaf.kind <= Leaf::Kind::number) continue;
      uint32_t below = 0;
      if (leaf.kind == Leaf::Kind::array) {
        const ArrayRule& array = program_.arrays[leaf.index];
        if (array.minimum > array.maximum) continue;
        for (uint32_t i = 0; i < std::min<size_t>(array.minimum, array.prefix.size()); ++i) {
          below = std::max(below, height_of(array.prefix[i]));
        }
        if (array.minimum > array.prefix.size()) below = std::max(below, height_of(array.items));
      } else {
        for (const auto& property : program_.objects[leaf.index].properties) {
          if (property.required) below = std::max(below, height_of(property.value));
        }
      }
      if (below >= most) continue;  // kNone, too
      leaf.height = below + 1;
      changed = true;
    }
    if (!changed) break;
  }
  program_.tallest = 0;
  for (Value& value : program_.values) {
    value.height = kNone;
    for (const LeafId leaf : value.leaves) value.height = std::min(value.height, program_.leaves[leaf].height);
    if (value.height != kNone) program_.tallest = std::max(program_.tallest, value.height);
  }
}

// Leaves out what has no text.
void SchemaCompiler::prune() {
  for (Value& value : program_.values) {
    std::erase_if(value.leaves, [this](LeafId leaf) { return program_.leaves[leaf].height == kNone; });
  }
  const auto never = [this](ValueId value) { return value == kNone || program_.values[value].height == kNone; };
  for (ArrayRule& array : program_.arrays) {
    for (uint32_t i = 0; i < array.prefix.size() && i < array.maximum; ++i) {
      if (never(array.prefix[i])) array.maximum = i;
    }
    if (array.maximum > array.prefix.size() && never(array.items)) {
      array.maximum = static_cast<uint32_t>(array.prefix.size());
    }
  }
  for (ObjectRule& object : program_.objects) {
    std::erase_if(object.properties, [&](ObjectRule::Property& property) {
      if (!never(property.value)) return false;
      object.forbidden.push_back(std::move(property.name));
      return true;
    });
    if (never(object.additional)) object.additional = kNone;
  }
}

Status SchemaCompiler::build_names(ObjectRule& object) {
  const auto count = static_cast<uint32_t>(object.properties.size());
  object.required_at.assign(count + 1, count);
  for (uint32_t i = count; i-- > 0;) {
    object.required_at[i] = object.properties[i].required ? i : object.required_at[i + 1];
  }
  struct Name {
    std::string spelled;
    uint32_t property;
  };
  std::vector<Name> sorted;
  for (uint32_t i = 0; i < count; ++i) {
    sorted.push_back({{}, i});
    append_spelled(sorted.back().spelled, object.properties[i].name);
  }
  for (const std::string& name : object.forbidden) {
    sorted.push_back({{}, kNone});
    append_spelled(sorted.back().spelled, name);
  }
  std::sort(sorted.begin(), sorted.end(), [](const Name& a, const Name& b) { return a.spelled < b.spelled; });

  // Nodes level by level: [first, last) of `sorted` begin alike in `depth` bytes.
  struct Range {
    uint32_t node, first, last, depth;
  };
  NameTrie& trie = object.names;
  trie.nodes.assign(1, {});
  trie.nodes[0].inside = kNameInside;
  std::vector<Range> work = {{0, 0, static_cast<uint32_t>(sorted.size()), 0}};
  for (size_t at = 0; at < work.size(); ++at) {
    const Range range = work[at];
    if (!budget_.spend(range.last - range.first + 1) || !budget_.add_states(1)) return over_budget();
    std::vector<uint32_t> below;
    uint32_t first = range.first;
    for (uint32_t i = range.first; i < range.last; ++i) {
      if (sorted[i].property != kNone) below.push_back(sorted[i].property);
      if (sorted[i].spelled.size() > range.depth) continue;
      trie.nodes[range.node].name = sorted[i].property;
      trie.nodes[range.node].closed = sorted[i].property == kNone;
      first = i + 1;
    }
    std::sort(below.begin(), below.end());
    trie.nodes[range.node].first_name = static_cast<uint32_t>(trie.below.size());
    trie.nodes[range.node].names = static_cast<uint32_t>(below.size());
    trie.below.insert(trie.below.end(), below.begin(), below.end());
    trie.nodes[range.node].first_edge = static_cast<uint32_t>(trie.children.size());
    while (first < range.last) {
      const char byte = sorted[first].spelled[range.depth];
      uint32_t last = first + 1;
      while (last < range.last && sorted[last].spelled[range.depth] == byte) ++last;
      const auto node = static_cast<uint32_t>(trie.nodes.size());
      trie.children.push_back({static_cast<uint8_t>(byte), node});
      trie.nodes.emplace_back();
      trie.nodes[node].inside = any_name().step(trie.nodes[range.node].inside, static_cast<uint8_t>(byte));
      work.push_back({node, first, last, range.depth + 1});
      first = last;
    }
    trie.nodes[range.node].edges = static_cast<uint32_t>(trie.children.size()) - trie.nodes[range.node].first_edge;
  }
  return {};
}

// oneOf is anyOf where no value can be two of its alternatives at once.
Status SchemaCompiler::check_exclusions() {
  for (const Exclusion& exclusion : exclusions_) {
    const auto& branches = exclusion.branches;
    for (size_t i = 0; i < branches.size(); ++i) {
      for (size_t j = i + 1; j < branches.size(); ++j) {
        if (!budget_.spend(16)) return over_budget();
        if (exclusive(branches[i], branches[j], 0)) continue;
        return fail(ErrorCode::unsupported,
                    "oneOf is supported where its alternatives exclude each other (by type, or by a required property "
                    "with different const or enum): " +
                        std::to_string(i) + " and " + std::to_string(j) + " may not; anyOf asks for less",
                    exclusion.list->pointer());
      }
    }
  }
  return {};
}

bool SchemaCompiler::exclusive(ValueId a, ValueId b, int depth) {
  for (const LeafId x : program_.values[a].leaves) {
    for (const LeafId y : program_.values[b].leaves) {
      if (!budget_.spend(4)) return false;
      if (!exclusive(program_.leaves[x], program_.leaves[y], depth)) return false;
    }
  }
  return true;
}

bool SchemaCompiler::exclusive(const Leaf& a, const Leaf& b, int depth) {
  if (&a == &b) return false;
  using Kind = Leaf::Kind;
  if (a.kind == Kind::object && b.kind == Kind::object) {
    if (depth == kExclusionDepth) return false;
    const ObjectRule &x = program_.objects[a.index], &y = program_.objects[b.index];
    std::map<std::string_view, ValueId> required;
    for (const auto& property : x.properties) {
      if (property.required) required.emplace(property.name, property.value);
    }
    return std::any_of(y.properties.begin(), y.properties.end(), [&](const ObjectRule::Property& property) {
      const auto same = property.required ? required.find(property.name) : required.end();
      return same != required.end() && exclusive(same->second, property.value, depth + 1);
    });
  }
  if (a.kind == Kind::array && b.kind == Kind::array) {
    const ArrayRule &x = program_.arrays[a.index], &y = program_.arrays[b.index];
    return x.maximum < y.minimum || y.maximum < x.minimum;
  }
  if (numeric(a) && numeric(b)) {  // equal numbers may be spelled in two ways
    const auto x = listed_.find(a.index), y = listed_.find(b.index);
    if (x == listed_.end() || y == listed_.end()) return false;
    return budget_.spend(x->second.size() * y->second.size()) &&
           std::none_of(x->second.begin(), x->second.end(), [&](const Decimal& number) {
             return std::find(y->second.begin(), y->second.end(), number) != y->second.end();
           });
  }
  const bool text_a = a.kind == Kind::text, text_b = b.kind == Kind::text;
  const bool automaton_a = a.kind == Kind::lexeme || numeric(a), automaton_b = b.kind == Kind::lexeme || numeric(b);
  if (text_a && text_b) {
    const TextRule &x = program_.texts[a.index], &y = program_.texts[b.index];
    return x.maximum < y.minimum || y.maximum < x.minimum;
  }
  if ((text_a && automaton_b) || (automaton_a && text_b)) {
    // Both begin with a quote, or the automaton has words only.
    return program_.lexemes[text_a ? b.index : a.index].step(ByteDfa::kStart, '"') == ByteDfa::kDead;
  }
  if (automaton_a && automaton_b) {
    return disjoint(program_.lexemes[a.index], program_.lexemes[b.index], kExclusionSteps).value_or(false);
  }
  return true;
}

Result<GrammarProgram> SchemaCompiler::finish(std::span<const ValueId> roots) {
  if (Status status = flatten(); !status) return tl::make_unexpected(status.error());
  measure();
  prune();
  for (const ValueId root : roots) {
    if (program_.values[root].height == kNone) {
      return fail(ErrorCode::usage, "no text can be valid by this schema (with at most " +
                                        std::to_string(program_.document_depth) +
                                        " arrays and objects within each other)");
    }
  }
  if (Status status = check_exclusions(); !status) return tl::make_unexpected(status.error());
  for (ObjectRule& object : program_.objects) {
    if (Status status = build_names(object); !status) return tl::make_unexpected(status.error());
  }
  return std::move(program_);
}

}  // namespace vitrine
