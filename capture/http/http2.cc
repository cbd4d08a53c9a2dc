#include "capture/http/http2.h"

#include <algorithm>
#include <cstring>

namespace vitrine {
namespace {

constexpr uint32_t kControlBound = 64 << 10;  // payload of a frame that is buffered whole

bool buffered_type(uint8_t type) {
  return type == kHeaders || type == kPushPromise || type == kContinuation || type == kSettings || type == kRstStream;
}

bool ignored_type(uint8_t type) {  // known, without meaning for what was said
  return type == kPriority || type == kPing || type == kGoaway || type == kWindowUpdate || type == kAltSvc ||
         type == kOrigin || type == kPriorityUpdate;
}

}  // namespace

Http2Framer::Http2Framer(HttpEventSink& sink, const HttpLimits& limits, bool joined)
    : sink_(sink), limits_(limits), uncertain_(joined) {
  sides_[0].direction = Direction::client_to_server;
  sides_[1].direction = Direction::server_to_client;
  sides_[0].state = State::preface;
  for (Side& s : sides_) {
    if (!joined) continue;
    s.max_frame = kJoinedMaxFrame;
    s.skip_cause = Cause::gap;
    if (s.direction == Direction::server_to_client) {
      s.hpack.lose();
      s.state = State::resync;
    }
  }
}

void Http2Framer::begin_upgraded(Bytes settings_payload) {
  settings(side(Direction::client_to_server), settings_payload);
  Stream& stream = streams_[1];
  stream.head[0] = stream.ended[0] = true;
  highest_client_ = 1;
}

void Http2Framer::on_chunk(const StreamChunk& chunk) {
  Side& s = side(chunk.direction);
  Input in{chunk.bytes, chunk.offset, chunk.time, chunk.packet};
  retired_.clear();
  switch (chunk.kind) {
    case StreamChunk::Kind::data: run(s, in); break;
    case StreamChunk::Kind::gap: gap(s, chunk); break;
    case StreamChunk::Kind::close: close(s, in); break;
  }
}

void Http2Framer::run(Side& s, Input& in) {
  while (!in.bytes.empty()) {
    switch (s.state) {
      case State::preface: read_preface(s, in); break;
      case State::frame_header: read_frame_header(s, in); break;
      case State::data: read_data(s, in); break;
      case State::buffered: read_buffered(s, in); break;
      case State::skipped: read_skipped(s, in); break;
      case State::resync: read_resync(s, in); break;
      case State::closed:
        sink_.on_bytes(s.direction, 0, Cause::malformed, in.bytes.size());
        in.bytes = {};
        break;
    }
  }
}

void Http2Framer::read_preface(Side& s, Input& in) {
  while (!in.bytes.empty() && s.buffer.size() < kHttp2Preface.size() &&
         in.bytes[0] == static_cast<uint8_t>(kHttp2Preface[s.buffer.size()])) {
    s.buffer.push_back(static_cast<char>(in.bytes[0]));
    in.advance(1);
  }
  if (s.buffer.size() == kHttp2Preface.size()) {
    sink_.on_bytes(s.direction, 0, Cause::decoded, s.buffer.size());
    s.buffer.clear();
    s.state = State::frame_header;
  } else if (!in.bytes.empty()) {
    lose(s, uncertain_ ? Cause::gap : Cause::malformed, in);
  }
}

void Http2Framer::read_frame_header(Side& s, Input& in) {
  uint8_t copy[kFrameHeader];
  const uint8_t* header = in.bytes.data();
  size_t take = kFrameHeader;
  if (s.buffer.empty()) {
    s.frame_offset = in.offset;
    s.frame_packet = in.packet;
  }
  if (!s.buffer.empty() || in.bytes.size() < kFrameHeader) {
    take = std::min(kFrameHeader - s.buffer.size(), in.bytes.size());
    s.buffer.append(as_text(in.bytes.first(take)));
    if (s.buffer.size() < kFrameHeader) {
      in.advance(take);
      return;
    }
    std::memcpy(copy, s.buffer.data(), kFrameHeader);
    header = copy;
  }
  const FrameHeader frame = parse_frame_header(header);
  if (frame.length > s.max_frame) {
    if (header != copy) s.buffer.assign(as_text(in.bytes.first(take)));
    in.advance(take);
    issue(Cause::malformed, "http2: frame longer than the receiver allows", in.packet);
    lose(s, Cause::malformed, in);
    return;
  }
  s.buffer.clear();
  in.advance(take);
  begin_frame(s, frame, in);
}

// Who a stream's framing bytes belong to: the message, or the connection.
uint64_t Http2Framer::known(const Side&, uint32_t stream) const { return streams_.count(stream) ? stream : 0; }

void Http2Framer::begin_frame(Side& s, const FrameHeader& frame, const Input& in) {
  s.frame = frame;
  s.remaining = frame.length;
  s.padding = 0;
  s.pad_length_due = false;
  s.skip_message = 0;
  s.skip_cause = Cause::decoded;
  if (s.block_open && (frame.type != kContinuation || frame.stream != s.block_stream)) {
    // RFC 9113 4.3: a header block is contiguous. Its table changes are lost.
    issue(Cause::malformed, "http2: header block interrupted by another frame", in.packet);
    drop_block(s, Cause::malformed);
  }
  if (frame.type == kData) {
    const auto found = streams_.find(frame.stream);
    const bool followed = found != streams_.end() && !found->second.ended[static_cast<size_t>(s.direction)];
    if (!followed) {
      s.skip_cause = uncertain_ ? Cause::gap : Cause::truncated;
      issue(s.skip_cause,
            uncertain_ ? "http2: data on a stream whose head was not seen" : "http2: data on a stream that is closed",
            in.packet);
    }
    sink_.on_bytes(s.direction, followed ? frame.stream : 0, Cause::decoded, kFrameHeader);
    s.state = followed ? State::data : State::skipped;
    s.pad_length_due = followed && (frame.flags & kPadded) != 0;
    if (s.remaining == 0) {
      if (followed) end_data(s, in);
      else s.state = State::frame_header;
    }
    return;
  }
  if (!buffered_type(frame.type) || !frame_size_allowed(frame) ||
      frame.length > std::max(limits_.header_bytes, kControlBound)) {
    if (!frame_size_allowed(frame)) {
      s.skip_cause = Cause::malformed;
      issue(Cause::malformed, "http2: frame size not allowed for its type", in.packet);
    } else if (buffered_type(frame.type)) {
      s.skip_cause = Cause::truncated;
      issue(Cause::truncated, "http2: frame exceeds the bound", in.packet);
      if (frame.type != kSettings) {
        drop_block(s, Cause::truncated);
        s.hpack.lose();
      }
    } else if (!ignored_type(frame.type)) {
      s.skip_cause = Cause::unsupported;
      issue(Cause::unsupported, "http2: unknown frame type", in.packet);
    }
    sink_.on_bytes(s.direction, 0, s.skip_cause, kFrameHeader);
    s.state = s.remaining > 0 ? State::skipped : State::frame_header;
    return;
  }
  s.state = State::buffered;
  if (s.remaining == 0) {
    s.state = State::frame_header;
    payload(s, {}, in.offset, in);
  }
}

void Http2Framer::read_data(Side& s, Input& in) {
  const uint32_t stream = s.frame.stream;
  if (s.pad_length_due) {
    s.pad_length_due = false;
    s.padding = in.bytes[0];
    sink_.on_bytes(s.direction, stream, Cause::decoded, 1);
    in.advance(1);
    --s.remaining;
    if (s.padding > s.remaining) {
      issue(Cause::malformed, "http2: padding longer than the frame", in.packet);
      s.padding = s.remaining;
    }
  } else if (s.remaining > s.padding) {
    const size_t take = std::min<size_t>(s.remaining - s.padding, in.bytes.size());
    const StreamSpan span{in.offset, take};
    HttpEvent event;
    event.kind = HttpEvent::Kind::data;
    event.direction = s.direction;
    event.message = stream;
    event.protocol = Protocol::http2;
    event.pieces = {&span, 1};
    event.data = in.bytes.first(take);
    event.time = in.time;
    event.packet = event.first_packet = in.packet;
    sink_.on_http(event);
    in.advance(take);
    s.remaining -= static_cast<uint32_t>(take);
  } else {
    const size_t take = std::min<size_t>(s.remaining, in.bytes.size());
    sink_.on_bytes(s.direction, stream, Cause::decoded, take);
    in.advance(take);
    s.remaining -= static_cast<uint32_t>(take);
  }
  if (s.remaining == 0) end_data(s, in);
}

void Http2Framer::end_data(Side& s, const Input& in) {
  s.state = State::frame_header;
  if (s.frame.flags & kEndStream) end_stream(s, s.frame.stream, in);
}

void Http2Framer::end_stream(Side& s, uint32_t id, const Input& in) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  const size_t d = static_cast<size_t>(s.direction);
  if (found->second.ended[d]) return;
  found->second.ended[d] = true;
  if (found->second.ended[1 - d]) streams_.erase(found);
  emit(HttpEvent::Kind::end, s, id, {}, in, in.packet);
}

