#include "capture/http/http2.h"

#include <algorithm>

namespace vitrine {
namespace {

constexpr uint32_t kResyncFrame = 16384;
constexpr uint32_t kJoinedMaxFrame = 1 << 20;  // the peer's SETTINGS were not seen
constexpr uint32_t kControlBound = 64 << 10;   // payload of a frame that is buffered whole
constexpr uint32_t kResyncStream = 1 << 24;

// Frames that are hardly met by chance: accepted on their header alone.
bool telling(const FrameHeader& h) {
  if (h.stream >= kResyncStream) return false;
  switch (h.type) {
    case kHeaders:
      return h.stream % 2 == 1 && (h.flags & kEndHeaders) != 0;
    case kSettings:
      return h.length <= 120 && (h.length > 0 || (h.flags & kAck) != 0);
    case kPing:
    case kGoaway:
    case kRstStream:
    case kWindowUpdate:
      return true;
    default:
      return false;
  }
}

void advance(Bytes& bytes, uint64_t& offset, size_t n) {
  bytes = bytes.subspan(n);
  offset += n;
}

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
    case StreamChunk::Kind::data:
      run(s, in);
      break;
    case StreamChunk::Kind::gap:
      gap(s, chunk);
      break;
    case StreamChunk::Kind::close:
      close(s, in);
      break;
  }
}

void Http2Framer::run(Side& s, Input& in) {
  while (!in.bytes.empty()) {
    switch (s.state) {
      case State::preface:
        read_preface(s, in);
        break;
      case State::frame_header:
        read_frame_header(s, in);
        break;
      case State::data:
        read_data(s, in);
        break;
      case State::buffered:
        read_buffered(s, in);
        break;
      case State::skipped:
        read_skipped(s, in);
        break;
      case State::resync:
        read_resync(s, in);
        break;
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
    advance(in.bytes, in.offset, 1);
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
      advance(in.bytes, in.offset, take);
      return;
    }
    std::copy(s.buffer.begin(), s.buffer.end(), copy);
    header = copy;
  }
  const FrameHeader frame = parse_frame_header(header);
  if (frame.length > s.max_frame) {
    if (header != copy) s.buffer.assign(as_text(in.bytes.first(take)));
    advance(in.bytes, in.offset, take);
    issue(Cause::malformed, "http2: frame longer than the receiver allows", in.packet);
    lose(s, Cause::malformed, in);
    return;
  }
  s.buffer.clear();
  advance(in.bytes, in.offset, take);
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
      if (followed)
        end_data(s, in);
      else
        s.state = State::frame_header;
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
    advance(in.bytes, in.offset, 1);
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
    advance(in.bytes, in.offset, take);
    s.remaining -= static_cast<uint32_t>(take);
  } else {
    const size_t take = std::min<size_t>(s.remaining, in.bytes.size());
    sink_.on_bytes(s.direction, stream, Cause::decoded, take);
    advance(in.bytes, in.offset, take);
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
  advance(in.bytes, in.offset, take);
  s.remaining -= static_cast<uint32_t>(take);
  if (s.remaining == 0) s.state = State::frame_header;
}

