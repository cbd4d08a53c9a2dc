#include "follow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace vitrine::test {

void Collector::on_plaintext(const StreamChunk& chunk, StreamSpan) {
  const auto side = static_cast<size_t>(chunk.direction);
  continuous &= chunk.offset == next_offset[side] && closes[side] == 0;
  switch (chunk.kind) {
    case StreamChunk::Kind::data:
      data[side] += as_text(chunk.bytes);
      next_offset[side] += chunk.bytes.size();
      order.push_back(chunk.direction);
      break;
    case StreamChunk::Kind::gap:
      gaps[side] += chunk.gap_length;
      next_offset[side] += chunk.gap_length;
      ++gap_chunks[side];
      break;
    case StreamChunk::Kind::close: ++closes[side]; break;
  }
}

std::vector<StreamChunk> chunks_of(const std::vector<Wire>& wire, Chunking chunking, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<StreamChunk> chunks;
  uint64_t offsets[2] = {0, 0};
  uint64_t packet = 0;
  for (const Wire& piece : wire) {
    Bytes left = piece.bytes;
    while (!left.empty()) {
      size_t size = left.size();
      if (chunking == Chunking::bytes) size = 1;
      if (chunking == Chunking::random)
        size = std::min<size_t>(left.size(), 1 + random() % (random() % 4 == 0 ? 3000 : 40));
      StreamChunk chunk;
      chunk.direction = piece.direction;
      chunk.bytes = left.first(size);
      uint64_t& offset = offsets[static_cast<size_t>(piece.direction)];
      chunk.offset = offset;
      chunk.packet = ++packet;
      offset += size;
      left = left.subspan(size);
      chunks.push_back(chunk);
    }
  }
  for (const Direction direction : {Direction::client_to_server, Direction::server_to_client}) {
    StreamChunk chunk;
    chunk.kind = StreamChunk::Kind::close;
    chunk.direction = direction;
    chunk.offset = offsets[static_cast<size_t>(direction)];
    chunk.packet = ++packet;
    chunks.push_back(chunk);
  }
  return chunks;
}

Collector feed(const std::vector<StreamChunk>& chunks, const std::string& key_log) {
  Silent silent;
  SecretStore store;
  store.load(key_log, silent);
  Collector collector;
  TlsSession session(store, collector, 1);
  std::vector<uint8_t> exact;
  for (StreamChunk chunk : chunks) {
    // An exact allocation lets the address sanitizer see every read past the end.
    exact.assign(chunk.bytes.begin(), chunk.bytes.end());
    exact.shrink_to_fit();
    if (!chunk.bytes.empty()) chunk.bytes = exact;
    session.on_chunk(chunk);
  }
  collector.last_info = session.info();
  return collector;
}

Collector follow(const std::vector<Wire>& wire, const std::string& key_log, Chunking chunking, unsigned seed) {
  return feed(chunks_of(wire, chunking, seed), key_log);
}

std::string text(size_t size, unsigned from) {
  std::string out(size, ' ');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>('!' + (from + i * 7 + i / 89) % 90);
  return out;
}

void converse(Peers::Connection& connection) {
  connection.send(kC2s, "GET / HTTP/1.1\r\n\r\n");
  connection.send(kS2c, text(40000));
  connection.send(kC2s, text(3));
  connection.send(kS2c, text(1));
  connection.send(kC2s, text(700, 5));
}

void expect_whole(const Transcript& transcript, const Collector& got) {
  EXPECT_EQ(transcript.error, "");
  for (const Direction direction : {kC2s, kS2c}) {
    const auto side = static_cast<size_t>(direction);
    EXPECT_TRUE(got.data[side] == transcript.plaintext[side])
        << "side " << side << ": " << got.data[side].size() << " bytes for " << transcript.plaintext[side].size();
    EXPECT_EQ(got.total(direction), transcript.raw_bytes(direction));
    EXPECT_EQ(got.counts[side].undecoded(), 0u);
    EXPECT_EQ(got.closes[side], 1);
    EXPECT_EQ(got.gaps[side], 0u);
  }
  EXPECT_TRUE(got.continuous);
  for (const auto& [what, count] : got.issues) ADD_FAILURE() << what;
}

void expect_whole_in_all_chunkings(const Transcript& transcript, const std::string& keys) {
  expect_whole(transcript, follow(transcript.wire, keys, Chunking::whole));
  expect_whole(transcript, follow(transcript.wire, keys, Chunking::bytes));
  for (unsigned seed = 1; seed <= 3; ++seed)
    expect_whole(transcript, follow(transcript.wire, keys, Chunking::random, seed));
}

std::vector<RawRecord> records_of(const Transcript& transcript, Direction direction) {
  std::vector<uint8_t> all;
  for (const Wire& piece : transcript.wire)
    if (piece.direction == direction) all.insert(all.end(), piece.bytes.begin(), piece.bytes.end());
  std::vector<RawRecord> records;
  for (size_t at = 0; at + 5 <= all.size();) {
    const size_t size = 5 + (all[at + 3] << 8 | all[at + 4]);
    records.push_back({at, size, all[at]});
    at += size;
  }
  return records;
}

uint64_t protected_bytes(const Transcript& transcript, Direction direction) {
  const auto records = records_of(transcript, direction);
  const bool tls13 = transcript.key_log.find("TRAFFIC_SECRET") != std::string::npos;
  uint64_t sum = 0;
  bool after_change = false;
  for (const RawRecord& record : records) {
    if (tls13 ? record.type == 23 : after_change) sum += record.size;
    after_change |= record.type == 20;
  }
  return sum;
}

void expect_no_key(const Transcript& transcript, const std::string& keys) {
  for (const Chunking chunking : {Chunking::whole, Chunking::bytes, Chunking::random}) {
    const Collector got = follow(transcript.wire, keys, chunking, 7);
    for (const Direction direction : {kC2s, kS2c}) {
      const auto side = static_cast<size_t>(direction);
      EXPECT_EQ(got.data[side], "");
      EXPECT_EQ(got.counts[side][Cause::no_key], protected_bytes(transcript, direction));
      EXPECT_EQ(got.counts[side][Cause::decoded],
                transcript.raw_bytes(direction) - protected_bytes(transcript, direction));
      EXPECT_EQ(got.closes[side], 1);
      EXPECT_EQ(got.gap_chunks[side], 0u);
    }
    EXPECT_FALSE(got.last_info.decrypted);
    EXPECT_TRUE(got.last_info.client_hello_seen);
    EXPECT_TRUE(got.last_info.server_hello_seen);
  }
}

std::string without(const std::string& key_log, const std::vector<std::string>& labels) {
  std::istringstream lines(key_log);
  std::string out, line;
  while (std::getline(lines, line)) {
    const bool drop =
        std::any_of(labels.begin(), labels.end(), [&](const std::string& label) { return line.starts_with(label); });
    if (!drop) out += line + '\n';
  }
  return out;
}

}  // namespace vitrine::test
