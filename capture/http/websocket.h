// WebSocket frames (RFC 6455) of one direction, with permessage-deflate
// (RFC 7692): stream bytes in, whole messages out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "capture/http/content_coding.h"
#include "capture/stream.h"

namespace vitrine {

// What Sec-WebSocket-Extensions agreed on.
struct WebSocketExtensions {
  bool deflate = false;
  bool no_context_takeover[2] = {false, false};  // by direction of the sender
  std::string unknown;                           // an extension we do not read
};
WebSocketExtensions parse_websocket_extensions(std::string_view header);

struct WebSocketMessage {
  Bytes content;
  bool text = false, compressed = false, complete = true;
  Cause cause = Cause::decoded;
  uint64_t wire_bytes = 0;             // of its frames, headers included
  std::span<const StreamSpan> pieces;  // its frames, headers included
  Timestamp time;
  uint64_t first_packet = 0, packet = 0;
};

class WebSocketParser {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void on_message(const WebSocketMessage& message) = 0;
    // Stream bytes by fate; each byte once.
    virtual void on_websocket_bytes(Cause cause, uint64_t bytes) = 0;
    virtual void on_websocket_issue(Cause cause, const char* what, uint64_t packet) = 0;
  };

  static constexpr uint64_t kMessageBound = 64ull << 20;  // content of one message

  // `deflate`: RSV1 means compressed; `takeover`: the window lives on between messages.
  WebSocketParser(Sink& sink, bool deflate, bool takeover);

  void feed(Bytes bytes, uint64_t offset, Timestamp time, uint64_t packet);
  // `length` 0 = unknown.
  void gap(uint64_t length, Cause cause, Timestamp time, uint64_t packet);
  void finish(Cause cause, Timestamp time, uint64_t packet);

 private:
  enum class State : uint8_t { header, payload, dead };
  void begin_frame(uint64_t packet);
  void payload(Bytes bytes, uint64_t offset);
  void end_frame(Timestamp time, uint64_t packet);
  void deliver(Timestamp time, uint64_t packet);
  bool inflate(std::string& out);
  void die(Cause cause, const char* what, uint64_t packet);

  Sink& sink_;
  bool deflate_, takeover_;
  State state_ = State::header;
  Cause dead_cause_ = Cause::malformed;
  uint8_t header_[14] = {};
  size_t header_size_ = 0;
  std::vector<StreamSpan> header_pieces_;
  uint64_t remaining_ = 0, frame_size_ = 0;
  uint8_t mask_[4] = {};
  size_t mask_at_ = 0;
  bool masked_ = false, fin_ = false, control_ = false, closed_ = false;
  // The message being collected; its frames may be split by control frames.
  bool open_ = false, text_ = false, compressed_ = false;
  Cause cut_ = Cause::decoded;
  std::string content_;
  Bytes whole_;  // an unmasked message that lies in one chunk
  uint64_t wire_bytes_ = 0;
  std::vector<StreamSpan> pieces_;
  uint64_t first_packet_ = 0;
  std::unique_ptr<Decompressor> inflater_;
  uint64_t inflated_ = 0;
  bool context_lost_ = false;
};

}  // namespace vitrine
