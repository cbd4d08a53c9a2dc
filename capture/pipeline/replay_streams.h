// The bytes that origins go back to, taken from the streams as a run passes
// them once more. Internal to replay.cc.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capture/pipeline/traffic_connection.h"

namespace vitrine {

inline constexpr uint64_t kReplayBound = 256ull << 20;  // of one span that is put together again

// The bytes of some spans of one stream.
class SpanBytes {
 public:
  SpanBytes() = default;
  explicit SpanBytes(const std::vector<StreamSpan>& spans);

  // Copies what `bytes`, which stand at `offset`, hold of the spans, and calls
  // visit(StreamSpan) for each piece copied.
  template <class Visit>
  void take(uint64_t offset, Bytes bytes, Visit visit) {
    if (offset >= end_ || offset + bytes.size() <= begin_) return;
    for (Part& part : parts_) {
      const uint64_t from = std::max(offset, part.span.offset);
      const uint64_t to = std::min(offset + bytes.size(), part.span.offset + part.bytes.size());
      if (from >= to) continue;
      part.bytes.replace(from - part.span.offset, to - from, as_text(bytes.subspan(from - offset, to - from)));
      part.filled += to - from;
      visit(StreamSpan{from, to - from});
    }
  }
  bool complete() const;  // every byte was passed, once
  std::string joined() const;
  size_t size() const { return parts_.size(); }
  StreamSpan span(size_t i) const { return {parts_[i].span.offset, parts_[i].bytes.size()}; }
  const std::string& bytes(size_t i) const { return parts_[i].bytes; }

 private:
  struct Part {
    StreamSpan span;
    std::string bytes;  // at most kReplayBound of them
    uint64_t filled = 0;
  };
  std::vector<Part> parts_;
  uint64_t begin_ = UINT64_MAX, end_ = 0;
};

using FlowId = std::pair<ConnectionId, Direction>;

// One place of a stream that values came from: a part of an exchange, or a
// handshake message.
struct StreamPlace {
  FlowId flow;
  std::vector<StreamSpan> pieces;   // of the plaintext
  std::vector<StreamSpan> records;  // of the raw stream: TLS records, or the pieces themselves
  SpanBytes plain, raw;
};

// Fills `plain` and `records` of the places, and keeps the handshake messages of
// the server on the connections asked for. REQUIRES: places outlive this.
class PlaintextCollector : public StreamObserver {
 public:
  struct Handshake {
    uint8_t type = 0;
    StreamSpan span;
    std::vector<uint8_t> body;
  };

  explicit PlaintextCollector(std::vector<StreamPlace>& places);
  void want_handshake(FlowId flow) { handshakes_[flow]; }
  void plaintext(const ConnectionInfo& info, const StreamChunk& chunk, StreamSpan record) override;
  void handshake(const ConnectionInfo& info, Direction direction, const tls::HandshakeMessage& message) override;
  void finish();  // when the run is over

  const std::vector<Handshake>& handshakes(FlowId flow) const { return handshakes_.at(flow); }

 private:
  std::multimap<FlowId, StreamPlace*> places_;
  std::map<FlowId, std::vector<Handshake>> handshakes_;
};

// Fills `raw` of the places. REQUIRES: places outlive this.
class RawCollector : public StreamObserver {
 public:
  struct First {
    uint64_t offset, packet;
  };

  explicit RawCollector(std::vector<StreamPlace>& places);
  void raw(const ConnectionInfo& info, const StreamChunk& chunk) override;
  // The first data that was seen of a flow, or nothing.
  std::optional<First> first(FlowId flow) const;

 private:
  std::multimap<FlowId, StreamPlace*> places_;
  std::map<FlowId, First> first_;
};

}  // namespace vitrine
