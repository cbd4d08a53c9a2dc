#include "capture/net/ip.h"

#include <algorithm>

#include "capture/net/capture_formats.h"
#include "capture/net/ip_fragments.h"
#include "capture/net/link_layer.h"

namespace vitrine {
namespace {

constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kAuthentication = 51, kNoNext = 59, kDestination = 60,
                  kMobility = 135, kHip = 139, kShim6 = 140;

enum class Chain : uint8_t { payload, fragment, nothing, cut };

// Walks extension headers from `header` at the front of `bytes` to the payload
// or a fragment header (left in place). Each header is at least 8 bytes, so the
// walk ends with the packet.
Chain walk_extensions(uint8_t& header, Bytes& bytes) {
  for (;;) {
    uint64_t length = 0;
    switch (header) {
      case kHopByHop:
      case kRouting:
      case kDestination:
      case kMobility:
      case kHip:
      case kShim6:
        if (bytes.size() < 8) return Chain::cut;
        length = (uint64_t{bytes[1]} + 1) * 8;
        break;
      case kAuthentication:  // RFC 4302 counts in 4 bytes
        if (bytes.size() < 8) return Chain::cut;
        length = (uint64_t{bytes[1]} + 2) * 4;
        break;
      case kFragment:
        if (bytes.size() < 8) return Chain::cut;
        // An atomic fragment is a whole datagram (RFC 6946).
        if ((load_u16(bytes.data() + 2, true) & 0xfff9) != 0) return Chain::fragment;
        length = 8;
        break;
      case kNoNext: return Chain::nothing;
      default: return Chain::payload;
    }
    if (length > bytes.size()) return Chain::cut;
    header = bytes[0];
    bytes = bytes.subspan(length);
  }
}

}  // namespace

struct IpReassembler::State {
  explicit State(IssueSink& sink) : issues(sink), fragments(sink) {}

  void report(const Packet& packet, Cause cause, const char* what) { issues.issue({cause, what, packet.number, 0}); }

  // Cuts `ip` to the length its header states (`total`, 0 = unknown, the rest
  // of the frame) and tells how much of it the snap length cut.
  Bytes bound(const Packet& packet, Bytes ip, uint64_t offset, uint64_t total, uint32_t& missing) {
    const uint64_t on_wire = packet.original_length > offset + ip.size() ? packet.original_length - offset : ip.size();
    if (total == 0) total = on_wire;  // segmentation offload: the length is filled in after the capture
    if (total > on_wire) {
      report(packet, Cause::malformed, "ip: total length beyond the end of the frame");
      total = on_wire;
    }
    if (total <= ip.size()) {
      missing = 0;
      return ip.first(total);  // Ethernet pads short frames
    }
    missing = static_cast<uint32_t>(total - ip.size());
    return ip;
  }

  bool complete(const Packet& packet, const Fragment& fragment, uint32_t missing, Datagram& out) {
    if (missing > 0) {
      report(packet, Cause::truncated, "ip: fragment cut by the snap length, its datagram is lost");
      return false;
    }
    uint8_t protocol = 0;
    auto whole = fragments.add(fragment, protocol);
    if (!whole) return false;
    out.owner = std::move(whole);
    out.payload = *out.owner;
    out.protocol = protocol;
    out.missing = 0;
    return true;
  }

  // `out.protocol` and `out.payload` stand at an extension header or payload.
  // `fragmented`: they come out of reassembly; a fragment inside would be one of a fragment.
  bool extensions(const Packet& packet, Datagram& out, bool fragmented) {
    switch (walk_extensions(out.protocol, out.payload)) {
      case Chain::payload: return true;
      case Chain::nothing: return false;
      case Chain::cut:
        if (out.missing > 0) {
          report(packet, Cause::truncated, "ip: extension headers cut by the snap length");
        } else {
          report(packet, Cause::malformed, "ip: extension headers run past the packet");
        }
        return false;
      case Chain::fragment: break;
    }
    if (fragmented) {
      report(packet, Cause::malformed, "ip: a fragment inside a reassembled datagram");
      return false;
    }
    const uint8_t* header = out.payload.data();
    const uint16_t field = load_u16(header + 2, true);
    const Fragment fragment{.source = out.source,
                            .destination = out.destination,
                            .identification = load_u32(header + 4, true),
                            .protocol = header[0],
                            .offset = field & 0xfff8u,
                            .more = (field & 1) != 0,
                            .payload = out.payload.subspan(8),
                            .packet = packet.number,
                            .time = packet.time};
    return complete(packet, fragment, out.missing, out) && extensions(packet, out, true);
  }

