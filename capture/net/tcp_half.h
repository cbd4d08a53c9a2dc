// One direction of a TCP connection: sequence numbers → stream. Used by TcpConnection only.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "capture/net/tcp.h"

namespace vitrine {

// Where and when the current packet is: what chunks and issues are stamped with.
struct TcpNow {
  Timestamp time;
  uint64_t packet = 0;
};

// Positions are 64-bit sequence numbers whose low 32 bits are the wire's, so
// that wrap-around happens nowhere but in position_of(). They start at 2^33:
// room for segments below the first one seen.
class TcpHalf {
 public:
  enum class Phase : uint8_t {
    unseen,   // nothing that occupies sequence space was seen
    joining,  // joined without a SYN: held until it is clear where the stream begins
    open,
    closed,  // its close chunk was emitted
  };

  TcpHalf(Direction direction, StreamSink& sink, IssueSink& issues, uint64_t connection, const TcpLimits& limits,
          const TcpNow& now)
      : direction_(direction), sink_(sink), issues_(issues), connection_(connection), limits_(limits), now_(now) {}

  Phase phase() const { return phase_; }
  uint64_t pending_bytes() const { return pending_bytes_; }
  bool ended() const { return phase_ == Phase::closed || reset_; }
  bool anchored() const { return anchored_; }
  bool delivered_nothing() const { return next_ == base_; }
  // Can the stream's first byte have this sequence number, as far as is known?
  bool could_start_at(uint32_t sequence) const;

  // The stream starts at `sequence` (after a SYN). False when data seen before contradicts it.
  bool start_at(uint32_t sequence);
  void data(uint32_t sequence, Bytes payload, uint32_t missing, bool fin);
  void bare_acknowledgment(uint32_t sequence);  // of this direction: its number is the next byte's
  void acknowledged(uint32_t acknowledgment);   // by the peer
  bool reset_plausible(uint32_t sequence) const;
  void reset_sent(uint32_t sequence);  // this direction ends there, once the bytes before it came
  void reset_received(bool refused);   // nothing new will be sent; bytes in flight still count
  void segment_passed();               // of either direction: ages acknowledged holes
  void flush(StreamChunk::Close why);  // holes become gaps; emits the close chunk

 private:
  struct Held {
    std::vector<uint8_t> bytes;  // empty: cut by the snap length
    uint64_t length = 0;
  };

  uint64_t position_of(uint32_t sequence) const {
    return next_ + static_cast<int64_t>(static_cast<int32_t>(sequence - static_cast<uint32_t>(next_)));
  }
  void anchor(uint32_t sequence);
  bool in_window(uint64_t& position, uint32_t sequence);
  void accept(uint64_t position, Bytes payload, uint64_t missing, bool fin);
  void set_fin(uint64_t position);
  void deliver(Bytes payload, uint64_t missing);
  void hold(uint64_t position, uint64_t end, const uint8_t* bytes, bool probe);
  void open();
  void drain();
  void release_hole();
  void emit_gap(uint64_t length, bool snaplen);
  void close(StreamChunk::Close how);
  void report(Cause cause, const char* what) { issues_.issue({cause, what, now_.packet, connection_}); }

  Direction direction_;
  Phase phase_ = Phase::unseen;
  bool anchored_ = false;      // base_ and next_ are set
  bool synchronised_ = false;  // base_ is a SYN's
  StreamSink& sink_;
  IssueSink& issues_;
  uint64_t connection_;
  const TcpLimits& limits_;
  const TcpNow& now_;
  uint64_t base_ = 0;                                 // position of stream offset 0
  uint64_t next_ = 0;                                 // position of the next byte to deliver
  uint64_t acked_ = 0;                                // highest position the peer acknowledged; 0 = none
  uint32_t aged_ = 0;                                 // segments since the first hole was acknowledged
  uint32_t joined_ = 0;                               // segments held while joining
  uint32_t far_ = 0;                                  // successive segments outside the window
  std::optional<uint64_t> fin_;                       // where the stream ends,
  StreamChunk::Close end_ = StreamChunk::Close::fin;  // and by what
  bool reset_ = false;                                // by either side
  std::optional<uint32_t> sent_hint_;                 // sequence number of a bare acknowledgment
  std::optional<uint32_t> acked_hint_;                // acknowledgment number before any data
  std::map<uint64_t, Held> pending_;                  // by position, disjoint, all >= next_
  uint64_t pending_bytes_ = 0;
};

}  // namespace vitrine
