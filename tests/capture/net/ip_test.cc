#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/capture/net/wire.h"

namespace vitrine {
namespace {

using namespace wire;

struct Decoded {
  bool complete = false;
  Datagram datagram;
  std::string payload;
};

class IpTest : public ::testing::Test {
 protected:
  Decoded decode(const std::string& frame, uint32_t link = 1, uint32_t original = 0, int64_t ns = 0) {
    frames_.push_back(std::make_unique<std::string>(frame));
    Packet packet;
    packet.number = ++number_;
    packet.time = {ns};
    packet.link_type = link;
    packet.data = as_bytes(*frames_.back());
    packet.original_length = original ? original : static_cast<uint32_t>(frame.size());
    Decoded result;
    result.complete = ip_.decode(packet, result.datagram);
    if (result.complete) result.payload = as_text(result.datagram.payload);
    return result;
  }
  Issues issues_;
  IpReassembler ip_{issues_};
  uint64_t number_ = 0;
  std::vector<std::unique_ptr<std::string>> frames_;
};

TEST_F(IpTest, EveryLinkLayer) {
  const std::string packet = ipv4("payload");
  const std::string six = ipv6(17, "payload");
  const std::string vlan = Out().u16(7).u16(0x0800).raw(packet).str();
  const std::string qinq = Out().u16(7).u16(0x8100).raw(vlan).str();
  struct Case {
    uint32_t link;
    std::string frame;
  };
  const Case cases[] = {
      {1, ethernet(0x0800, packet)},
      {1, ethernet(0x86dd, six)},
      {1, ethernet(0x8100, vlan)},
      {1, ethernet(0x88a8, qinq)},
      {1, ethernet(0x8864, Out().u8(0x11).u8(0).u16(1).u16(packet.size() + 2).u16(0x21).raw(packet).str())},
      {113, Out().u16(0).u16(1).u16(6).zeros(8).u16(0x0800).raw(packet).str()},
      {276, Out().u16(0x86dd).u16(0).u32(2).u16(1).u8(0).u8(6).zeros(8).raw(six).str()},
      {101, packet},
      {101, six},
      {12, packet},
      {14, six},
      {228, packet},
      {229, six},
      {0, Out(false).u32(2).raw(packet).str()},
      {0, Out(true).u32(2).raw(packet).str()},
      {0, Out(false).u32(30).raw(six).str()},
      {108, Out(true).u32(24).raw(six).str()},
  };
  for (const Case& c : cases) {
    const Decoded d = decode(c.frame, c.link);
    ASSERT_TRUE(d.complete) << "link type " << c.link;
    EXPECT_EQ(d.payload, "payload");
    EXPECT_EQ(d.datagram.source.to_string(), d.datagram.source.family == 4 ? "203.0.113.7" : "2001:db8::1");
  }
  EXPECT_TRUE(issues_.all.empty());
}

TEST_F(IpTest, WhatIsNotReadIsNamed) {
  EXPECT_FALSE(decode("whatever", 147).complete);
  EXPECT_TRUE(issues_.has("link: type 147"));
  EXPECT_FALSE(decode(ethernet(0x88cc, "lldp")).complete);
  EXPECT_TRUE(issues_.has("0x88cc"));
  EXPECT_FALSE(decode(Out(true).u32(7).raw("appletalk?").str(), 108).complete);
  EXPECT_TRUE(issues_.has("address family"));
  EXPECT_FALSE(decode("short").complete);
  EXPECT_TRUE(issues_.has("shorter than its link-layer header"));
  EXPECT_FALSE(decode(ethernet(0x0800, "\x20 not ip")).complete);
  EXPECT_TRUE(issues_.has("neither 4 nor 6"));
  const size_t before = issues_.all.size();
  EXPECT_FALSE(decode(ethernet(0x0806, "arp")).complete);
  EXPECT_EQ(issues_.all.size(), before);  // known to carry no IP
}

TEST_F(IpTest, LengthsAreBoundedByHeaderFrameAndSnapLength) {
  EXPECT_EQ(decode(ethernet(0x0800, ipv4("hi") + std::string(24, '\0'))).payload, "hi");  // padding of Ethernet
  EXPECT_EQ(decode(ethernet(0x0800, ipv4("offloaded", {.options = "", .total = 0}))).payload, "offloaded");
  EXPECT_EQ(decode(ethernet(0x86dd, ipv6(6, "offloaded", 0))).payload, "offloaded");
  EXPECT_EQ(decode(ethernet(0x0800, ipv4("options", {.options = std::string(8, '\1')}))).payload, "options");
  EXPECT_TRUE(issues_.all.empty());
  const std::string frame = ethernet(0x0800, ipv4(std::string(100, 'x')));
  const Decoded cut = decode(frame.substr(0, 64), 1, static_cast<uint32_t>(frame.size()));
  ASSERT_TRUE(cut.complete);
  EXPECT_EQ(cut.payload.size(), 30u);
  EXPECT_EQ(cut.datagram.missing, 70u);
  EXPECT_TRUE(issues_.all.empty());
  const Decoded lying = decode(ethernet(0x0800, ipv4("abc", {.options = "", .total = 500})));
  EXPECT_EQ(lying.payload, "abc");
  EXPECT_EQ(lying.datagram.missing, 0u);
  EXPECT_TRUE(issues_.has("beyond the end of the frame"));
  EXPECT_FALSE(decode(ethernet(0x0800, ipv4("abc", {.options = "", .total = 19}))).complete);
  EXPECT_FALSE(decode(frame.substr(0, 24), 1, 134).complete);
  EXPECT_TRUE(issues_.has("header cut by the snap length"));
}

TEST_F(IpTest, ExtensionHeaders) {
  const std::string hop = Out().u8(60).u8(0).zeros(6).str();
  const std::string destination = Out().u8(43).u8(1).zeros(14).str();
  const std::string routing = Out().u8(51).u8(0).zeros(6).str();
  const std::string ah = Out().u8(44).u8(4).zeros(22).str();
  const std::string atomic = Out().u8(6).u8(0).u16(0).u32(99).str();
  const Decoded d = decode(ipv6(0, hop + destination + routing + ah + atomic + "tcp"), 101);
  ASSERT_TRUE(d.complete);
  EXPECT_EQ(d.payload, "tcp");
  EXPECT_EQ(d.datagram.protocol, 6);
  EXPECT_EQ(d.datagram.owner, nullptr);  // an atomic fragment needs no copy
  EXPECT_FALSE(decode(ipv6(59, "anything"), 101).complete);
  EXPECT_TRUE(issues_.all.empty());
  EXPECT_FALSE(decode(ipv6(0, "\x06\x09 too short"), 101).complete);
  EXPECT_TRUE(issues_.has("run past the packet"));
  EXPECT_EQ(decode(ipv4(Out().u8(6).u8(4).zeros(22).raw("tcp").str(), {.protocol = 51, .options = ""}), 101).payload,
            "tcp");
}

std::string body(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  return text;
}

TEST_F(IpTest, FragmentsInAnyOrderWithDuplicatesAndOverlaps) {
  const std::string whole = body(5003);
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const bool six = round % 2 == 1;
    std::vector<std::string> packets;
    auto add = [&](size_t from, size_t to) {
      const std::string part = whole.substr(from, to - from);
      const bool more = to < whole.size();
      packets.push_back(six ? ipv6(44, Out().u8(17).u8(0).u16(from | (more ? 1 : 0)).u32(round).raw(part).str())
                            : ipv4(part, {.protocol = 17,
                                          .id = static_cast<uint16_t>(round),
                                          .offset = static_cast<uint32_t>(from),
                                          .more = more,
                                          .options = ""}));
    };
    for (size_t at = 0; at < whole.size();) {
      const size_t end = std::min(whole.size(), at + 8 * (1 + random() % 100));
      add(at, end);
      if (random() % 4 == 0) add(at >= 16 ? at - 16 : 0, end);  // overlap with equal bytes
      at = end;
    }
    std::shuffle(packets.begin(), packets.end(), random);
    int complete = 0;
    for (const std::string& p : packets) {
      const Decoded d = decode(p, 101);
      if (!d.complete) continue;
      ++complete;
      EXPECT_EQ(d.payload, whole);
      EXPECT_EQ(d.datagram.protocol, 17);
      EXPECT_NE(d.datagram.owner, nullptr);
    }
    ASSERT_EQ(complete, 1) << "round " << round;
  }
  ip_.finish();
  EXPECT_TRUE(issues_.all.empty()) << issues_.all[0].what;
}

TEST_F(IpTest, ConflictingFragmentsKeepTheFirstCopy) {
  decode(ipv4("AAAAAAAA", {.more = true, .options = ""}), 101);
  decode(ipv4("BBBBBBBB", {.more = true, .options = ""}), 101);
  const Decoded d = decode(ipv4("tail", {.offset = 8, .options = ""}), 101);
  ASSERT_TRUE(d.complete);
  EXPECT_EQ(d.payload, "AAAAAAAAtail");
  EXPECT_TRUE(issues_.has("overlapping fragments"));
}

TEST_F(IpTest, DamagedAndIncompleteFragmentsAreCounted) {
  decode(ipv4("notaneven", {.more = true, .options = ""}), 101);
  EXPECT_TRUE(issues_.has("of a length that no fragment has"));
  decode(ipv4(std::string(64, 'x'), {.id = 2, .offset = 65528, .options = ""}), 101);
  EXPECT_TRUE(issues_.has("beyond 65535"));
  decode(ipv4("ABCD", {.id = 3, .offset = 8, .options = ""}), 101);
  decode(ipv4("ABCDEF", {.id = 3, .offset = 8, .options = ""}), 101);
  EXPECT_TRUE(issues_.has("disagree about the end"));
  const std::string frame = ipv4(std::string(80, 'y'), {.id = 4, .more = true, .options = ""});
  decode(frame.substr(0, 60), 101, static_cast<uint32_t>(frame.size()));
  EXPECT_TRUE(issues_.has("fragment cut by the snap length"));
  EXPECT_FALSE(issues_.has("never became complete"));
  ip_.finish();
  EXPECT_TRUE(issues_.has("never became complete"));
}

TEST_F(IpTest, AnIdentificationUsedAgainLaterStartsAnew) {
  decode(ipv4("OLDOLDOL", {.more = true, .options = ""}), 101, 0, 0);
  EXPECT_FALSE(decode(ipv4("tail", {.offset = 8, .options = ""}), 101, 0, 40'000'000'000).complete);
  EXPECT_EQ(decode(ipv4("NEWNEWNE", {.more = true, .options = ""}), 101, 0, 40'000'000'001).payload, "NEWNEWNEtail");
  EXPECT_TRUE(issues_.has("never became complete"));
}

TEST_F(IpTest, FragmentMemoryIsBounded) {
  const std::string part(60000, 'z');
  for (int i = 0; i < 3000; ++i) {  // 180 MB of first fragments
    const std::string frame = ipv4(part, {.id = static_cast<uint16_t>(i), .more = true, .options = ""});
    decode(frame, 101);
    frames_.clear();
  }
  EXPECT_TRUE(issues_.has("more than 64 MiB"));
  // The newest set is still there.
  EXPECT_TRUE(decode(ipv4("end", {.id = 2999, .offset = 60000, .options = ""}), 101).complete);
}

}  // namespace
}  // namespace vitrine
