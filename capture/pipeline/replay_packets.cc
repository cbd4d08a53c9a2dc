#include "capture/pipeline/replay_packets.h"

#include <algorithm>

#include "capture/net/dns.h"
#include "capture/net/ip.h"
#include "capture/net/tcp.h"
#include "capture/tls/client_hello.h"

namespace vitrine {

RawCollector::RawCollector(Direction direction, ConnectionId connection, const std::vector<StreamSpan>& spans)
    : direction_(direction), connection_(connection), spans_(spans) {
  for (const StreamSpan& span : spans_) raw_.emplace_back(std::min(span.length, kReplayBound), '\0');
}

void RawCollector::raw(const ConnectionInfo& info, const StreamChunk& chunk) {
  if (info.id != connection_ || chunk.direction != direction_ || chunk.kind != StreamChunk::Kind::data) return;
  if (!first_) first_ = {chunk.offset, chunk.packet};
  for (size_t i = 0; i < spans_.size(); ++i) {
    const uint64_t begin = std::max(chunk.offset, spans_[i].offset);
    const uint64_t end = std::min(chunk.offset + chunk.bytes.size(), spans_[i].offset + raw_[i].size());
    if (begin < end)
      std::copy_n(chunk.bytes.data() + (begin - chunk.offset), end - begin,
                  raw_[i].data() + (begin - spans_[i].offset));
  }
}

std::string RawCollector::bytes() const {
  std::string out;
  for (const std::string& span : raw_) out += span;
  return out;
}

void RawCollector::locate(Bytes file, const ConnectionInfo& connection, Replay& replay) const {
  IssueLog ignored;
  auto reader = open_capture(file, ignored);
  if (!reader) return;
  IpReassembler ip(ignored);
  Packet packet;
  Datagram datagram;
  std::optional<uint32_t> base;  // sequence number of stream offset 0
  std::vector<Segment> segments;
  while ((*reader)->next(packet)) {
    if (packet.number < connection.id || !ip.decode(packet, datagram) || datagram.protocol != kProtocolTcp) continue;
    TcpHeader tcp;
    std::string_view why;
    if (!parse_tcp(datagram, tcp, why)) continue;
    const Endpoint source{datagram.source, tcp.source_port}, destination{datagram.destination, tcp.destination_port};
    const bool c2s = source == connection.client && destination == connection.server;
    const bool s2c = source == connection.server && destination == connection.client;
    if (!(direction_ == Direction::client_to_server ? c2s : s2c)) continue;
    if (tcp.syn && !base) base = tcp.sequence + 1;
    if (tcp.payload.empty() || datagram.owner) continue;  // fragments have no single place in the file
    const uint64_t place = static_cast<uint64_t>(tcp.payload.data() - file.data());
    segments.push_back({packet.number, place, tcp.syn ? tcp.sequence + 1 : tcp.sequence, tcp.payload});
    if (!base && first_ && packet.number == first_->packet) base = tcp.sequence - static_cast<uint32_t>(first_->offset);
  }
  if (!base) return;
  uint64_t covered = 0, wanted = 0;
  for (size_t i = 0; i < spans_.size(); ++i) {
    const uint64_t end = spans_[i].offset + raw_[i].size();
    wanted += raw_[i].size();
    for (uint64_t at = spans_[i].offset; at < end;) {
      const PacketBytes found = find(segments, *base, at, i);
      if (found.length == 0) break;
      replay.packets.push_back(found);
      covered += found.length;
      at += found.length;
    }
  }
  replay.packets_complete = wanted > 0 && covered == wanted;
}

// The bytes from `at` on that one packet holds, checked against the stream.
PacketBytes RawCollector::find(const std::vector<Segment>& segments, uint32_t base, uint64_t at, size_t span) const {
  for (const Segment& segment : segments) {
    // Sequence numbers wrap at 2^32: compare modulo.
    const uint32_t into = static_cast<uint32_t>(at) - (segment.sequence - base);
    if (into >= segment.payload.size()) continue;
    const uint64_t length =
        std::min<uint64_t>(segment.payload.size() - into, spans_[span].offset + raw_[span].size() - at);
    const char* want = raw_[span].data() + (at - spans_[span].offset);
    if (std::memcmp(segment.payload.data() + into, want, length) != 0) continue;
    return {segment.packet, segment.file_offset + into, length, at};
  }
  return {};
}

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

bool agrees(const Replay& replay, std::string_view read) {
  return replay.value_cut ? read.starts_with(replay.value) : read == replay.value;
}

}  // namespace

void replay_packet_value(Bytes file, const OriginNode& node, Replay& replay) {
  if (node.decoder != Decoder::dns && replay.location != Location::connection) {
    replay.recorded_from = "the server's handshake";
    return;
  }
  IssueLog ignored;
  auto reader = open_capture(file, ignored);
  if (!reader) return;
  IpReassembler ip(ignored);
  Packet packet;
  Datagram datagram;
  while ((*reader)->next(packet)) {
    const bool whole = ip.decode(packet, datagram);  // every one: fragments come before their end
    if (packet.number < replay.packet) continue;
    if (packet.number > replay.packet || !whole) return;
    const auto located =
        node.decoder == Decoder::dns ? in_dns(packet, datagram, node, replay) : in_headers(packet, datagram, replay);
    if (!located) return;
    replay.packets = {{packet.number, packet.file_offset + located->offset, located->length, 0}};
    replay.packets_complete = true;
    replay.steps.push_back({located->decoder, located->offset, located->length, located->value, ""});
    replay.verified = agrees(replay, located->value);
    return;
  }
}

void replay_hello(const std::string& records, const OriginNode& node, Replay& replay) {
  // A hello may be spread over several records (RFC 8446, section 5.1).
  std::string message;
  ByteReader reader(as_bytes(records));
  while (!reader.empty()) {
    reader.skip(3);
    const size_t length = std::min<size_t>(reader.u16(), reader.remaining());
    message += as_text(reader.take(length));
  }
  ReplayStep step{"tls-hello", node.offset, node.length, "", ""};
  tls::ClientHello hello;
  constexpr size_t kHandshakeHeader = 4;
  if (reader.failed() || message.size() < kHandshakeHeader ||
      !tls::parse_client_hello(as_bytes(message).subspan(kHandshakeHeader), hello)) {
    step.error = "the bytes are not a ClientHello";
  } else if (replay.path == "tls:sni") {
    step.output = hello.sni;
  } else if (replay.path == "tls:alpn-offered") {
    for (const std::string& protocol : hello.alpn) step.output += (step.output.empty() ? "" : ",") + protocol;
  } else if (replay.path == "tls:ech") {
    step.output = hello.ech ? "true" : "";
  } else if (replay.path == "tls:ja3") {
    step.output = tls::ja3(hello);
  } else if (replay.path == "tls:ja3-text") {
    step.output = tls::ja3_text(hello);
  } else if (replay.path == "tls:ja4") {
    step.output = tls::ja4(hello);
  } else {
    step.error = "no property of the ClientHello has this name";
  }
  replay.verified = step.error.empty() && agrees(replay, step.output);
  replay.steps.push_back(std::move(step));
}

}  // namespace vitrine
