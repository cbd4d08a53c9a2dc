#include "capture/http/http1.h"

#include <algorithm>
#include <cstring>

namespace vitrine {
namespace {

constexpr size_t kLineBound = 16 << 10;    // a chunk-size line with its extensions
constexpr size_t kResyncBound = 64 << 10;  // one line while looking for a start line
constexpr size_t kPendingBound = 10000;    // requests waiting for a response

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_chunk_size(std::string_view line, uint64_t& out) {
  out = 0;
  size_t i = 0;
  for (; i < line.size() && hex_digit(line[i]) >= 0; ++i) {
    if (out >> 60 != 0) return false;
    out = out << 4 | static_cast<uint64_t>(hex_digit(line[i]));
  }
  if (i == 0 || out > uint64_t{1} << 62) return false;
  while (i < line.size() && (line[i] == ' ' || line[i] == '\t')) ++i;
  return i == line.size() || line[i] == ';';
}

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

Http1Framer::Http1Framer(HttpEventSink& sink, const HttpLimits& limits, bool joined)
    : sink_(sink), limits_(limits), joined_(joined) {
  sides_[0].direction = Direction::client_to_server;
  sides_[1].direction = Direction::server_to_client;
  for (Side& side : sides_) {
    if (joined) side.state = State::resync;
  }
}

size_t Http1Framer::on_chunk(const StreamChunk& chunk) {
  Side& s = side(chunk.direction);
  Input in{chunk.bytes, chunk.offset, chunk.time, chunk.packet};
  now_ = in;
  retired_.clear();
  switch (chunk.kind) {
    case StreamChunk::Kind::data:
      run(s, in);
      return chunk.bytes.size() - in.bytes.size();
    case StreamChunk::Kind::gap:
      gap(s, chunk);
      return 0;
    case StreamChunk::Kind::close:
      close(s, chunk.close, in);
      return 0;
  }
  return 0;
}

void Http1Framer::run(Side& s, Input& in) {
  while (!in.bytes.empty() && !switched_) {
    switch (s.state) {
      case State::start:
        read_start(s, in);
        break;
      case State::resync:
        read_resync(s, in);
        break;
      case State::length:
      case State::chunk_data:
      case State::until_close:
      case State::raw:
      case State::tunnel:
        read_body(s, in);
        break;
      case State::chunk_size:
      case State::chunk_end:
        read_line_state(s, in);
        break;
      case State::trailers:
        read_trailers(s, in);
        break;
      case State::closed:
        sink_.on_bytes(s.direction, 0, Cause::malformed, in.bytes.size());
        in.bytes = {};
        break;
    }
  }
}

namespace {
void advance(Bytes& bytes, uint64_t& offset, size_t n) {
  bytes = bytes.subspan(n);
  offset += n;
}
}  // namespace

void Http1Framer::read_start(Side& s, Input& in) {
  const bool is_request = s.direction == Direction::client_to_server;
  if (s.buffer.empty()) {
    // RFC 9112 2.2: empty lines before a request line are ignored.
    size_t blank = 0;
    while (blank < in.bytes.size() && (in.bytes[blank] == '\r' || in.bytes[blank] == '\n')) ++blank;
    if (blank > 0) {
      sink_.on_bytes(s.direction, 0, Cause::decoded, blank);
      advance(in.bytes, in.offset, blank);
      if (in.bytes.empty()) return;
    }
    const std::string_view text = as_text(in.bytes);
    size_t from = 0;
    const size_t length = head_length(text.substr(0, limits_.header_bytes), from);
    if (length > 0) {
      const Input at = in;
      s.buffer_packet = in.packet;
      // Before head(): a switch of protocol hands out what follows.
      advance(in.bytes, in.offset, length);
      if (!head(s, text.substr(0, length), at.offset, at)) {
        in = at;
        lose(s, Cause::malformed);
      }
      return;
    }
    s.buffer_offset = in.offset;
    s.buffer_packet = in.packet;
    s.scanned = 0;
  }
  // Line by line, so that no byte behind the head is copied.
  while (!in.bytes.empty()) {
    const std::string_view text = as_text(in.bytes);
    const size_t newline = text.find('\n');
    size_t take = newline == std::string_view::npos ? text.size() : newline + 1;
    take = std::min(take, limits_.header_bytes + 1 - s.buffer.size());
    s.buffer.append(text.substr(0, take));
    advance(in.bytes, in.offset, take);
    const size_t length = head_length(s.buffer, s.scanned);
    if (length > 0 && length <= limits_.header_bytes) {
      std::string text_of_head;
      text_of_head.swap(s.buffer);
      if (!head(s, text_of_head, s.buffer_offset, in)) {
        s.buffer = std::move(text_of_head);
        lose(s, Cause::malformed);
      } else if (s.buffer.empty()) {
        text_of_head.clear();
        s.buffer.swap(text_of_head);  // keep the capacity
      }
      return;
    }
    if (s.buffer.size() > limits_.header_bytes) {
      issue(Cause::truncated, "http1: head exceeds the bound", in.packet);
      lose(s, Cause::truncated);
      return;
    }
    StartLine start;
    const bool whole_line = s.scanned > 0;
    const std::string_view first = std::string_view(s.buffer).substr(0, s.buffer.find('\n'));
    if (whole_line ? !parse_start_line(first, is_request, start) : !plausible_start(s.buffer, is_request)) {
      lose(s, Cause::malformed);
      return;
    }
  }
}

// The framing of this direction is gone: what is buffered is read again as lines.
void Http1Framer::lose(Side& s, Cause cause) {
  if (cause == Cause::malformed) issue(cause, "http1: not a start line; skipped to the next", s.buffer_packet);
  s.state = State::resync;
  s.skip_cause = cause;
  s.lost = true;
  if (s.buffer.empty()) return;
  const std::string& again = retire(std::move(s.buffer));
  s.buffer.clear();
  Input in{as_bytes(again), s.buffer_offset, now_.time, now_.packet};
  if (cause == Cause::truncated) {  // its start line is good: pass over it
    const size_t line = again.find('\n') + 1;
    skip(s, line);
    advance(in.bytes, in.offset, line);
  }
  while (!in.bytes.empty() && s.state == State::resync) read_resync(s, in);
  if (!in.bytes.empty()) run(s, in);
}

const std::string& Http1Framer::retire(std::string bytes) {
  retired_.push_back(std::make_unique<std::string>(std::move(bytes)));
  return *retired_.back();
}

void Http1Framer::skip(Side& s, uint64_t bytes) {
  if (bytes == 0) return;
  if (confirmed_)
    sink_.on_bytes(s.direction, 0, s.skip_cause, bytes);
  else
    s.unconfirmed += bytes;
}

void Http1Framer::confirm(Protocol protocol) {
  if (confirmed_) return;
  confirmed_ = true;
  seen_protocol_ = protocol;
  for (Side& s : sides_) {
    if (s.unconfirmed == 0) continue;
    sink_.on_bytes(s.direction, 0, s.skip_cause, s.unconfirmed);
    issue(s.skip_cause, "http1: joined inside a message; skipped to the next start line", 0);
    s.unconfirmed = 0;
  }
}

void Http1Framer::read_resync(Side& s, Input& in) {
  const bool is_request = s.direction == Direction::client_to_server;
  const std::string_view text = as_text(in.bytes);
  if (s.buffer.empty()) {
    s.buffer_offset = in.offset;
    s.buffer_packet = in.packet;
  }
  const size_t newline = text.find('\n');
  size_t take = newline == std::string_view::npos ? text.size() : newline + 1;
  take = std::min(take, kResyncBound - s.buffer.size());
  s.buffer.append(text.substr(0, take));
  advance(in.bytes, in.offset, take);
  if (s.buffer.back() == '\n') {
    const size_t start = find_start(std::string_view(s.buffer).substr(0, s.buffer.size() - 1), is_request);
    if (start == std::string_view::npos) {
      skip(s, s.buffer.size());
      s.buffer.clear();
      return;
    }
    skip(s, start);
    s.buffer.erase(0, start);
    s.buffer_offset += start;
    s.scanned = s.buffer.size();
    s.state = State::start;
  } else if (s.buffer.size() == kResyncBound) {
    skip(s, kResyncBound / 2);
    s.buffer.erase(0, kResyncBound / 2);
    s.buffer_offset += kResyncBound / 2;
  }
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

void Http1Framer::read_body(Side& s, Input& in) {
  const bool counted = s.state == State::length || s.state == State::chunk_data;
  const size_t take = counted ? static_cast<size_t>(std::min<uint64_t>(s.remaining, in.bytes.size())) : in.bytes.size();
  if (s.state == State::tunnel) {
    sink_.on_bytes(s.direction, s.message, Cause::unsupported, take);
  } else {
    const StreamSpan span{in.offset, take};
    HttpEvent event;
    event.kind = HttpEvent::Kind::data;
    event.direction = s.direction;
    event.message = s.message;
    event.protocol = s.protocol;
    event.pieces = {&span, 1};
    event.data = in.bytes.first(take);
    event.time = in.time;
    event.packet = event.first_packet = in.packet;
    sink_.on_http(event);
  }
  advance(in.bytes, in.offset, take);
  if (!counted) return;
  s.remaining -= take;
  if (s.remaining > 0) return;
  if (s.state == State::length)
    end_message(s, Cause::decoded, in);
  else
    s.state = State::chunk_end;
}

// Chunk-size lines and the line end behind chunk data (RFC 9112 7.1).
void Http1Framer::read_line_state(Side& s, Input& in) {
  const std::string_view text = as_text(in.bytes);
  if (s.buffer.empty()) {
    s.buffer_offset = in.offset;
    s.buffer_packet = in.packet;
  }
  const size_t newline = text.find('\n');
  const size_t bound = s.state == State::chunk_end ? 2 : kLineBound;
  size_t take = newline == std::string_view::npos ? text.size() : newline + 1;
  take = std::min(take, bound - s.buffer.size());
  s.buffer.append(text.substr(0, take));
  advance(in.bytes, in.offset, take);
  std::string_view line;
  size_t next = 0;
  uint64_t size = 0;
  bool good = true;
  if (next_line(s.buffer, 0, line, next)) {
    good = s.state == State::chunk_end ? line.empty() : parse_chunk_size(line, size);
  } else if (s.buffer.size() < bound) {
    return;
  } else {
    good = false;
  }
  if (!good) {
    issue(Cause::malformed, "http1: malformed chunked coding", in.packet);
    std::string rest;
    rest.swap(s.buffer);
    const uint64_t offset = s.buffer_offset;
    end_message(s, Cause::malformed, in);
    if (s.state != State::start) {
      sink_.on_bytes(s.direction, 0, Cause::malformed, rest.size());
      return;
    }
    s.buffer = std::move(rest);
    s.buffer_offset = offset;
    lose(s, Cause::malformed);
    return;
  }
  sink_.on_bytes(s.direction, s.message, Cause::decoded, s.buffer.size());
  s.buffer.clear();
  s.scanned = 0;
  if (s.state == State::chunk_end) {
    s.state = State::chunk_size;
  } else if (size > 0) {
    s.state = State::chunk_data;
    s.remaining = size;
  } else {
    s.state = State::trailers;
  }
}

void Http1Framer::read_trailers(Side& s, Input& in) {
  if (s.buffer.empty()) {
    s.buffer_offset = in.offset;
    s.buffer_packet = in.packet;
    s.scanned = 0;
  }
  const std::string_view text = as_text(in.bytes);
  const size_t newline = text.find('\n');
  size_t take = newline == std::string_view::npos ? text.size() : newline + 1;
  take = std::min(take, limits_.header_bytes + 1 - s.buffer.size());
  s.buffer.append(text.substr(0, take));
  advance(in.bytes, in.offset, take);
  const bool whole = head_length(s.buffer, s.scanned) > 0;
  if (!whole || s.buffer.size() > limits_.header_bytes) {
    if (s.buffer.size() <= limits_.header_bytes) return;
    issue(Cause::truncated, "http1: trailers exceed the bound", in.packet);
    sink_.on_bytes(s.direction, s.message, Cause::truncated, s.buffer.size());
    end_message(s, Cause::truncated, in);
    if (s.state == State::start) lose(s, Cause::truncated);
    return;
  }
  fields_.clear();
  const FieldLines lines = fields(s.buffer, 0, in);
  if (!fields_.empty()) {
    emit(HttpEvent::Kind::trailers, s, s.message, {s.buffer_offset, s.buffer.size()}, in, s.buffer_packet);
  }
  head_bytes(s, s.message, s.buffer.size(), lines);
  end_message(s, Cause::decoded, in);
}

void Http1Framer::gap(Side& s, const StreamChunk& chunk) {
  const Cause cause = chunk.gap_is_snaplen ? Cause::truncated : Cause::gap;
  const Input in{{}, chunk.offset, chunk.time, chunk.packet};
  uint64_t length = chunk.gap_length;
  const auto account = [&](uint64_t message, uint64_t n) {
    if (!chunk.gap_accounted) sink_.on_bytes(s.direction, message, cause, n);
  };
  const auto hole = [&](uint64_t n) {
    emit(HttpEvent::Kind::data, s, s.message, {chunk.offset, n}, in, in.packet, cause);
    account(s.message, n);
  };
  switch (s.state) {
    case State::length: {
      const uint64_t inside = std::min(length, s.remaining);
      hole(inside);
      s.remaining -= inside;
      length -= inside;
      if (s.remaining == 0) end_message(s, cause, in);
      if (length == 0) return;
      StreamChunk rest = chunk;
      rest.offset += inside;
      rest.gap_length = length;
      gap(s, rest);
      return;
    }
    case State::chunk_data:
      if (length <= s.remaining) {
        hole(length);
        s.remaining -= length;
        if (s.remaining == 0) s.state = State::chunk_end;
        return;
      }
      [[fallthrough]];
    case State::chunk_size:
    case State::chunk_end:
    case State::trailers:
      if (!s.buffer.empty()) sink_.on_bytes(s.direction, s.message, cause, s.buffer.size());
      hole(length);
      end_message(s, cause, in);
      if (s.state == State::start) lose(s, cause);
      return;
    case State::until_close:
    case State::raw:
      hole(length);
      return;
    case State::tunnel:
      account(s.message, length);
      return;
    case State::start:
    case State::resync:
      if (!s.buffer.empty() && s.state == State::start) issue(cause, "http1: head cut by a gap", chunk.packet);
      if (s.state == State::start) s.skip_cause = cause;
      skip(s, s.buffer.size());
      s.buffer.clear();
      account(0, length);
      lose(s, cause);
      return;
    case State::closed:
      account(0, length);
      return;
  }
}

void Http1Framer::close(Side& s, StreamChunk::Close how, const Input& in) {
  const State state = s.state;
  const bool fin = how == StreamChunk::Close::fin;
  switch (state) {
    case State::start:
      if (!s.buffer.empty()) {
        issue(Cause::truncated, "http1: head cut by the end of the stream", in.packet);
        sink_.on_bytes(s.direction, 0, Cause::truncated, s.buffer.size());
      }
      break;
    case State::resync:
      skip(s, s.buffer.size());
      break;
    case State::chunk_size:
    case State::chunk_end:
    case State::trailers:
      if (!s.buffer.empty()) sink_.on_bytes(s.direction, s.message, Cause::truncated, s.buffer.size());
      [[fallthrough]];
    case State::length:
    case State::chunk_data:
      end_message(s, Cause::truncated, in);
      break;
    case State::until_close:
    case State::raw:
    case State::tunnel:
      end_message(s, fin ? Cause::decoded : Cause::truncated, in);
      break;
    case State::closed:
      break;
  }
  s.buffer.clear();
  s.state = State::closed;
  if (!confirmed_ && s.unconfirmed > 0) {
    sink_.on_bytes(s.direction, 0, Cause::unsupported, s.unconfirmed);
    s.unconfirmed = 0;
  }
}

void Http1Framer::finish(Timestamp time, uint64_t packet) {
  for (Side& s : sides_) {
    const Input in{{}, 0, time, packet};
    if (s.state != State::closed) close(s, StreamChunk::Close::end_of_capture, in);
  }
}

std::string Http1Framer::take_rest(Direction direction, uint64_t& offset) {
  Side& s = side(direction);
  offset = s.buffer_offset;
  std::string rest;
  rest.swap(s.buffer);
  return rest;
}

}  // namespace vitrine
