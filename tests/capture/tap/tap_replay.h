// A packet capture's plaintext, said again to a tap: what a server that had been
// an end of these connections would have handed over.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "capture/pipeline/input.h"
#include "capture/tap/tap.h"

namespace vitrine {

class TapReplay : public StreamObserver {
 public:
  explicit TapReplay(Tap& tap) : tap_(tap) {}

  void plaintext(const ConnectionInfo& info, const StreamChunk& chunk, StreamSpan) override {
    std::unique_ptr<TapConnection>& connection = connections_[info.id];
    if (!connection) {
      TapPeer peer;
      peer.client = info.client;
      peer.server = info.server;
      peer.process = info.process;
      peer.tls = info.tls;
      peer.tls_info = info.tls_info;
      connection = tap_.connection(std::move(peer), info.opened);
    }
    if (chunk.kind == StreamChunk::Kind::data) connection->bytes(chunk.direction, chunk.bytes, chunk.time);
    else if (chunk.kind == StreamChunk::Kind::close) connection->close(chunk.direction, chunk.time);
    else ADD_FAILURE() << "a server sees no gaps";
  }
  size_t connections() const { return connections_.size(); }

 private:
  Tap& tap_;
  std::map<ConnectionId, std::unique_ptr<TapConnection>> connections_;
};

// Writes the tap's log of `capture`.
inline void tap_capture(const std::string& capture, TapOptions options) {
  Result<std::unique_ptr<Tap>> tap = Tap::open(std::move(options));
  ASSERT_TRUE(tap) << tap.error().to_string();
  struct Nobody : ShardConsumer {
    void position(OutputPosition) override {}
    std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
  };
  IssueLog issues;
  Result<Input> input = Input::open(capture, {}, issues);
  ASSERT_TRUE(input) << input.error().to_string();
  TapReplay replay(**tap);
  const Status status = input->run(
      issues, [](unsigned) { return std::make_unique<Nobody>(); },
      [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); }, {}, &replay);
  ASSERT_TRUE(status) << status.error().to_string();
  EXPECT_GT(replay.connections(), 0u);
  const Status closed = (*tap)->close({});
  ASSERT_TRUE(closed) << closed.error().to_string();
}

}  // namespace vitrine
