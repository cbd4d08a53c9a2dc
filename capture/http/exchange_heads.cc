// ExchangeBuilder: what the heads of request and response say of their exchange.
#include <algorithm>

#include "base/text.h"
#include "capture/http/exchange_state.h"
#include "capture/http/http1_head.h"
#include "capture/media_type.h"

namespace vitrine {
namespace {

bool known_status(std::string_view text, int& out) {
  if (text.size() != 3) return false;
  out = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + (c - '0');
  }
  return true;
}

}  // namespace

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
  e.host = host_of_authority(e.authority);
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
      if (f.name == ":method") e.method = f.value;
      else if (f.name == ":path") target = f.value;
      else if (f.name == ":scheme") scheme = f.value;
      else if (f.name == ":authority") authority = f.value;
      else if (f.name == ":protocol") protocol = f.value;
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
      default: break;
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
      e.scheme = ascii_lower(target.substr(0, mark));
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

void ExchangeBuilder::message_head(ExchangeState& x, Direction direction, const HttpEvent& event) {
  MessageState& m = x.messages[index(direction)];
  Message& message = x.exchange.message(direction);
  message.seen = true;
  std::vector<Decoder> decoders;  // outermost first
  std::string unknown;
  std::string_view transfer;
  const auto coding = [&](std::string_view token) {
    if (equals_ignoring_case(token, "identity")) return;
    std::string name = ascii_lower(token.substr(0, 64));
    Decoder decoder{};
    if (content_coding(token, decoder)) decoders.insert(decoders.begin(), decoder);
    else if (unknown.empty()) unknown = name;
    if (message.content_codings.size() < 8) message.content_codings.push_back(std::move(name));
    else unknown = "more than 8 codings";
  };
  for (const HeaderField& f : event.headers) {
    switch (f.name.size()) {
      case 12:
        if (equals_ignoring_case(f.name, "content-type")) assign_media_type(message.content_type, f.value);
        break;
      case 16:
        if (equals_ignoring_case(f.name, "content-encoding")) for_each_token(f.value, coding);
        break;
      case 17:
        if (equals_ignoring_case(f.name, "transfer-encoding")) transfer = f.value;
        break;
      default: break;
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

}  // namespace vitrine
