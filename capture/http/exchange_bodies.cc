// ExchangeBuilder: bodies, event streams and WebSockets as parts.
#include <algorithm>

#include "base/text.h"
#include "capture/http/content_coding.h"
#include "capture/http/exchange_state.h"

namespace vitrine {

void ExchangeBuilder::data(ExchangeState& x, const HttpEvent& event) {
  MessageState& m = x.messages[index(event.direction)];
  Message& message = x.exchange.message(event.direction);
  if (m.ended && !closed_[index(event.direction)]) {
    message.bytes.add(Cause::malformed, event.data.size());
    return;
  }
  if (m.body_given && !m.websocket) {
    // RFC 9113 8.1: trailers end the message; the body was given with them.
    message.bytes.add(Cause::malformed, event.data.size());
    issue({Cause::malformed, "http: data behind the trailers", event.packet, 0});
    return;
  }
  const StreamSpan span = event.pieces.empty() ? StreamSpan{} : event.pieces.front();
  if (m.first_packet == 0) m.first_packet = event.first_packet ? event.first_packet : event.packet;
  m.last_packet = event.packet;
  m.time = event.time;
  if (m.websocket) {
    message.wire_bytes += event.data.size();
    m.websocket->feed(event.data, span.offset, event.time, event.packet);
    return;
  }
  if (!message.seen && m.body.wire_bytes() == 0) {
    // How it is coded stood in a head that was lost.
    m.body.set_discard(Cause::gap);
    issue({Cause::gap, "http2: data on a stream whose head was not seen", event.packet, 0});
  }
  const bool had_view = m.body.has_view();
  m.body.add(event.data, span);
  if (!had_view && m.body.has_view()) views_.emplace_back(x.message_id, event.direction);
}

void ExchangeBuilder::hole(ExchangeState& x, Direction direction, const HttpEvent& event) {
  MessageState& m = x.messages[index(direction)];
  if (m.ended) return;
  m.holes = true;
  m.hole_cause = event.cause;
  const uint64_t length = event.pieces.empty() ? 0 : event.pieces.front().length;
  if (m.websocket) m.websocket->gap(length, event.cause, event.time, event.packet);
  else m.body.hole(event.cause);
}

void ExchangeBuilder::end_chunk() {
  for (const auto& [message, direction] : views_) {
    if (ExchangeState* x = find(message)) x->messages[index(direction)].body.keep_views();
  }
  views_.clear();
}

void ExchangeBuilder::body_part(ExchangeState& x, Direction direction, bool complete, Cause cause, Timestamp time,
                                uint64_t packet) {
  MessageState& m = x.messages[index(direction)];
  if (m.body_given) return;
  m.body_given = true;
  Message& message = x.exchange.message(direction);
  const BodyReader::Outcome outcome = m.body.finish(complete);
  message.wire_bytes = m.body.wire_bytes();
  message.content_bytes = m.body.content_bytes();
  message.sha256 = m.body.sha256();
  message.bytes += outcome.bytes;
  if (outcome.issue != nullptr) issue({outcome.cause, outcome.issue, packet, 0});
  m.body_bad = outcome.cause != Cause::decoded;
  if (m.body_bad) message.complete = false;
  if (outcome.cause == Cause::unsupported && m.body.wire_bytes() > 0 && !x.tunnel) {
    for (const std::string& name : message.content_codings) {
      Decoder decoder{};
      if (!content_coding(name, decoder))
        issue({Cause::unsupported, "http: unknown content coding " + name, packet, 0});
    }
  }
  if (outcome.streamed || m.body.wire_bytes() == 0 || x.tunnel) return;
  Part part;
  part.kind = Part::Kind::body;
  part.direction = direction;
  part.time = time;
  part.first_packet = m.first_packet;
  part.last_packet = m.last_packet;
  part.content = outcome.content;
  const bool undecoded = outcome.cause == Cause::unsupported;
  part.complete = complete && (outcome.cause == Cause::decoded || undecoded);
  part.cause = outcome.cause != Cause::decoded ? outcome.cause : complete ? Cause::decoded : cause;
  part.wire_bytes = m.body.wire_bytes();
  part.pieces = m.body.pieces();
  part.decoders = m.body.decoders();
  sink_.part(x.exchange, part);
  m.body.release();
}

// Both messages go on as frames. After an HTTP/1 Upgrade the request had ended.
void ExchangeBuilder::start_websocket(ExchangeState& x, const HttpEvent& response) {
  WebSocketExtensions agreed;
  for (const HeaderField& f : response.headers) {
    if (f.name.size() == 24 && equals_ignoring_case(f.name, "sec-websocket-extensions"))
      agreed = parse_websocket_extensions(f.value);
  }
  if (!agreed.unknown.empty())
    issue({Cause::unsupported, "websocket: unknown extension " + agreed.unknown, response.packet, 0});
  x.websocket = true;
  x.exchange.protocol = Protocol::websocket;
  for (MessageState& m : x.messages) {
    if (!closed_[index(m.direction)] && x.exchange.status == 101) m.ended = false;
    if (m.body_given && x.exchange.status != 101) continue;  // it had ended before
    m.websocket = std::make_unique<WebSocketParser>(m, agreed.deflate, !agreed.no_context_takeover[index(m.direction)]);
    if (limits_.digests) m.websocket_hash = std::make_unique<Sha256Stream>();
    if (!m.body_given && m.body.wire_bytes() > 0) {
      // HTTP/2: frames sent before the response came were kept as a body.
      const BodyReader::Outcome early = m.body.finish(false);
      Bytes rest = early.content;
      for (const StreamSpan& span : m.body.pieces()) {
        const size_t take = static_cast<size_t>(std::min<uint64_t>(span.length, rest.size()));
        m.websocket->feed(rest.first(take), span.offset, m.time, m.last_packet);
        rest = rest.subspan(take);
      }
      ByteCounts lost = early.bytes;
      lost.by_cause[static_cast<size_t>(Cause::decoded)] = 0;
      m.message().bytes += lost;
      if (m.holes) m.websocket->gap(0, m.hole_cause, m.time, m.last_packet);
      m.message().wire_bytes += m.body.wire_bytes();
    }
    m.body_given = true;
  }
}

void ExchangeBuilder::MessageState::on_event(std::string_view data, StreamSpan within, StreamSpan event,
                                             bool complete) {
  static constexpr Decoder kPlain[] = {Decoder::sse};
  std::vector<Decoder> decoders = body.decoders();
  Part part;
  part.kind = Part::Kind::message;
  part.direction = direction;
  part.time = time;
  part.first_packet = first_packet;
  part.last_packet = last_packet;
  part.content = as_bytes(data);
  part.text = true;
  part.complete = complete;
  part.cause = complete ? Cause::decoded : Cause::truncated;
  part.within = within;
  part.pieces = body.pieces();
  // Compressed bytes cannot be told apart by event: they count with the body.
  part.wire_bytes = decoders.empty() ? event.length : 0;
  decoders.push_back(Decoder::sse);
  part.decoders = decoders.size() == 1 ? std::span<const Decoder>(kPlain) : std::span<const Decoder>(decoders);
  body.event_emitted();
  builder->sink_.part(exchange->exchange, part);
}

void ExchangeBuilder::MessageState::on_message(const WebSocketMessage& m) {
  static constexpr Decoder kPlain[] = {Decoder::websocket};
  static constexpr Decoder kDeflated[] = {Decoder::websocket, Decoder::permessage_deflate};
  message().content_bytes += m.content.size();
  if (websocket_hash) websocket_hash->update(m.content);
  Part part;
  part.kind = Part::Kind::message;
  part.direction = direction;
  part.time = m.time;
  part.first_packet = m.first_packet;
  part.last_packet = m.packet;
  part.content = m.content;
  part.text = m.text;
  part.complete = m.complete;
  part.cause = m.cause;
  part.wire_bytes = m.wire_bytes;
  part.pieces = m.pieces;
  part.decoders = m.compressed ? std::span<const Decoder>(kDeflated) : std::span<const Decoder>(kPlain);
  builder->sink_.part(exchange->exchange, part);
}

}  // namespace vitrine
