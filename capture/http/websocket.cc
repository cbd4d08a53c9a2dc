#include "capture/http/websocket.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "capture/http/http1_head.h"
#include "capture/http/spans.h"

namespace vitrine {
namespace {

enum Opcode : uint8_t { kContinuationFrame = 0, kText = 1, kBinary = 2, kClose = 8, kPingFrame = 9, kPong = 10 };

void unmask(const uint8_t mask[4], size_t at, Bytes bytes, std::string& out) {
  const size_t start = out.size();
  out.append(as_text(bytes));
  char* target = out.data() + start;
  uint8_t key[8];
  for (size_t i = 0; i < 8; ++i) key[i] = mask[(at + i) & 3];
  size_t i = 0;
  uint64_t wide = 0;
  std::memcpy(&wide, key, 8);
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, target + i, 8);
    word ^= wide;
    std::memcpy(target + i, &word, 8);
  }
  for (; i < bytes.size(); ++i) target[i] = static_cast<char>(static_cast<uint8_t>(target[i]) ^ key[i & 7]);
}

}  // namespace

WebSocketExtensions parse_websocket_extensions(std::string_view header) {
  WebSocketExtensions out;
  for_each_token(header, [&out](std::string_view extension) {
    const size_t semicolon = extension.find(';');
    const std::string_view name = trim(extension.substr(0, semicolon));
    if (!equals_ignoring_case(name, "permessage-deflate")) {
      if (out.unknown.empty()) out.unknown = name.substr(0, 64);
      return;
    }
    out.deflate = true;
    std::string_view rest = semicolon == std::string_view::npos ? std::string_view() : extension.substr(semicolon + 1);
    while (!rest.empty()) {
      const size_t next = rest.find(';');
      // Window bits need no action: a 32 KiB inflater reads every smaller window.
      const std::string_view parameter = trim(rest.substr(0, next));
      if (equals_ignoring_case(parameter, "client_no_context_takeover")) out.no_context_takeover[0] = true;
      if (equals_ignoring_case(parameter, "server_no_context_takeover")) out.no_context_takeover[1] = true;
      if (next == std::string_view::npos) break;
      rest.remove_prefix(next + 1);
    }
  });
  return out;
}

WebSocketParser::WebSocketParser(Sink& sink, bool deflate, bool takeover)
    : sink_(sink), deflate_(deflate), takeover_(takeover) {}

void WebSocketParser::feed(Bytes bytes, uint64_t offset, Timestamp time, uint64_t packet) {
  while (!bytes.empty()) {
    size_t take = 0;
    if (state_ == State::dead) {
      sink_.on_websocket_bytes(dead_cause_, bytes.size());
      return;
    }
    if (state_ == State::header) {
      size_t need = 2;
      if (header_size_ >= 2) {
        const uint8_t length = header_[1] & 127;
        need += (length == 126 ? 2 : length == 127 ? 8 : 0) + (header_[1] & 128 ? 4 : 0);
      }
      if (header_size_ == 0) header_pieces_.clear();
      if (header_size_ < need) {
        take = std::min(need - header_size_, bytes.size());
        std::memcpy(header_ + header_size_, bytes.data(), take);
        header_size_ += take;
        append_span(header_pieces_, {offset, take});
        bytes = bytes.subspan(take);
        offset += take;
        if (header_size_ < need) return;
        if (need == 2 && ((header_[1] & 127) >= 126 || (header_[1] & 128))) continue;  // there is more of it
      }
      begin_frame(packet);
      if (state_ == State::payload && remaining_ == 0) end_frame(time, packet);
      continue;
    }
    take = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
    payload(bytes.first(take), offset);
    bytes = bytes.subspan(take);
    offset += take;
    remaining_ -= take;
    if (remaining_ == 0) end_frame(time, packet);
  }
}

