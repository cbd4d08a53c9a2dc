// The one version-neutral event set of the HTTP framers (after mitmproxy's
// sans-I/O layers): HTTP/1, HTTP/2, later HTTP/3 emit it, the exchange builder reads it.
#pragma once

#include <span>

#include "capture/exchange.h"
#include "capture/stream.h"

namespace vitrine {

struct HttpEvent {
  enum class Kind : uint8_t {
    headers,        // the head; pseudo-headers (":method" …) also for HTTP/1
    informational,  // 1xx head other than 101
    data,           // body bytes after transfer framing
    trailers,
    end,    // message ended; `cause` says whether it was cut
    reset,  // RST_STREAM, connection reset
  };
  Kind kind = Kind::headers;
  Direction direction = Direction::client_to_server;
  uint64_t message = 0;  // HTTP/1: 1-based ordinal of the request; HTTP/2: stream id
  Protocol protocol = Protocol::http11;
  std::span<const HeaderField> headers;
  std::span<const StreamSpan> pieces;  // where these bytes lie in the plaintext stream
  Bytes data;                          // valid until the end of the on_chunk call that caused the event
  Cause cause = Cause::decoded;        // data: not `decoded` = a hole; `pieces` says where (length 0: unknown).
                                       // A hole on message 0 concerns every open message of the direction.
  Timestamp time;
  uint64_t packet = 0;        // that completed the event
  uint64_t first_packet = 0;  // that began it
};

class HttpEventSink : public IssueSink {
 public:
  virtual void on_http(const HttpEvent& event) = 0;
  // Plaintext stream bytes that are framing (start line, head, chunk sizes,
  // frame headers, padding, control frames) or were skipped. Bytes delivered in
  // `data` events are accounted by the receiver, never here. message 0 = connection.
  virtual void on_bytes(Direction direction, uint64_t message, Cause cause, uint64_t bytes) = 0;
};

}  // namespace vitrine
