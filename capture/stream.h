// One direction of one connection as an ordered stream: what reassembly, TLS
// and HTTP pass on to each other.
#pragma once

#include "capture/types.h"

namespace vitrine {

struct StreamChunk {
  enum class Kind : uint8_t {
    data,   // `bytes` are the stream's next bytes
    gap,    // `gap_length` bytes of the stream are missing; parsing must resynchronise or give up
    close,  // no more bytes follow in this direction
  };
  enum class Close : uint8_t { fin, reset, end_of_capture, idle };

  Kind kind = Kind::data;
  Direction direction = Direction::client_to_server;
  Close close = Close::fin;
  bool gap_is_snaplen = false;  // the missing bytes were on the wire and cut by the snap length: Cause::truncated
  uint64_t offset = 0;          // of the first byte (or of the gap) in this stream; gaps count
  Bytes bytes;                  // borrowed for the call
  uint64_t gap_length = 0;
  bool gap_accounted = false;  // an earlier stage (TLS) has put the gap's bytes into the ledger already
  Timestamp time;
  uint64_t packet = 0;  // packet that made this chunk available
};

// Consumes both directions of one connection in the order they became
// available. Called from one thread.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual void on_chunk(const StreamChunk& chunk) = 0;
};

// [offset, offset+length) of a plaintext stream (after TLS, where there is TLS).
struct StreamSpan {
  uint64_t offset = 0;
  uint64_t length = 0;
  auto operator<=>(const StreamSpan&) const = default;
};

}  // namespace vitrine
