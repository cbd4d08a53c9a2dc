#include "capture/http/http1.h"

#include <algorithm>

namespace vitrine {

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
    case StreamChunk::Kind::data: run(s, in); return chunk.bytes.size() - in.bytes.size();
    case StreamChunk::Kind::gap: gap(s, chunk); return 0;
    case StreamChunk::Kind::close: close(s, chunk.close, in); return 0;
  }
  return 0;
}

void Http1Framer::run(Side& s, Input& in) {
  while (!in.bytes.empty() && !switched_) {
    switch (s.state) {
      case State::start: read_start(s, in); break;
      case State::resync: read_resync(s, in); break;
      case State::length:
      case State::chunk_data:
      case State::until_close:
      case State::raw:
      case State::tunnel: read_body(s, in); break;
      case State::chunk_size:
      case State::chunk_end: read_line_state(s, in); break;
      case State::trailers: read_trailers(s, in); break;
      case State::closed:
        sink_.on_bytes(s.direction, 0, Cause::malformed, in.bytes.size());
        in.bytes = {};
        break;
    }
  }
}

void Http1Framer::read_start(Side& s, Input& in) {
  const bool is_request = s.direction == Direction::client_to_server;
  if (s.buffer.empty()) {
    // RFC 9112 2.2: empty lines before a request line are ignored.
    size_t blank = 0;
    while (blank < in.bytes.size() && (in.bytes[blank] == '\r' || in.bytes[blank] == '\n')) ++blank;
    if (blank > 0) {
      sink_.on_bytes(s.direction, 0, Cause::decoded, blank);
      in.advance(blank);
      if (in.bytes.empty()) return;
    }
    const std::string_view text = as_text(in.bytes);
    size_t from = 0;
    const size_t length = head_length(text.substr(0, limits_.header_bytes), from);
    if (length > 0) {
      const Input at = in;
      s.buffer_packet = in.packet;
      // Before head(): a switch of protocol hands out what follows.
      in.advance(length);
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
    in.advance(take);
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
