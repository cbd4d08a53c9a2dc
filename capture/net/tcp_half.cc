#include "capture/net/tcp_half.h"

#include <algorithm>

namespace vitrine {
namespace {

constexpr uint64_t kOrigin = uint64_t{1} << 33;
constexpr uint64_t kWindow = uint64_t{1} << 30;     // the largest window there is (RFC 7323)
constexpr uint64_t kNear = 16 << 20;                // how far ahead a reset or a lost tail is believed
constexpr uint32_t kJoinSegments = 4;               // held when joining without a SYN,
constexpr uint64_t kJoinBytes = 16 << 10;           //   whichever comes first
constexpr uint64_t kJoinReach = 1 << 20;            // how far below them a late SYN may be
constexpr uint32_t kAcknowledgedHoleSegments = 64;  // that may pass before an acknowledged hole is a gap
constexpr uint32_t kFarSegments = 8;                // in a row outside the window: the stream moved there

}  // namespace

void TcpHalf::anchor(uint32_t sequence) {
  base_ = next_ = kOrigin + sequence;
  anchored_ = true;
}

bool TcpHalf::start_at(uint32_t sequence) {
  switch (phase_) {
    case Phase::unseen:
      anchor(sequence);
      phase_ = Phase::open;
      synchronised_ = true;
      return true;
    case Phase::joining:  // the SYN was recorded after data
      if (!could_start_at(sequence)) return false;
      base_ = next_ = position_of(sequence);
      phase_ = Phase::open;
      synchronised_ = true;
      drain();
      return true;
    case Phase::open:
    case Phase::closed: return could_start_at(sequence);
  }
  return false;
}

bool TcpHalf::could_start_at(uint32_t sequence) const {
  if (!anchored_) return false;
  if (synchronised_) return static_cast<uint32_t>(base_) == sequence;
  // Joined, and the SYN comes late: too late to begin there once bytes were
  // passed on, but still of this connection.
  const uint64_t position = position_of(sequence);
  const uint64_t lowest = phase_ != Phase::joining ? base_ : pending_.empty() ? next_ : pending_.begin()->first;
  return position <= lowest && lowest - position <= kJoinReach;
}

void TcpHalf::bare_acknowledgment(uint32_t sequence) {
  if (phase_ == Phase::unseen) sent_hint_ = sequence;
}

void TcpHalf::acknowledged(uint32_t acknowledgment) {
  if (phase_ == Phase::unseen) {
    acked_hint_ = acknowledgment;
    return;
  }
  const uint64_t position = position_of(acknowledgment);
  if (position <= acked_ || position > next_ + kWindow) return;
  acked_ = position;
  if (phase_ != Phase::joining) return;
  const uint64_t held_to = pending_.empty() ? next_ + 1 : pending_.begin()->first + pending_.begin()->second.length;
  if (acked_ >= held_to) open();  // the peer has everything below: nothing earlier will come
}

bool TcpHalf::reset_plausible(uint32_t sequence) const {
  if (phase_ == Phase::unseen || phase_ == Phase::joining) return true;
  const uint64_t position = position_of(sequence);
  return position + kNear >= next_ && position <= next_ + kNear;
}

void TcpHalf::reset_sent(uint32_t sequence) {
  if (phase_ == Phase::joining) open();
  if (phase_ == Phase::closed) return;
  reset_ = true;
  if (phase_ == Phase::unseen) return close(StreamChunk::Close::reset);
  const uint64_t position = position_of(sequence);
  if (fin_) return;
  if (position > next_ + 1) {  // bytes before it are missing; a single one may be a FIN's number
    fin_ = position;
    end_ = StreamChunk::Close::reset;
    drain();
  } else if (pending_.empty()) {
    close(StreamChunk::Close::reset);
  }
}

void TcpHalf::reset_received(bool refused) {
  if (phase_ == Phase::closed) return;
  reset_ = true;
  if (refused && pending_.empty()) close(StreamChunk::Close::reset);
}

void TcpHalf::segment_passed() {
  if (pending_.empty() || phase_ != Phase::open) return;
  if (acked_ < pending_.begin()->first) {
    aged_ = 0;
  } else if (++aged_ > kAcknowledgedHoleSegments) {
    release_hole();  // only the capture lost it: it will not come again
  }
}

// Successive segments elsewhere mean that more was lost than a window; single
// ones are noise.
bool TcpHalf::in_window(uint64_t& position, uint32_t sequence) {
  position = position_of(sequence);
  if (position + kWindow >= next_ && position <= next_ + kWindow) {
    far_ = 0;
    return true;
  }
  if (++far_ < kFarSegments) {
    report(Cause::malformed, "tcp: segment far outside the window ignored");
    return false;
  }
  far_ = 0;
  position = next_ + static_cast<uint32_t>(sequence - static_cast<uint32_t>(next_));
  while (phase_ == Phase::open && !pending_.empty()) release_hole();
  if (phase_ != Phase::open || fin_) return false;  // it would lie beyond the end
  if (position > next_) emit_gap(position - next_, false);
  return true;
}

void TcpHalf::data(uint32_t sequence, Bytes payload, uint32_t missing, bool fin) {
  const uint64_t length = payload.size() + uint64_t{missing};
  switch (phase_) {
    case Phase::unseen: {
      const bool keep_alive = length == 1 && !fin && (sent_hint_ == sequence + 1 || acked_hint_ == sequence + 1);
      if (keep_alive) return;
      anchor(sequence);
      phase_ = Phase::joining;
      [[fallthrough]];
    }
    case Phase::joining: {
      const uint64_t position = position_of(sequence);
      hold(position, position + payload.size(), payload.data(), length == 1);
      hold(position + payload.size(), position + length, nullptr, false);
      if (fin && !fin_) fin_ = position + length;
      if (++joined_ >= kJoinSegments || pending_bytes_ >= kJoinBytes) open();
      return;
    }
    case Phase::open: {
      uint64_t position = 0;
      if (in_window(position, sequence)) accept(position, payload, missing, fin);
      return;
    }
    case Phase::closed:
      if (length > 1 && position_of(sequence) + length > next_) {
        report(Cause::gap, "tcp: data after the end of its direction ignored");
      }
      return;
  }
}

void TcpHalf::accept(uint64_t position, Bytes payload, uint64_t missing, bool fin) {
  if (position == next_ && pending_.empty() && !fin_) [[likely]] {
    if (fin) fin_ = position + payload.size() + missing;
    return deliver(payload, missing);
  }
  uint64_t end = position + payload.size() + missing;
  if (fin) set_fin(end);
  if (fin_ && end > *fin_) {
    if (end - position > 1) report(Cause::malformed, "tcp: data after FIN ignored");
    end = std::max(position, *fin_);
    const uint64_t keep = end - position;
    missing = keep > payload.size() ? keep - payload.size() : 0;
    payload = payload.first(std::min<uint64_t>(keep, payload.size()));
  }
  if (end <= next_) {  // retransmission, keep-alive, or from before the stream as recorded
    if (position < base_ && end - position > 1)
      report(Cause::gap, "tcp: segment before the recorded start of its stream");
    if (fin_ && next_ == *fin_) close(end_);
    return;
  }
  if (position <= next_ && pending_.empty()) {
    const uint64_t known = next_ - position;
    const uint64_t skip = std::min<uint64_t>(known, payload.size());
    return deliver(payload.subspan(skip), missing - (known - skip));
  }
  const uint64_t data_end = position + payload.size();
  const uint64_t from = std::max(position, next_);
  if (from < data_end) hold(from, data_end, payload.data() + (from - position), end - position == 1);
  hold(std::max(data_end, next_), end, nullptr, false);
  drain();
  while (phase_ == Phase::open && !pending_.empty() &&
         (pending_bytes_ > limits_.pending_bytes || pending_.size() > limits_.pending_segments)) {
    release_hole();
  }
}

void TcpHalf::set_fin(uint64_t position) {
  if (fin_ && end_ == StreamChunk::Close::reset && position + 1 == *fin_) {
    fin_ = position;  // the reset was recorded first, and its number counts this FIN
    end_ = StreamChunk::Close::fin;
  } else if (fin_) {
    if (*fin_ != position) report(Cause::malformed, "tcp: a second FIN at another place ignored");
  } else if (position < next_) {
    report(Cause::malformed, "tcp: FIN before data already seen ignored");
  } else {
    fin_ = position;
  }
}

void TcpHalf::deliver(Bytes payload, uint64_t missing) {
  if (!payload.empty()) {
    StreamChunk chunk;
    chunk.direction = direction_;
    chunk.offset = next_ - base_;
    chunk.bytes = payload;
    chunk.time = now_.time;
    chunk.packet = now_.packet;
    next_ += payload.size();
    sink_.on_chunk(chunk);
  }
  if (missing > 0) emit_gap(missing, true);
  if (fin_ && next_ >= *fin_ && pending_.empty()) close(end_);
}

// Keeps those parts of [position, end) that nothing earlier covers; `bytes` is
// null for bytes cut by the snap length. A probe is a segment of one byte: a
// keep-alive may carry any byte there, so it is no conflict.
void TcpHalf::hold(uint64_t position, uint64_t end, const uint8_t* bytes, bool probe) {
  if (position >= end) return;
  const uint64_t start = position;
  bool conflict = false;
  auto after = pending_.upper_bound(position);
  if (after != pending_.begin()) --after;
  while (position < end) {
    while (after != pending_.end() && after->first + after->second.length <= position) ++after;
    const uint64_t hole_end = after == pending_.end() ? end : std::min(end, after->first);
    if (position < hole_end) {
      Held held;
      held.length = hole_end - position;
      if (bytes) {
        held.bytes.assign(bytes + (position - start), bytes + (hole_end - start));
        pending_bytes_ += held.length;
      }
      pending_.emplace_hint(after, position, std::move(held));
      position = hole_end;
    }
    if (position < end) {
      const uint64_t overlap_end = std::min(end, after->first + after->second.length);
      if (bytes && !after->second.bytes.empty()) {
        conflict |= !std::equal(bytes + (position - start), bytes + (overlap_end - start),
                                after->second.bytes.data() + (position - after->first));
      }
      position = overlap_end;
    }
  }
  if (conflict && !probe)
    report(Cause::malformed, "tcp: overlapping segments with different bytes, the first copy is kept");
}

void TcpHalf::open() {
  uint64_t start = pending_.empty() ? fin_.value_or(next_) : pending_.begin()->first;
  if (sent_hint_) {
    // A bare acknowledgment seen before named the next byte: what lies between
    // was lost. One byte is a keep-alive's number, not a loss.
    const uint64_t named = position_of(*sent_hint_);
    if (named < start && start - named > 1 && start - named <= kNear) start = named;
  }
  base_ = next_ = start;
  phase_ = Phase::open;
  drain();
}

void TcpHalf::drain() {
  while (!pending_.empty() && pending_.begin()->first == next_) {
    auto node = pending_.extract(pending_.begin());
    Held& held = node.mapped();
    pending_bytes_ -= held.bytes.size();
    aged_ = 0;
    if (fin_ && next_ + held.length > *fin_) {  // the FIN came after data beyond it
      report(Cause::malformed, "tcp: data after FIN ignored");
      held.length = *fin_ > next_ ? *fin_ - next_ : 0;
      held.bytes.resize(std::min<uint64_t>(held.bytes.size(), held.length));
      pending_.clear();
      pending_bytes_ = 0;
    }
    if (held.bytes.empty()) {
      deliver({}, held.length);
    } else {
      deliver(held.bytes, 0);
    }
  }
  if (phase_ == Phase::open && fin_ && next_ >= *fin_) close(end_);
}

// REQUIRES: pending_ is not empty.
void TcpHalf::release_hole() {
  uint64_t end = pending_.begin()->first;
  if (fin_ && *fin_ < end) end = *fin_;
  if (end > next_) emit_gap(end - next_, false);
  drain();
}

void TcpHalf::emit_gap(uint64_t length, bool snaplen) {
  StreamChunk chunk;
  chunk.kind = StreamChunk::Kind::gap;
  chunk.direction = direction_;
  chunk.gap_is_snaplen = snaplen;
  chunk.offset = next_ - base_;
  chunk.gap_length = length;
  chunk.time = now_.time;
  chunk.packet = now_.packet;
  next_ += length;
  aged_ = 0;
  sink_.on_chunk(chunk);
}

void TcpHalf::close(StreamChunk::Close how) {
  phase_ = Phase::closed;
  if (!pending_.empty()) {
    report(Cause::malformed, "tcp: data after FIN ignored");
    pending_.clear();
    pending_bytes_ = 0;
  }
  StreamChunk chunk;
  chunk.kind = StreamChunk::Kind::close;
  chunk.direction = direction_;
  chunk.close = how;
  chunk.offset = next_ - base_;
  chunk.time = now_.time;
  chunk.packet = now_.packet;
  sink_.on_chunk(chunk);
}

void TcpHalf::flush(StreamChunk::Close why) {
  if (phase_ == Phase::closed) return;
  if (reset_) why = StreamChunk::Close::reset;
  if (phase_ == Phase::joining) open();
  while (phase_ == Phase::open && !pending_.empty()) release_hole();
  if (phase_ == Phase::closed) return;
  if (fin_ && phase_ == Phase::open) {
    if (*fin_ > next_) emit_gap(*fin_ - next_, false);
    return close(end_);
  }
  // What the peer acknowledged was sent. A single byte may be a lost FIN, which
  // counts as one in sequence space.
  if (phase_ == Phase::open && acked_ > next_ + 1 && acked_ - next_ <= kNear) emit_gap(acked_ - next_, false);
  close(why);
}

}  // namespace vitrine
