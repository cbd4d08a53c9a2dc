// Reassembly against a judge that knows the whole stream: whatever is done to
// the segments, bytes delivered are the stream's bytes at their offsets, and
// bytes and gaps together are the stream.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/capture/net/wire.h"

namespace vitrine {
namespace {

using namespace wire;
using Random = std::mt19937_64;

class Judge : public StreamSink {
 public:
  explicit Judge(const std::string& stream) : stream_(stream) {}
  void on_chunk(const StreamChunk& chunk) override {
    if (chunk.direction == Direction::server_to_client) return;
    ASSERT_FALSE(closed);
    ASSERT_EQ(chunk.offset, at);
    if (chunk.kind == StreamChunk::Kind::data) {
      ASSERT_LE(at + chunk.bytes.size(), stream_.size());
      ASSERT_EQ(as_text(chunk.bytes), std::string_view(stream_).substr(at, chunk.bytes.size()));
      at += chunk.bytes.size();
      data += chunk.bytes.size();
    } else if (chunk.kind == StreamChunk::Kind::gap) {
      ASSERT_GT(chunk.gap_length, 0u);
      at += chunk.gap_length;
      (chunk.gap_is_snaplen ? cut : lost) += chunk.gap_length;
    } else {
      closed = true;
      close = chunk.close;
    }
  }
  uint64_t at = 0, data = 0, lost = 0, cut = 0;
  bool closed = false;
  StreamChunk::Close close = StreamChunk::Close::idle;

 private:
  const std::string& stream_;
};

struct Piece {
  uint64_t from, to;
  uint32_t missing = 0;  // of [from, to), cut at the end
  bool fin = false;
};

std::string random_stream(Random& random) {
  std::string stream(1 + random() % 20000, '\0');
  for (char& c : stream) c = static_cast<char>(random());
  return stream;
}

std::vector<Piece> split(Random& random, uint64_t size) {
  std::vector<Piece> pieces;
  const uint64_t most = 1 + random() % 1460;
  for (uint64_t at = 0; at < size;) {
    const uint64_t to = std::min(size, at + 1 + random() % most);
    pieces.push_back({at, to});
    at = to;
  }
  if (random() % 2) {
    pieces.back().fin = true;
  } else {
    pieces.push_back({size, size, 0, true});
  }
  return pieces;
}

void send(TcpConnection& tcp, const std::string& stream, uint32_t isn, const Piece& piece, uint64_t& packet) {
  TcpHeader header;
  header.sequence = isn + 1 + static_cast<uint32_t>(piece.from);
  header.payload = as_bytes(stream).subspan(piece.from, piece.to - piece.from - piece.missing);
  header.missing = piece.missing;
  header.fin = piece.fin;
  header.ack = true;
  header.acknowledgment = 1;
  ++packet;
  tcp.segment(Direction::client_to_server, header, {static_cast<int64_t>(packet)}, packet);
}

void syn(TcpConnection& tcp, uint32_t isn) {
  TcpHeader header;
  header.sequence = isn;
  header.syn = true;
  tcp.segment(Direction::client_to_server, header, {}, 1);
}

uint32_t random_isn(Random& random, uint64_t size) {
  if (random() % 2) return static_cast<uint32_t>(random());
  return static_cast<uint32_t>(0) - static_cast<uint32_t>(random() % (size + 2));  // wraps inside the stream
}

// Reorders within a window, as networks and multi-queue captures do, or fully.
void disturb(Random& random, std::vector<Piece>& pieces) {
  const size_t window = random() % 3 == 0 ? pieces.size() : 1 + random() % 16;
  for (size_t i = 0; i < pieces.size(); ++i) {
    std::swap(pieces[i], pieces[std::min(pieces.size() - 1, i + random() % window)]);
  }
}

TEST(TcpJudge, AnyPermutationDuplicationAndSplittingGivesTheStream) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Random random(seed);
    const std::string stream = random_stream(random);
    std::vector<Piece> pieces = split(random, stream.size());
    for (size_t i = 0, n = random() % (pieces.size() + 1); i < n; ++i) {  // retransmissions, other boundaries too
      const uint64_t from = random() % stream.size();
      pieces.push_back({from, std::min<uint64_t>(stream.size(), from + 1 + random() % 3000)});
    }
    disturb(random, pieces);
    const uint32_t isn = random_isn(random, stream.size());
    Judge judge(stream);
    Issues issues;
    TcpConnection tcp(judge, issues, 1, {.pending_bytes = 1 << 20, .pending_segments = 1 << 20});
    syn(tcp, isn);
    uint64_t packet = 1;
    for (const Piece& piece : pieces) send(tcp, stream, isn, piece, packet);
    ASSERT_EQ(judge.data, stream.size()) << "seed " << seed;
    ASSERT_TRUE(judge.closed) << "seed " << seed;
    ASSERT_EQ(judge.close, StreamChunk::Close::fin);
    ASSERT_EQ(judge.lost + judge.cut, 0u);
    ASSERT_EQ(tcp.pending_bytes(), 0u);
    ASSERT_TRUE(issues.all.empty()) << issues.all[0].what << " seed " << seed;
  }
}

