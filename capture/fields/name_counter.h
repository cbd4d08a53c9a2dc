// How often a name was met in its scope (one JSON object, one header block), so
// that repeated names get [n]. Linear over a handful of names, hashed beyond:
// 10^6 keys cost 10^6 steps.
#pragma once

#include <cstdint>
#include <vector>

namespace vitrine {

class NameCounter {
 public:
  struct Scope {
    uint64_t serial = 0;
    size_t base = 0;     // of its hashes in recent_
    uint32_t count = 0;  // names met; beyond kLinear they are in slots_
  };

  // Scopes nest: the last begun ends first.
  Scope begin() { return {++serial_, recent_.size(), 0}; }
  void end(const Scope& scope) { recent_.resize(scope.base); }

  // How often a name with this hash came before; counts it.
  uint32_t count(Scope& scope, uint64_t hash) {
    if (scope.count < kLinear) {
      uint32_t before = 0;
      for (size_t i = scope.base; i < recent_.size(); ++i) before += recent_[i] == hash;
      recent_.push_back(hash);
      ++scope.count;
      return before;
    }
    if (scope.count == kLinear) {
      for (size_t i = scope.base; i < recent_.size(); ++i) add(scope.serial, recent_[i]);
      recent_.resize(scope.base);
      ++scope.count;
    }
    return add(scope.serial, hash);
  }

  // Forgets everything; memory is kept up to a bound.
  void clear() {
    recent_.clear();
    used_ = 0;
    ++epoch_;
    if (slots_.size() > kKeptSlots || epoch_ == 0) {
      slots_ = {};
      epoch_ = 1;
    }
  }

 private:
  static constexpr uint32_t kLinear = 24;
  static constexpr size_t kKeptSlots = 1 << 16;
  struct Slot {
    uint64_t key = 0;
    uint32_t count = 0;
    uint32_t epoch = 0;
  };

  uint32_t add(uint64_t serial, uint64_t hash) {
    if (used_ * 2 >= slots_.size()) grow();
    const uint64_t key = hash ^ serial * 0x9e3779b97f4a7c15ull;
    const size_t mask = slots_.size() - 1;
    size_t at = (key ^ key >> 32) & mask;
    while (slots_[at].epoch == epoch_ && slots_[at].key != key) at = (at + 1) & mask;
    Slot& slot = slots_[at];
    if (slot.epoch != epoch_) {
      slot = {key, 0, epoch_};
      ++used_;
    }
    return slot.count++;
  }

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 1024 : slots_.size() * 2);
    old.swap(slots_);
    const size_t mask = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.epoch != epoch_) continue;
      size_t at = (slot.key ^ slot.key >> 32) & mask;
      while (slots_[at].epoch == epoch_) at = (at + 1) & mask;
      slots_[at] = slot;
    }
  }

  std::vector<uint64_t> recent_;
  std::vector<Slot> slots_;  // open addressing; valid when of this epoch
  size_t used_ = 0;
  uint32_t epoch_ = 1;
  uint64_t serial_ = 0;
};

}  // namespace vitrine
