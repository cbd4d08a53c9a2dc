#include "capture/tls/tls_session.h"

#include <algorithm>

#include "capture/tls/session_state.h"

namespace vitrine {

bool looks_like_tls(Bytes first) {
  if (first.size() < 3) return false;
  if (first[0] < tls::change_cipher_spec || first[0] > tls::application_data) return false;
  if (first[1] != 3 || first[2] > 4) return false;
  if (first.size() < tls::kHeaderSize) return true;
  const size_t length = static_cast<size_t>(first[3]) << 8 | first[4];
  return length <= tls::kMaxCiphertext12 && (length != 0 || first[0] == tls::application_data);
}

TlsSession::TlsSession(const SecretStore& secrets, TlsSink& sink, uint64_t connection)
    : state_(std::make_unique<State>(secrets, sink, connection)) {}
TlsSession::~TlsSession() = default;
void TlsSession::on_chunk(const StreamChunk& chunk) { state_->receive(chunk); }
const TlsInfo& TlsSession::info() const { return state_->info; }

TlsSession::State::State(const SecretStore& store, TlsSink& to, uint64_t id)
    : secrets(store), sink(to), connection(id) {
  for (size_t i = 0; i < 2; ++i) {
    Half& half = halves[i];
    half.direction = static_cast<Direction>(i);
    half.framer =
        std::make_unique<tls::RecordFramer>(0, [this, i](Bytes record) { return recover(halves[i], record); });
  }
}

void TlsSession::State::issue(const Half& half, Cause cause, std::string what) {
  sink.issue({cause, std::move(what), half.packet, connection});
}

void TlsSession::State::receive(const StreamChunk& chunk) {
  Half& half = this->half(chunk.direction);
  if (half.stalled) {
    hold(half, chunk, chunk.bytes);
    if (half.held_bytes <= kMaxHeld) return;
    half.forced = true;
    resume(half);
  } else {
    consume(half, chunk);
  }
  if (other(half).stalled) resume(other(half));
}

void TlsSession::State::hold(Half& half, const StreamChunk& chunk, Bytes bytes) {
  constexpr size_t kTiny = 64, kJoined = 1024;
  if (chunk.kind == StreamChunk::Kind::data) {
    if (bytes.empty()) return;
    // Tiny chunks are joined, so that their bookkeeping does not use up the bound.
    if (bytes.size() <= kTiny && !half.held.empty() && half.held.back().chunk.kind == StreamChunk::Kind::data &&
        half.held.back().bytes.size() + bytes.size() <= kJoined) {
      Held& last = half.held.back();
      last.bytes.insert(last.bytes.end(), bytes.begin(), bytes.end());
      last.chunk.time = chunk.time;
      last.chunk.packet = chunk.packet;
      half.held_bytes += bytes.size();
      return;
    }
  }
  Held held{chunk, {bytes.begin(), bytes.end()}};
  held.chunk.bytes = {};
  half.held_bytes += bytes.size() + sizeof(Held);
  half.held.push_back(std::move(held));
}

// Reads what was held. Stops again where the record at the front still waits.
void TlsSession::State::resume(Half& half) {
  if (!half.stalled || half.busy) return;
  half.stalled = false;
  StreamChunk again;  // the record that stalled is whole inside the framer
  again.time = half.time;
  again.packet = half.packet;
  again.offset = half.raw_end;
  consume(half, again);
  while (!half.stalled && !half.held.empty()) {
    Held held = std::move(half.held.front());
    half.held.pop_front();
    half.held_bytes -= held.bytes.size() + sizeof(Held);
    held.chunk.bytes = held.bytes;
    consume(half, held.chunk);
  }
}

void TlsSession::State::consume(Half& half, const StreamChunk& chunk) {
  half.time = chunk.time;
  half.packet = chunk.packet;
  if (half.closed) {  // nothing may follow a close; keep the books exact anyway
    account(half, Cause::malformed, chunk.kind == StreamChunk::Kind::gap ? chunk.gap_length : chunk.bytes.size());
    return;
  }
  half.busy = true;
  switch (chunk.kind) {
    case StreamChunk::Kind::data:
      half.framer->push(chunk.bytes);
      half.raw_end += chunk.bytes.size();
      drain(half);
      if (half.stalled) {
        const Bytes rest = half.framer->rest();
        half.raw_end -= rest.size();
        if (!rest.empty()) {
          Held held{chunk, {rest.begin(), rest.end()}};
          held.chunk.bytes = {};
          half.held_bytes += rest.size() + sizeof(Held);
          half.held.push_front(std::move(held));
        }
      }
      break;
    case StreamChunk::Kind::gap: take_gap(half, chunk); break;
    case StreamChunk::Kind::close: finish(half, chunk.close); break;
  }
  half.busy = false;
}

void TlsSession::State::drain(Half& half) {
  for (;;) {
    const tls::FramerEvent event = half.framer->peek();
    switch (event.kind) {
      case tls::FramerEvent::Kind::need_more: return;
      case tls::FramerEvent::Kind::skipped:
        account(half, event.cause, event.count);
        if (!event.what.empty()) {
          issue(half, event.cause, std::string(event.what));
          if (half.hellos == 0) half.blind = true;
          half.lost = half.after_gap = true;
        }
        half.lost_bytes += event.count;
        if (half.lost) add_missing(half, event.count, {event.offset, event.count});
        half.framer->pop();
        break;
      case tls::FramerEvent::Kind::record:
        if (!record(half, event.bytes, event.offset)) {
          half.stalled = true;
          return;
        }
        half.framer->pop();
        break;
    }
    // What this record told may be what the other direction waited for; it goes
    // first, so that a request in early data comes before its response.
    if (other(half).stalled) resume(other(half));
  }
}

void TlsSession::State::take_gap(Half& half, const StreamChunk& chunk) {
  const Cause cause = chunk.gap_is_snaplen ? Cause::truncated : Cause::gap;
  const uint64_t start = half.raw_end;
  const tls::GapEffect effect = half.framer->gap(chunk.gap_length, cause);
  half.raw_end += chunk.gap_length;
  account(half, cause, chunk.gap_length + effect.dropped);
  const bool is_protected = half.protected12 || half.epoch != Epoch::plaintext;
  if (half.hellos == 0) half.blind = true;
  half.handshake.clear();
  half.after_gap = true;
  if (effect.inside_record) {
    if (effect.record_size == 0 || !is_protected) return;
    // Exactly one record is unreadable: its number is used up. It may have been
    // a KeyUpdate, so the next one is opened as after a loss.
    half.lost = true;
    half.lost_bytes += effect.record_size;
    KeySet& keys = half.protected12 ? half.keys12 : keys13(half, half.epoch);
    ++keys.sequence;
    if (effect.record_type == tls::application_data && effect.record_size > 22)
      add_missing(half, effect.record_size - 22, {start - effect.dropped, effect.record_size});
    return;
  }
  half.lost = true;
  half.lost_bytes += chunk.gap_length + effect.dropped;
  add_missing(half, chunk.gap_length + effect.dropped, {start - effect.dropped, chunk.gap_length + effect.dropped});
}

void TlsSession::State::finish(Half& half, StreamChunk::Close close) {
  half.framer->finish();
  half.framer->push({});
  drain(half);
  if (half.stalled) {  // the close waits behind the record
    Held held;
    held.chunk.kind = StreamChunk::Kind::close;
    held.chunk.direction = half.direction;
    held.chunk.close = close;
    held.chunk.time = half.time;
    held.chunk.packet = half.packet;
    half.held_bytes += sizeof(Held);
    half.held.push_front(std::move(held));
    return;
  }
  half.closed = true;
  if (half.tried_any && !half.opened_any)
    issue(half, Cause::no_key, "tls: the secrets held for this connection do not open its records");
  send_close(half, close);
}

void TlsSession::State::add_missing(Half& half, uint64_t plaintext, StreamSpan raw) {
  if (half.missing == 0) half.missing_span = raw;
  else half.missing_span.length = raw.offset + raw.length - half.missing_span.offset;
  half.missing += plaintext;
}

void TlsSession::State::send_missing(Half& half) {
  if (half.missing == 0) return;
  StreamChunk chunk;
  chunk.kind = StreamChunk::Kind::gap;
  chunk.direction = half.direction;
  chunk.offset = half.plain_offset;
  chunk.gap_length = half.missing;
  chunk.time = half.time;
  chunk.packet = half.packet;
  half.plain_offset += half.missing;
  half.missing = 0;
  sink.on_plaintext(chunk, half.missing_span);
}

void TlsSession::State::send_plaintext(Half& half, Bytes content, StreamSpan record) {
  if (!info.decrypted) {
    info.decrypted = true;
    update_info();
  }
  send_missing(half);
  StreamChunk chunk;
  chunk.direction = half.direction;
  chunk.offset = half.plain_offset;
  chunk.bytes = content;
  chunk.time = half.time;
  chunk.packet = half.packet;
  half.plain_offset += content.size();
  half.any_plaintext = true;
  sink.on_plaintext(chunk, record);
}

void TlsSession::State::send_close(Half& half, StreamChunk::Close close) {
  if (half.close_sent) return;
  half.close_sent = true;
  if (half.any_plaintext) send_missing(half);
  StreamChunk chunk;
  chunk.kind = StreamChunk::Kind::close;
  chunk.direction = half.direction;
  chunk.offset = half.plain_offset;
  chunk.close = close;
  chunk.time = half.time;
  chunk.packet = half.packet;
  sink.on_plaintext(chunk, {half.raw_end, 0});
}

}  // namespace vitrine
