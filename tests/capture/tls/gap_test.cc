// Lost bytes, late joins, damage: what is still readable is read, and every
// byte stays accounted for.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "follow.h"

namespace vitrine::test {
namespace {

// The transcript's stream of `direction` with [begin, end) missing.
std::vector<StreamChunk> with_gap(const Transcript& transcript, Direction direction, uint64_t begin, uint64_t end,
                                  Chunking chunking = Chunking::whole, bool snaplen = false) {
  std::vector<StreamChunk> out;
  bool told = false;
  for (StreamChunk chunk : chunks_of(transcript.wire, chunking, 3)) {
    if (chunk.direction != direction || chunk.kind == StreamChunk::Kind::close) {
      out.push_back(chunk);
      continue;
    }
    const uint64_t first = chunk.offset, last = chunk.offset + chunk.bytes.size();
    if (first < begin) {
      StreamChunk before = chunk;
      before.bytes = chunk.bytes.first(std::min(last, begin) - first);
      out.push_back(before);
    }
    if (last > begin && !told) {
      told = true;
      StreamChunk gap = chunk;
      gap.kind = StreamChunk::Kind::gap;
      gap.bytes = {};
      gap.offset = begin;
      gap.gap_length = end - begin;
      gap.gap_is_snaplen = snaplen;
      out.push_back(gap);
    }
    if (last > end) {
      StreamChunk after = chunk;
      after.bytes = chunk.bytes.subspan(std::max(first, end) - first);
      after.offset = std::max(first, end);
      out.push_back(after);
    }
  }
  return out;
}

struct Numbered {
  Transcript transcript;
  std::vector<std::string> sent;   // s2c, one per record
  std::vector<RawRecord> records;  // s2c, those of `sent`
};

Numbered many_records(PeerOptions options, bool key_updates = false) {
  Numbered out;
  std::mt19937 random(5);
  Peers peers(options);
  size_t before = 0;
  out.transcript = peers.run([&](Peers::Connection& connection) {
    connection.send(kC2s, "request");
    before = records_of(*connection.transcript, kS2c).size();
    for (int i = 0; i < 60; ++i) {
      if (key_updates && i % 20 == 10) {
        connection.update_keys(kS2c, false);
        out.sent.push_back("");  // its record carries no data
      }
      out.sent.push_back(text(1 + random() % (i % 5 == 0 ? 16000 : 700), static_cast<unsigned>(i)));
      connection.send(kS2c, out.sent.back());
    }
  });
  const auto all = records_of(out.transcript, kS2c);
  for (size_t i = 0; i < out.sent.size(); ++i) out.records.push_back(all.at(before + i));
  return out;
}

std::string untouched(const Numbered& fixture, uint64_t begin, uint64_t end) {
  std::string out;
  for (size_t i = 0; i < fixture.sent.size(); ++i)
    if (fixture.records[i].offset + fixture.records[i].size <= begin || fixture.records[i].offset >= end)
      out += fixture.sent[i];
  return out;
}

// Any hole behind the handshake costs exactly the records it touches.
void expect_only_touched_records_lost(const Numbered& fixture) {
  ASSERT_EQ(fixture.transcript.error, "");
  std::mt19937 random(11);
  const uint64_t first = fixture.records.front().offset,
                 last = fixture.records.back().offset + fixture.records.back().size;
  for (int round = 0; round < 150; ++round) {
    uint64_t begin = first + random() % (last - first), length = 1 + random() % (round % 3 == 0   ? 20
                                                                                 : round % 3 == 1 ? 3000
                                                                                                  : 40000);
    if (round % 7 == 0) begin = fixture.records[random() % fixture.records.size()].offset;  // on a boundary
    const uint64_t end = std::min(last, begin + length);
    const auto chunking = round % 2 == 0 ? Chunking::whole : Chunking::random;
    const Collector got = feed(with_gap(fixture.transcript, kS2c, begin, end, chunking), fixture.transcript.key_log);
    const std::string expected = untouched(fixture, begin, end);
    ASSERT_TRUE(got.data[1] == expected) << "gap [" << begin << ", " << end << "): " << got.data[1].size() << " of "
                                         << expected.size();
    ASSERT_EQ(got.total(kS2c), fixture.transcript.raw_bytes(kS2c)) << begin << " " << end;
    ASSERT_EQ(got.data[0], "request");
    ASSERT_TRUE(got.continuous);
    ASSERT_EQ(got.closes[1], 1);
    ASSERT_GE(got.counts[1][Cause::gap], end - begin);
    ASSERT_EQ(got.counts[1].undecoded(), got.counts[1][Cause::gap]);
    const bool lost_data = expected.size() != fixture.transcript.plaintext[1].size();
    if (lost_data) {
      ASSERT_GE(got.gap_chunks[1], 1u);
    }

    // Without keys the hole is a hole and the rest has no key.
    const Collector blind = feed(with_gap(fixture.transcript, kS2c, begin, end, chunking), "");
    ASSERT_EQ(blind.total(kS2c), fixture.transcript.raw_bytes(kS2c));
    ASSERT_EQ(blind.data[1], "");
  }
}

TEST(Gap, Tls13LosesOnlyTheRecordsItTouches) { expect_only_touched_records_lost(many_records({})); }

TEST(Gap, Tls13AcrossKeyUpdates) { expect_only_touched_records_lost(many_records({}, true)); }

TEST(Gap, Tls12LosesOnlyTheRecordsItTouches) {
  for (const char* suite : {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "AES128-SHA"}) {
    PeerOptions options;
    options.version = TLS1_2_VERSION;
    options.ciphers = std::string(suite) + ":@SECLEVEL=0";
    expect_only_touched_records_lost(many_records(options));
  }
}

TEST(Gap, SnapLengthIsTruncated) {
  const Numbered fixture = many_records({});
  const uint64_t begin = fixture.records[3].offset + 9;
  const Collector got =
      feed(with_gap(fixture.transcript, kS2c, begin, begin + 1, Chunking::whole, true), fixture.transcript.key_log);
  EXPECT_EQ(got.data[1], untouched(fixture, begin, begin + 1));
  EXPECT_EQ(got.counts[1][Cause::truncated], fixture.records[3].size);
  EXPECT_EQ(got.counts[1][Cause::gap], 0u);
}

// A hole anywhere in the server's handshake: its data is found again.
TEST(Gap, InTheServersHandshake) {
  for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    PeerOptions options;
    options.version = version;
    const Numbered fixture = many_records(options);
    const auto records = records_of(fixture.transcript, kS2c);
    const uint64_t data_begins = fixture.records.front().offset;
    for (uint64_t begin = 0; begin < data_begins; begin += 37) {
      for (const uint64_t length : {uint64_t{1}, uint64_t{90}, data_begins - begin}) {
        const uint64_t end = std::min(data_begins, begin + length);
        const Collector got = feed(with_gap(fixture.transcript, kS2c, begin, end), fixture.transcript.key_log);
        ASSERT_EQ(got.total(kS2c), fixture.transcript.raw_bytes(kS2c));
        // TLS 1.2 keys need the server's random; TLS 1.3 needs nothing of it.
        const bool hello_hit = begin < records[0].offset + records[0].size;
        const bool readable = version == TLS1_3_VERSION || !hello_hit;
        ASSERT_TRUE(got.data[1] == (readable ? fixture.transcript.plaintext[1] : "")) << begin << " " << end;
        ASSERT_EQ(got.data[0], readable ? "request" : "") << begin << " " << end;
      }
    }
  }
}

TEST(Gap, InTheClientHelloLeavesNoKey) {
  const Numbered fixture = many_records({});
  const Collector got = feed(with_gap(fixture.transcript, kC2s, 20, 30), fixture.transcript.key_log);
  EXPECT_EQ(got.data[0], "");
  EXPECT_EQ(got.data[1], "");
  for (const Direction direction : {kC2s, kS2c}) {
    EXPECT_EQ(got.total(direction), fixture.transcript.raw_bytes(direction));
    EXPECT_EQ(got.counts[static_cast<size_t>(direction)][Cause::no_key],
              protected_bytes(fixture.transcript, direction));
  }
}

// Joined in the middle: records are told from noise, and have no key.
TEST(Gap, JoinedInTheMiddle) {
  const Numbered fixture = many_records({});
  for (const uint64_t skipped : {uint64_t{1}, uint64_t{3}, fixture.records[2].offset, fixture.records[5].offset + 11}) {
    std::vector<StreamChunk> chunks;
    for (StreamChunk chunk : chunks_of(fixture.transcript.wire, Chunking::whole)) {
      if (chunk.direction != kS2c) {
        if (chunk.kind == StreamChunk::Kind::close) chunks.push_back(chunk);
        continue;
      }
      if (chunk.kind == StreamChunk::Kind::data) {
        const uint64_t drop =
            chunk.offset < skipped ? std::min<uint64_t>(chunk.bytes.size(), skipped - chunk.offset) : 0;
        chunk.bytes = chunk.bytes.subspan(drop);
        if (chunk.bytes.empty()) continue;
      }
      chunks.push_back(chunk);
    }
    const Collector got = feed(chunks, fixture.transcript.key_log);
    EXPECT_EQ(got.total(kS2c), fixture.transcript.raw_bytes(kS2c) - skipped);
    EXPECT_EQ(got.data[1], "");
    EXPECT_GT(got.counts[1][Cause::no_key], 10000u);
    EXPECT_LE(got.counts[1][Cause::gap], 17000u);
    EXPECT_EQ(got.counts[1][Cause::malformed], 0u);
  }
}

// Both directions joined between records: nothing waits for hellos that are over.
TEST(Gap, JoinedBetweenRecordsIsJudgedAtOnce) {
  const Numbered fixture = many_records({});
  Silent silent;
  SecretStore store;
  store.load(fixture.transcript.key_log, silent);
  Collector collector;
  TlsSession session(store, collector, 1);
  uint64_t fed = 0;
  for (const StreamChunk& chunk : chunks_of(fixture.transcript.wire, Chunking::whole)) {
    if (chunk.direction != kS2c || chunk.kind != StreamChunk::Kind::data || chunk.offset < fixture.records[0].offset)
      continue;
    session.on_chunk(chunk);
    fed += chunk.bytes.size();
    ASSERT_EQ(collector.counts[1][Cause::no_key], fed);
  }
  ASSERT_GT(fed, 100000u);
}

// Cut anywhere: the last record is truncated, the rest is as it was.
TEST(Gap, TruncatedStream) {
  const Numbered fixture = many_records({});
  std::mt19937 random(2);
  for (int round = 0; round < 60; ++round) {
    const uint64_t size = random() % fixture.transcript.raw_bytes(kS2c);
    std::vector<StreamChunk> chunks;
    for (StreamChunk chunk : chunks_of(fixture.transcript.wire, Chunking::random, 4)) {
      if (chunk.direction == kS2c && chunk.kind == StreamChunk::Kind::data) {
        if (chunk.offset >= size) continue;
        chunk.bytes = chunk.bytes.first(std::min<uint64_t>(chunk.bytes.size(), size - chunk.offset));
      }
      chunks.push_back(chunk);
    }
    const Collector got = feed(chunks, fixture.transcript.key_log);
    ASSERT_EQ(got.total(kS2c), size);
    ASSERT_TRUE(fixture.transcript.plaintext[1].starts_with(got.data[1]));
    ASSERT_EQ(got.data[1], untouched(fixture, size, ~uint64_t{0}).substr(0, got.data[1].size()));
    ASSERT_EQ(got.counts[1].undecoded(), got.counts[1][Cause::truncated]);
    ASSERT_LE(got.counts[1][Cause::truncated], 16384u + 300);
    ASSERT_EQ(got.closes[1], 1);
  }
}

// A flipped byte costs its record; the ones behind it open.
TEST(Gap, DamagedRecord) {
  Numbered fixture = many_records({});
  std::vector<Wire> wire = fixture.transcript.wire;
  const RawRecord& hit = fixture.records[7];
  uint64_t offset = 0;
  for (Wire& piece : wire) {
    if (piece.direction != kS2c) continue;
    if (hit.offset + 20 >= offset && hit.offset + 20 < offset + piece.bytes.size())
      piece.bytes[hit.offset + 20 - offset] ^= 1;
    offset += piece.bytes.size();
  }
  const Collector got = follow(wire, fixture.transcript.key_log, Chunking::random);
  EXPECT_TRUE(got.data[1] == untouched(fixture, hit.offset, hit.offset + 1));
  EXPECT_EQ(got.counts[1][Cause::malformed], hit.size);
  EXPECT_EQ(got.total(kS2c), fixture.transcript.raw_bytes(kS2c));
}

// Bytes put in between records: skipped as malformed, then in step again.
TEST(Gap, NoiseBetweenRecords) {
  Numbered fixture = many_records({});
  std::vector<Wire> wire;
  uint64_t offset = 0, added = 0;
  for (const Wire& piece : fixture.transcript.wire) {
    if (piece.direction == kS2c && offset == fixture.records[9].offset) {
      std::vector<uint8_t> noise(300, 0x41);
      added = noise.size();
      wire.push_back({kS2c, noise});
    }
    if (piece.direction == kS2c) offset += piece.bytes.size();
    wire.push_back(piece);
  }
  ASSERT_EQ(added, 300u);
  const Collector got = follow(wire, fixture.transcript.key_log, Chunking::random);
  EXPECT_TRUE(got.data[1] == fixture.transcript.plaintext[1]);
  EXPECT_EQ(got.counts[1][Cause::malformed], 300u);
  EXPECT_TRUE(got.issues.contains("tls: not a record header"));
}

}  // namespace
}  // namespace vitrine::test
