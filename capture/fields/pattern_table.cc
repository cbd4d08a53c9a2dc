#include "capture/fields/pattern_table.h"

#include <algorithm>
#include <cstring>

namespace vitrine {
namespace {

constexpr size_t kChunk = 64 * 1024;

uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

uint64_t hash_key(std::string_view text, uint64_t seed) {
  constexpr uint64_t kA = 0x9e3779b97f4a7c15ull, kB = 0xd6e8feb86659fd93ull;
  uint64_t state = mix(seed ^ kA, kB ^ text.size());
  size_t i = 0;
  for (; text.size() - i >= 8; i += 8) {
    uint64_t block;
    std::memcpy(&block, text.data() + i, 8);
    state = mix(state ^ block, kB);
  }
  if (i < text.size()) {
    uint64_t block = 0;
    std::memcpy(&block, text.data() + i, text.size() - i);
    state = mix(state ^ block, kA);
  }
  return mix(state, kA) | 1;
}

PatternTable::PatternTable(uint32_t limit) : limit_(std::min<uint32_t>(limit, 1u << 28)), nodes_(1), slots_(1024) {}

std::string_view PatternTable::keep(std::string_view text) {
  if (text.empty()) return {};
  if (chunks_.empty() || kChunk - chunk_used_ < text.size()) {
    chunks_.push_back(std::make_unique<char[]>(kChunk));
    chunk_used_ = 0;
  }
  char* place = chunks_.back().get() + chunk_used_;
  std::memcpy(place, text.data(), text.size());
  chunk_used_ += text.size();
  return {place, text.size()};
}

void PatternTable::grow() {
  std::vector<PatternId> slots(slots_.size() * 2);
  const size_t mask = slots.size() - 1;
  for (PatternId id = 1; id < nodes_.size(); ++id) {
    size_t at = nodes_[id].hash & mask;
    while (slots[at] != 0) at = (at + 1) & mask;
    slots[at] = id;
  }
  slots_ = std::move(slots);
}

PatternId PatternTable::intern(PatternId parent, Step step, std::string_view text) {
  if (step == Step::index || step == Step::any_name) text = {};
  if ((parent == kRoot && step != Step::location) || text.size() > kMaxStep) {
    ++refused_;
    return 0;
  }
  const uint64_t hash = hash_key(text, static_cast<uint64_t>(parent) << 8 | static_cast<uint64_t>(step));
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at] != 0; at = (at + 1) & mask) {
    const Node& node = nodes_[slots_[at]];
    if (node.hash == hash && node.parent == parent && node.step == step && node.text == text) return slots_[at];
  }
  if (nodes_.size() > limit_) {
    ++refused_;
    return 0;
  }
  const auto id = static_cast<PatternId>(nodes_.size());
  nodes_.push_back({parent, step, hash, keep(text), 0, 0, 0});
  slots_[at] = id;
  if (nodes_.size() * 2 > slots_.size()) grow();
  return id;
}

PatternTable::Member PatternTable::member(PatternId object, PatternId before, std::string_view key) {
  if (object == 0) return {0, hash_key(key, 0)};
  const PatternId expected = before != 0 ? nodes_[before].follower : nodes_[object].first;
  if (expected != 0) {
    const Node& node = nodes_[expected];
    if (node.parent == object && node.text == key) return {expected, node.key_hash};
  }
  const uint64_t hash = hash_key(key, 0);
  const PatternId id = intern(object, Step::key, key);
  if (id == 0) return {0, hash};
  nodes_[id].key_hash = hash;
  (before != 0 ? nodes_[before].follower : nodes_[object].first) = id;
  return {id, hash};
}

std::string PatternTable::text(PatternId id) const {
  std::vector<PatternId> chain;
  for (; id != 0 && id < nodes_.size(); id = nodes_[id].parent) chain.push_back(id);
  std::string out;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    const Node& node = nodes_[*it];
    switch (node.step) {
      case Step::location: out.append(node.text); break;
      case Step::name:
        out.push_back(':');
        append_path_segment(out, node.text);
        break;
      case Step::decoder:
        out.push_back('|');
        out.append(node.text);
        break;
      case Step::key:
        out.push_back('/');
        append_path_segment(out, node.text);
        break;
      case Step::index: out.append("/*"); break;
      case Step::any_name: out.append(":*"); break;
    }
  }
  return out;
}

void append_path_segment(std::string& out, std::string_view text) {
  const bool cut = text.size() > kMaxSegment;
  if (cut) {
    text = text.substr(0, kMaxSegment);
    while (!text.empty() && (static_cast<uint8_t>(text.back()) & 0xc0) == 0x80) text.remove_suffix(1);
    if (!text.empty() && static_cast<uint8_t>(text.back()) >= 0xc0) text.remove_suffix(1);
  }
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '~' && c != '/' && c != '|') continue;
    out.append(text.data() + start, i - start);
    out.push_back('~');
    out.push_back(c == '~' ? '0' : c == '/' ? '1' : '2');
    start = i + 1;
  }
  out.append(text.data() + start, text.size() - start);
  if (cut) out.append("\xe2\x80\xa6");
}

}  // namespace vitrine
