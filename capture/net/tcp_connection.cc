#include "capture/net/tcp_half.h"

namespace vitrine {

struct TcpConnection::State {
  State(StreamSink& sink, IssueSink& issue_sink, uint64_t connection_id, TcpLimits tcp_limits)
      : issues(issue_sink),
        connection(connection_id),
        limits(tcp_limits),
        halves{TcpHalf(Direction::client_to_server, sink, issue_sink, connection_id, limits, now),
               TcpHalf(Direction::server_to_client, sink, issue_sink, connection_id, limits, now)} {}

  TcpHalf& half(Direction d) { return halves[static_cast<size_t>(d)]; }

  void synchronise(Direction direction, const TcpHeader& tcp) {
    syn_seen = true;
    if (tcp.ack) half(opposite(direction)).start_at(tcp.acknowledgment);  // no effect once that half has started
  }

  IssueSink& issues;
  uint64_t connection;
  TcpLimits limits;
  TcpNow now;
  bool syn_seen = false;
  TcpHalf halves[2];  // last: they borrow limits and now
};

TcpConnection::TcpConnection(StreamSink& sink, IssueSink& issues, uint64_t connection, TcpLimits limits)
    : state_(std::make_unique<State>(sink, issues, connection, limits)) {}
TcpConnection::~TcpConnection() = default;

void TcpConnection::segment(Direction direction, const TcpHeader& tcp, Timestamp time, uint64_t packet) {
  State& state = *state_;
  state.now = {time, packet};
  TcpHalf& self = state.half(direction);
  TcpHalf& peer = state.half(opposite(direction));
  uint32_t sequence = tcp.sequence;
  if (tcp.syn && !tcp.rst) {
    ++sequence;  // the SYN occupies one number
    if (!self.start_at(sequence)) {
      state.issues.issue(
          {Cause::malformed, "tcp: SYN with another initial sequence number ignored", packet, state.connection});
      return;
    }
    state.synchronise(direction, tcp);
  }
  // Before the data: what an answer acknowledges becomes available before the answer.
  if (tcp.ack) peer.acknowledged(tcp.acknowledgment);
  if (tcp.rst) {
    // Bytes in a reset are a diagnostic text, not the stream's (RFC 9293 section 3.5.3).
    if (!self.reset_plausible(tcp.sequence)) {
      state.issues.issue({Cause::malformed, "tcp: reset outside the window ignored", packet, state.connection});
      return;
    }
    const bool refused = self.phase() == TcpHalf::Phase::unseen;  // it never sent anything else
    self.reset_sent(tcp.sequence);
    peer.reset_received(refused);
    return;
  }
  if (!tcp.payload.empty() || tcp.missing > 0 || tcp.fin) {
    self.data(sequence, tcp.payload, tcp.missing, tcp.fin);
  } else if (!tcp.syn) {
    self.bare_acknowledgment(sequence);
  }
  self.segment_passed();
  peer.segment_passed();
}

void TcpConnection::finish(StreamChunk::Close why, Timestamp time, uint64_t packet) {
  state_->now = {time, packet};
  for (TcpHalf& half : state_->halves) half.flush(why);
}

bool TcpConnection::closed() const { return state_->halves[0].ended() && state_->halves[1].ended(); }

bool TcpConnection::mid_stream() const { return !state_->syn_seen; }

uint64_t TcpConnection::pending_bytes() const {
  return state_->halves[0].pending_bytes() + state_->halves[1].pending_bytes();
}

bool starts_new_connection(const TcpConnection& existing, Direction direction, const TcpHeader& tcp) {
  if (!tcp.syn || tcp.rst) return false;
  const TcpHalf& self = existing.state_->half(direction);
  if (!self.anchored()) return existing.closed();
  if (self.could_start_at(tcp.sequence + 1)) {
    // A retransmitted SYN; or, after a refusal, the same SYN tried again.
    return existing.closed() && self.delivered_nothing();
  }
  return !tcp.ack || existing.closed();
}

}  // namespace vitrine
