#include "capture/net/ip_fragments.h"

#include <algorithm>

namespace vitrine {
namespace {
constexpr uint64_t kEntryOverhead = 256, kPieceOverhead = 96;  // allocator and node, about
}

size_t FragmentTable::KeyHash::operator()(const Key& key) const {
  uint64_t hash = key.identification * 0x9e3779b97f4a7c15ull + key.protocol;
  for (const IpAddress* ip : {&key.source, &key.destination}) {
    for (int half = 0; half < 2; ++half) {
      uint64_t word;
      std::memcpy(&word, ip->bytes.data() + 8 * half, 8);
      hash = (hash ^ word) * 0xff51afd7ed558ccdull;
      hash ^= hash >> 32;
    }
  }
  return hash;
}

void FragmentTable::charge(Pending& entry, uint64_t cost) {
  entry.cost += cost;
  bytes_ += cost;
}

void FragmentTable::erase(Table::iterator it, bool count) {
  if (count && !it->second.whole) {
    issues_.issue({Cause::gap, "ip: fragments whose datagram never became complete", it->second.first_packet, 0});
  }
  bytes_ -= it->second.cost;
  ages_.erase(it->second.age);
  table_.erase(it);
}

// Keeps what the earlier fragments do not cover.
void FragmentTable::insert(Pending& entry, const Fragment& fragment) {
  uint32_t at = fragment.offset;
  const uint32_t end = fragment.offset + static_cast<uint32_t>(fragment.payload.size());
  bool conflict = false;
  auto next = entry.pieces.upper_bound(at);
  if (next != entry.pieces.begin()) --next;
  while (at < end) {
    while (next != entry.pieces.end() && next->first + next->second.size() <= at) ++next;
    const uint32_t hole_end = next == entry.pieces.end() ? end : std::min(end, next->first);
    if (at < hole_end) {
      const uint8_t* from = fragment.payload.data() + (at - fragment.offset);
      entry.pieces.emplace_hint(next, at, std::vector<uint8_t>(from, from + (hole_end - at)));
      entry.have += hole_end - at;
      charge(entry, hole_end - at + kPieceOverhead);
      at = hole_end;
    }
    if (at < end) {  // inside *next
      const uint32_t overlap_end = std::min<uint32_t>(end, next->first + static_cast<uint32_t>(next->second.size()));
      conflict |=
          !std::equal(next->second.begin() + (at - next->first), next->second.begin() + (overlap_end - next->first),
                      fragment.payload.begin() + (at - fragment.offset));
      at = overlap_end;
    }
  }
  if (conflict) {
    issues_.issue({Cause::malformed, "ip: overlapping fragments with different bytes, the first copy is kept",
                   fragment.packet, 0});
  }
}

std::shared_ptr<const std::vector<uint8_t>> FragmentTable::add(const Fragment& fragment, uint8_t& protocol) {
  const uint64_t end = uint64_t{fragment.offset} + fragment.payload.size();
  if (end > kMaxDatagram) {
    issues_.issue({Cause::malformed, "ip: fragment reaches beyond 65535 bytes", fragment.packet, 0});
    return nullptr;
  }
  if (fragment.payload.empty() || (fragment.more && fragment.payload.size() % 8 != 0)) {
    issues_.issue({Cause::malformed, "ip: fragment of a length that no fragment has", fragment.packet, 0});
    return nullptr;
  }
  // IPv6 identifies by addresses and number alone; IPv4 by protocol too.
  const Key key{fragment.source, fragment.destination, fragment.identification,
                fragment.source.family == 6 ? uint8_t{0} : fragment.protocol};
  auto it = table_.find(key);
  if (it != table_.end()) {
    Pending& old = it->second;
    if (old.whole) {
      // The same packet recorded twice (capture on "any") must not open a new set.
      if (end <= old.whole->size() &&
          std::equal(fragment.payload.begin(), fragment.payload.end(), old.whole->begin() + fragment.offset)) {
        return nullptr;
      }
      erase(it, false);
      it = table_.end();
    } else if (const uint64_t age = static_cast<uint64_t>(fragment.time.ns) - static_cast<uint64_t>(old.first_time.ns);
               fragment.time > old.first_time && age > static_cast<uint64_t>(kTimeout)) {
      erase(it, true);  // the identification came round again
      it = table_.end();
    }
  }
  if (it == table_.end()) {
    it = table_.try_emplace(key).first;
    it->second.age = ages_.insert(ages_.end(), key);
    it->second.first_time = fragment.time;
    it->second.first_packet = fragment.packet;
    charge(it->second, kEntryOverhead);
  }
  Pending& entry = it->second;
  if (fragment.offset == 0 && !entry.pieces.contains(0)) entry.protocol = fragment.protocol;
  const bool beyond = entry.total >= 0 && end > static_cast<uint64_t>(entry.total);
  const bool last_too_low = !fragment.more && !entry.pieces.empty() &&
                            end < entry.pieces.rbegin()->first + entry.pieces.rbegin()->second.size();
  if (beyond || last_too_low || (!fragment.more && entry.total >= 0 && end != static_cast<uint64_t>(entry.total))) {
    issues_.issue(
        {Cause::malformed, "ip: fragments that disagree about the end of their datagram", fragment.packet, 0});
    return nullptr;
  }
  if (!fragment.more) entry.total = static_cast<int64_t>(end);
  insert(entry, fragment);
  if (entry.total >= 0 && entry.have == static_cast<uint64_t>(entry.total)) {
    auto whole = std::make_shared<std::vector<uint8_t>>();
    whole->reserve(entry.have);
    for (const auto& [offset, piece] : entry.pieces) whole->insert(whole->end(), piece.begin(), piece.end());
    bytes_ -= entry.cost;
    entry.cost = 0;
    entry.pieces.clear();
    entry.whole = std::move(whole);
    charge(entry, entry.whole->size() + kEntryOverhead);
    protocol = entry.protocol;
    auto result = entry.whole;
    while (bytes_ > kMaxBytes && table_.size() > 1) erase(table_.find(ages_.front()), true);
    return result;
  }
  while (bytes_ > kMaxBytes) {
    const auto oldest = table_.find(ages_.front());
    if (!oldest->second.whole) {
      issues_.issue(
          {Cause::gap, "ip: fragments dropped, more than 64 MiB were waiting", oldest->second.first_packet, 0});
    }
    erase(oldest, false);
  }
  return nullptr;
}

void FragmentTable::finish() {
  while (!ages_.empty()) erase(table_.find(ages_.front()), true);
}

}  // namespace vitrine
