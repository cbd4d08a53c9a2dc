// HttpEvents of one connection → the lifecycle of its exchanges: opened, parts,
// closed. Undoes content codings, splits event streams and WebSockets into
// messages, and accounts every body byte by its fate.
//
// The request of a server push (PUSH_PROMISE) was never sent by the client:
// it fills the Exchange, its headers part has direction server_to_client, and
// messages[client_to_server].seen stays false.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "capture/http/body_reader.h"
#include "capture/http/http_connection.h"
#include "capture/http/http_event.h"
#include "capture/http/websocket.h"

namespace vitrine {

class ExchangeBuilder final : public HttpEventSink {
 public:
  // All borrowed; `info` outlives this object.
  ExchangeBuilder(ConnectionInfo& info, ExchangeSink& sink, const HttpLimits& limits);
  ~ExchangeBuilder() override;

  void on_http(const HttpEvent& event) override;
  void on_bytes(Direction direction, uint64_t message, Cause cause, uint64_t bytes) override;
  void issue(Issue issue) override;

  // The chunk's bytes go away: call at the end of every on_chunk.
  void end_chunk();
  // h2c by Upgrade: the open message becomes stream 1; all others are over.
  void upgrade_to_http2(uint64_t message, Timestamp time, uint64_t packet);
  // A direction will bring no more bytes: its open messages end, cut.
  void direction_closed(Direction direction, CloseReason reason, Timestamp time, uint64_t packet);
  // Closes everything that is open.
  void finish(CloseReason reason, Timestamp time, uint64_t packet);

 private:
  struct MessageState;
  struct ExchangeState;

  ExchangeState* find(uint64_t message);
  ExchangeState& open(const HttpEvent& event);
  void headers(const HttpEvent& event);
  void request_head(ExchangeState& x, const HttpEvent& event);
  void response_head(ExchangeState& x, const HttpEvent& event);
  void message_head(ExchangeState& x, Direction direction, const HttpEvent& event);
  void fill_host(ExchangeState& x);
  void start_websocket(ExchangeState& x, const HttpEvent& response);
  void headers_part(ExchangeState& x, const HttpEvent& event, bool trailers);
  void data(ExchangeState& x, const HttpEvent& event);
  void hole(ExchangeState& x, Direction direction, const HttpEvent& event);
  void body_part(ExchangeState& x, Direction direction, bool complete, Cause cause, Timestamp time, uint64_t packet);
  void end_message(ExchangeState& x, Direction direction, bool complete, Cause cause, CloseReason reason,
                   Timestamp time, uint64_t packet);
  void close_if_ended(ExchangeState& x, Timestamp time, uint64_t packet);
  void close(ExchangeState& x, CloseReason reason, Timestamp time, uint64_t packet);
  std::vector<ExchangeState*> in_order();

  ConnectionInfo& info_;
  ExchangeSink& sink_;
  HttpLimits limits_;
  BufferPool own_buffers_;
  BufferPool& buffers_;
  std::unordered_map<uint64_t, std::unique_ptr<ExchangeState>> open_;
  std::vector<std::unique_ptr<ExchangeState>> free_;   // closed ones, kept for their buffers
  std::vector<std::pair<uint64_t, Direction>> views_;  // messages that hold a view of the chunk
  ExchangeState* last_ = nullptr;                      // of open_, found last
  uint64_t last_message_ = 0;
  uint32_t ordinals_ = 0;
  bool closed_[2] = {false, false};
};

}  // namespace vitrine