void WebSocketParser::begin_frame(uint64_t packet) {
  const uint8_t opcode = header_[0] & 15, rsv = header_[0] & 0x70;
  fin_ = (header_[0] & 0x80) != 0;
  masked_ = (header_[1] & 0x80) != 0;
  control_ = opcode >= 8;
  uint64_t length = header_[1] & 127;
  size_t at = 2;
  if (length >= 126) {
    const size_t width = length == 126 ? 2 : 8;
    length = 0;
    for (size_t i = 0; i < width; ++i) length = length << 8 | header_[at + i];
    at += width;
  }
  std::memset(mask_, 0, sizeof mask_);
  if (masked_) std::memcpy(mask_, header_ + at, 4);
  const size_t size = header_size_;
  header_size_ = 0;
  const bool known = opcode <= kBinary || (opcode >= kClose && opcode <= kPong);
  const bool compressed = rsv == 0x40 && deflate_ && (opcode == kText || opcode == kBinary);
  const char* wrong = nullptr;
  if (!known) wrong = "websocket: reserved opcode";
  else if (rsv != 0 && !compressed) wrong = "websocket: reserved bit without an extension";
  else if (length >> 63) wrong = "websocket: frame length beyond 2^63";
  else if (control_ && (!fin_ || length > 125)) wrong = "websocket: fragmented or long control frame";
  else if (opcode == kContinuationFrame && !open_) wrong = "websocket: continuation without a message";
  else if ((opcode == kText || opcode == kBinary) && open_) wrong = "websocket: message inside a message";
  if (wrong != nullptr) {
    sink_.on_websocket_bytes(Cause::malformed, size);
    die(Cause::malformed, wrong, packet);
    return;
  }
  state_ = State::payload;
  remaining_ = frame_size_ = length;
  mask_at_ = 0;
  if (control_) {
    closed_ = closed_ || opcode == kClose;
    sink_.on_websocket_bytes(Cause::decoded, size);
    return;
  }
  if (opcode != kContinuationFrame) {
    open_ = true;
    text_ = opcode == kText;
    compressed_ = compressed;
    cut_ = Cause::decoded;
    content_.clear();
    whole_ = {};
    wire_bytes_ = 0;
    pieces_.clear();
    first_packet_ = packet;
  }
  wire_bytes_ += size;
  for (const StreamSpan& span : header_pieces_) append_span(pieces_, span);
}

void WebSocketParser::payload(Bytes bytes, uint64_t offset) {
  if (control_) {
    sink_.on_websocket_bytes(Cause::decoded, bytes.size());
    return;
  }
  wire_bytes_ += bytes.size();
  append_span(pieces_, {offset, bytes.size()});
  if (cut_ != Cause::decoded) return;
  if (!masked_ && fin_ && !compressed_ && content_.empty() && bytes.size() == frame_size_ &&
      bytes.size() <= kMessageBound) {
    whole_ = bytes;  // delivered before the caller's bytes go
    return;
  }
  const size_t room = static_cast<size_t>(kMessageBound) - content_.size();
  if (bytes.size() > room) cut_ = Cause::truncated;
  const Bytes kept = bytes.first(std::min(room, bytes.size()));
  if (masked_) unmask(mask_, mask_at_, kept, content_);
  else content_.append(as_text(kept));
  mask_at_ = (mask_at_ + bytes.size()) & 3;
}

void WebSocketParser::end_frame(Timestamp time, uint64_t packet) {
  state_ = State::header;
  if (!control_ && fin_) deliver(time, packet);
  if (closed_ && control_) {
    if (open_) {
      if (cut_ == Cause::decoded) cut_ = Cause::truncated;
      deliver(time, packet);
    }
    state_ = State::dead;  // RFC 6455 5.5.1: nothing follows a Close frame
    dead_cause_ = Cause::malformed;
  }
}

