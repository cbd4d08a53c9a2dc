// Where bytes of a stream, and values of packets and handshakes themselves, lie
// in the file. Internal to replay.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "capture/pipeline/replay.h"

namespace vitrine {

inline constexpr uint64_t kTlsRecordHeader = 5;         // RFC 8446, section 5.1
inline constexpr uint64_t kReplayBound = 256ull << 20;  // of one span that is put together again

// Collects the raw stream's bytes of `spans` while a run passes them, and then
// finds the packets they came in. REQUIRES: spans outlives this.
class RawCollector : public StreamObserver {
 public:
  RawCollector(Direction direction, ConnectionId connection, const std::vector<StreamSpan>& spans);
  void raw(const ConnectionInfo& info, const StreamChunk& chunk) override;

  // Finds the packets whose payload is the raw bytes at their sequence numbers.
  void locate(Bytes file, const ConnectionInfo& connection, Replay& replay) const;
  std::string bytes() const;

 private:
  struct First {
    uint64_t offset, packet;
  };
  struct Segment {
    uint64_t packet, file_offset;
    uint32_t sequence;
    Bytes payload;
  };
  PacketBytes find(const std::vector<Segment>& segments, uint32_t base, uint64_t at, size_t span) const;

  Direction direction_;
  ConnectionId connection_;
  const std::vector<StreamSpan>& spans_;
  std::vector<std::string> raw_;
  std::optional<First> first_;
};

// Addresses, ports and names asked for: read again from replay.packet.
void replay_packet_value(Bytes file, const OriginNode& node, Replay& replay);

// A property of the ClientHello: parsed again from `records`, the raw stream
// from the record header before the message on.
void replay_hello(const std::string& records, const OriginNode& node, Replay& replay);

}  // namespace vitrine
