// Http1Framer: how a direction loses its framing (broken lines, gaps, a late join, the end) and finds it again.
#include <algorithm>

#include "capture/http/http1.h"

namespace vitrine {
namespace {

constexpr size_t kResyncBound = 64 << 10;  // one line while looking for a start line

}  // namespace

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
    in.advance(line);
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
  if (confirmed_) sink_.on_bytes(s.direction, 0, s.skip_cause, bytes);
  else s.unconfirmed += bytes;
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
  in.advance(take);
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
    case State::raw: hole(length); return;
    case State::tunnel: account(s.message, length); return;
    case State::start:
    case State::resync:
      if (!s.buffer.empty() && s.state == State::start) issue(cause, "http1: head cut by a gap", chunk.packet);
      if (s.state == State::start) s.skip_cause = cause;
      skip(s, s.buffer.size());
      s.buffer.clear();
      account(0, length);
      lose(s, cause);
      return;
    case State::closed: account(0, length); return;
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
    case State::resync: skip(s, s.buffer.size()); break;
    case State::chunk_size:
    case State::chunk_end:
    case State::trailers:
      if (!s.buffer.empty()) sink_.on_bytes(s.direction, s.message, Cause::truncated, s.buffer.size());
      [[fallthrough]];
    case State::length:
    case State::chunk_data: end_message(s, Cause::truncated, in); break;
    case State::until_close:
    case State::raw:
    case State::tunnel: end_message(s, fin ? Cause::decoded : Cause::truncated, in); break;
    case State::closed: break;
  }
  s.buffer.clear();
  s.state = State::closed;
  if (!confirmed_ && s.unconfirmed > 0) {
    sink_.on_bytes(s.direction, 0, Cause::unsupported, s.unconfirmed);
    s.unconfirmed = 0;
  }
}

}  // namespace vitrine
