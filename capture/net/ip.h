// Link and network layers: frame → transport payload.
// Link types: Ethernet (with 802.1Q/802.1ad), SLL, SLL2, raw IP, null/loop.
// IPv4 (RFC 791) and IPv6 (RFC 8200) with fragments and extension headers.
#pragma once

#include <memory>

#include "capture/net/packet_reader.h"

namespace vitrine {

inline constexpr uint8_t kProtocolTcp = 6, kProtocolUdp = 17;

struct Datagram {
  uint64_t packet = 0;  // that completed it
  Timestamp time;
  IpAddress source, destination;
  uint8_t protocol = 0;                               // of `payload`
  Bytes payload;                                      // transport header on; borrowed from the packet or from `owner`
  uint32_t missing = 0;                               // payload bytes on the wire but cut by the snap length
  std::shared_ptr<const std::vector<uint8_t>> owner;  // set when reassembled from fragments
  std::string_view comment;                           // of the packet
};

class IpReassembler {
 public:
  explicit IpReassembler(IssueSink& issues);
  ~IpReassembler();
  // True when `packet` completes a datagram. Memory is bounded: at most 64 MiB
  // of pending fragments, oldest dropped first with an issue. Overlapping
  // fragments keep the first copy (as Linux drops such datagrams, an issue says so).
  bool decode(const Packet& packet, Datagram& out);
  // At the end of the input: counts datagrams whose fragments did not all come.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
