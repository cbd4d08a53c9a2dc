#include "capture/net/link_layer.h"

#include <cstdio>

#include "capture/net/capture_formats.h"

namespace vitrine {
namespace {

constexpr uint32_t kNull = 0, kEthernet = 1, kRawBsd = 12, kRawOpenBsd = 14, kRaw = 101, kLoop = 108, kLinuxSll = 113,
                   kIpv4 = 228, kIpv6 = 229, kLinuxSll2 = 276;
constexpr int kMaxTags = 8;  // VLAN tags on one frame

LinkPayload ip_at(uint64_t offset) { return {LinkPayload::Kind::ip, offset, {}}; }

LinkPayload refuse(const Packet& packet, Cause cause, std::string what) {
  return {LinkPayload::Kind::refused, 0, {cause, std::move(what), packet.number, 0}};
}

LinkPayload cut(const Packet& packet) {
  const bool snapped = packet.original_length > packet.data.size();
  return refuse(
      packet, snapped ? Cause::truncated : Cause::malformed,
      snapped ? "link: frame cut inside its link-layer header" : "link: frame shorter than its link-layer header");
}

// `type` stands for what begins at `offset`; follows VLAN tags and PPPoE.
LinkPayload follow(const Packet& packet, uint32_t type, uint64_t offset) {
  const Bytes frame = packet.data;
  for (int tags = 0; tags <= kMaxTags; ++tags) {
    switch (type) {
      case 0x0800:
      case 0x86dd: return ip_at(offset);
      case 0x8100:  // 802.1Q
      case 0x88a8:  // 802.1ad
      case 0x9100:
      case 0x9200:
        if (frame.size() - offset < 4) return cut(packet);
        type = load_u16(frame.data() + offset + 2, true);
        offset += 4;
        continue;
      case 0x8864: {  // PPPoE session: 6 bytes, then the PPP protocol
        if (frame.size() - offset < 8) return cut(packet);
        const uint16_t protocol = load_u16(frame.data() + offset + 6, true);
        if (protocol == 0x0021 || protocol == 0x0057) return ip_at(offset + 8);
        return {};  // link control
      }
      case 0x0806: return {};  // ARP
      default: break;
    }
    if (type < 0x0600) return refuse(packet, Cause::unsupported, "link: 802.3 frame with LLC skipped");
    char text[64];
    std::snprintf(text, sizeof text, "link: frame of ethertype 0x%04x skipped", type);
    return refuse(packet, Cause::unsupported, text);
  }
  return refuse(packet, Cause::malformed, "link: more than 8 VLAN tags on a frame");
}

bool is_address_family(uint32_t family) {
  // AF_INET is 2 everywhere; AF_INET6 is 10 (Linux), 24, 28 or 30 (the BSDs, macOS).
  return family == 2 || family == 10 || family == 24 || family == 28 || family == 30;
}

}  // namespace

LinkPayload strip_link_layer(const Packet& packet) {
  const Bytes frame = packet.data;
  switch (packet.link_type) {
    case kEthernet:
      if (frame.size() < 14) return cut(packet);
      return follow(packet, load_u16(frame.data() + 12, true), 14);
    case kLinuxSll:
      if (frame.size() < 16) return cut(packet);
      return follow(packet, load_u16(frame.data() + 14, true), 16);
    case kLinuxSll2:
      if (frame.size() < 20) return cut(packet);
      return follow(packet, load_u16(frame.data(), true), 20);
    case kRaw:
    case kRawBsd:
    case kRawOpenBsd:
    case kIpv4:
    case kIpv6: return ip_at(0);
    case kNull:
    case kLoop: {
      if (frame.size() < 4) return cut(packet);
      // NULL is in the byte order of the recording host, LOOP in network order.
      const uint32_t network = load_u32(frame.data(), true), swapped = load_u32(frame.data(), false);
      if (is_address_family(network) || (packet.link_type == kNull && is_address_family(swapped))) return ip_at(4);
      return refuse(packet, Cause::unsupported, "link: loopback frame of an address family that is not IP");
    }
    default:
      return refuse(packet, Cause::unsupported, "link: type " + std::to_string(packet.link_type) + " is not read");
  }
}

}  // namespace vitrine
