// A whole TlsSession: the input is a key log, a zero byte, then chunks, each
// with two bytes of head: direction, kind and length. Asserts the books.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "capture/tls/tls_session.h"

namespace {

using namespace vitrine;

class Books : public TlsSink {
 public:
  void on_tls_info(const TlsInfo&) override {}
  void on_plaintext(const StreamChunk& chunk, StreamSpan) override {
    const auto side = static_cast<size_t>(chunk.direction);
    if (chunk.offset != next[side] || closed[side]) std::abort();
    next[side] += chunk.kind == StreamChunk::Kind::gap ? chunk.gap_length : chunk.bytes.size();
    if (chunk.kind == StreamChunk::Kind::data) seen[side] += chunk.bytes.size();
    if (chunk.kind == StreamChunk::Kind::close) closed[side] = true;
  }
  void on_bytes(Direction direction, Cause, uint64_t bytes) override { seen[static_cast<size_t>(direction)] += bytes; }
  void issue(Issue) override {}
  uint64_t next[2] = {0, 0}, seen[2] = {0, 0};
  bool closed[2] = {false, false};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = as_text({data, size});
  const size_t split = std::min(all.find('\0'), all.size());
  Books books;
  SecretStore store;
  store.load(all.substr(0, split), books);
  TlsSession session(store, books, 1);
  Bytes rest = as_bytes(all.substr(std::min(split + 1, all.size())));
  uint64_t offsets[2] = {0, 0};
  std::vector<uint8_t> exact;
  const auto emit = [&](StreamChunk& chunk) {
    uint64_t& offset = offsets[static_cast<size_t>(chunk.direction)];
    chunk.offset = offset;
    offset += chunk.kind == StreamChunk::Kind::gap ? chunk.gap_length : chunk.bytes.size();
    session.on_chunk(chunk);
  };
  while (rest.size() >= 2) {
    // bit 7: direction, bit 6: gap; the other 14 bits: length
    const size_t length = static_cast<size_t>(rest[0] & 0x3f) << 8 | rest[1];
    StreamChunk chunk;
    chunk.direction = rest[0] & 0x80 ? Direction::server_to_client : Direction::client_to_server;
    const bool gap = rest[0] & 0x40;
    rest = rest.subspan(2);
    if (gap) {
      chunk.kind = StreamChunk::Kind::gap;
      chunk.gap_length = length + 1;
    } else {
      const Bytes bytes = rest.first(std::min(length, rest.size()));
      rest = rest.subspan(bytes.size());
      exact.assign(bytes.begin(), bytes.end());
      exact.shrink_to_fit();
      chunk.bytes = exact;
    }
    emit(chunk);
  }
  for (const Direction direction : {Direction::client_to_server, Direction::server_to_client}) {
    StreamChunk chunk;
    chunk.kind = StreamChunk::Kind::close;
    chunk.direction = direction;
    emit(chunk);
  }
  for (size_t side = 0; side < 2; ++side)
    if (books.seen[side] != offsets[side] || !books.closed[side]) std::abort();
  return 0;
}
