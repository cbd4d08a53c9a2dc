// Where bytes of a stream, and values of packets and handshakes themselves, lie
// in the file. Internal to replay.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "capture/pipeline/replay.h"
#include "capture/pipeline/replay_streams.h"

namespace vitrine {

// The packets of some flows, looked for in one pass over the file, and the
// values that stand in packets themselves.
class PacketScan {
 public:
  // `first`: data of the flow whose packet and stream offset are known; gives
  // the sequence number of offset 0 where no SYN was recorded.
  void want_flow(FlowId flow, const ConnectionInfo& connection, std::optional<RawCollector::First> first);
  // Addresses, ports, and names asked for: read again from replay.packet.
  // Borrowed until run() returns.
  void want_value(const OriginNode& node, Replay& replay) { values_.emplace(replay.packet, Value{&node, &replay}); }

  void run(Bytes file);

  // After run(): the packets whose payload is the place's raw bytes at their
  // sequence numbers. `complete`: they cover every byte.
  std::vector<PacketBytes> packets_of(const StreamPlace& place, bool& complete) const;

 private:
  struct Segment {
    uint64_t packet, file_offset;
    uint32_t sequence;
    Bytes payload;
  };
  struct Flow {
    ConnectionId connection = 0;
    std::optional<RawCollector::First> first;
    std::optional<uint32_t> base;  // sequence number of stream offset 0
    std::vector<Segment> segments;
  };
  struct Value {
    const OriginNode* node;
    Replay* replay;
  };
  void segment(const Packet& packet, const Datagram& datagram, Bytes file);
  static PacketBytes find(const Flow& flow, uint64_t at, Bytes want);

  std::map<FlowId, Flow> flows_;
  std::multimap<std::pair<Endpoint, Endpoint>, Flow*> by_ends_;  // source, destination
  std::multimap<uint64_t, Value> values_;                        // by packet
};

// A property of the ClientHello or of the server's handshake, parsed again from
// the messages of its direction; `span` = where the one it stands in lies in
// the raw stream. False: none of them says so.
bool replay_handshake(const std::vector<PlaintextCollector::Handshake>& messages, const OriginNode& node,
                      Replay& replay, StreamSpan& span);

}  // namespace vitrine