bool WebSocketParser::inflate(std::string& out) {
  static constexpr uint8_t kTail[4] = {0, 0, 0xff, 0xff};  // RFC 7692 7.2.2
  if (!inflater_ || !takeover_) {
    inflater_ = Decompressor::create(Decoder::deflate, 0);
    inflated_ = 0;
  }
  bool good = true;
  std::string step;
  for (Bytes rest : {as_bytes(content_), Bytes(kTail)}) {
    while (true) {
      inflater_->raise_bound(inflated_ + (256 << 10));
      size_t used = 0;
      step.clear();
      const auto state = inflater_->feed(rest, step, used);
      inflated_ += step.size();
      rest = rest.subspan(used);
      const size_t room = static_cast<size_t>(kMessageBound) - out.size();
      if (step.size() > room) cut_ = Cause::truncated;  // the rest only keeps the window right
      out.append(step, 0, room);
      if (state == Decompressor::State::malformed) good = false;
      if (!good || state == Decompressor::State::more) break;
      if (state == Decompressor::State::done) {  // a block with BFINAL: 7.2.3.4
        inflater_ = Decompressor::create(Decoder::deflate, 0);
        inflated_ = 0;
        if (rest.empty()) break;
      }
    }
    if (!good) break;
  }
  return good;
}

void WebSocketParser::deliver(Timestamp time, uint64_t packet) {
  std::string inflated;
  WebSocketMessage message;
  message.content = whole_.empty() ? as_bytes(content_) : whole_;
  if (compressed_ && context_lost_ && takeover_) {
    if (cut_ == Cause::decoded) cut_ = Cause::gap;
  } else if (compressed_) {
    const bool whole = cut_ == Cause::decoded;
    if (!inflate(inflated)) {
      if (whole) {
        cut_ = Cause::malformed;
        sink_.on_websocket_issue(cut_, "websocket: permessage-deflate data malformed", packet);
      }
      context_lost_ = true;
    }
    if (!whole) context_lost_ = true;
    message.content = as_bytes(inflated);
    message.compressed = true;
  }
  if (!takeover_) context_lost_ = false;
  if (cut_ == Cause::truncated) sink_.on_websocket_issue(cut_, "websocket: message cut or beyond the bound", packet);
  message.text = text_;
  message.cause = cut_;
  message.complete = cut_ == Cause::decoded;
  message.wire_bytes = wire_bytes_;
  message.pieces = pieces_;
  message.time = time;
  message.first_packet = first_packet_;
  message.packet = packet;
  sink_.on_message(message);
  sink_.on_websocket_bytes(cut_, wire_bytes_);
  open_ = false;
  whole_ = {};
  content_.clear();
  if (content_.capacity() > (1 << 20)) content_.shrink_to_fit();
}

void WebSocketParser::gap(uint64_t length, Cause cause, Timestamp time, uint64_t packet) {
  if (state_ == State::dead) return;
  if (state_ == State::payload && length > 0 && length <= remaining_) {
    if (!control_ && cut_ == Cause::decoded) cut_ = cause;
    remaining_ -= length;
    if (remaining_ == 0) end_frame(time, packet);
    return;
  }
  if (header_size_ > 0) sink_.on_websocket_bytes(cause, header_size_);
  header_size_ = 0;
  if (open_) {
    if (cut_ == Cause::decoded) cut_ = cause;
    deliver(time, packet);
  }
  die(cause, "websocket: frame boundaries lost in a gap", packet);
}

void WebSocketParser::die(Cause cause, const char* what, uint64_t packet) {
  sink_.on_websocket_issue(cause, what, packet);
  if (open_) {
    if (cut_ == Cause::decoded) cut_ = cause;
    deliver({}, packet);
  }
  state_ = State::dead;
  dead_cause_ = cause;
}

void WebSocketParser::finish(Cause cause, Timestamp time, uint64_t packet) {
  if (header_size_ > 0) sink_.on_websocket_bytes(cause, header_size_);
  header_size_ = 0;
  if (open_ && state_ != State::dead) {
    if (cut_ == Cause::decoded) cut_ = cause;
    deliver(time, packet);
  }
  open_ = false;
  state_ = State::dead;
}

}  // namespace vitrine
