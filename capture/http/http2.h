// HTTP/2 (RFC 9113) followed from outside: a passive framer for both directions
// of one connection. libnghttp2 sessions are endpoints and cannot do this.
//
// Broken input: a gap inside a DATA payload keeps the framing. Any other gap, a
// malformed frame header, or a late join loses it: the next plausible frame
// boundary is looked for, the direction's HPACK table counts as lost, and every
// open message of the direction has a hole of unknown size.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "capture/http/hpack.h"
#include "capture/http/http2_frame.h"
#include "capture/http/http_connection.h"
#include "capture/http/http_event.h"
#include "capture/http/stream_input.h"

namespace vitrine {

class Http2Framer {
 public:
  // `sink` is borrowed. `joined` = the streams may begin anywhere.
  Http2Framer(HttpEventSink& sink, const HttpLimits& limits, bool joined);

  // h2c by Upgrade (RFC 7540 3.2): stream 1 is half closed by the client, and
  // `settings` (payload of HTTP2-Settings) came in the request.
  void begin_upgraded(Bytes settings);

  void on_chunk(const StreamChunk& chunk);
  void finish(Timestamp time, uint64_t packet);

 private:
  static constexpr uint32_t kJoinedMaxFrame = 1 << 20;  // the peer's SETTINGS were not seen
  enum class State : uint8_t { preface, frame_header, data, buffered, skipped, resync, closed };
  struct Side {
    Direction direction;
    State state = State::frame_header;
    HpackInflater hpack;
    uint32_t max_frame = 16384;  // SETTINGS_MAX_FRAME_SIZE of the receiver
    std::string buffer;          // partial preface, frame header or payload; resync window
    FrameHeader frame;
    uint64_t frame_offset = 0;  // of the frame header
    uint64_t frame_packet = 0;
    uint32_t remaining = 0;  // payload bytes not yet read
    uint32_t padding = 0;    // of them at the end
    bool pad_length_due = false;
    Cause skip_cause = Cause::decoded;
    uint64_t skip_message = 0;
    // An open header block (HEADERS or PUSH_PROMISE without END_HEADERS).
    bool block_open = false, block_broken = false, block_end_stream = false, block_push = false;
    uint32_t block_stream = 0, block_promised = 0;
    Cause block_cause = Cause::gap;  // of a broken block
    uint64_t block_packet = 0, block_framing = 0;
    std::string block;
    std::vector<StreamSpan> block_pieces;
  };
  struct Stream {
    bool head[2] = {false, false};
    bool ended[2] = {false, false};
  };
  using Input = StreamInput;

  Side& side(Direction d) { return sides_[static_cast<size_t>(d)]; }
  void run(Side& s, Input& in);
  void read_preface(Side& s, Input& in);
  void read_frame_header(Side& s, Input& in);
  void begin_frame(Side& s, const FrameHeader& frame, const Input& in);
  void read_data(Side& s, Input& in);
  void read_buffered(Side& s, Input& in);
  void read_skipped(Side& s, Input& in);
  void read_resync(Side& s, Input& in);
  void reread(Side& s, std::string bytes, const Input& in);
  void end_data(Side& s, const Input& in);
  void payload(Side& s, Bytes payload, uint64_t offset, const Input& in);
  void header_frame(Side& s, Bytes payload, uint64_t offset, const Input& in);
  void fragment(Side& s, Bytes fragment, uint64_t offset, size_t framing, const Input& in);
  void finish_block(Side& s, Bytes block, const Input& in);
  void drop_block(Side& s, Cause cause);
  void settings(Side& s, Bytes payload);
  void lose(Side& s, Cause cause, const Input& in);
  void gap(Side& s, const StreamChunk& chunk);
  void close(Side& s, const Input& in);
  uint64_t known(const Side& s, uint32_t stream) const;
  Stream* open_stream(Side& s, uint32_t id, const Input& in);
  void end_stream(Side& s, uint32_t id, const Input& in);
  void emit(HttpEvent::Kind kind, const Side& s, uint64_t message, std::span<const StreamSpan> pieces, const Input& in,
            uint64_t first_packet, Cause cause = Cause::decoded);
  void issue(Cause cause, const char* what, uint64_t packet) { sink_.issue({cause, what, packet, 0}); }

  HttpEventSink& sink_;
  HttpLimits limits_;
  Side sides_[2];
  std::unordered_map<uint32_t, Stream> streams_;       // open, followed
  uint32_t highest_client_ = 0;                        // largest stream id the client opened
  bool uncertain_ = false;                             // joined late or lost framing at least once
  HeaderBlock head_;                                   // scratch
  std::vector<std::unique_ptr<std::string>> retired_;  // read again in this chunk; events may view them
};

}  // namespace vitrine
