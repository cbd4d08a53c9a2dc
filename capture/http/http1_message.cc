// Http1Framer: what the head of a message means: its framing, the request it answers, what follows it.
#include <algorithm>

#include "base/text.h"
#include "capture/http/http1.h"

namespace vitrine {
namespace {

constexpr size_t kPendingBound = 10000;  // requests waiting for a response

bool parse_length(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 18) return false;
  out = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

}  // namespace

bool Http1Framer::head(Side& s, std::string_view text, uint64_t offset, const Input& in) {
  const bool is_request = s.direction == Direction::client_to_server;
  std::string_view line;
  size_t next = 0;
  StartLine start;
  if (!next_line(text, 0, line, next) || !parse_start_line(line, is_request, start)) return false;
  confirm(start.protocol);
  s.protocol = start.protocol;
  fields_.clear();
  const auto pseudo = [&](std::string_view name, std::string_view value) {
    fields_.push_back(
        {name, value, static_cast<uint32_t>(value.data() - text.data()), static_cast<uint32_t>(value.size())});
  };
  if (is_request) {
    pseudo(":method", start.method);
    pseudo(":path", start.target);
    request(s, start, text, offset, in);
  } else {
    pseudo(":status", start.status_text);
    response(s, start, text, offset, in);
  }
  return true;
}

FieldLines Http1Framer::fields(std::string_view text, size_t from, const Input& in) {
  const FieldLines lines = parse_field_lines(text, from, limits_.headers, fields_);
  if (lines.dropped) issue(Cause::truncated, "http: more header fields than the bound", in.packet);
  if (lines.malformed) issue(Cause::malformed, "http1: header line without a name or colon", in.packet);
  if (lines.folded) issue(Cause::decoded, "http1: header folded over lines (obs-fold)", in.packet);
  if (lines.space_before_colon) issue(Cause::decoded, "http1: white space before a header's colon", in.packet);
  return lines;
}

void Http1Framer::head_bytes(Side& s, uint64_t message, size_t size, const FieldLines& lines) {
  if (lines.dropped_bytes) sink_.on_bytes(s.direction, message, Cause::truncated, lines.dropped_bytes);
  if (lines.malformed_bytes) sink_.on_bytes(s.direction, message, Cause::malformed, lines.malformed_bytes);
  sink_.on_bytes(s.direction, message, Cause::decoded, size - lines.dropped_bytes - lines.malformed_bytes);
}

Http1Framer::Framing Http1Framer::framing(Direction direction, const Input& in) {
  Framing f;
  bool bad = false, has_te = false;
  for (const HeaderField& field : fields_) {
    if (field.name.size() == 14 && equals_ignoring_case(field.name, "content-length")) {
      for_each_token(field.value, [&](std::string_view token) {
        uint64_t length = 0;
        if (!parse_length(token, length) || (f.has_length && length != f.length)) {
          bad = true;
        } else {
          f.has_length = true;
          f.length = length;
        }
      });
    } else if (field.name.size() == 17 && equals_ignoring_case(field.name, "transfer-encoding")) {
      has_te = true;
      for_each_token(field.value, [&](std::string_view token) { f.chunked = equals_ignoring_case(token, "chunked"); });
    } else if (field.name.size() == 7 && equals_ignoring_case(field.name, "upgrade")) {
      f.upgrade = field.value;
    } else if (field.name.size() == 14 && equals_ignoring_case(field.name, "http2-settings")) {
      f.settings = field.value;
    }
  }
  if (bad) issue(Cause::malformed, "http1: invalid or conflicting Content-Length", in.packet);
  if (has_te && f.has_length) {
    issue(Cause::malformed, "http1: both Transfer-Encoding and Content-Length; Transfer-Encoding wins", in.packet);
    f.has_length = false;
  }
  f.coded = has_te && !f.chunked;
  if (f.coded && direction == Direction::client_to_server) {
    issue(Cause::malformed, "http1: request Transfer-Encoding does not end in chunked", in.packet);
  }
  return f;
}

void Http1Framer::emit(HttpEvent::Kind kind, const Side& s, uint64_t message, StreamSpan span, const Input& in,
                       uint64_t first_packet, Cause cause) {
  HttpEvent event;
  event.kind = kind;
  event.direction = s.direction;
  event.message = message;
  event.protocol = s.protocol;
  if (kind == HttpEvent::Kind::headers || kind == HttpEvent::Kind::informational || kind == HttpEvent::Kind::trailers) {
    event.headers = fields_;
  }
  if (span.length > 0) event.pieces = {&span, 1};
  event.cause = cause;
  event.time = in.time;
  event.packet = in.packet;
  event.first_packet = first_packet;
  sink_.on_http(event);
}

void Http1Framer::request(Side& s, const StartLine& start, std::string_view text, uint64_t offset, const Input& in) {
  const FieldLines lines = fields(text, text.find('\n') + 1, in);
  const Framing f = framing(s.direction, in);
  s.message = ++messages_;
  if (!pending_.empty() && !side(Direction::server_to_client).lost) pipelined_ = true;
  Pending pending{s.message, start.method == "HEAD", start.method == "CONNECT", std::string(f.upgrade)};
  if (!f.settings.empty()) http2_settings_ = f.settings;
  if (pending_.size() == kPendingBound) {
    issue(Cause::truncated, "http1: more pipelined requests than the bound", in.packet);
    emit(HttpEvent::Kind::end, side(Direction::server_to_client), pending_.front().message, {}, in, in.packet,
         Cause::truncated);
    pending_.pop_front();
  }
  pending_.push_back(std::move(pending));
  s.lost = false;
  emit(HttpEvent::Kind::headers, s, s.message, {offset, text.size()}, in, s.buffer_packet);
  head_bytes(s, s.message, text.size(), lines);
  if (f.chunked) {
    s.state = State::chunk_size;
  } else if (f.coded) {
    s.state = State::until_close;
  } else if (f.has_length && f.length > 0) {
    s.state = State::length;
    s.remaining = f.length;
  } else {
    end_message(s, Cause::decoded, in);
  }
}

void Http1Framer::response(Side& s, const StartLine& start, std::string_view text, uint64_t offset, const Input& in) {
  const FieldLines lines = fields(text, text.find('\n') + 1, in);
  const Framing f = framing(s.direction, in);
  if (s.lost && !pipelined_) {
    // Without pipelining a newer request means that older responses are over.
    while (pending_.size() > 1) {
      issue(Cause::gap, "http1: response lost; later ones paired by order", in.packet);
      const uint64_t message = pending_.front().message;
      pending_.pop_front();
      emit(HttpEvent::Kind::end, s, message, {}, in, in.packet, Cause::gap);
    }
  }
  s.lost = false;
  Pending request{0, false, false, {}};
  if (!pending_.empty()) {
    request = pending_.front();
  } else {
    if (orphan_ == 0) {
      orphan_ = ++messages_;
      issue(Cause::gap, "http1: response without a request", in.packet);
    }
    request.message = orphan_;
  }
  const StreamSpan span{offset, text.size()};
  std::string_view upgrade = f.upgrade.empty() ? std::string_view(request.upgrade) : f.upgrade;
  const bool switching = start.status == 101;
  bool h2c = false;
  if (switching) for_each_token(upgrade, [&](std::string_view t) { h2c = h2c || equals_ignoring_case(t, "h2c"); });
  if (start.status < 200 && (!switching || h2c)) {
    emit(HttpEvent::Kind::informational, s, request.message, span, in, s.buffer_packet);
    head_bytes(s, request.message, text.size(), lines);
    if (h2c) {
      switched_ = true;
      h2c_message_ = request.message;
      if (!pending_.empty()) pending_.pop_front();
    }
    return;
  }
  if (!pending_.empty()) pending_.pop_front();
  orphan_ = 0;
  s.message = request.message;
  emit(HttpEvent::Kind::headers, s, s.message, span, in, s.buffer_packet);
  head_bytes(s, s.message, text.size(), lines);
  if (switching) {
    const bool websocket = equals_ignoring_case(trim(upgrade), "websocket");
    if (!websocket) issue(Cause::unsupported, "http1: Upgrade to a protocol that is not read", in.packet);
    switch_raw(s.message, websocket ? State::raw : State::tunnel);
  } else if (request.connect && start.status < 300) {
    issue(Cause::unsupported, "http1: CONNECT tunnel is not read", in.packet);
    switch_raw(s.message, State::tunnel);
  } else if (request.head || start.status == 204 || start.status == 304) {
    end_message(s, Cause::decoded, in);
  } else if (f.chunked) {
    s.state = State::chunk_size;
  } else if (f.has_length) {
    s.state = State::length;
    s.remaining = f.length;
    if (f.length == 0) end_message(s, Cause::decoded, in);
  } else {
    s.state = State::until_close;
  }
}

// Both directions carry something else from here on. The client side may hold
// bytes that came early, or still be inside the request's body.
void Http1Framer::switch_raw(uint64_t message, State state) {
  Side& server = side(Direction::server_to_client);
  Side& client = side(Direction::client_to_server);
  server.state = state;
  server.message = message;
  if (client.state == State::start || client.state == State::resync) {
    client.state = state;
    client.message = message;
    const std::string& early = retire(std::move(client.buffer));
    client.buffer.clear();
    Input in{as_bytes(early), client.buffer_offset, now_.time, now_.packet};
    if (!early.empty()) run(client, in);
  } else if (client.state != State::closed) {
    raw_message_ = message;
    raw_state_ = state;
  }
}

void Http1Framer::end_message(Side& s, Cause cause, const Input& in) {
  emit(HttpEvent::Kind::end, s, s.message, {}, in, in.packet, cause);
  s.buffer.clear();
  s.scanned = 0;
  s.state = State::start;
  if (raw_message_ != 0 && s.direction == Direction::client_to_server) {
    s.state = raw_state_;
    s.message = raw_message_;
    raw_message_ = 0;
  }
}

}  // namespace vitrine