TEST(TcpJudge, WithLossesBytesAndGapsAreTheStream) {
  uint64_t lossy = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Random random(seed + 1'000'000);
    const std::string stream = random_stream(random);
    std::vector<Piece> pieces = split(random, stream.size());
    std::vector<bool> present(stream.size(), false);
    std::vector<Piece> kept;
    for (Piece piece : pieces) {
      if (!piece.fin && random() % 4 == 0) continue;
      if (piece.to > piece.from && random() % 8 == 0) piece.missing = 1 + random() % (piece.to - piece.from);
      kept.push_back(piece);
    }
    for (const Piece& piece : kept) {
      std::fill(present.begin() + static_cast<long>(piece.from),
                present.begin() + static_cast<long>(piece.to - piece.missing), true);
    }
    disturb(random, kept);
    TcpLimits limits{.pending_bytes = 1 << 20, .pending_segments = 1 << 20};
    const bool tight = random() % 2;
    if (tight)
      limits = {.pending_bytes = 1 + random() % 8000, .pending_segments = static_cast<uint32_t>(1 + random() % 12)};
    const uint32_t isn = random_isn(random, stream.size());
    Judge judge(stream);
    Issues issues;
    TcpConnection tcp(judge, issues, 1, limits);
    syn(tcp, isn);
    uint64_t packet = 1;
    for (const Piece& piece : kept) {
      send(tcp, stream, isn, piece, packet);
      ASSERT_LE(tcp.pending_bytes(), limits.pending_bytes);
      if (tight && random() % 4 == 0) {  // an acknowledgment of the peer, sometimes wild
        TcpHeader ack;
        ack.sequence = 5;
        ack.ack = true;
        ack.acknowledgment = isn + 1 + static_cast<uint32_t>(random() % (stream.size() + 1));
        tcp.segment(Direction::server_to_client, ack, {}, packet);
      }
    }
    tcp.finish(StreamChunk::Close::end_of_capture, {}, packet);
    ASSERT_TRUE(judge.closed);
    ASSERT_EQ(judge.close, StreamChunk::Close::fin);
    ASSERT_EQ(judge.at, stream.size()) << "seed " << seed;
    ASSERT_EQ(judge.data + judge.lost + judge.cut, stream.size()) << "seed " << seed;
    const uint64_t there = static_cast<uint64_t>(std::count(present.begin(), present.end(), true));
    ASSERT_LE(judge.data, there) << "seed " << seed;
    if (!tight) {
      ASSERT_EQ(judge.data, there) << "nothing captured is lost while the limits hold, seed " << seed;
    }
    lossy += judge.lost > 0;
  }
  EXPECT_GT(lossy, 1000u);
}

// Joined without a SYN: as long as the reordering at the join is short, the
// stream begins at its lowest byte.
TEST(TcpJudge, JoinedInTheMiddle) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Random random(seed + 2'000'000);
    const std::string stream = random_stream(random);
    std::vector<Piece> pieces = split(random, stream.size());
    std::shuffle(pieces.begin(), pieces.begin() + static_cast<long>(std::min<size_t>(3, pieces.size())), random);
    const uint32_t isn = random_isn(random, stream.size());
    Judge judge(stream);
    Issues issues;
    TcpConnection tcp(judge, issues, 1);
    uint64_t packet = 1;
    for (const Piece& piece : pieces) send(tcp, stream, isn, piece, packet);
    tcp.finish(StreamChunk::Close::end_of_capture, {}, packet);
    ASSERT_EQ(judge.data, stream.size()) << "seed " << seed;
    ASSERT_EQ(judge.close, StreamChunk::Close::fin);
    ASSERT_TRUE(tcp.mid_stream());
  }
}

}  // namespace
}  // namespace vitrine
