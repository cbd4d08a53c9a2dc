#include "capture/pipeline/replay_packets.h"

#include <algorithm>

#include "capture/net/dns.h"
#include "capture/net/ip.h"
#include "capture/net/packet_reader.h"
#include "capture/net/tcp.h"

namespace vitrine {
namespace {

// [offset, offset + length) of packet `number`'s frame, and the value it holds.
struct Located {
  uint64_t offset = 0, length = 0;
  std::string decoder, value;
};

bool has_ports(const Datagram& datagram) {
  return (datagram.protocol == kProtocolTcp || datagram.protocol == kProtocolUdp) && datagram.payload.size() >= 4;
}

// Source and destination stand side by side in both versions' headers (RFC 791
// section 3.1, RFC 8200 section 3): the last such pair before the payload.
std::optional<Located> in_headers(const Packet& packet, const Datagram& datagram, const Replay& replay) {
  const std::string_view name = std::string_view(replay.path).substr(replay.path.find(':') + 1);
  const bool of_client = name.starts_with("client");
  const ConnectionInfo& connection = replay.connection;
  const uint16_t source_port =
      has_ports(datagram) ? static_cast<uint16_t>(datagram.payload[0] << 8 | datagram.payload[1]) : 0;
  const bool from_client =
      datagram.source == connection.client.ip && (connection.client.port == 0 || connection.client.port == source_port);
  const bool source = of_client == from_client;
  const auto payload_at =
      datagram.owner ? packet.data.end() : packet.data.begin() + (datagram.payload.data() - packet.data.data());
  if (name.ends_with("port")) {
    if (!has_ports(datagram) || datagram.owner) return std::nullopt;
    const size_t at = source ? 0 : 2;
    const unsigned port = datagram.payload[at] << 8 | datagram.payload[at + 1];
    return Located{static_cast<uint64_t>(payload_at - packet.data.begin()) + at, 2, "transport-header",
                   std::to_string(port)};
  }
  const size_t width = datagram.source.family == 4 ? 4 : 16;
  std::vector<uint8_t> pair(datagram.source.bytes.begin(), datagram.source.bytes.begin() + width);
  pair.insert(pair.end(), datagram.destination.bytes.begin(), datagram.destination.bytes.begin() + width);
  const auto found = std::find_end(packet.data.begin(), payload_at, pair.begin(), pair.end());
  if (found == payload_at) return std::nullopt;
  const Bytes bytes =
      packet.data.subspan(static_cast<size_t>(found - packet.data.begin()) + (source ? 0 : width), width);
  return Located{static_cast<uint64_t>(bytes.data() - packet.data.data()), width, "ip-header",
                 (width == 4 ? IpAddress::v4(bytes) : IpAddress::v6(bytes)).to_string()};
}

std::optional<Located> in_dns(const Packet& packet, const Datagram& datagram, const OriginNode& node,
                              const Replay& replay) {
  constexpr size_t kUdpHeader = 8;
  if (datagram.owner || datagram.protocol != kProtocolUdp || datagram.payload.size() < kUdpHeader) return std::nullopt;
  const Bytes message = datagram.payload.subspan(kUdpHeader);
  const Result<DnsMessage> parsed = parse_dns(message);
  if (!parsed) return std::nullopt;
  const uint64_t base = static_cast<uint64_t>(message.data() - packet.data.data());
  for (const DnsQuestion& question : parsed->questions) {
    if (question.offset != node.offset || question.length != node.length) continue;
    if (replay.path.ends_with(":name")) return Located{base + question.offset, question.length, "dns", question.name};
    // The type is the two bytes behind the name (RFC 1035, section 4.1.2).
    return Located{base + question.offset + question.length, 2, "dns", to_string_dns_type(question.type)};
  }
  return std::nullopt;
}

void read_value(const Packet& packet, const Datagram& datagram, const OriginNode& node, Replay& replay) {
  const auto located =
      node.decoder == Decoder::dns ? in_dns(packet, datagram, node, replay) : in_headers(packet, datagram, replay);
  if (!located) return;
  replay.packets = {{packet.number, packet.file_offset + located->offset, located->length, 0}};
  replay.packets_complete = true;
  replay.steps.push_back({located->decoder, located->offset, located->length, located->value, ""});
  replay.verified =
      replay.value_cut ? std::string_view(located->value).starts_with(replay.value) : located->value == replay.value;
}

}  // namespace

void PacketScan::want_flow(FlowId id, const ConnectionInfo& connection, std::optional<RawCollector::First> first) {
  const auto [at, added] = flows_.try_emplace(id);
  if (!added) return;
  at->second.connection = connection.id;
  at->second.first = first;
  const bool up = id.second == Direction::client_to_server;
  by_ends_.emplace(
      up ? std::pair(connection.client, connection.server) : std::pair(connection.server, connection.client),
      &at->second);
}

void PacketScan::run(Bytes file) {
  IssueLog ignored;  // told when the file was first read
  auto reader = open_capture(file, ignored);
  if (!reader) return;
  IpReassembler ip(ignored);
  Packet packet;
  Datagram datagram;
  const uint64_t last_value = values_.empty() ? 0 : values_.rbegin()->first;
  while ((*reader)->next(packet) && (!flows_.empty() || packet.number <= last_value)) {
    if (!ip.decode(packet, datagram)) continue;  // every one: fragments come before their end
    const auto [first, last] = values_.equal_range(packet.number);
    for (auto it = first; it != last; ++it) read_value(packet, datagram, *it->second.node, *it->second.replay);
    segment(packet, datagram, file);
  }
}

void PacketScan::segment(const Packet& packet, const Datagram& datagram, Bytes file) {
  TcpHeader tcp;
  std::string_view why;
  if (by_ends_.empty() || datagram.protocol != kProtocolTcp || !parse_tcp(datagram, tcp, why)) return;
  const Endpoint source{datagram.source, tcp.source_port}, destination{datagram.destination, tcp.destination_port};
  const auto [first, last] = by_ends_.equal_range({source, destination});
  for (auto it = first; it != last; ++it) {
    Flow& flow = *it->second;
    if (packet.number < flow.connection) continue;  // a connection is named by its first packet
    if (tcp.syn && !flow.base) flow.base = tcp.sequence + 1;
    if (tcp.payload.empty() || datagram.owner) continue;  // fragments have no single place in the file
    const uint64_t place = static_cast<uint64_t>(tcp.payload.data() - file.data());
    flow.segments.push_back({packet.number, place, tcp.syn ? tcp.sequence + 1 : tcp.sequence, tcp.payload});
    if (!flow.base && flow.first && packet.number == flow.first->packet)
      flow.base = tcp.sequence - static_cast<uint32_t>(flow.first->offset);
  }
}

std::vector<PacketBytes> PacketScan::packets_of(const StreamPlace& place, bool& complete) const {
  std::vector<PacketBytes> out;
  complete = false;
  const auto flow = flows_.find(place.flow);
  if (flow == flows_.end() || !flow->second.base) return out;
  uint64_t covered = 0, wanted = 0;
  for (size_t i = 0; i < place.raw.size(); ++i) {
    const StreamSpan span = place.raw.span(i);
    const Bytes bytes = as_bytes(place.raw.bytes(i));
    wanted += span.length;
    for (uint64_t done = 0; done < span.length;) {
      const PacketBytes found = find(flow->second, span.offset + done, bytes.subspan(done));
      if (found.length == 0) break;
      out.push_back(found);
      covered += found.length;
      done += found.length;
    }
  }
  complete = wanted > 0 && covered == wanted;
  return out;
}

// The first of the bytes wanted from stream offset `at` on that one packet
// holds, checked against the stream.
PacketBytes PacketScan::find(const Flow& flow, uint64_t at, Bytes want) {
  for (const Segment& segment : flow.segments) {
    // Sequence numbers wrap at 2^32: compare modulo.
    const uint32_t into = static_cast<uint32_t>(at) - (segment.sequence - *flow.base);
    if (into >= segment.payload.size()) continue;
    const size_t length = std::min<size_t>(segment.payload.size() - into, want.size());
    if (std::memcmp(segment.payload.data() + into, want.data(), length) != 0) continue;
    return {segment.packet, segment.file_offset + into, length, at};
  }
  return {};
}

}  // namespace vitrine
