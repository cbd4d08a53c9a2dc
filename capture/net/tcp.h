// TCP reassembly of one connection, from outside and possibly from its middle
// (RFC 9293): out of order, overlap (first copy wins, conflicting bytes are an
// issue), retransmission, keep-alive, missing SYN, sequence wrap-around, gaps.
#pragma once

#include <memory>

#include "capture/net/ip.h"
#include "capture/stream.h"

namespace vitrine {

struct TcpHeader {
  uint16_t source_port = 0, destination_port = 0;
  uint32_t sequence = 0, acknowledgment = 0;
  bool syn = false, ack = false, fin = false, rst = false;
  Bytes payload;
  uint32_t missing = 0;  // payload bytes cut by the snap length, after `payload`
};
// False when the header does not fit in the payload; `why` is the issue text
// without its "tcp: " prefix.
bool parse_tcp(const Datagram& datagram, TcpHeader& out, std::string_view& why);

struct TcpLimits {
  uint64_t pending_bytes = 8 << 20;  // out-of-order bytes held per direction before a hole is called a gap
  uint32_t pending_segments = 4096;
};

// One connection (both directions). Emits StreamChunks to `sink` in stream
// order per direction. A hole becomes a gap chunk when: the peer acknowledged
// all of it and 64 more segments have passed, or the limits are exceeded, or the
// stream closes, or finish() is called. In-order bytes are passed on without a
// copy. Bytes are compared for conflicts only while they are held.
//
// Joined without a SYN, the first data of a direction is held until the peer
// acknowledges it, or 4 segments or 16 KiB of it came, and the stream begins at
// the lowest of them: so a capture that starts among reordered segments loses
// nothing.
// A reset ends both directions: its sender's as soon as the bytes before it are
// there, the other one with finish(), because bytes in flight were transmitted
// too and are still taken. A last byte that was only acknowledged may have
// been a FIN, and is not counted as a gap.
class TcpConnection {
 public:
  TcpConnection(StreamSink& sink, IssueSink& issues, uint64_t connection, TcpLimits limits = {});
  ~TcpConnection();
  void segment(Direction direction, const TcpHeader& tcp, Timestamp time, uint64_t packet);
  void finish(StreamChunk::Close why, Timestamp time, uint64_t packet);  // flushes; emits close chunks not yet sent
  bool closed() const;      // both directions ended (FIN/RST); finish() may still be needed
  bool mid_stream() const;  // no SYN was seen
  uint64_t pending_bytes() const;

 private:
  friend bool starts_new_connection(const TcpConnection& existing, Direction direction, const TcpHeader& tcp);
  struct State;
  std::unique_ptr<State> state_;
};

// Is this SYN the start of a new connection on a used 4-tuple?
bool starts_new_connection(const TcpConnection& existing, Direction direction, const TcpHeader& tcp);

}  // namespace vitrine