void Http2Framer::read_skipped(Side& s, Input& in) {
  const size_t take = std::min<size_t>(s.remaining, in.bytes.size());
  sink_.on_bytes(s.direction, s.skip_message, s.skip_cause, take);
  in.advance(take);
  s.remaining -= static_cast<uint32_t>(take);
  if (s.remaining == 0) s.state = State::frame_header;
}

void Http2Framer::read_buffered(Side& s, Input& in) {
  const size_t take = std::min<size_t>(s.remaining, in.bytes.size());
  const uint64_t offset = in.offset;
  if (s.buffer.empty() && take == s.remaining) {
    const Bytes whole = in.bytes.first(take);
    in.advance(take);
    s.remaining = 0;
    s.state = State::frame_header;
    payload(s, whole, offset, in);
    return;
  }
  s.buffer.append(as_text(in.bytes.first(take)));
  in.advance(take);
  s.remaining -= static_cast<uint32_t>(take);
  if (s.remaining > 0) return;
  std::string whole;
  whole.swap(s.buffer);
  s.state = State::frame_header;
  payload(s, as_bytes(whole), s.frame_offset + kFrameHeader, in);
  if (s.buffer.empty()) {
    whole.clear();
    s.buffer.swap(whole);  // keep the capacity
  }
}

void Http2Framer::payload(Side& s, Bytes bytes, uint64_t offset, const Input& in) {
  const uint32_t stream = s.frame.stream;
  switch (s.frame.type) {
    case kSettings:
      sink_.on_bytes(s.direction, 0, Cause::decoded, kFrameHeader + bytes.size());
      if ((s.frame.flags & kAck) == 0) settings(s, bytes);
      return;
    case kRstStream: {
      const auto found = streams_.find(stream);
      sink_.on_bytes(s.direction, known(s, stream), Cause::decoded, kFrameHeader + bytes.size());
      if (found == streams_.end()) return;
      streams_.erase(found);
      emit(HttpEvent::Kind::reset, s, stream, {}, in, in.packet);
      return;
    }
    default: header_frame(s, bytes, offset, in); return;
  }
}

