// The whole line of this folder: file bytes → packets → datagrams → segments → stream.
#include <gtest/gtest.h>

#include <atomic>

#include "tests/capture/net/wire.h"

namespace vitrine {
namespace {

using namespace wire;

class Text : public StreamSink {
 public:
  void on_chunk(const StreamChunk& chunk) override {
    std::string& out = text[static_cast<size_t>(chunk.direction)];
    if (chunk.kind == StreamChunk::Kind::data) {
      out += as_text(chunk.bytes);
      packets.push_back(chunk.packet);
      in_file = in_file || chunk.bytes.data() == expected;
    } else if (chunk.kind == StreamChunk::Kind::gap) {
      out += "<" + std::to_string(chunk.gap_length) + (chunk.gap_is_snaplen ? " cut>" : " lost>");
    }
  }
  std::string text[2];
  std::vector<uint64_t> packets;
  const uint8_t* expected = nullptr;
  bool in_file = false;
};

void run(const std::string& file, Text& text, Issues& issues) {
  auto reader = open_capture(as_bytes(file), issues);
  ASSERT_TRUE(reader);
  IpReassembler ip(issues);
  TcpConnection connection(text, issues, 1);
  Packet packet;
  Datagram datagram;
  while ((*reader)->next(packet)) {
    if (!ip.decode(packet, datagram)) continue;
    TcpHeader header;
    std::string_view why;
    ASSERT_TRUE(parse_tcp(datagram, header, why)) << why;
    connection.segment(header.destination_port == 443 ? Direction::client_to_server : Direction::server_to_client,
                       header, packet.time, packet.number);
  }
  ip.finish();
  connection.finish(StreamChunk::Close::end_of_capture, {}, 0);
}

TEST(Path, FragmentedReorderedAndPaddedSegmentsGiveTheStream) {
  const bool big = false;
  const std::string second = tcp(106, 501, kAck, "ragmented request");
  const std::string answer = tcp(501, 123, kAck | kFin, "answer", 443, 40000);
  const std::string_view server("\xc6\x33\x64\x05", 4), client("\xcb\0\x71\x07", 4);
  const auto frame = [&](const std::string& ip) {
    return enhanced(big, 0, 1, ethernet(0x0800, ip + std::string(6, '\0')));
  };
  const std::string file =
      section(big) + interface(big, 1) + frame(ipv4(tcp(99, 0, kSyn, ""))) +  // 1
      frame(
          ipv4(tcp(500, 100, kSyn | kAck, "", 443, 40000), {.options = "", .source = server, .destination = client})) +
      frame(ipv4(second.substr(24), {.id = 9, .offset = 24, .options = ""})) +         // 3: second half first
      frame(ipv4(second.substr(0, 24), {.id = 9, .more = true, .options = ""})) +      // 4: beyond a hole
      frame(ipv4(answer, {.options = "", .source = server, .destination = client})) +  // 5
      frame(ipv4(tcp(100, 501, kAck, "GET: f")));                                      // 6
  Text text;
  Issues issues;
  run(file, text, issues);
  EXPECT_EQ(text.text[0], "GET: fragmented request");
  EXPECT_EQ(text.text[1], "answer");
  EXPECT_EQ(text.packets, (std::vector<uint64_t>{5, 6, 6}));  // the packet that made bytes available
  EXPECT_TRUE(issues.all.empty());
}

TEST(Path, SnapLengthAndNoCopies) {
  const std::string whole = ethernet(0x86dd, ipv6(6, tcp(100, 1, kAck, "0123456789")));
  const std::string file =
      pcap_header() + pcap_record(ethernet(0x86dd, ipv6(6, tcp(99, 0, kSyn, "")))) +
      pcap_record(whole.substr(0, whole.size() - 4), 1, 1, false, static_cast<uint32_t>(whole.size())) +
      pcap_record(ethernet(0x86dd, ipv6(6, tcp(110, 1, kAck | kFin, "abc"))));
  Text text;
  text.expected = as_bytes(file).data() + file.find("012345");
  Issues issues;
  run(file, text, issues);
  EXPECT_EQ(text.text[0], "012345<4 cut>abc");
  EXPECT_TRUE(text.in_file);
  EXPECT_TRUE(issues.all.empty());
}

TEST(Path, ScanReportsItsProgress) {
  std::string file = pcap_header();
  const std::string record = pcap_record(std::string(60000, 'x'));
  for (int i = 0; i < 400; ++i) file += record;  // 24 MB
  std::vector<uint64_t> steps;
  EXPECT_EQ(scan_capture(as_bytes(file), [&](uint64_t position) { steps.push_back(position); }).packets, 400u);
  ASSERT_GE(steps.size(), 10u);
  ASSERT_LE(steps.size(), 12u);
  EXPECT_GE(steps[0], uint64_t{2} << 20);
  EXPECT_EQ(steps.back(), file.size());
}

// With a way to copy bytes the first pass skips packets without mapping them,
// in parts when there are threads, and finds what it finds otherwise.
class ScanThroughAWindow : public testing::Test {
 protected:
  static std::string recording(size_t packets) {
    std::string file;
    for (const bool big : {false, true}) {
      file += section(big, option(big, 1, big ? "second" : "first"));
      file += interface(big, 1, option(big, 2, "eth0"));
      for (size_t i = 0; i < packets; ++i) {
        file += enhanced(big, 0, 1'000'000'000, std::string(1000 + i % 7, 'x'));
        if (i % 1000 == 700) file += block(big, 10, Out(big).u32(0x544c534b).u32(4).raw("often").str());
      }
      file += block(big, 10, Out(big).u32(0x544c534b).u32(4).raw("key1").str());
      file += enhanced(big, 7, 1'000'000'000, "of an interface that was not declared");
      file += enhanced(big, 0, 1'000'000'000, "noted", option(big, 1, "vitrine-process: 7 curl"));
      file += enhanced(big, 0, 1'000'000'000, std::string(400'000, 'y'));  // larger than the window
      file += enhanced(big, 0, 1'000'000'000, "");
      file += "damage that is no block at all";
      file += block(big, 10, Out(big).u32(0x544c534b).u32(4).raw("key2").str());
      // A recording inside a packet: its blocks are none of the file's.
      std::string inner;
      for (int i = 0; i < 200; ++i) inner += enhanced(big, 0, 1, std::string(1000, 'i'));
      for (size_t i = 0; i < packets / 200; ++i) file += enhanced(big, 0, 1'000'000'000, inner + "z");
    }
    return file + enhanced(true, 0, 1'000'000'000, "cut at its end").substr(0, 36);
  }
  static void compare(const std::string& file, size_t most, unsigned threads) {
    const CaptureMetadata all = scan_capture(as_bytes(file));
    std::atomic<size_t> copied = 0;
    std::vector<uint64_t> steps;
    const CaptureMetadata found = scan_capture(
        as_bytes(file), [&](uint64_t position) { steps.push_back(position); },
        [&](uint64_t offset, std::span<uint8_t> out) {
          const std::string_view piece = std::string_view(file).substr(offset, std::min(most, out.size()));
          std::copy(piece.begin(), piece.end(), out.begin());
          copied += piece.size();
          return piece.size();
        },
        threads);
    EXPECT_EQ(found.packets, all.packets);
    EXPECT_EQ(found.comments, all.comments);
    EXPECT_EQ(found.interfaces, all.interfaces);
    ASSERT_EQ(found.tls_key_logs.size(), all.tls_key_logs.size());
    for (size_t i = 0; i < all.tls_key_logs.size(); ++i)
      EXPECT_EQ(found.tls_key_logs[i].data(), all.tls_key_logs[i].data());
    EXPECT_EQ(steps.back(), file.size());
    // Whole windows: hardly a byte is copied twice.
    if (most > file.size()) {
      EXPECT_LT(copied, 2 * file.size());
    }
  }
};

TEST_F(ScanThroughAWindow, WhateverItsPieces) {
  const std::string file = recording(900);
  ASSERT_EQ(scan_capture(as_bytes(file)).tls_key_logs.size(), 6u);
  for (const size_t most : {size_t{1} << 30, size_t{70'000}, size_t{1461}, size_t{40}, size_t{7}, size_t{0}}) {
    SCOPED_TRACE(most);
    compare(file, most, 1);
  }
}

TEST_F(ScanThroughAWindow, WhateverItsParts) {
  const std::string file = recording(11'000);
  ASSERT_GT(file.size(), 44u << 20);
  for (const unsigned threads : {1, 2, 3, 5, 8, 64}) {
    SCOPED_TRACE(threads);
    compare(file, 1 << 30, threads);
  }
}

}  // namespace
}  // namespace vitrine
