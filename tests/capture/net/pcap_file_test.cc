#include <gtest/gtest.h>

#include "tests/capture/net/wire.h"

namespace vitrine {
namespace {

using namespace wire;

TEST(PcapFile, EveryMagicGivesTheSameTimes) {
  for (const bool big : {false, true}) {
    for (const bool ns : {false, true}) {
      const std::string file = pcap_header(big, ns) + pcap_record("abcd", 1'700'000'000, 7, big) +
                               pcap_record("xyz", 1'700'000'001, 999'999, big, 900);
      Issues issues;
      const auto packets = read_all(file, issues);
      ASSERT_EQ(packets.size(), 2u);
      EXPECT_TRUE(issues.all.empty());
      EXPECT_EQ(packets[0].packet.number, 1u);
      EXPECT_EQ(packets[0].packet.time.ns, 1'700'000'000'000'000'000 + (ns ? 7 : 7000));
      EXPECT_EQ(packets[0].packet.file_offset, 40u);
      EXPECT_EQ(packets[0].data, "abcd");
      EXPECT_EQ(packets[1].packet.number, 2u);
      EXPECT_EQ(packets[1].packet.original_length, 900u);
      EXPECT_EQ(packets[1].packet.link_type, 1u);
      EXPECT_EQ(file.substr(packets[1].packet.file_offset, 3), "xyz");
      EXPECT_EQ(scan_capture(as_bytes(file)).packets, 2u);
      EXPECT_EQ(scan_capture(as_bytes(file)).format, "pcap");
      EXPECT_TRUE(looks_like_capture(as_bytes(file)));
    }
  }
}

TEST(PcapFile, RefusesByName) {
  Issues issues;
  for (const bool big : {false, true}) {
    std::string file = pcap_header(big);
    file.replace(0, 4, Out(big).u32(0xa1b2cd34).str());
    EXPECT_TRUE(looks_like_capture(as_bytes(file)));
    const auto modified = open_capture(as_bytes(file), issues);
    ASSERT_FALSE(modified);
    EXPECT_EQ(modified.error().code, ErrorCode::unsupported);
    EXPECT_NE(modified.error().message.find("Kuznetzov"), std::string::npos);
  }
  const std::string version = Out(false).u32(0xa1b2c3d4).u16(3).u16(1).zeros(16).str();
  const auto newer = open_capture(as_bytes(version), issues);
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().message.find("3.1"), std::string::npos);
  EXPECT_EQ(open_capture(as_bytes("hello world, no capture"), issues).error().code, ErrorCode::unreadable);
  EXPECT_EQ(open_capture(as_bytes(""), issues).error().code, ErrorCode::unreadable);
  EXPECT_EQ(open_capture(as_bytes(pcap_header().substr(0, 23)), issues).error().code, ErrorCode::malformed);
  EXPECT_FALSE(looks_like_capture(as_bytes("{\"log\"")));
}

TEST(PcapFile, TruncatedLastPacketKeepsWhatIsThere) {
  const std::string file = pcap_header() + pcap_record("first") + pcap_record("second packet");
  for (size_t cut = 1; cut < 13; ++cut) {
    Issues issues;
    const auto packets = read_all(file.substr(0, file.size() - cut), issues);
    ASSERT_EQ(packets.size(), 2u);
    EXPECT_EQ(packets[1].data, std::string("second packet").substr(0, 13 - cut));
    EXPECT_EQ(packets[1].packet.original_length, 13u);
    EXPECT_TRUE(issues.has("ends inside a packet"));
  }
  Issues issues;
  EXPECT_EQ(read_all(file.substr(0, file.size() - 20), issues).size(), 1u);  // inside the record header
  EXPECT_TRUE(issues.has("ends inside a record header"));
}

TEST(PcapFile, RecordLongerThanTheDeclaredSnapLengthIsRead) {
  Issues issues;
  const std::string data(3000, 'x');
  const auto packets = read_all(pcap_header(false, false, 1, 96) + pcap_record(data), issues);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].data, data);
  EXPECT_TRUE(issues.all.empty());
}

TEST(PcapFile, AbsurdLengthIsSkippedAndCounted) {
  std::string file = pcap_header();
  for (int i = 0; i < 3; ++i) file += pcap_record("good " + std::to_string(i), 1'700'000'000 + i);
  const size_t damage = file.size();
  file += Out(false).u32(1'700'000'003).u32(0).u32(0xfffffff0).u32(60).raw(std::string(60, 'b')).str();
  const size_t lost = file.size() - damage;
  for (int i = 4; i < 9; ++i) file += pcap_record("good " + std::to_string(i), 1'700'000'000 + i);
  Issues issues;
  const auto packets = read_all(file, issues);
  ASSERT_EQ(packets.size(), 8u);
  EXPECT_EQ(packets[3].data, "good 4");
  EXPECT_EQ(packets[7].data, "good 8");
  EXPECT_TRUE(issues.has("skipped to the next plausible one"));
  EXPECT_TRUE(issues.has(std::to_string(lost) + " bytes of the file skipped"));
  EXPECT_EQ(scan_capture(as_bytes(file)).packets, 8u);
}

TEST(PcapFile, DamagedLengthNearTheEndDoesNotSwallowWhatFollows) {
  std::string file = pcap_header() + pcap_record("one");
  // Plausible by itself, but longer than the file.
  file += Out(false).u32(1'700'000'000).u32(0).u32(5000).u32(5000).raw("tail of two").str();
  for (int i = 0; i < 4; ++i) file += pcap_record("after");
  Issues issues;
  EXPECT_EQ(read_all(file, issues).size(), 5u);
  EXPECT_TRUE(issues.has("damaged record"));
}

TEST(PcapFile, HoleOfZerosIsSkipped) {
  Issues issues;
  const auto packets = read_all(
      pcap_header() + pcap_record("one") + std::string(4096, '\0') + pcap_record("two") + pcap_record("three"), issues);
  ASSERT_EQ(packets.size(), 3u);
  EXPECT_EQ(packets[2].data, "three");
  EXPECT_TRUE(issues.has("bytes of the file skipped"));
}

// Any single damaged byte costs at most a few packets, and never the rest.
TEST(PcapFile, AnyFlippedByteLeavesTheRestReadable) {
  std::string file = pcap_header();
  for (int i = 0; i < 40; ++i)
    file += pcap_record(std::string(40 + i, static_cast<char>('a' + i % 26)), 1'700'000'000 + i, i);
  for (size_t at = 24; at < file.size(); ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 0xff);
    Issues issues;
    const auto packets = read_all(damaged, issues);
    EXPECT_GE(packets.size(), 37u) << "byte " << at;
    EXPECT_EQ(scan_capture(as_bytes(damaged)).packets, packets.size());
  }
}

}  // namespace
}  // namespace vitrine
