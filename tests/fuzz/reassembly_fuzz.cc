// IP fragments and TCP segments. The first byte chooses: even = a script of
// segments, each [flags][sequence 4][acknowledgment 4][length][missing];
// odd = raw IP packets, each after two length bytes.
#include <cstdlib>
#include <vector>

#include "capture/net/tcp.h"

namespace {

using namespace vitrine;

class NoIssues : public IssueSink {
 public:
  void issue(Issue) override {}
};

void check(bool holds) {
  if (!holds) std::abort();
}

// What every consumer relies on.
class Contract : public StreamSink {
 public:
  void on_chunk(const StreamChunk& chunk) override {
    const size_t d = static_cast<size_t>(chunk.direction);
    check(!closed[d]);
    check(chunk.offset == offset[d]);
    switch (chunk.kind) {
      case StreamChunk::Kind::data:
        check(!chunk.bytes.empty());
        for (const uint8_t byte : chunk.bytes) sum += byte;  // touched, for the sanitizer
        offset[d] += chunk.bytes.size();
        break;
      case StreamChunk::Kind::gap:
        check(chunk.gap_length > 0);
        offset[d] += chunk.gap_length;
        break;
      case StreamChunk::Kind::close: closed[d] = true; break;
    }
  }
  uint64_t offset[2] = {0, 0};
  bool closed[2] = {false, false};
  uint64_t sum = 0;
};

void segments(ByteReader in) {
  Contract contract;
  NoIssues issues;
  const TcpLimits limits{.pending_bytes = 600, .pending_segments = 9};
  TcpConnection tcp(contract, issues, 1, limits);
  std::vector<uint8_t> payload(256);
  uint64_t packet = 0;
  while (in.remaining() >= 11) {
    const uint8_t flags = in.u8();
    TcpHeader header;
    header.fin = flags & 1;
    header.syn = flags & 2;
    header.rst = (flags & 0x0c) == 0x0c;
    header.ack = flags & 16;
    header.sequence = in.u32();
    header.acknowledgment = in.u32();
    const uint8_t length = in.u8();
    for (size_t i = 0; i < length; ++i) payload[i] = static_cast<uint8_t>(header.sequence + i);
    header.payload = Bytes(payload).first(length);
    header.missing = in.u8() & 15u;
    const Direction direction = flags & 0x80 ? Direction::server_to_client : Direction::client_to_server;
    (void)starts_new_connection(tcp, direction, header);
    ++packet;
    tcp.segment(direction, header, {static_cast<int64_t>(packet)}, packet);
    check(tcp.pending_bytes() <= 2 * (limits.pending_bytes + (16 << 10)));  // joining holds up to 16 KiB
  }
  tcp.finish(StreamChunk::Close::end_of_capture, {}, packet);
  check(tcp.closed() && contract.closed[0] && contract.closed[1]);
  check(tcp.pending_bytes() == 0);
}

void packets(ByteReader in) {
  Contract contract;
  NoIssues issues;
  TcpConnection tcp(contract, issues, 1, {.pending_bytes = 4096, .pending_segments = 16});
  IpReassembler ip(issues);
  Packet packet;
  packet.link_type = 101;
  Datagram datagram;
  while (in.remaining() >= 2) {
    const uint16_t length = in.u16();
    packet.data = in.take(std::min<uint64_t>(length & 0x7ff, in.remaining()));
    packet.original_length = static_cast<uint32_t>(packet.data.size() + (length >> 11));
    ++packet.number;
    packet.time.ns += 1'000'000'000;
    if (!ip.decode(packet, datagram) || datagram.protocol != kProtocolTcp) continue;
    TcpHeader header;
    std::string_view why;
    if (!parse_tcp(datagram, header, why)) continue;
    const Direction direction =
        datagram.source < datagram.destination ? Direction::client_to_server : Direction::server_to_client;
    tcp.segment(direction, header, packet.time, packet.number);
  }
  ip.finish();
  tcp.finish(StreamChunk::Close::end_of_capture, {}, packet.number);
  check(tcp.closed());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  ByteReader in(Bytes(data + 1, size - 1));
  if (data[0] % 2 == 0) {
    segments(in);
  } else {
    packets(in);
  }
  return 0;
}
