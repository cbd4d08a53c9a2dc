#include "capture/tls/record_framer.h"

#include <algorithm>

namespace vitrine::tls {
namespace {

bool valid_header(Bytes header) {
  const size_t length = static_cast<size_t>(header[3]) << 8 | header[4];
  return header[0] >= change_cipher_spec && header[0] <= heartbeat && header[1] == 3 && header[2] <= 4 &&
         length <= kMaxCiphertext12;
}

size_t record_size(Bytes header) { return kHeaderSize + (static_cast<size_t>(header[3]) << 8 | header[4]); }

// Stricter, for headers that are guessed: what real stacks send.
bool likely_header(Bytes header) {
  return valid_header(header) && header[0] != heartbeat && header[2] >= 1 && header[2] <= 3 &&
         record_size(header) > kHeaderSize;
}

bool likely_prefix(Bytes some) {
  if (!some.empty() && (some[0] < change_cipher_spec || some[0] > application_data)) return false;
  if (some.size() > 1 && some[1] != 3) return false;
  return some.size() <= 2 || (some[2] >= 1 && some[2] <= 3);
}

}  // namespace

Bytes RecordFramer::rest() {
  const Bytes left = input_;
  input_ = {};
  return left;
}

Bytes RecordFramer::front(size_t wanted) {
  if (read_ == buffer_.size()) {
    buffer_.clear();
    read_ = 0;
    if (input_.size() >= wanted) return input_.first(wanted);
  }
  const size_t buffered = buffer_.size() - read_;
  if (buffered < wanted && !input_.empty()) {
    if (read_ != 0) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(read_));
      read_ = 0;
    }
    const Bytes taken = input_.first(std::min(wanted - buffered, input_.size()));
    buffer_.insert(buffer_.end(), taken.begin(), taken.end());
    input_ = input_.subspan(taken.size());
  }
  return Bytes(buffer_).subspan(read_, std::min(wanted, buffer_.size() - read_));
}

void RecordFramer::consume(size_t count) {
  offset_ += count;
  const size_t buffered = std::min(count, buffer_.size() - read_);
  read_ += buffered;
  input_ = input_.subspan(count - buffered);
}

void RecordFramer::pop() {
  consume(pending_);
  pending_ = 0;
}

FramerEvent RecordFramer::skip(uint64_t count, Cause cause, std::string_view what) {
  pending_ = count;
  FramerEvent event;
  event.kind = FramerEvent::Kind::skipped;
  event.offset = offset_;
  event.count = count;
  event.cause = cause;
  event.what = what;
  return event;
}

void RecordFramer::lose_step(Cause cause, std::string_view what) {
  searching_ = true;
  search_cause_ = cause;
  search_what_ = what;
  search_from_ = offset_;
}

FramerEvent RecordFramer::peek() {
  if (skip_ != 0 && available() != 0) {
    const uint64_t count = std::min<uint64_t>(skip_, available());
    skip_ -= count;
    return skip(count, skip_cause_);
  }
  if (searching_) return search();

  const Bytes header = front(kHeaderSize);
  if (header.size() < kHeaderSize) {
    if (finishing_ && !header.empty()) return skip(header.size(), Cause::truncated, "tls: stream ends inside a record");
    return {};
  }
  if (!valid_header(header)) {
    const bool too_long = header[0] >= change_cipher_spec && header[0] <= heartbeat && header[1] == 3;
    if (!in_step_once_) lose_step(Cause::gap, "tls: stream joined inside a record");
    else lose_step(Cause::malformed, too_long ? "tls: record longer than 18432 bytes" : "tls: not a record header");
    return search();
  }
  const size_t size = record_size(header);
  const Bytes record = front(size);
  if (record.size() < size) {
    if (finishing_) return skip(record.size(), Cause::truncated, "tls: stream ends inside a record");
    return {};
  }
  in_step_once_ = true;
  pending_ = size;
  FramerEvent event;
  event.kind = FramerEvent::Kind::record;
  event.bytes = record;
  event.offset = offset_;
  return event;
}

FramerEvent RecordFramer::search() {
  // A stream joined in its middle has its first header within one record; what
  // is skipped beyond that is no TLS.
  const bool too_far = !in_step_once_ && offset_ - search_from_ > kHeaderSize + kMaxCiphertext12;
  const Cause cause = too_far ? Cause::malformed : search_cause_;
  const std::string_view what = search_what_;
  const Bytes window = front(kLookahead);
  for (size_t at = 0; at < window.size(); ++at) {
    if (!likely_prefix(window.subspan(at, std::min<size_t>(3, window.size() - at)))) continue;
    const Verdict verdict = judge(window.subspan(at), offset_ + at);
    if (verdict == Verdict::reject) continue;
    if (verdict == Verdict::accept) searching_ = false;
    if (at != 0) {
      search_what_ = {};
      return skip(at, cause, what);
    }
    return verdict == Verdict::accept ? peek() : FramerEvent{};
  }
  if (window.empty()) return {};
  search_what_ = {};
  return skip(window.size(), cause, what);
}

RecordFramer::Verdict RecordFramer::judge(Bytes window, uint64_t offset) {
  size_t at = 0;
  for (int headers = 0;; ++headers) {
    if (headers == 3) return Verdict::accept;
    const Bytes rest = window.subspan(at);
    if (finishing_ && rest.empty()) return headers >= 1 ? Verdict::accept : Verdict::reject;
    if (rest.size() < kHeaderSize) {
      if (!likely_prefix(rest)) return Verdict::reject;
      if (finishing_) return headers >= 2 ? Verdict::accept : Verdict::reject;
      return Verdict::undecided;
    }
    if (!likely_header(rest)) return Verdict::reject;
    const size_t size = record_size(rest);
    if (size > rest.size()) {
      if (finishing_) return headers >= 1 ? Verdict::accept : Verdict::reject;
      return Verdict::undecided;
    }
    if (headers == 0 && tried_ <= offset) {
      if (opens_(rest.first(size))) return Verdict::accept;
      tried_ = offset + 1;
    }
    at += size;
  }
}

GapEffect RecordFramer::gap(uint64_t length, Cause cause) {
  GapEffect effect;
  const uint64_t held = available();
  if (!searching_ && skip_ >= length && held == 0) {
    skip_ -= length;
    skip_cause_ = cause;
    offset_ += length;
    effect.inside_record = true;
    return effect;
  }
  const Bytes header = searching_ || skip_ != 0 ? Bytes{} : front(kHeaderSize);
  if (header.size() == kHeaderSize && valid_header(header) &&
      length <= record_size(header) - std::min<uint64_t>(held, record_size(header))) {
    effect.inside_record = true;
    effect.record_type = header[0];
    effect.record_size = record_size(header);
    skip_ = effect.record_size - held - length;
    skip_cause_ = cause;
    in_step_once_ = true;
  } else {
    skip_ = 0;
    searching_ = true;
    search_cause_ = cause;
    search_what_ = {};
  }
  effect.dropped = held;
  consume(held);
  offset_ += length;
  search_from_ = offset_;
  return effect;
}

}  // namespace vitrine::tls
