// What ExchangeBuilder keeps of an exchange while it is open. Private to exchange_*.cc.
#pragma once

#include <memory>
#include <string>

#include "capture/http/body_reader.h"
#include "capture/http/exchange_builder.h"
#include "capture/http/sse.h"
#include "capture/http/websocket.h"

namespace vitrine {

inline size_t index(Direction direction) { return static_cast<size_t>(direction); }

struct ExchangeBuilder::MessageState final : SseParser::Sink, WebSocketParser::Sink {
  ExchangeBuilder* builder = nullptr;
  ExchangeState* exchange = nullptr;
  Direction direction = Direction::client_to_server;
  bool ended = false;
  bool body_given = false;  // body part emitted or known to be none
  bool holes = false;       // bytes are missing
  bool body_bad = false;    // its content is not whole
  Cause hole_cause = Cause::gap;
  uint64_t first_packet = 0, last_packet = 0;  // of the body
  Timestamp time;
  BodyReader body;
  std::unique_ptr<WebSocketParser> websocket;
  std::unique_ptr<Sha256Stream> websocket_hash;

  void reset() {
    ended = body_given = holes = body_bad = false;
    first_packet = last_packet = 0;
    body.reset();
    websocket.reset();
    websocket_hash.reset();
  }
  Message& message();
  void on_event(std::string_view data, StreamSpan within, StreamSpan event, bool complete) override;
  void on_message(const WebSocketMessage& message) override;
  void on_websocket_bytes(Cause cause, uint64_t bytes) override { message().bytes.add(cause, bytes); }
  void on_websocket_issue(Cause cause, const char* what, uint64_t packet) override {
    builder->issue({cause, what, packet, 0});
  }
};

struct ExchangeBuilder::ExchangeState {
  Exchange exchange;
  uint64_t message_id = 0;
  bool promised = false;
  bool head_request = false, tunnel = false, websocket = false;
  bool deflate_offered = false;
  CloseReason reason = CloseReason::complete;
  MessageState messages[2];

  void reset() {
    Exchange& e = exchange;
    for (std::string* text :
         {&e.method, &e.scheme, &e.authority, &e.path, &e.host, &e.referer, &e.origin, &e.initiator, &e.process}) {
      text->clear();
    }
    for (Message& m : e.messages) {
      m.seen = m.complete = false;
      m.content_type.clear();
      m.content_codings.clear();
      m.wire_bytes = m.content_bytes = 0;
      m.sha256.clear();
      m.bytes = {};
    }
    e.status = 0;
    e.stream = 0;
    e.first_packet = e.last_packet = 0;
    e.protocol = Protocol::unknown;
    promised = head_request = tunnel = websocket = deflate_offered = false;
    reason = CloseReason::complete;
    for (MessageState& m : messages) m.reset();
  }
};

inline Message& ExchangeBuilder::MessageState::message() { return exchange->exchange.message(direction); }

}  // namespace vitrine
