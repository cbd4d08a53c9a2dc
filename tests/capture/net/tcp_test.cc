#include "capture/net/tcp.h"

#include <gtest/gtest.h>

#include "tests/capture/net/wire.h"

namespace vitrine {
namespace {

using namespace wire;

constexpr auto kClient = Direction::client_to_server, kServer = Direction::server_to_client;

// Writes what arrives as a transcript: "C:hello C:gap(5) S:close(fin)".
class Transcript : public StreamSink {
 public:
  void on_chunk(const StreamChunk& chunk) override {
    const size_t d = static_cast<size_t>(chunk.direction);
    EXPECT_EQ(chunk.offset, offset[d]);
    EXPECT_FALSE(closed[d]) << "nothing follows a close";
    if (!text.empty()) text += ' ';
    text += d == 0 ? "C:" : "S:";
    switch (chunk.kind) {
      case StreamChunk::Kind::data:
        EXPECT_FALSE(chunk.bytes.empty());
        text += as_text(chunk.bytes);
        offset[d] += chunk.bytes.size();
        last = chunk.bytes.data();
        break;
      case StreamChunk::Kind::gap:
        text += (chunk.gap_is_snaplen ? "cut(" : "gap(") + std::to_string(chunk.gap_length) + ")";
        offset[d] += chunk.gap_length;
        break;
      case StreamChunk::Kind::close: {
        static constexpr const char* kNames[] = {"fin", "reset", "end", "idle"};
        text += std::string("close(") + kNames[static_cast<int>(chunk.close)] + ")";
        closed[d] = true;
        break;
      }
    }
  }
  std::string take() { return std::exchange(text, {}); }
  std::string text;
  uint64_t offset[2] = {0, 0};
  bool closed[2] = {false, false};
  const uint8_t* last = nullptr;
};

class TcpTest : public ::testing::Test {
 protected:
  void send(Direction d, uint32_t seq, std::string_view payload, uint8_t flags = kAck, uint32_t ack = 0,
            uint32_t missing = 0) {
    TcpHeader tcp = header(seq, flags, ack);
    tcp.payload = as_bytes(payload);
    tcp.missing = missing;
    ++packet_;
    tcp_.segment(d, tcp, {static_cast<int64_t>(packet_)}, packet_);
  }
  static TcpHeader header(uint32_t seq, uint8_t flags, uint32_t ack = 0) {
    TcpHeader tcp;
    tcp.sequence = seq;
    tcp.acknowledgment = ack;
    tcp.syn = flags & kSyn;
    tcp.fin = flags & kFin;
    tcp.rst = flags & kRst;
    tcp.ack = (flags & kAck) && ack != 0;
    return tcp;
  }
  void handshake(uint32_t client = 1000, uint32_t server = 9000) {
    send(kClient, client - 1, "", kSyn);
    send(kServer, server - 1, "", kSyn | kAck, client);
    send(kClient, client, "", kAck, server);
  }
  std::string finish() {
    tcp_.finish(StreamChunk::Close::end_of_capture, {0}, 0);
    return sink_.take();
  }
  Transcript sink_;
  Issues issues_;
  TcpConnection tcp_{sink_, issues_, 1};
  uint64_t packet_ = 0;
};

TEST_F(TcpTest, InOrderBytesAreNotCopied) {
  handshake();
  const std::string request = "GET";
  send(kClient, 1000, request);
  EXPECT_EQ(sink_.last, as_bytes(request).data());
  send(kServer, 9000, "200", kAck, 1003);
  send(kClient, 1003, "", kFin | kAck, 9003);
  EXPECT_FALSE(tcp_.closed());
  send(kServer, 9003, "!", kFin | kAck, 1004);
  EXPECT_TRUE(tcp_.closed());
  EXPECT_FALSE(tcp_.mid_stream());
  EXPECT_EQ(finish(), "C:GET S:200 C:close(fin) S:! S:close(fin)");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, HeaderIsParsed) {
  Datagram datagram;
  const std::string bytes = tcp(7, 8, kSyn | kAck, "data", 40000, 443);
  datagram.payload = as_bytes(bytes);
  datagram.missing = 3;
  TcpHeader out;
  std::string_view why;
  ASSERT_TRUE(parse_tcp(datagram, out, why));
  EXPECT_EQ(out.source_port, 40000);
  EXPECT_EQ(out.destination_port, 443);
  EXPECT_EQ(out.sequence, 7u);
  EXPECT_EQ(out.acknowledgment, 8u);
  EXPECT_TRUE(out.syn && out.ack && !out.fin && !out.rst);
  EXPECT_EQ(as_text(out.payload), "data");
  EXPECT_EQ(out.missing, 3u);
  std::string short_offset = bytes;
  short_offset[12] = 0x40;
  datagram.payload = as_bytes(short_offset);
  EXPECT_FALSE(parse_tcp(datagram, out, why));
  EXPECT_EQ(why, "data offset below 5");
  std::string long_offset = bytes;
  long_offset[12] = static_cast<char>(0xf0);
  datagram.payload = as_bytes(long_offset);
  EXPECT_FALSE(parse_tcp(datagram, out, why));
  EXPECT_EQ(why, "header cut by the snap length");
  datagram.missing = 0;
  datagram.payload = as_bytes(bytes).first(10);
  EXPECT_FALSE(parse_tcp(datagram, out, why));
  EXPECT_EQ(why, "header does not fit in the packet");
}

TEST_F(TcpTest, OutOfOrderRetransmittedAndOverlapping) {
  handshake();
  send(kClient, 1003, "def");
  send(kClient, 1006, "ghi");
  EXPECT_EQ(sink_.take(), "");
  EXPECT_EQ(tcp_.pending_bytes(), 6u);
  send(kClient, 1000, "abcd");  // other boundaries
  EXPECT_EQ(sink_.take(), "C:abc C:def C:ghi");
  send(kClient, 1000, "abcdefghijk");
  EXPECT_EQ(sink_.take(), "C:jk");
  send(kClient, 1004, "efg");
  EXPECT_EQ(sink_.take(), "");
  EXPECT_EQ(tcp_.pending_bytes(), 0u);
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, FirstCopyWinsAndConflictsAreSaid) {
  handshake();
  send(kClient, 1004, "EEFF");
  send(kClient, 1002, "ccXXyyGG");
  send(kClient, 1000, "aa");
  EXPECT_EQ(sink_.take(), "C:aa C:cc C:EEFF C:GG");
  EXPECT_TRUE(issues_.has("overlapping segments"));
}

TEST_F(TcpTest, KeepAlivesAreNoConflict) {
  handshake();
  send(kClient, 1000, "abc");
  send(kClient, 1002, std::string_view("\0", 1));  // one garbage byte at SND.NXT - 1
  send(kClient, 1002, "");
  send(kClient, 1005, "fg");  // a hole before it
  send(kClient, 1006, std::string_view("\0", 1));
  send(kClient, 1003, "de");
  EXPECT_EQ(sink_.take(), "C:abc C:de C:fg");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, ZeroWindowProbeIsData) {
  handshake();
  send(kClient, 1000, "abc");
  send(kClient, 1003, "d");    // the probe
  send(kClient, 1003, "def");  // after the window opened
  EXPECT_EQ(sink_.take(), "C:abc C:d C:ef");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, SequenceNumbersWrap) {
  handshake(0xfffffffe, 0xffffffff);
  send(kClient, 1, "def");
  send(kClient, 0xfffffffe, "abc");
  send(kServer, 0xffffffff, "xyz", kAck, 4);
  send(kServer, 2, "", kFin | kAck, 4);
  EXPECT_EQ(sink_.take(), "C:abc C:def S:xyz S:close(fin)");
}

TEST_F(TcpTest, FastOpenDataInTheSyn) {
  send(kClient, 999, "early", kSyn);
  send(kServer, 8999, "", kSyn | kAck, 1005);
  send(kClient, 1005, " late");
  EXPECT_EQ(sink_.take(), "C:early C: late");
  EXPECT_FALSE(tcp_.mid_stream());
}

TEST_F(TcpTest, RejectedFastOpenDataComesAgain) {
  send(kClient, 999, "early", kSyn);
  send(kServer, 8999, "", kSyn | kAck, 1000);
  send(kClient, 1000, "early and more");
  EXPECT_EQ(sink_.take(), "C:early C: and more");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, FinBeforeItsData) {
  handshake();
  send(kClient, 1003, "def", kFin | kAck);
  EXPECT_EQ(sink_.take(), "");
  send(kClient, 1000, "abc");
  EXPECT_EQ(sink_.take(), "C:abc C:def C:close(fin)");
  send(kClient, 1006, "more");
  EXPECT_EQ(sink_.take(), "");
  EXPECT_TRUE(issues_.has("after the end of its direction"));
}

TEST_F(TcpTest, FinRetransmittedWithKnownData) {
  handshake();
  send(kClient, 1000, "abc");
  send(kClient, 1000, "abc", kFin | kAck);
  EXPECT_EQ(sink_.take(), "C:abc C:close(fin)");
}

TEST_F(TcpTest, DataBeyondAFinIsDropped) {
  handshake();
  send(kClient, 1004, "EFGH");             // held
  send(kClient, 1002, "cd", kFin | kAck);  // says that the stream ends at 1004
  send(kClient, 1000, "ab");
  EXPECT_EQ(sink_.take(), "C:ab C:cd C:close(fin)");
  EXPECT_TRUE(issues_.has("data after FIN"));
  EXPECT_EQ(tcp_.pending_bytes(), 0u);
}

TEST_F(TcpTest, ResetEndsBothDirections) {
  handshake();
  send(kServer, 9003, "def");
  send(kClient, 1000, "abc");
  send(kClient, 1003, "", kRst);
  EXPECT_EQ(sink_.take(), "C:abc C:close(reset)");
  EXPECT_TRUE(tcp_.closed());
  send(kServer, 9006, "ghi");  // was in flight: transmitted all the same
  EXPECT_EQ(finish(), "S:gap(3) S:def S:ghi S:close(reset)");
  EXPECT_EQ(finish(), "");
}

TEST_F(TcpTest, ForgedResetIsIgnored) {
  handshake();
  send(kClient, 1000, "abc");
  send(kClient, 1003 + (1u << 28), "", kRst);
  send(kClient, 1003, "def");
  EXPECT_EQ(sink_.take(), "C:abc C:def");
  EXPECT_TRUE(issues_.has("reset outside the window"));
}

TEST_F(TcpTest, ResetAheadTellsOfLostBytes) {
  handshake();
  send(kClient, 1000, "abc");
  send(kClient, 1010, "", kRst);
  EXPECT_EQ(finish(), "C:abc C:gap(7) C:close(reset) S:close(reset)");
}

TEST_F(TcpTest, ResetRecordedBeforeItsData) {
  handshake();
  send(kClient, 1003, "", kRst);
  EXPECT_TRUE(tcp_.closed());
  send(kClient, 1000, "abc");
  EXPECT_EQ(sink_.take(), "C:abc C:close(reset)");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, RefusedConnection) {
  send(kClient, 999, "", kSyn);
  send(kServer, 0, "", kRst | kAck, 1000);
  EXPECT_EQ(sink_.take(), "S:close(reset) C:close(reset)");
  EXPECT_TRUE(tcp_.closed());
}

TEST_F(TcpTest, AcknowledgedHoleBecomesAGapAfterSomeSegments) {
  handshake();
  send(kClient, 1000, "ab");
  send(kClient, 1005, "fg");
  send(kServer, 9000, "", kAck, 1004);  // covers the hole only in part
  for (int i = 0; i < 100; ++i) send(kServer, 9000, "", kAck, 1004);
  EXPECT_EQ(sink_.take(), "C:ab");
  send(kServer, 9000, "", kAck, 1007);
  for (int i = 0; i < 60; ++i) send(kServer, 9000, "", kAck, 1007);
  EXPECT_EQ(sink_.take(), "");
  for (int i = 0; i < 10; ++i) send(kServer, 9000, "", kAck, 1007);
  EXPECT_EQ(sink_.take(), "C:gap(3) C:fg");
  send(kClient, 1007, "hi");
  EXPECT_EQ(sink_.take(), "C:hi");
  send(kClient, 1002, "cde");  // too late
  EXPECT_EQ(finish(), "C:close(end) S:close(end)");
}

TEST_F(TcpTest, LimitsTurnHolesIntoGaps) {
  Transcript sink;
  TcpConnection tcp(sink, issues_, 2, {.pending_bytes = 10, .pending_segments = 3});
  tcp.segment(kClient, header(999, kSyn), {}, 1);
  auto push = [&](uint32_t seq, std::string_view payload) {
    TcpHeader h = header(seq, kAck);
    h.payload = as_bytes(payload);
    tcp.segment(kClient, h, {}, 2);
  };
  push(1001, "12345");
  push(1007, "67890");
  EXPECT_EQ(sink.take(), "");
  push(1013, "x");  // 11 bytes
  EXPECT_EQ(sink.take(), "C:gap(1) C:12345");
  push(1015, "y");
  push(1017, "z");  // 4 segments
  EXPECT_EQ(sink.take(), "C:gap(1) C:67890");
  EXPECT_LE(tcp.pending_bytes(), 10u);
}

TEST_F(TcpTest, FinishReportsEveryHole) {
  handshake();
  send(kClient, 1002, "cd");
  send(kClient, 1006, "gh", kFin | kAck);
  send(kServer, 9000, "ok", kAck, 1009);
  send(kClient, 1009, "", kAck, 9008);  // the server's last 6 bytes are not in the capture
  EXPECT_EQ(sink_.take(), "S:ok");
  EXPECT_EQ(finish(), "C:gap(2) C:cd C:gap(2) C:gh C:close(fin) S:gap(6) S:close(end)");
  EXPECT_TRUE(tcp_.closed());
  EXPECT_EQ(finish(), "");
}

TEST_F(TcpTest, SnapLengthCutsAreGapsOfTheirOwnKind) {
  handshake();
  send(kClient, 1000, "ab", kAck, 0, 3);
  send(kClient, 1005, "f", kAck, 0, 0);
  EXPECT_EQ(sink_.take(), "C:ab C:cut(3) C:f");
  send(kClient, 1010, "kl", kAck, 0, 2);
  send(kClient, 1006, "gh", kAck, 0, 2);
  EXPECT_EQ(sink_.take(), "C:gh C:cut(2) C:kl C:cut(2)");
  send(kClient, 1000, "abcde");  // retransmission, whole
  send(kClient, 1014, "", kFin | kAck);
  EXPECT_EQ(sink_.take(), "C:close(fin)");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, JoinedInTheMiddleAmongReorderedSegments) {
  send(kClient, 5003, "def");
  EXPECT_EQ(sink_.take(), "");
  EXPECT_TRUE(tcp_.mid_stream());
  send(kClient, 5000, "abc");
  send(kServer, 700, "xyz", kAck, 5006);  // the peer has it all: nothing earlier will come
  EXPECT_EQ(sink_.take(), "C:abc C:def");
  send(kClient, 5006, "g", kAck, 703);
  EXPECT_EQ(sink_.take(), "S:xyz C:g");
  send(kClient, 4000, "from before");
  EXPECT_EQ(sink_.take(), "");
  EXPECT_TRUE(issues_.has("before the recorded start"));
}

TEST_F(TcpTest, JoinedWithoutAnyAcknowledgment) {
  for (const uint32_t seq : {5006u, 5003u, 5000u}) send(kClient, seq, "abc");
  EXPECT_EQ(sink_.take(), "");
  send(kClient, 5009, "d");
  EXPECT_EQ(sink_.take(), "C:abc C:abc C:abc C:d");
}

TEST_F(TcpTest, JoinedWithAKeepAlive) {
  send(kClient, 5000, "", kAck, 700);
  send(kServer, 700, "abc", kAck, 5000);
  send(kClient, 4999, "\x01");  // not the stream's first byte
  send(kClient, 5000, "def", kAck, 703);
  EXPECT_EQ(finish(), "S:abc C:def C:close(end) S:close(end)");
  EXPECT_TRUE(tcp_.mid_stream());
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, SynAckRecordedAfterItsDataAndTheirAcknowledgment) {
  send(kClient, 999, "", kSyn);
  send(kClient, 1000, "", kAck, 9003);
  send(kServer, 9003, "def");
  send(kServer, 8999, "", kSyn | kAck, 1000);
  send(kServer, 9000, "abc");
  EXPECT_EQ(sink_.take(), "S:abc S:def");
}

TEST_F(TcpTest, SynRecordedAfterBytesWerePassedOn) {
  for (const uint32_t seq : {1003u, 1004u, 1005u, 1006u}) send(kClient, seq, "x");
  EXPECT_EQ(sink_.take(), "C:x C:x C:x C:x");
  EXPECT_FALSE(starts_new_connection(tcp_, kClient, header(999, kSyn)));
  send(kClient, 999, "", kSyn);
  send(kClient, 1007, "y");
  EXPECT_EQ(sink_.take(), "C:y");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, ResetRecordedBeforeTheFinItCounts) {
  handshake();
  send(kClient, 1004, "", kRst);
  send(kClient, 1000, "abc", kFin | kAck);
  EXPECT_EQ(sink_.take(), "C:abc C:close(fin)");
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(TcpTest, BytesLostRightAfterJoining) {
  send(kClient, 5000, "", kAck, 700);
  send(kClient, 5004, "efgh", kAck, 700);
  EXPECT_EQ(finish(), "C:gap(4) C:efgh C:close(end) S:close(end)");
}

TEST_F(TcpTest, OnlyTheEndWasRecorded) {
  send(kClient, 5000, "", kFin | kAck, 700);
  EXPECT_EQ(sink_.take(), "");
  send(kServer, 700, "", kFin | kAck, 5001);
  send(kClient, 5001, "", kAck, 701);
  EXPECT_EQ(sink_.take(), "C:close(fin) S:close(fin)");
  EXPECT_TRUE(tcp_.closed());
}

TEST_F(TcpTest, SynRecordedAfterData) {
  send(kClient, 1003, "def");
  send(kClient, 999, "", kSyn);
  EXPECT_EQ(sink_.take(), "");
  send(kClient, 1000, "abc");
  EXPECT_EQ(sink_.take(), "C:abc C:def");
  EXPECT_FALSE(tcp_.mid_stream());
}

TEST_F(TcpTest, OnlyTheSynAckWasSeen) {
  send(kServer, 8999, "", kSyn | kAck, 1000);
  send(kClient, 1003, "def");
  send(kClient, 1000, "abc");
  EXPECT_EQ(sink_.take(), "C:abc C:def");
}

TEST_F(TcpTest, UsedAgain) {
  handshake();
  const auto restart = [&](Direction d, uint32_t seq, uint8_t flags) {
    return starts_new_connection(tcp_, d, header(seq, flags, flags & kAck ? 1 : 0));
  };
  EXPECT_FALSE(restart(kClient, 999, kSyn));  // retransmission
  EXPECT_FALSE(restart(kClient, 1000, kAck));
  EXPECT_FALSE(restart(kServer, 8999, kSyn | kAck));
  EXPECT_TRUE(restart(kClient, 500'000, kSyn));
  EXPECT_FALSE(restart(kServer, 77, kSyn | kAck));  // still open: noise
  send(kClient, 1000, "x", kFin | kAck, 9000);
  send(kServer, 9000, "", kFin | kAck, 1002);
  ASSERT_TRUE(tcp_.closed());
  EXPECT_TRUE(restart(kServer, 77, kSyn | kAck));  // its SYN was lost
  EXPECT_TRUE(restart(kClient, 500'000, kSyn));
  EXPECT_FALSE(restart(kClient, 999, kSyn));
}

TEST_F(TcpTest, TriedAgainAfterARefusal) {
  send(kClient, 999, "", kSyn);
  send(kServer, 0, "", kRst | kAck, 1000);
  EXPECT_TRUE(starts_new_connection(tcp_, kClient, header(999, kSyn)));
}

TEST_F(TcpTest, JoinedConnectionGivesWayToANewOne) {
  send(kClient, 1003, "def");
  EXPECT_FALSE(starts_new_connection(tcp_, kClient, header(999, kSyn)));
  EXPECT_TRUE(starts_new_connection(tcp_, kClient, header(0x40000000, kSyn)));
}

TEST_F(TcpTest, FarSegmentsAreNoiseUntilTheyPersist) {
  handshake();
  send(kClient, 1000, "a");
  send(kClient, 1000 + 0x60000000, "noise");
  EXPECT_EQ(sink_.take(), "C:a");
  EXPECT_TRUE(issues_.has("far outside the window"));
  uint32_t seq = 1001 + 0xa0000000;  // 2.5 GiB were not recorded
  for (int i = 0; i < 9; ++i, seq += 2) send(kClient, seq, "zz");
  EXPECT_EQ(finish(), "C:gap(" + std::to_string(0xa0000000u + 12) + ") C:zz C:zz C:zz C:close(end) S:close(end)");
}

}  // namespace
}  // namespace vitrine
