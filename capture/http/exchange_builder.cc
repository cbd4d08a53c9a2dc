#include "capture/http/exchange_builder.h"

#include <algorithm>

#include "capture/http/http1_head.h"

namespace vitrine {
namespace {

size_t index(Direction direction) { return static_cast<size_t>(direction); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Lower case but for the boundary parameter, whose case matters (RFC 2046 5.1.1).
void assign_content_type(std::string& out, std::string_view value) {
  out.resize(value.size());
  std::transform(value.begin(), value.end(), out.begin(), lower);
  size_t at = out.find("boundary=");
  if (at == std::string::npos) return;
  at += 9;
  const bool quoted = at < out.size() && out[at] == '"';
  const size_t end = std::min(out.find(quoted ? '"' : ';', at + (quoted ? 1 : 0)), out.size());
  std::copy(value.begin() + static_cast<ptrdiff_t>(at), value.begin() + static_cast<ptrdiff_t>(end),
            out.begin() + static_cast<ptrdiff_t>(at));
}

bool known_status(std::string_view text, int& out) {
  if (text.size() != 3) return false;
  out = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + (c - '0');
  }
  return true;
}

CloseReason reason_of(Cause cause) {
  switch (cause) {
    case Cause::gap:
      return CloseReason::gap;
    case Cause::malformed:
      return CloseReason::malformed;
    default:
      return CloseReason::connection_closed;
  }
}

}  // namespace

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

Message& ExchangeBuilder::MessageState::message() { return exchange->exchange.message(direction); }

ExchangeBuilder::ExchangeBuilder(ConnectionInfo& info, ExchangeSink& sink, const HttpLimits& limits)
    : info_(info), sink_(sink), limits_(limits) {}
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
      if (event.cause != Cause::decoded)
        hole(*x, event.direction, event);
      else
        data(*x, event);
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
    default:
      return;
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

void ExchangeBuilder::headers(const HttpEvent& event) {
  ExchangeState* x = find(event.message);
  bool promise = false;
  if (x == nullptr) {
    x = &open(event);
    if (event.direction == Direction::server_to_client) {
      promise = std::any_of(event.headers.begin(), event.headers.end(),
                            [](const HeaderField& f) { return f.name == ":method"; });
    }
    if (event.direction == Direction::client_to_server || promise) {
      request_head(*x, event);
    } else {
      // Its request was not seen; what the connection tells is known all the same.
      x->exchange.scheme = info_.tls ? "https" : "http";
      x->messages[0].ended = true;
      fill_host(*x);
    }
    x->promised = promise;
    if (promise) x->messages[0].ended = x->exchange.messages[0].complete = true;
    if (event.direction == Direction::server_to_client && !promise && event.kind == HttpEvent::Kind::headers) {
      response_head(*x, event);
    }
    sink_.opened(x->exchange);
  } else if (event.kind == HttpEvent::Kind::headers && event.direction == Direction::server_to_client) {
    response_head(*x, event);
  } else if (event.direction == Direction::client_to_server) {
    x->messages[0].ended = closed_[0];  // its response came first
    request_head(*x, event);
  }
  x->exchange.last_packet = std::max(x->exchange.last_packet, event.packet);
  headers_part(*x, event, false);
}

void ExchangeBuilder::fill_host(ExchangeState& x) {
  Exchange& e = x.exchange;
  std::string_view host = e.authority;
  if (const size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos &&
      (host.find(':') == colon || host.front() == '[')) {
    host = host.substr(0, colon);
  }
  e.host.assign(host);
  std::transform(e.host.begin(), e.host.end(), e.host.begin(), lower);
  if (e.host.empty()) e.host = info_.tls_info.sni;
  if (e.host.empty()) e.host = info_.server.ip.to_string();
}

void ExchangeBuilder::request_head(ExchangeState& x, const HttpEvent& event) {
  Exchange& e = x.exchange;
  std::string_view target, host, authority, scheme, protocol;
  bool offers_websocket = false;
  for (const HeaderField& f : event.headers) {
    if (f.name.empty()) continue;
    if (f.name.front() == ':') {
      if (f.name == ":method")
        e.method = f.value;
      else if (f.name == ":path")
        target = f.value;
      else if (f.name == ":scheme")
        scheme = f.value;
      else if (f.name == ":authority")
        authority = f.value;
      else if (f.name == ":protocol")
        protocol = f.value;
      continue;
    }
    switch (f.name.size()) {
      case 4:
        if (host.empty() && equals_ignoring_case(f.name, "host")) host = f.value;
        break;
      case 6:
        if (equals_ignoring_case(f.name, "origin")) e.origin = f.value;
        break;
      case 7:
        if (equals_ignoring_case(f.name, "referer")) e.referer = f.value;
        break;
      case 24:
        if (equals_ignoring_case(f.name, "sec-websocket-extensions"))
          offers_websocket = parse_websocket_extensions(f.value).deflate;
        break;
      default:
        break;
    }
  }
  x.deflate_offered = offers_websocket;
  e.scheme = !scheme.empty() ? scheme : info_.tls ? "https" : "http";
  e.path = target;
  if (e.method == "CONNECT" && protocol.empty()) {
    if (authority.empty()) authority = target;
    e.path.clear();
    x.tunnel = true;
  } else if (!target.empty() && target.front() != '/' && target != "*") {
    // Absolute form (RFC 9112 3.2.2), as sent to a proxy.
    const size_t mark = target.find("://");
    if (mark != std::string_view::npos && mark < 16) {
      const size_t slash = std::min(target.find_first_of("/?", mark + 3), target.size());
      e.scheme = target.substr(0, mark);
      std::transform(e.scheme.begin(), e.scheme.end(), e.scheme.begin(), lower);
      authority = target.substr(mark + 3, slash - mark - 3);
      e.path = target.substr(slash);
    }
  }
  e.authority = !authority.empty() ? authority : host;
  fill_host(x);
  if (e.authority.empty()) e.authority = e.host;
  if (event.direction == Direction::server_to_client) return;  // a promise
  message_head(x, Direction::client_to_server, event);
  x.head_request = e.method == "HEAD";
  if (!protocol.empty() && protocol == "websocket") {
    x.websocket = true;  // RFC 8441; the response tells the extensions
  } else if (x.tunnel || !protocol.empty()) {
    for (MessageState& m : x.messages) m.body.set_discard(Cause::unsupported);
    if (event.protocol == Protocol::http2)
      issue({Cause::unsupported, "http2: CONNECT tunnel is not read", event.packet, 0});
  }
}

void ExchangeBuilder::response_head(ExchangeState& x, const HttpEvent& event) {
  for (const HeaderField& f : event.headers) {
    if (f.name == ":status") known_status(f.value, x.exchange.status);
  }
  if (x.exchange.protocol != event.protocol && event.protocol == Protocol::http2) {
    x.exchange.protocol = event.protocol;  // after an Upgrade
    x.exchange.stream = event.message;
  }
  const int status = x.exchange.status;
  const bool http1_websocket = status == 101;
  const bool http2_websocket = x.websocket && status >= 200 && status < 300;
  message_head(x, Direction::server_to_client, event);
  if (http1_websocket || http2_websocket) start_websocket(x, event);
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

void ExchangeBuilder::message_head(ExchangeState& x, Direction direction, const HttpEvent& event) {
  MessageState& m = x.messages[index(direction)];
  Message& message = x.exchange.message(direction);
  message.seen = true;
  std::vector<Decoder> decoders;  // outermost first
  std::string unknown;
  std::string_view transfer;
  const auto coding = [&](std::string_view token) {
    if (equals_ignoring_case(token, "identity")) return;
    std::string name(token.substr(0, 64));
    std::transform(name.begin(), name.end(), name.begin(), lower);
    Decoder decoder{};
    if (content_coding(token, decoder))
      decoders.insert(decoders.begin(), decoder);
    else if (unknown.empty())
      unknown = name;
    if (message.content_codings.size() < 8)
      message.content_codings.push_back(std::move(name));
    else
      unknown = "more than 8 codings";
  };
  for (const HeaderField& f : event.headers) {
    switch (f.name.size()) {
      case 12:
        if (equals_ignoring_case(f.name, "content-type")) assign_content_type(message.content_type, f.value);
        break;
      case 16:
        if (equals_ignoring_case(f.name, "content-encoding")) for_each_token(f.value, coding);
        break;
      case 17:
        if (equals_ignoring_case(f.name, "transfer-encoding")) transfer = f.value;
        break;
      default:
        break;
    }
  }
  if (event.protocol != Protocol::http2) {
    for_each_token(transfer, [&](std::string_view token) {
      if (!equals_ignoring_case(token, "chunked")) coding(token);
    });
  }
  if (!unknown.empty()) {
    // Said only when there is a body: see body_part().
    decoders.clear();
    m.body.set_unsupported();
  }
  const bool event_stream = message.content_type.rfind("text/event-stream", 0) == 0 && unknown.empty();
  m.body.begin(limits_, std::move(decoders), event_stream ? &m : nullptr);
}

void ExchangeBuilder::headers_part(ExchangeState& x, const HttpEvent& event, bool trailers) {
  Part part;
  part.kind = trailers ? Part::Kind::trailers : Part::Kind::headers;
  part.direction = event.direction;
  part.time = event.time;
  part.first_packet = event.first_packet ? event.first_packet : event.packet;
  part.last_packet = event.packet;
  part.headers = event.headers;
  part.pieces = event.pieces;
  for (const StreamSpan& span : event.pieces) part.wire_bytes += span.length;
  static constexpr Decoder kHttp1[] = {Decoder::http1_head};
  static constexpr Decoder kHttp2[] = {Decoder::hpack};
  part.decoders =
      event.protocol == Protocol::http2 ? std::span<const Decoder>(kHttp2) : std::span<const Decoder>(kHttp1);
  sink_.part(x.exchange, part);
}

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
  if (m.websocket)
    m.websocket->gap(length, event.cause, event.time, event.packet);
  else
    m.body.hole(event.cause);
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
