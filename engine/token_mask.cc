#include "engine/token_mask.h"

#include <algorithm>

namespace vitrine {
namespace {

void append(std::string& key, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) key.push_back(static_cast<char>(value >> shift));
}

// How far `count` is from `bound`, as far as a token can tell.
uint32_t distance(uint32_t count, uint32_t bound, uint32_t reach) {
  return bound <= count ? 0 : std::min(bound - count, reach + 1);
}

}  // namespace

TokenMasks::TokenMasks(const Tokenizer& tokenizer, size_t cache_bytes)
    : tokenizer_(tokenizer), vocabulary_(tokenizer), cache_bytes_(cache_bytes) {}

std::string TokenMasks::key_of(const GrammarMatcher& matcher) const {
  const Grammar& grammar = matcher.grammar();
  const GrammarProgram& program = grammar.program();
  std::string key(reinterpret_cast<const char*>(grammar.id().data()), grammar.id().size());
  const uint32_t reach = vocabulary_.longest;
  const uint32_t room = program.document_depth - matcher.top()->depth;
  append(key, std::min(room, program.tallest + vocabulary_.most_opened));
  // A token closes at most so many levels, beside a string or number it ends, and looks at the one below.
  uint32_t levels = vocabulary_.most_closed + 2;
  for (const GrammarLevel* level = matcher.top(); level != nullptr && levels > 0; level = level->below, --levels) {
    append(key, static_cast<uint32_t>(level->kind) << 24 | level->count);
    for (const GrammarItem& item : level->all()) {
      append(key, item.leaf);
      append(key, item.state);
      uint32_t a = item.a, b = item.b;
      if (item.leaf != kNone) {
        const Leaf& leaf = program.leaves[item.leaf];
        if (leaf.kind == Leaf::Kind::text) {
          const TextRule& text = program.texts[leaf.index];
          a = distance(item.a, text.minimum, reach);
          b = text.maximum == kUnbounded ? kNone : distance(item.a, text.maximum, reach);
        } else if (leaf.kind == Leaf::Kind::array) {
          const ArrayRule& array = program.arrays[leaf.index];
          if (item.a >= array.prefix.size()) {
            a = kNone - distance(item.a, array.minimum, reach);
            b = array.maximum == kUnbounded ? kNone : distance(item.a, array.maximum, reach);
          }
        }
      }
      append(key, a);
      append(key, b);
    }
  }
  return key;
}

// Marks the tokens of `trie` that can follow `top`; false when that is too much work.
bool TokenMasks::walk(const TokenTrie& trie, const GrammarLevel* top, GrammarStepper& stepper, TokenMask& mask) {
  const bool lexeme = top->kind == GrammarLevel::Kind::scalar && top->count == 1 &&
                      stepper.program().leaves[top->items[0].leaf].kind == Leaf::Kind::lexeme;
  if (lexeme) return walk_lexeme(trie, top, stepper, mask);
  return walk_below(trie, 0, static_cast<uint32_t>(trie.nodes().size()), 0, top, stepper, mask);
}

// Nodes first … last, whose parent at `depth` leads to `top`.
bool TokenMasks::walk_below(const TokenTrie& trie, uint32_t first, uint32_t last, uint32_t depth,
                            const GrammarLevel* top, GrammarStepper& stepper, TokenMask& mask) {
  const auto reserve = [this](size_t size) {
    if (levels_.size() < size) {
      levels_.resize(size);
      marks_.resize(size);
    }
  };
  reserve(depth + 1);
  levels_[depth] = top;
  marks_[depth] = arena_.mark();
  const auto nodes = trie.nodes();
  const auto ids = trie.ids();
  for (uint32_t at = first; at < last;) {
    const TokenTrie::Node& node = nodes[at];
    arena_.rewind(marks_[node.depth - 1]);
    const GrammarLevel* level = stepper.step(levels_[node.depth - 1], node.byte, arena_);
    if (level == nullptr) {
      at = node.skip;
      continue;
    }
    reserve(node.depth + 1);
    levels_[node.depth] = level;
    marks_[node.depth] = arena_.mark();
    for (uint32_t i = node.first; i < node.last; ++i) allow(mask, ids[i]);
    if (stepper.work > kMaxWork) return false;
    ++at;
  }
  return true;
}

