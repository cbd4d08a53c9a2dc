// Http2Framer: how a direction loses its frame boundaries (gaps, a broken header, the end) and finds them again.
#include <algorithm>

#include "capture/http/http2.h"

namespace vitrine {
namespace {

constexpr uint32_t kResyncFrame = 16384;
constexpr uint32_t kResyncStream = 1 << 24;

// Frames that are hardly met by chance: accepted on their header alone.
bool telling(const FrameHeader& h) {
  if (h.stream >= kResyncStream) return false;
  switch (h.type) {
    case kHeaders: return h.stream % 2 == 1 && (h.flags & kEndHeaders) != 0;
    case kSettings: return h.length <= 120 && (h.length > 0 || (h.flags & kAck) != 0);
    case kPing:
    case kGoaway:
    case kRstStream:
    case kWindowUpdate: return true;
    default: return false;
  }
}

}  // namespace

void Http2Framer::lose(Side& s, Cause cause, const Input& in) {
  drop_block(s, cause);
  s.hpack.lose();
  uncertain_ = true;
  s.max_frame = std::max(s.max_frame, kJoinedMaxFrame);
  emit(HttpEvent::Kind::data, s, 0, {}, in, in.packet, cause);
  if (cause == Cause::malformed) issue(cause, "http2: frame boundaries lost; looked for the next", in.packet);
  s.state = State::resync;
  s.skip_cause = cause;
  s.skip_message = 0;
  if (cause == Cause::malformed && !s.buffer.empty()) {  // never find the same header again
    sink_.on_bytes(s.direction, 0, cause, 1);
    s.buffer.erase(0, 1);
  }
  if (!s.buffer.empty()) reread(s, std::move(s.buffer), in);
}

// Bytes that lie before `in`, once more. They outlive the chunk: events may view them.
void Http2Framer::reread(Side& s, std::string bytes, const Input& in) {
  s.buffer.clear();
  retired_.push_back(std::make_unique<std::string>(std::move(bytes)));
  const std::string& kept = *retired_.back();
  Input rest{as_bytes(kept), in.offset - kept.size(), in.time, in.packet};
  run(s, rest);
}

void Http2Framer::read_resync(Side& s, Input& in) {
  // The window holds one candidate frame and the header behind it.
  constexpr size_t kWindow = kFrameHeader + kResyncFrame + kFrameHeader;
  const Input start = in;
  const size_t earlier = s.buffer.size();
  const size_t take = std::min(in.bytes.size(), kWindow - s.buffer.size());
  s.buffer.append(as_text(in.bytes.first(take)));
  in.advance(take);
  const uint8_t* data = reinterpret_cast<const uint8_t*>(s.buffer.data());
  size_t at = 0;
  bool found = false;
  for (; at + kFrameHeader <= s.buffer.size(); ++at) {
    const FrameHeader frame = parse_frame_header(data + at);
    if (!plausible_frame(frame, kResyncFrame)) continue;
    if (telling(frame)) {
      found = true;
      break;
    }
    const size_t next = at + kFrameHeader + frame.length;
    if (next + kFrameHeader > s.buffer.size()) break;  // wait for it
    if (plausible_frame(parse_frame_header(data + next), kResyncFrame)) {
      found = true;
      break;
    }
  }
  if (at > 0) sink_.on_bytes(s.direction, 0, s.skip_cause, at);
  if (!found) {
    s.buffer.erase(0, at);
    return;
  }
  issue(Cause::gap, "http2: frame boundaries found again", in.packet);
  s.state = State::frame_header;
  in = start;
  if (at >= earlier) {
    s.buffer.clear();
    in.advance(at - earlier);
  } else {
    reread(s, s.buffer.substr(at, earlier - at), in);
  }
}

void Http2Framer::gap(Side& s, const StreamChunk& chunk) {
  const Cause cause = chunk.gap_is_snaplen ? Cause::truncated : Cause::gap;
  Input in{{}, chunk.offset, chunk.time, chunk.packet};
  const uint64_t length = chunk.gap_length;
  const auto account = [&](uint64_t message) {
    if (!chunk.gap_accounted) sink_.on_bytes(s.direction, message, cause, length);
  };
  const bool inside =
      (s.state == State::data || s.state == State::skipped || s.state == State::buffered) && length <= s.remaining;
  if (s.state == State::closed) {
    account(0);
    return;
  }
  if (inside && s.state == State::data) {
    const StreamSpan span{chunk.offset, length};
    emit(HttpEvent::Kind::data, s, s.frame.stream, {&span, 1}, in, in.packet, cause);
    account(s.frame.stream);
    s.pad_length_due = false;
    s.remaining -= static_cast<uint32_t>(length);
    s.padding = std::min(s.padding, s.remaining);
    if (s.remaining == 0) end_data(s, in);
    return;
  }
  if (inside) {  // a control frame: the rest of it is passed over
    if (s.state == State::buffered) {
      sink_.on_bytes(s.direction, 0, cause, kFrameHeader + s.buffer.size());
      s.buffer.clear();
      s.skip_cause = cause;
      s.skip_message = 0;
      if (s.frame.type != kSettings && s.frame.type != kRstStream) {
        issue(cause, "http2: header block cut by a gap: HPACK state lost", chunk.packet);
        drop_block(s, cause);
        s.hpack.lose();
        uncertain_ = true;
        if ((s.frame.flags & kEndHeaders) == 0) {
          s.block_open = s.block_broken = true;
          s.block_cause = cause;
          s.block_stream = s.frame.stream;
        }
      }
    }
    account(s.skip_message);
    s.remaining -= static_cast<uint32_t>(length);
    s.state = s.remaining > 0 ? State::skipped : State::frame_header;
    return;
  }
  // Whatever was half read is part of the loss.
  uint64_t partial = s.buffer.size();
  if (s.state == State::buffered) partial += kFrameHeader;
  if (partial > 0) sink_.on_bytes(s.direction, 0, cause, partial);
  s.buffer.clear();
  account(0);
  issue(cause, "http2: frame boundaries lost in a gap", chunk.packet);
  lose(s, cause, in);
}

void Http2Framer::close(Side& s, const Input& in) {
  if (s.state == State::closed) return;
  if (s.state == State::resync) {
    if (!s.buffer.empty()) sink_.on_bytes(s.direction, 0, s.skip_cause, s.buffer.size());
  } else {
    uint64_t partial = s.buffer.size();
    if (s.state == State::buffered) partial += kFrameHeader;
    if (partial > 0) {
      issue(Cause::truncated, "http2: frame cut by the end of the stream", in.packet);
      sink_.on_bytes(s.direction, 0, Cause::truncated, partial);
    }
    drop_block(s, Cause::truncated);
  }
  s.buffer.clear();
  s.state = State::closed;
}

void Http2Framer::finish(Timestamp time, uint64_t packet) {
  for (Side& s : sides_) close(s, {{}, 0, time, packet});
}

}  // namespace vitrine
