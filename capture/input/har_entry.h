// One entry of a HAR's log.entries → one exchange.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "capture/exchange.h"
#include "capture/http/sse.h"
#include "capture/input/json_tree.h"
#include "capture/origin.h"

namespace vitrine {

class HarEntry final : private SseParser::Sink {
 public:
  // All borrowed for the object's life. `damage`: what stopped the reading of
  // this entry (truncated, malformed), or decoded.
  HarEntry(const JsonTree& tree, uint64_t index, Cause damage, ExchangeSink& sink);
  void emit();

 private:
  using Node = JsonTree::Node;

  bool transmitted(const Node* entry, std::string_view url);
  void describe_connection(const Node* entry, const Node* response);
  void head(const Node* message, Direction direction);
  void cookies_without_header(const Node* message);
  void emit_headers(Direction direction);
  void request_body(const Node* request);
  void request_parameters(const Node* post, const Node* params);
  void response_body(const Node* entry, const Node* response);
  // `size`: bytes the body had, where the file says so, else 0.
  void body(Direction direction, const Node* text, bool base64, double size);
  void deliver(Direction direction, StreamSpan span, Bytes content, uint64_t wire, std::span<const Decoder> steps,
               Cause cause);
  void event_messages(const Node* list);
  void websocket_messages(const Node* list);
  void missing(Direction direction, double size);
  void on_event(std::string_view data, StreamSpan within, StreamSpan event, bool complete) override;

  Part make_part(Part::Kind kind, Direction direction, StreamSpan span);
  Timestamp message_time(const Node* item) const;
  void issue(Cause cause, std::string what);
  void incomplete(Direction direction, CloseReason reason);

  const JsonTree& tree_;
  ExchangeSink& sink_;
  const Cause damage_;
  ConnectionInfo connection_;
  Exchange exchange_;
  CloseReason reason_ = CloseReason::complete;
  std::vector<HeaderField> headers_;
  std::deque<std::string> made_;    // header values put together here
  std::vector<StreamSpan> blocks_;  // of the head in headers_
  StreamSpan piece_;
  std::vector<Decoder> event_steps_;  // of the event stream being split
  bool event_seen_ = false;
  double content_length_ = 0;  // of the head in headers_
};

}  // namespace vitrine
