// Http1Framer: bodies, the chunked coding (RFC 9112 7.1) and trailers.
#include <algorithm>

#include "capture/http/http1.h"

namespace vitrine {
namespace {

constexpr size_t kLineBound = 16 << 10;  // a chunk-size line with its extensions

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

}  // namespace

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
  in.advance(take);
  if (!counted) return;
  s.remaining -= take;
  if (s.remaining > 0) return;
  if (s.state == State::length) end_message(s, Cause::decoded, in);
  else s.state = State::chunk_end;
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
  in.advance(take);
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
  in.advance(take);
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

}  // namespace vitrine
