// Bytes no honest peer sends: bounded work, exact books, no crash.
#include <gtest/gtest.h>

#include <random>

#include "follow.h"

namespace vitrine::test {
namespace {

std::vector<uint8_t> record(uint8_t type, const std::vector<uint8_t>& content) {
  std::vector<uint8_t> out(5 + content.size());
  out[0] = type;
  out[1] = out[2] = 3;
  out[3] = static_cast<uint8_t>(content.size() >> 8);
  out[4] = static_cast<uint8_t>(content.size());
  std::copy(content.begin(), content.end(), out.begin() + 5);
  return out;
}

Collector feed_client(const std::vector<std::vector<uint8_t>>& pieces, Chunking chunking = Chunking::whole) {
  std::vector<Wire> wire;
  for (const auto& piece : pieces) wire.push_back({kC2s, piece});
  return follow(wire, "", chunking);
}

uint64_t size_of(const std::vector<std::vector<uint8_t>>& pieces) {
  uint64_t sum = 0;
  for (const auto& piece : pieces) sum += piece.size();
  return sum;
}

TEST(Hostile, RecordLongerThanAllowed) {
  const std::vector<std::vector<uint8_t>> pieces = {
      record(22, {0, 0, 0, 0}), {0x16, 3, 3, 0xff, 0xff}, std::vector<uint8_t>(70000, 0x11)};
  const Collector got = feed_client(pieces, Chunking::random);
  EXPECT_EQ(got.total(kC2s), size_of(pieces));
  EXPECT_TRUE(got.issues.contains("tls: record longer than 18432 bytes"));
  EXPECT_EQ(got.counts[0][Cause::malformed], 70005u);
}

// A message that claims 16 MiB is dropped as it comes, and the next is read.
TEST(Hostile, EndlessHandshakeMessage) {
  std::vector<std::vector<uint8_t>> pieces = {record(22, {1, 0xff, 0xff, 0xff})};
  for (int i = 0; i < 1100; ++i) pieces.push_back(record(22, std::vector<uint8_t>(16384, 7)));
  const Collector got = feed_client(pieces);
  EXPECT_EQ(got.total(kC2s), size_of(pieces));
  EXPECT_TRUE(got.issues.contains("tls: handshake message longer than 262144 bytes is not read"));
  EXPECT_GT(got.counts[0][Cause::truncated], 16u << 20);
}

TEST(Hostile, LongMessageBehindAShortOne) {
  std::vector<uint8_t> both = {0, 0, 0, 0, 11, 0x7f, 0, 0};
  both.insert(both.end(), 100, 9);
  const std::vector<std::vector<uint8_t>> pieces = {record(22, both), record(22, std::vector<uint8_t>(1000, 9))};
  for (const Chunking chunking : {Chunking::whole, Chunking::bytes}) {
    const Collector got = feed_client(pieces, chunking);
    EXPECT_EQ(got.total(kC2s), size_of(pieces));
    EXPECT_GE(got.counts[0][Cause::truncated], 1005u);
  }
}

TEST(Hostile, HelloWithTenThousandExtensions) {
  std::vector<uint8_t> extensions;
  for (int i = 0; i < 16000; ++i)
    extensions.insert(extensions.end(), {static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i), 0, 0});
  std::vector<uint8_t> body = {3, 3};
  body.insert(body.end(), 32, 1);
  body.insert(body.end(), {0, 0, 2, 0x13, 0x01, 1, 0, static_cast<uint8_t>(extensions.size() >> 8),
                           static_cast<uint8_t>(extensions.size())});
  body.insert(body.end(), extensions.begin(), extensions.end());
  std::vector<uint8_t> message = {1, static_cast<uint8_t>(body.size() >> 16), static_cast<uint8_t>(body.size() >> 8),
                                  static_cast<uint8_t>(body.size())};
  message.insert(message.end(), body.begin(), body.end());
  std::vector<std::vector<uint8_t>> pieces;
  for (size_t at = 0; at < message.size(); at += 16000)
    pieces.push_back(record(22, {message.begin() + static_cast<long>(at),
                                 message.begin() + static_cast<long>(std::min(message.size(), at + 16000))}));
  const Collector got = feed_client(pieces, Chunking::random);
  EXPECT_EQ(got.total(kC2s), size_of(pieces));
  EXPECT_TRUE(got.last_info.client_hello_seen);
  EXPECT_EQ(got.last_info.ja4, "");
  EXPECT_TRUE(got.issues.contains("tls: ClientHello with more than 1024 items of a kind has no fingerprint"));
}

TEST(Hostile, NotTlsAtAll) {
  const std::vector<std::vector<uint8_t>> pieces = {std::vector<uint8_t>(200000, 'x')};
  const Collector got = feed_client(pieces);
  EXPECT_EQ(got.total(kC2s), 200000u);
  EXPECT_GT(got.counts[0][Cause::malformed], 100000u);
}

// The server never answers: what waits for it is bounded and comes out.
TEST(Hostile, ClientThatTalksAlone) {
  Peers peers({});
  const Transcript transcript = peers.run({});
  std::vector<std::vector<uint8_t>> pieces = {transcript.wire.at(0).bytes};
  for (int i = 0; i < 200; ++i) pieces.push_back(record(23, std::vector<uint8_t>(16000, static_cast<uint8_t>(i))));
  const Collector got = feed_client(pieces);
  EXPECT_EQ(got.total(kC2s), size_of(pieces));
  EXPECT_EQ(got.counts[0][Cause::no_key], 200u * 16005);
}

// Real conversations with random damage: the books stay exact whatever happens.
TEST(Hostile, RandomDamageKeepsTheBooksExact) {
  PeerOptions older;
  older.version = TLS1_2_VERSION;
  Peers new_peers({}), old_peers(older);
  const Transcript transcripts[] = {new_peers.run(converse), old_peers.run(converse)};
  std::mt19937 random(99);
  for (int round = 0; round < 400; ++round) {
    const Transcript& transcript = transcripts[round % 2];
    std::vector<Wire> wire = transcript.wire;
    for (unsigned hits = 1 + random() % 4; hits > 0; --hits) {
      std::vector<uint8_t>& bytes = wire[random() % wire.size()].bytes;
      const size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0: bytes[at] = static_cast<uint8_t>(random()); break;
        case 1:
          bytes.erase(bytes.begin() + static_cast<long>(at),
                      bytes.begin() + static_cast<long>(std::min(bytes.size(), at + 1 + random() % 50)));
          break;
        case 2:
          bytes.insert(bytes.begin() + static_cast<long>(at), 1 + random() % 50, static_cast<uint8_t>(random()));
          break;
        case 3: wire.erase(wire.begin() + static_cast<long>(random() % wire.size())); break;
      }
      if (wire.empty()) break;
      std::erase_if(wire, [](const Wire& piece) { return piece.bytes.empty(); });
    }
    Transcript damaged;
    damaged.wire = wire;
    const Collector got = follow(wire, transcript.key_log, Chunking::random, static_cast<unsigned>(round));
    for (const Direction direction : {kC2s, kS2c}) {
      ASSERT_EQ(got.total(direction), damaged.raw_bytes(direction)) << round;
      ASSERT_EQ(got.closes[static_cast<size_t>(direction)], 1) << round;
    }
    ASSERT_TRUE(got.continuous);
  }
}

}  // namespace
}  // namespace vitrine::test