void Http2Framer::settings(Side& s, Bytes bytes) {
  Side& other = side(opposite(s.direction));
  ByteReader reader(bytes);
  while (reader.remaining() >= 6) {
    const uint16_t id = reader.u16();
    const uint32_t value = reader.u32();
    if (id == 1) other.hpack.allow_table_size(value);                                      // SETTINGS_HEADER_TABLE_SIZE
    if (id == 5) other.max_frame = std::max(other.max_frame, std::min(value, 0xffffffu));  // SETTINGS_MAX_FRAME_SIZE
  }
}

void Http2Framer::emit(HttpEvent::Kind kind, const Side& s, uint64_t message, std::span<const StreamSpan> pieces,
                       const Input& in, uint64_t first_packet, Cause cause) {
  HttpEvent event;
  event.kind = kind;
  event.direction = s.direction;
  event.message = message;
  event.protocol = Protocol::http2;
  if (kind == HttpEvent::Kind::headers || kind == HttpEvent::Kind::informational || kind == HttpEvent::Kind::trailers) {
    event.headers = head_.fields;
  }
  event.pieces = pieces;
  event.cause = cause;
  event.time = in.time;
  event.packet = in.packet;
  event.first_packet = first_packet;
  sink_.on_http(event);
}

}  // namespace vitrine