  bool ipv4(const Packet& packet, Bytes ip, uint64_t offset, Datagram& out) {
    const uint64_t header = (ip[0] & 15u) * 4;
    if (ip.size() < 20 || header < 20 || ip.size() < header) return short_header(packet, ip, header);
    const uint16_t total = load_u16(ip.data() + 2, true);
    if (total != 0 && total < header) {
      report(packet, Cause::malformed, "ip: total length shorter than the header");
      return false;
    }
    const Bytes whole = bound(packet, ip, offset, total, out.missing);
    if (whole.size() < header) {
      report(packet, Cause::malformed, "ip: packet shorter than its header");
      return false;
    }
    out.source = IpAddress::v4(ip.subspan(12, 4));
    out.destination = IpAddress::v4(ip.subspan(16, 4));
    out.protocol = ip[9];
    out.payload = whole.subspan(header);
    const uint16_t field = load_u16(ip.data() + 6, true);
    if ((field & 0x3fff) == 0) return out.protocol != kAuthentication || extensions(packet, out, true);
    const Fragment fragment{.source = out.source,
                            .destination = out.destination,
                            .identification = load_u16(ip.data() + 4, true),
                            .protocol = out.protocol,
                            .offset = (field & 0x1fffu) * 8,
                            .more = (field & 0x2000) != 0,
                            .payload = out.payload,
                            .packet = packet.number,
                            .time = packet.time};
    return complete(packet, fragment, out.missing, out) &&
           (out.protocol != kAuthentication || extensions(packet, out, true));
  }

  bool ipv6(const Packet& packet, Bytes ip, uint64_t offset, Datagram& out) {
    if (ip.size() < 40) return short_header(packet, ip, 40);
    const uint16_t length = load_u16(ip.data() + 4, true);
    // Zero: a jumbogram (RFC 2675) or segmentation offload; the frame bounds both.
    const Bytes whole = bound(packet, ip, offset, length == 0 ? 0 : uint64_t{length} + 40, out.missing);
    if (whole.size() < 40) return short_header(packet, whole, 40);
    out.source = IpAddress::v6(ip.subspan(8, 16));
    out.destination = IpAddress::v6(ip.subspan(24, 16));
    out.protocol = ip[6];
    out.payload = whole.subspan(40);
    return extensions(packet, out, false);
  }

  bool short_header(const Packet& packet, Bytes ip, uint64_t header) {
    if (packet.original_length > packet.data.size() && ip.size() < std::max<uint64_t>(header, 20)) {
      report(packet, Cause::truncated, "ip: header cut by the snap length");
    } else {
      report(packet, Cause::malformed, "ip: header does not fit in the packet");
    }
    return false;
  }

  IssueSink& issues;
  FragmentTable fragments;
};

IpReassembler::IpReassembler(IssueSink& issues) : state_(std::make_unique<State>(issues)) {}
IpReassembler::~IpReassembler() = default;
void IpReassembler::finish() { state_->fragments.finish(); }

bool IpReassembler::decode(const Packet& packet, Datagram& out) {
  out.packet = packet.number;
  out.time = packet.time;
  out.comment = packet.comment;
  out.owner.reset();
  LinkPayload link = strip_link_layer(packet);
  if (link.kind != LinkPayload::Kind::ip) {
    if (link.kind == LinkPayload::Kind::refused) state_->issues.issue(std::move(link.issue));
    return false;
  }
  const Bytes ip = packet.data.subspan(link.offset);
  if (ip.empty()) return state_->short_header(packet, ip, 20);
  switch (ip[0] >> 4) {
    case 4: return state_->ipv4(packet, ip, link.offset, out);
    case 6: return state_->ipv6(packet, ip, link.offset, out);
    default: state_->report(packet, Cause::malformed, "ip: version is neither 4 nor 6"); return false;
  }
}

}  // namespace vitrine
