// Fragments waiting for the rest of their datagram (RFC 791 section 3.2, RFC 8200 section 4.5).
#pragma once

#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "capture/net/ip.h"

namespace vitrine {

struct Fragment {
  IpAddress source, destination;
  uint32_t identification = 0;
  uint8_t protocol = 0;  // IPv4: of the payload; IPv6: next header of the fragment header
  uint32_t offset = 0;   // bytes
  bool more = false;
  Bytes payload;  // borrowed
  uint64_t packet = 0;
  Timestamp time;
};

// One thread. Memory is bounded by kMaxBytes, counted with overhead.
class FragmentTable {
 public:
  static constexpr uint64_t kMaxBytes = 64 << 20;
  static constexpr uint64_t kMaxDatagram = 65535;
  static constexpr int64_t kTimeout = 30'000'000'000;  // ns between the first and the last fragment, as Linux

  explicit FragmentTable(IssueSink& issues) : issues_(issues) {}
  // The datagram's payload when `fragment` completes it, else null. `protocol`
  // is that of the fragment with offset 0.
  std::shared_ptr<const std::vector<uint8_t>> add(const Fragment& fragment, uint8_t& protocol);
  void finish();
  uint64_t bytes() const { return bytes_; }

 private:
  struct Key {
    IpAddress source, destination;
    uint32_t identification = 0;
    uint8_t protocol = 0;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Pending {
    std::map<uint32_t, std::vector<uint8_t>> pieces;    // by offset, disjoint
    std::shared_ptr<const std::vector<uint8_t>> whole;  // once complete, to know late duplicates
    uint64_t have = 0;                                  // bytes in pieces
    uint64_t cost = 0;                                  // charged to bytes_
    int64_t total = -1;                                 // once the last fragment came
    uint8_t protocol = 0;
    Timestamp first_time;
    uint64_t first_packet = 0;
    std::list<Key>::iterator age;
  };
  using Table = std::unordered_map<Key, Pending, KeyHash>;

  void insert(Pending& entry, const Fragment& fragment);
  void erase(Table::iterator it, bool count);
  void charge(Pending& entry, uint64_t cost);

  IssueSink& issues_;
  Table table_;
  std::list<Key> ages_;  // oldest first
  uint64_t bytes_ = 0;
};

}  // namespace vitrine
