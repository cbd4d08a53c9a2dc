// HTTP/1.0 and 1.1 (RFC 9112) followed from outside: both directions of one
// connection as bytes in, HttpEvents out. Keeps what a message's length depends
// on (HEAD, CONNECT, Upgrade) and pairs responses with pipelined requests.
//
// Broken input: a start line that is none, or a gap in a head, loses the
// framing of that direction. It is found again at the next plausible start
// line; what was skipped is counted (malformed or gap) for the connection.
// A gap inside a body of known length keeps the framing.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "capture/http/http1_head.h"
#include "capture/http/http_connection.h"
#include "capture/http/http_event.h"
#include "capture/http/stream_input.h"

namespace vitrine {

class Http1Framer {
 public:
  // `sink` is borrowed. `joined` = the streams may begin inside a message:
  // both directions look for a start line first.
  Http1Framer(HttpEventSink& sink, const HttpLimits& limits, bool joined);

  // Returns the data bytes used: all, unless the connection became HTTP/2 by
  // Upgrade inside this chunk (switched()).
  size_t on_chunk(const StreamChunk& chunk);

  bool switched() const { return switched_; }  // h2c: the framer is finished
  uint64_t switched_message() const { return h2c_message_; }
  const std::string& http2_settings() const { return http2_settings_; }  // header value, base64url
  // Bytes of `direction` not used before the switch, and their stream offset.
  std::string take_rest(Direction direction, uint64_t& offset);

  // A start line was read; before, it may not be HTTP at all.
  bool confirmed() const { return confirmed_; }
  Protocol protocol() const { return seen_protocol_; }
  // Ends both directions where a close did not.
  void finish(Timestamp time, uint64_t packet);

 private:
  enum class State : uint8_t {
    start,
    resync,
    length,
    chunk_size,
    chunk_data,
    chunk_end,
    trailers,
    until_close,
    raw,
    tunnel,
    closed
  };
  struct Side {
    Direction direction;
    State state = State::start;
    Cause skip_cause = Cause::gap;  // resync: why bytes are skipped
    std::string buffer;             // an incomplete head or line; bounded by header_bytes
    uint64_t buffer_offset = 0;     // its place in the stream
    uint64_t buffer_packet = 0;
    size_t scanned = 0;      // of buffer: start of the first line not seen whole
    uint64_t remaining = 0;  // of the body or chunk
    uint64_t message = 0;
    Protocol protocol = Protocol::http11;
    uint64_t unconfirmed = 0;  // skipped before any start line was seen
    bool lost = false;         // messages may have been missed since the last head
  };
  struct Pending {
    uint64_t message;
    bool head, connect;
    std::string upgrade;
  };
  struct Framing {
    bool chunked = false, has_length = false, coded = false;
    uint64_t length = 0;
    std::string_view upgrade, settings;
  };
  using Input = StreamInput;

  Side& side(Direction d) { return sides_[static_cast<size_t>(d)]; }
  void run(Side& side, Input& in);
  void read_start(Side& side, Input& in);
  void read_resync(Side& side, Input& in);
  void read_body(Side& side, Input& in);
  void read_line_state(Side& side, Input& in);
  void read_trailers(Side& side, Input& in);
  bool head(Side& side, std::string_view text, uint64_t offset, const Input& in);
  void request(Side& side, const StartLine& start, std::string_view text, uint64_t offset, const Input& in);
  void response(Side& side, const StartLine& start, std::string_view text, uint64_t offset, const Input& in);
  Framing framing(Direction direction, const Input& in);
  FieldLines fields(std::string_view text, size_t from, const Input& in);
  void head_bytes(Side& side, uint64_t message, size_t size, const FieldLines& lines);
  void emit(HttpEvent::Kind kind, const Side& side, uint64_t message, StreamSpan span, const Input& in,
            uint64_t first_packet, Cause cause = Cause::decoded);
  void end_message(Side& side, Cause cause, const Input& in);
  void switch_raw(uint64_t message, State state);
  void lose(Side& side, Cause cause);
  void skip(Side& side, uint64_t bytes);
  const std::string& retire(std::string bytes);
  void confirm(Protocol protocol);
  void gap(Side& side, const StreamChunk& chunk);
  void close(Side& side, StreamChunk::Close how, const Input& in);
  void issue(Cause cause, const char* what, uint64_t packet) { sink_.issue({cause, what, packet, 0}); }

  HttpEventSink& sink_;
  HttpLimits limits_;
  Side sides_[2];
  Input now_{};                  // of the chunk being read: time and packet
  std::deque<Pending> pending_;  // requests whose final response has not begun
  uint64_t messages_ = 0;
  uint64_t orphan_ = 0;       // response without a request, opened by a 1xx
  uint64_t raw_message_ = 0;  // the client side goes raw when its request ends
  State raw_state_ = State::raw;
  bool pipelined_ = false, confirmed_ = false, joined_ = false, switched_ = false;
  uint64_t h2c_message_ = 0;
  std::string http2_settings_;
  Protocol seen_protocol_ = Protocol::unknown;
  std::vector<HeaderField> fields_;                    // scratch
  std::vector<std::unique_ptr<std::string>> retired_;  // read again in this chunk; events may view them
};

}  // namespace vitrine
