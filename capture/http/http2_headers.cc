// Http2Framer: header blocks, gathered from their frames and decoded once whole.
#include <algorithm>

#include "capture/http/http2.h"

namespace vitrine {

void Http2Framer::header_frame(Side& s, Bytes bytes, uint64_t offset, const Input& in) {
  size_t front = 0, back = 0;
  bool good = s.frame.stream != 0;
  if (s.frame.type == kContinuation) {
    good = good && s.block_open;
  } else {
    if (s.frame.flags & kPadded) {
      if (bytes.empty()) good = false;
      else back = bytes[0];
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
      if (informational && !s.block_end_stream) kind = HttpEvent::Kind::informational;
      else stream->head[d] = true;
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

}  // namespace vitrine