void Http2Framer::read_buffered(Side& s, Input& in) {
  const size_t take = std::min<size_t>(s.remaining, in.bytes.size());
  const uint64_t offset = in.offset;
  if (s.buffer.empty() && take == s.remaining) {
    const Bytes whole = in.bytes.first(take);
    advance(in.bytes, in.offset, take);
    s.remaining = 0;
    s.state = State::frame_header;
    payload(s, whole, offset, in);
    return;
  }
  s.buffer.append(as_text(in.bytes.first(take)));
  advance(in.bytes, in.offset, take);
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
    default:
      header_frame(s, bytes, offset, in);
      return;
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

void Http2Framer::header_frame(Side& s, Bytes bytes, uint64_t offset, const Input& in) {
  size_t front = 0, back = 0;
  bool good = s.frame.stream != 0;
  if (s.frame.type == kContinuation) {
    good = good && s.block_open;
  } else {
    if (s.frame.flags & kPadded) {
      if (bytes.empty())
        good = false;
      else
        back = bytes[0];
      front = 1;
    }
    if (s.frame.type == kHeaders && (s.frame.flags & kPriorityFlag)) front += 5;
    if (s.frame.type == kPushPromise) front += 4;
    good = good && front <= bytes.size() && back <= bytes.size() - front;
  }
  if (!good) {
    issue(Cause::malformed, "http2: malformed HEADERS, PUSH_PROMISE or CONTINUATION frame", in.packet);
    sink_.on_bytes(s.direction, 0, Cause::malformed, kFrameHeader + bytes.size());
    drop_block(s, Cause::malformed);
    s.hpack.lose();
    return;
  }
  if (s.frame.type != kContinuation) {
    s.block_open = true;
    s.block_broken = false;
    s.block_push = s.frame.type == kPushPromise;
    s.block_end_stream = s.frame.type == kHeaders && (s.frame.flags & kEndStream);
    s.block_stream = s.frame.stream;
    s.block_packet = s.frame_packet;
    s.block_framing = 0;
    s.block.clear();
    s.block_pieces.clear();
    if (s.block_push) {
      // CONTINUATION frames carry the id of the stream that was promised on.
      s.block_promised = ByteReader(bytes.subspan(front - 4, 4)).u32() & 0x7fffffff;
    }
  }
  fragment(s, bytes.subspan(front, bytes.size() - front - back), offset + front, kFrameHeader + front + back, in);
}

void Http2Framer::fragment(Side& s, Bytes bytes, uint64_t offset, size_t framing, const Input& in) {
  const bool last = (s.frame.flags & kEndHeaders) != 0;
  s.block_framing += framing;
  if (s.block_broken) {
    sink_.on_bytes(s.direction, 0, s.block_cause, framing + bytes.size());
    s.block_framing = 0;
    if (last) s.block_open = false;
    return;
  }
  if (!bytes.empty()) {
    if (!s.block_pieces.empty() && s.block_pieces.back().offset + s.block_pieces.back().length == offset) {
      s.block_pieces.back().length += bytes.size();
    } else {
      s.block_pieces.push_back({offset, bytes.size()});
    }
  }
  if (last && s.block.empty()) {
    finish_block(s, bytes, in);
    return;
  }
  s.block.append(as_text(bytes));
  if (s.block.size() > limits_.header_bytes || s.block_framing > limits_.header_bytes) {
    issue(Cause::truncated, "http2: header block exceeds the bound", in.packet);
    const bool open = !last;
    const uint32_t stream = s.block_stream;
    drop_block(s, Cause::truncated);
    s.block_open = s.block_broken = open;
    s.block_stream = stream;
    s.block_cause = Cause::truncated;
    return;
  }
  if (last) finish_block(s, as_bytes(s.block), in);
}

// What was collected of a block goes to `cause`; its table changes are unknown.
void Http2Framer::drop_block(Side& s, Cause cause) {
  if (!s.block_open) return;
  sink_.on_bytes(s.direction, 0, cause, s.block_framing + s.block.size());
  s.block_open = false;
  s.block.clear();
  s.block_pieces.clear();
  s.block_framing = 0;
  s.hpack.lose();
}

Http2Framer::Stream* Http2Framer::open_stream(Side& s, uint32_t id, const Input& in) {
  const auto found = streams_.find(id);
  if (found != streams_.end()) return &found->second;
  const bool client = s.direction == Direction::client_to_server;
  // Lower ids that are not open were closed before (RFC 9113 5.1.1), unless
  // some of the connection was not seen.
  if (!uncertain_ && (client ? id <= highest_client_ : (id <= highest_client_ || id % 2 == 0))) {
    issue(Cause::truncated, "http2: header block on a stream that is closed", in.packet);
    return nullptr;
  }
  if (streams_.size() >= limits_.streams) {
    issue(Cause::truncated, "http2: more open streams than the bound", in.packet);
    return nullptr;
  }
  if (client) highest_client_ = std::max(highest_client_, id);
  return &streams_[id];
}

void Http2Framer::finish_block(Side& s, Bytes block, const Input& in) {
  s.block_open = false;
  const bool was_lost = s.hpack.lost();
  s.hpack.decode(block, limits_.headers, limits_.header_bytes, head_);
  if (head_.unresolved_bytes > 0) issue(Cause::gap, "http2: header block not decodable: HPACK state lost", in.packet);
  if (head_.malformed_bytes > 0) {
    issue(was_lost ? Cause::gap : Cause::malformed,
          was_lost ? "http2: header block not decodable: HPACK state lost" : "http2: header block is not HPACK",
          in.packet);
  }
  if (head_.dropped_bytes > 0) issue(Cause::truncated, "http: more header fields than the bound", in.packet);
  const uint32_t id = s.block_push ? s.block_promised : s.block_stream;
  const size_t d = static_cast<size_t>(s.direction);
  Stream* stream = nullptr;
  if (!s.block_push) {
    stream = open_stream(s, id, in);
  } else if (id != 0 && id % 2 == 0 && !streams_.count(id) && streams_.size() < limits_.streams) {
    stream = &streams_[id];
    stream->head[0] = stream->ended[0] = true;
  }
  if (stream != nullptr && stream->ended[d]) {
    issue(Cause::malformed, "http2: header block after the end of its message", in.packet);
    stream = nullptr;
  }
  HttpEvent::Kind kind = HttpEvent::Kind::headers;
  if (stream != nullptr && !s.block_push) {
    if (stream->head[d]) {
      kind = HttpEvent::Kind::trailers;
    } else {
      const auto status = std::find_if(head_.fields.begin(), head_.fields.end(),
                                       [](const HeaderField& f) { return f.name == ":status"; });
      const bool informational =
          status != head_.fields.end() && status->value.size() == 3 && status->value[0] == '1' && d == 1;
      if (informational && !s.block_end_stream)
        kind = HttpEvent::Kind::informational;
      else
        stream->head[d] = true;
    }
  }
  if (stream != nullptr) emit(kind, s, id, s.block_pieces, in, s.block_packet);
  const uint64_t message = stream ? id : 0;
  const Cause bad = was_lost ? Cause::gap : Cause::malformed;
  const uint64_t undecoded = head_.unresolved_bytes + head_.malformed_bytes + head_.dropped_bytes;
  if (head_.unresolved_bytes) sink_.on_bytes(s.direction, message, Cause::gap, head_.unresolved_bytes);
  if (head_.malformed_bytes) sink_.on_bytes(s.direction, message, bad, head_.malformed_bytes);
  if (head_.dropped_bytes) sink_.on_bytes(s.direction, message, Cause::truncated, head_.dropped_bytes);
  sink_.on_bytes(s.direction, message, Cause::decoded, block.size() + s.block_framing - undecoded);
  s.block_framing = 0;
  if (stream != nullptr && s.block_end_stream) end_stream(s, id, in);
  s.block.clear();
  s.block_pieces.clear();
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
  advance(in.bytes, in.offset, take);
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
    advance(in.bytes, in.offset, at - earlier);
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