// The same for a string with one automaton, where patterns let nearly everything follow: no levels are
// made until it ends.
bool TokenMasks::walk_lexeme(const TokenTrie& trie, const GrammarLevel* top, GrammarStepper& stepper, TokenMask& mask) {
  const GrammarItem& item = top->items[0];
  const ByteDfa& dfa = stepper.program().lexemes[stepper.program().leaves[item.leaf].index];
  const auto nodes = trie.nodes();
  const auto ids = trie.ids();
  states_.assign(1, item.state);
  for (uint32_t at = 0; at < nodes.size();) {
    const TokenTrie::Node& node = nodes[at];
    ++stepper.work;
    const uint32_t state = dfa.step(states_[node.depth - 1], node.byte);
    if (state == ByteDfa::kDead) {
      at = node.skip;
      continue;
    }
    if (dfa.accepts(state)) {
      GrammarItem before = item;
      before.state = states_[node.depth - 1];
      GrammarLevel level = *top;
      level.items = &before;
      const LevelArena::Mark mark = arena_.mark();
      const GrammarLevel* ended = stepper.step(&level, node.byte, arena_);
      if (ended != nullptr) {
        for (uint32_t i = node.first; i < node.last; ++i) allow(mask, ids[i]);
        if (!walk_below(trie, at + 1, node.skip, node.depth, ended, stepper, mask)) return false;
      }
      arena_.rewind(mark);
      at = node.skip;
      continue;
    }
    if (states_.size() <= node.depth) states_.resize(node.depth + 1);
    states_[node.depth] = state;
    for (uint32_t i = node.first; i < node.last; ++i) allow(mask, ids[i]);
    ++at;
  }
  return stepper.work <= kMaxWork;
}

Status TokenMasks::fill(GrammarMatcher& matcher, TokenMask& mask) {
  GrammarStepper& stepper = matcher.stepper();
  const GrammarProgram& program = stepper.program();
  const GrammarLevel* top = matcher.top();
  stepper.work = 0;
  arena_.rewind({});
  mask.assign(vocabulary_.plain.size(), 0);

  // Strings between characters: what has no quote or escape follows if its length does.
  std::vector<GrammarItem> others;
  uint32_t room = 0;  // characters
  bool inside = false;
  for (const GrammarItem& item : top->all()) {
    const Leaf* leaf = item.leaf == kNone ? nullptr : &program.leaves[item.leaf];
    if (top->kind == GrammarLevel::Kind::scalar && leaf->kind == Leaf::Kind::text && item.state == kTextInside) {
      const uint32_t maximum = program.texts[leaf->index].maximum;
      room = std::max(room, maximum == kUnbounded ? kUnbounded : maximum - item.a);
      inside = true;
    } else if (in_other_name(*top, item)) {
      room = kUnbounded;
      inside = true;
    } else {
      others.push_back(item);
    }
  }
  bool within = true;
  if (inside) {
    if (room >= vocabulary_.longest) {
      mask = vocabulary_.plain;
    } else {
      for (size_t id = 0; id < vocabulary_.plain_length.size(); ++id) {
        const uint32_t length = vocabulary_.plain_length[id];
        if (length != 0 && length <= room) allow(mask, static_cast<TokenId>(id));
      }
    }
    within = walk(vocabulary_.quoted, top, stepper, mask);
    if (within && !others.empty()) {
      // Tokens without quotes end no string, so that alternatives can be tried apart.
      GrammarLevel rest = *top;
      rest.items = others.data();
      rest.count = static_cast<uint32_t>(others.size());
      within = walk(vocabulary_.all, &rest, stepper, mask);
    }
  } else {
    within = walk(vocabulary_.all, top, stepper, mask);
  }
  if (!within) {
    return fail(ErrorCode::limit, "the schema leaves too many alternatives open at once to constrain an answer by it");
  }
  if (top->kind == GrammarLevel::Kind::root) {
    for (const TokenId id : vocabulary_.controls) {
      const GrammarLevel* level = top;
      for (const char byte : tokenizer_.bytes(id)) {
        level = stepper.step(level, static_cast<uint8_t>(byte), arena_);
        if (level == nullptr || level->kind != GrammarLevel::Kind::root) break;
      }
      if (level != nullptr && level->kind == GrammarLevel::Kind::root) allow(mask, id);
    }
  }
  if (matcher.may_end()) {
    for (const TokenId id : vocabulary_.ends) allow(mask, id);
  }
  return {};
}

Result<std::span<const uint64_t>> TokenMasks::allowed(GrammarMatcher& matcher) {
  std::string key = key_of(matcher);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    ++hits_;
    entries_.splice(entries_.begin(), entries_, found->second);
    return std::span<const uint64_t>(entries_.front().mask);
  }
  ++misses_;
  TokenMask mask;
  if (Status status = fill(matcher, mask); !status) return tl::make_unexpected(status.error());
  if (std::all_of(mask.begin(), mask.end(), [](uint64_t word) { return word == 0; })) {
    return fail(ErrorCode::unsupported, "the model's vocabulary has no token for what the answer must go on with");
  }
  const auto bytes_of = [](const std::string& own_key, const TokenMask& own) {
    return own_key.size() + own.size() * sizeof(uint64_t) + 256;  // with what lists and tables add
  };
  used_bytes_ += bytes_of(key, mask);
  while (used_bytes_ > cache_bytes_ && !entries_.empty()) {
    used_bytes_ -= bytes_of(entries_.back().key, entries_.back().mask);
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  entries_.push_front({std::move(key), std::move(mask)});
  by_key_.emplace(entries_.front().key, entries_.begin());
  return std::span<const uint64_t>(entries_.front().mask);
}

}  // namespace vitrine
