#include "follow.h"

#include <algorithm>

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
      if (chunking == Chunking::random) size = std::min<size_t>(left.size(), 1 + random() % (random() % 4 == 0 ? 3000 : 40));
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

}  // namespace vitrine::test
