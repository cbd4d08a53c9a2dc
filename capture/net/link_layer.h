// Link layers: frame → IP packet. Formats: tcpdump.org/linktypes.html,
// IEEE 802.1Q, RFC 2516 (PPPoE).
#pragma once

#include "capture/net/packet_reader.h"

namespace vitrine {

struct LinkPayload {
  enum class Kind : uint8_t {
    ip,       // `offset` is where the IP header should begin
    other,    // a frame known to carry no IP (ARP, spanning tree …)
    refused,  // not read; `issue` names why
  };
  Kind kind = Kind::other;
  uint64_t offset = 0;  // in the frame, <= its size
  Issue issue;
};

LinkPayload strip_link_layer(const Packet& packet);

}  // namespace vitrine
