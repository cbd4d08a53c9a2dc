#include "engine/byte_pair.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace vitrine {
namespace {

// A mixer with full avalanche (splitmix64's finalizer), so that dense ids spread.
uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ull;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

// Tables are keyed by what a file says, so a file must not be able to choose
// where its keys fall: the seed differs from process to process. No result
// depends on it.
uint64_t seed() {
  static const uint64_t value = mix(std::random_device{}() + (uint64_t{std::random_device{}()} << 32));
  return value;
}

uint64_t hash_text(std::string_view text) {
  uint64_t state = seed() ^ text.size();
  while (text.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, text.data(), 8);
    state = mix(state ^ word) + seed();
    text.remove_prefix(8);
  }
  uint64_t word = 0;
  std::memcpy(&word, text.data(), text.size());
  return mix(state ^ word);
}

size_t capacity_for(size_t expected) { return std::bit_ceil(std::max<size_t>(16, expected * 2)); }

}  // namespace

MergeTable::MergeTable(size_t expected) { grow(capacity_for(expected)); }

size_t MergeTable::slot_of(uint64_t wanted) const {
  const size_t mask = slots_.size() - 1;
  size_t at = mix(wanted ^ seed()) & mask;
  while (slots_[at].key != kEmpty && slots_[at].key != wanted) at = (at + 1) & mask;
  return at;
}

void MergeTable::grow(size_t capacity) {
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.key != kEmpty) slots_[slot_of(slot.key)] = slot;
  }
}

void MergeTable::insert(TokenId left, TokenId right, Merge merge) {
  if ((size_ + 1) * 3 > slots_.size() * 2) grow(slots_.size() * 2);
  Slot& slot = slots_[slot_of(key(left, right))];
  if (slot.key == kEmpty) ++size_;
  slot = {key(left, right), merge};
}

const MergeTable::Merge* MergeTable::find(TokenId left, TokenId right) const {
  const Slot& slot = slots_[slot_of(key(left, right))];
  return slot.key == kEmpty ? nullptr : &slot.merge;
}

TokenIndex::TokenIndex(size_t expected) : slots_(capacity_for(expected), -1) {}

void TokenIndex::grow(const std::vector<std::string>& texts, size_t capacity) {
  std::vector<TokenId> old(capacity, -1);
  old.swap(slots_);
  size_ = 0;
  for (const TokenId id : old) {
    if (id >= 0) insert(texts, id);
  }
}

bool TokenIndex::insert(const std::vector<std::string>& texts, TokenId id) {
  if ((size_ + 1) * 3 > slots_.size() * 2) grow(texts, capacity_for(slots_.size()));
  const std::string& text = texts[static_cast<size_t>(id)];
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash_text(text) & mask;; at = (at + 1) & mask) {
    if (slots_[at] < 0) {
      slots_[at] = id;
      ++size_;
      return true;
    }
    if (texts[static_cast<size_t>(slots_[at])] == text) return false;
  }
}

std::optional<TokenId> TokenIndex::find(const std::vector<std::string>& texts, std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash_text(text) & mask;; at = (at + 1) & mask) {
    if (slots_[at] < 0) return std::nullopt;
    if (texts[static_cast<size_t>(slots_[at])] == text) return slots_[at];
  }
}

namespace {
// A heap with the lowest rank on top, the leftmost of equals first.
constexpr auto kLater = [](const auto& a, const auto& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
};
}  // namespace

void PairMerger::propose(const MergeTable& table, uint32_t left) {
  const uint32_t right = chain_[left].next;
  if (right == kNone) return;
  const MergeTable::Merge* merge = table.find(chain_[left].id, chain_[right].id);
  if (merge == nullptr) return;
  heap_.push_back({merge->rank, left, merge->joined});
  std::push_heap(heap_.begin(), heap_.end(), kLater);
}

void PairMerger::merge(const MergeTable& table, std::vector<TokenId>& symbols) {
  if (symbols.size() < 2) return;
  const auto count = static_cast<uint32_t>(symbols.size());
  chain_.resize(count);
  heap_.clear();
  for (uint32_t i = 0; i < count; ++i) {
    chain_[i] = {symbols[i], i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1};
  }
  for (uint32_t i = 0; i + 1 < count; ++i) {
    if (const auto* found = table.find(symbols[i], symbols[i + 1])) heap_.push_back({found->rank, i, found->joined});
  }
  std::make_heap(heap_.begin(), heap_.end(), kLater);

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), kLater);
    const Candidate best = heap_.back();
    heap_.pop_back();
    Symbol& left = chain_[best.position];
    if (left.id < 0 || left.next == kNone) continue;
    Symbol& right = chain_[left.next];
    // Stale when the pair at this place has become another one since.
    const MergeTable::Merge* current = table.find(left.id, right.id);
    if (current == nullptr || current->joined != best.joined) continue;
    left.id = best.joined;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNone) chain_[left.next].previous = best.position;
    if (left.previous != kNone) propose(table, left.previous);
    propose(table, best.position);
  }
  symbols.clear();
  for (uint32_t at = 0; at != kNone; at = chain_[at].next) symbols.push_back(chain_[at].id);
}

}  // namespace vitrine
