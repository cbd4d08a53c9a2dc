#include "capture/http/exchange_builder.h"

#include <algorithm>

#include "capture/http/exchange_state.h"

namespace vitrine {
namespace {

CloseReason reason_of(Cause cause) {
  switch (cause) {
    case Cause::gap: return CloseReason::gap;
    case Cause::malformed: return CloseReason::malformed;
    default: return CloseReason::connection_closed;
  }
}

}  // namespace

ExchangeBuilder::ExchangeBuilder(ConnectionInfo& info, ExchangeSink& sink, const HttpLimits& limits)
    : info_(info), sink_(sink), limits_(limits), buffers_(limits.buffers != nullptr ? *limits.buffers : own_buffers_) {}
ExchangeBuilder::~ExchangeBuilder() = default;

void ExchangeBuilder::issue(Issue issue) {
  issue.connection = info_.id;
  sink_.issue(std::move(issue));
}

ExchangeBuilder::ExchangeState* ExchangeBuilder::find(uint64_t message) {
  if (message == last_message_ && last_ != nullptr) return last_;
  const auto found = open_.find(message);
  if (found == open_.end()) return nullptr;
  last_message_ = message;
  return last_ = found->second.get();
}

void ExchangeBuilder::on_bytes(Direction direction, uint64_t message, Cause cause, uint64_t bytes) {
  ExchangeState* x = message == 0 ? nullptr : find(message);
  ByteCounts& counts = x != nullptr ? x->exchange.message(direction).bytes : info_.overhead[index(direction)];
  counts.add(cause, bytes);
}

void ExchangeBuilder::on_http(const HttpEvent& event) {
  if (event.kind == HttpEvent::Kind::headers || event.kind == HttpEvent::Kind::informational) {
    headers(event);
    return;
  }
  if (event.message == 0) {  // a hole of unknown size in every open message of the direction
    for (ExchangeState* x : in_order()) hole(*x, event.direction, event);
    return;
  }
  ExchangeState* x = find(event.message);
  if (x == nullptr) {
    // Closed already (a bound, a reset): nothing follows its bytes any more.
    if (event.kind == HttpEvent::Kind::data) on_bytes(event.direction, 0, Cause::truncated, event.data.size());
    return;
  }
  x->exchange.last_packet = std::max(x->exchange.last_packet, event.packet);
  switch (event.kind) {
    case HttpEvent::Kind::data:
      if (event.cause != Cause::decoded) hole(*x, event.direction, event);
      else data(*x, event);
      return;
    case HttpEvent::Kind::trailers: {
      MessageState& m = x->messages[index(event.direction)];
      body_part(*x, event.direction, !m.holes, m.holes ? m.hole_cause : Cause::decoded, event.time, event.packet);
      headers_part(*x, event, true);
      return;
    }
    case HttpEvent::Kind::end: {
      const bool complete = event.cause == Cause::decoded;
      end_message(*x, event.direction, complete, event.cause, reason_of(event.cause), event.time, event.packet);
      close_if_ended(*x, event.time, event.packet);
      return;
    }
    case HttpEvent::Kind::reset:
      for (Direction d : {Direction::client_to_server, Direction::server_to_client}) {
        end_message(*x, d, false, Cause::truncated, CloseReason::reset, event.time, event.packet);
      }
      close_if_ended(*x, event.time, event.packet);
      return;
    default: return;
  }
}

ExchangeBuilder::ExchangeState& ExchangeBuilder::open(const HttpEvent& event) {
  std::unique_ptr<ExchangeState> state;
  if (!free_.empty()) {
    state = std::move(free_.back());
    free_.pop_back();
  } else {
    state = std::make_unique<ExchangeState>();
    for (Direction d : {Direction::client_to_server, Direction::server_to_client}) {
      MessageState& m = state->messages[index(d)];
      m.builder = this;
      m.exchange = state.get();
      m.direction = d;
      m.body.use(buffers_);
    }
  }
  ExchangeState& x = *state;
  x.message_id = event.message;
  Exchange& e = x.exchange;
  e.id = {info_.id, ++ordinals_};
  e.connection = &info_;
  e.protocol = event.protocol;
  e.stream = event.protocol == Protocol::http2 ? event.message : 0;
  if (info_.protocol.empty()) {
    info_.protocol = event.protocol == Protocol::http2    ? "h2"
                     : event.protocol == Protocol::http10 ? "http/1.0"
                                                          : "http/1.1";
  }
  e.process = info_.process;
  e.opened = event.time;
  e.first_packet = event.first_packet ? event.first_packet : event.packet;
  e.last_packet = event.packet;
  for (size_t d = 0; d < 2; ++d) x.messages[d].ended = closed_[d];
  open_[event.message] = std::move(state);
  last_ = &x;
  last_message_ = event.message;
  return x;
}

void ExchangeBuilder::end_message(ExchangeState& x, Direction direction, bool complete, Cause cause, CloseReason reason,
                                  Timestamp time, uint64_t packet) {
  MessageState& m = x.messages[index(direction)];
  if (m.ended) return;
  Message& message = x.exchange.message(direction);
  if (m.holes && complete) {
    complete = false;
    cause = m.hole_cause;
    reason = reason_of(cause);
  }
  message.complete = complete && message.seen && !m.body_bad;
  if (m.websocket) {
    m.websocket->finish(complete ? Cause::truncated : cause, time, packet);
    if (m.websocket_hash) message.sha256 = to_hex(m.websocket_hash->digest());
  } else if (message.seen || m.body.wire_bytes() > 0) {
    body_part(x, direction, complete, cause == Cause::decoded ? Cause::truncated : cause, time, packet);
  }
  m.ended = true;
  if (!complete && x.reason == CloseReason::complete) x.reason = reason;
}

void ExchangeBuilder::close_if_ended(ExchangeState& x, Timestamp time, uint64_t packet) {
  if (x.messages[0].ended && x.messages[1].ended) close(x, x.reason, time, packet);
}

void ExchangeBuilder::close(ExchangeState& x, CloseReason reason, Timestamp time, uint64_t packet) {
  x.exchange.closed = time;
  x.exchange.last_packet = std::max(x.exchange.last_packet, packet);
  // A response alone is not the whole exchange.
  if (reason == CloseReason::complete && !x.exchange.messages[0].seen && !x.promised) reason = CloseReason::gap;
  sink_.closed(x.exchange, reason);
  const auto found = open_.find(x.message_id);
  std::unique_ptr<ExchangeState> state = std::move(found->second);
  open_.erase(found);
  last_ = nullptr;
  last_message_ = 0;
  if (free_.size() < 16) {
    state->reset();
    free_.push_back(std::move(state));
  }
}

std::vector<ExchangeBuilder::ExchangeState*> ExchangeBuilder::in_order() {
  std::vector<ExchangeState*> states;
  states.reserve(open_.size());
  for (auto& [id, state] : open_) states.push_back(state.get());
  std::sort(states.begin(), states.end(), [](const ExchangeState* a, const ExchangeState* b) {
    return a->exchange.id.ordinal < b->exchange.id.ordinal;
  });
  return states;
}

void ExchangeBuilder::upgrade_to_http2(uint64_t message, Timestamp time, uint64_t packet) {
  for (ExchangeState* x : in_order()) {
    if (x->message_id == message) continue;
    for (Direction d : {Direction::client_to_server, Direction::server_to_client}) {
      end_message(*x, d, false, Cause::gap, CloseReason::gap, time, packet);
    }
    close_if_ended(*x, time, packet);
  }
  auto found = open_.find(message);
  last_ = nullptr;
  if (found == open_.end() || message == 1) return;
  std::unique_ptr<ExchangeState> state = std::move(found->second);
  open_.erase(found);
  state->message_id = 1;
  open_[1] = std::move(state);
}

void ExchangeBuilder::direction_closed(Direction direction, CloseReason reason, Timestamp time, uint64_t packet) {
  closed_[index(direction)] = true;
  for (ExchangeState* x : in_order()) {
    end_message(*x, direction, false, Cause::truncated, reason, time, packet);
    close_if_ended(*x, time, packet);
  }
}

void ExchangeBuilder::finish(CloseReason reason, Timestamp time, uint64_t packet) {
  direction_closed(Direction::client_to_server, reason, time, packet);
  direction_closed(Direction::server_to_client, reason, time, packet);
}

}  // namespace vitrine
