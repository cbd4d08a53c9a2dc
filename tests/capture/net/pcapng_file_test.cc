#include <gtest/gtest.h>

#include "tests/capture/net/wire.h"

namespace vitrine {
namespace {

using namespace wire;

TEST(PcapngFile, SectionsOfEitherByteOrderAndTheirInterfaces) {
  std::string file;
  for (const bool big : {false, true}) {
    file += section(big, option(big, 1, big ? "second" : "first"));
    file += interface(big, 1, option(big, 2, "eth0") + option(big, 9, "\x09"));
    file += interface(big, 101, option(big, 2, "tun0") + option(big, 9, "\x83"), 4);  // 2^-3 s
    file += enhanced(big, 0, 1'700'000'000'123'456'789, "ethernet");
    file += enhanced(big, 1, 8 * 1'700'000'000ull + 1, "raw!",
                     option(big, 1, "by hand") + option(big, 1, "vitrine-process: 7 curl"), 60);
    file += block(big, 3, Out(big).u32(6).raw("simple").str());  // simple: of interface 0
    file += block(big, 2, Out(big).u16(1).u16(0).u32(0).u32(16).u32(3).u32(3).raw("old").str());
  }
  Issues issues;
  const auto packets = read_all(file, issues);
  ASSERT_EQ(packets.size(), 8u);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(packets[i].packet.number, i + 1);
  for (const size_t s : {0u, 4u}) {
    EXPECT_EQ(packets[s].packet.link_type, 1u);
    EXPECT_EQ(packets[s].packet.time.ns, 1'700'000'000'123'456'789);
    EXPECT_EQ(packets[s].data, "ethernet");
    EXPECT_EQ(file.substr(packets[s].packet.file_offset, 8), "ethernet");
    EXPECT_EQ(packets[s + 1].packet.link_type, 101u);
    EXPECT_EQ(packets[s + 1].packet.time.ns, 1'700'000'000'125'000'000);
    EXPECT_EQ(packets[s + 1].packet.comment, "vitrine-process: 7 curl");
    EXPECT_EQ(packets[s + 1].packet.original_length, 60u);
    EXPECT_EQ(packets[s + 2].data, "simple");
    EXPECT_EQ(packets[s + 2].packet.time.ns, 0);
    EXPECT_EQ(packets[s + 3].data, "old");
    EXPECT_EQ(packets[s + 3].packet.time.ns, 2'000'000'000);
  }
  EXPECT_TRUE(issues.has("carry no time"));
  const CaptureMetadata found = scan_capture(as_bytes(file));
  EXPECT_EQ(found.format, "pcapng");
  EXPECT_EQ(found.packets, 8u);
  EXPECT_EQ(found.comments, (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(found.interfaces, (std::vector<std::string>{"eth0", "tun0", "eth0", "tun0"}));
}

TEST(PcapngFile, TimeResolutionsAndOffsets) {
  struct Case {
    std::string options;
    uint64_t ticks;
    int64_t ns;
  };
  const bool big = false;
  const Case cases[] = {
      {"", 1'000'001, 1'000'001'000},                                   // default: microseconds
      {option(big, 9, std::string("\x00", 1)), 3, 3'000'000'000},       // seconds
      {option(big, 9, "\x0c"), 1'000'000'000'999, 1'000'000'000},       // picoseconds
      {option(big, 9, "\x7f"), ~0ull, 0},                               // 10^-127 s
      {option(big, 9, "\xa0"), 1ull << 31, 500'000'000},                // 2^-32 s
      {option(big, 9, "\xff"), ~0ull, 0},                               // 2^-127 s
      {option(big, 9, std::string("\x00", 1)), ~0ull, kLatestTime.ns},  // bounded
      {option(big, 14, Out(big).u64(10).str()), 5, 10'000'005'000},     // if_tsoffset
      {option(big, 14, Out(big).u64(-10).str()), 5, -9'999'995'000},
      {option(big, 14, Out(big).u64(1ull << 63).str()), 5, kEarliestTime.ns},
  };
  for (const Case& c : cases) {
    Issues issues;
    const auto packets = read_all(section(big) + interface(big, 1, c.options) + enhanced(big, 0, c.ticks, "x"), issues);
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].packet.time.ns, c.ns) << c.ticks;
  }
}

TEST(PcapngFile, SecretsNamesAndDropsAreFoundWhereverTheyStand) {
  const bool big = true;
  const std::string keys = "CLIENT_RANDOM 00 11\n";
  const std::string file = section(big) + interface(big, 1) + enhanced(big, 0, 1, "one") +
                           block(big, 10, Out(big).u32(0x5353484b).u32(3).raw("ssh").str()) +
                           block(big, 10, Out(big).u32(0x544c534b).u32(keys.size()).raw(keys).str()) +
                           block(big, 4,
                                 Out(big)
                                     .u16(1)
                                     .u16(4 + 14)
                                     .raw(std::string("\xcb\0\x71\x09", 4))
                                     .raw(std::string("a.test\0b.test\0", 14))
                                     .pad4()
                                     .u16(2)
                                     .u16(16 + 7)
                                     .raw(std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16))
                                     .raw(std::string("c.test\0", 7))
                                     .pad4()
                                     .u16(0)
                                     .u16(0)
                                     .str()) +
                           block(big, 5, Out(big).u32(0).u64(0).raw(option(big, 5, Out(big).u64(3).str())).str()) +
                           block(big, 5,
                                 Out(big)
                                     .u32(0)
                                     .u64(0)
                                     .raw(option(big, 5, Out(big).u64(7).str()) + option(big, 7, Out(big).u64(2).str()))
                                     .str()) +
                           block(big, 0x7777, "an unknown block") + enhanced(big, 0, 2, "two");
  Issues issues;
  EXPECT_EQ(read_all(file, issues).size(), 2u);
  ASSERT_EQ(issues.all.size(), 1u);
  EXPECT_NE(issues.all[0].what.find("SSH"), std::string::npos);
  EXPECT_EQ(issues.all[0].cause, Cause::unsupported);
  const CaptureMetadata found = scan_capture(as_bytes(file));
  ASSERT_EQ(found.tls_key_logs.size(), 1u);
  EXPECT_EQ(as_text(found.tls_key_logs[0]), keys);
  ASSERT_EQ(found.names.size(), 3u);
  EXPECT_EQ(found.names[0].ip.to_string(), "203.0.113.9");
  EXPECT_EQ(found.names[1].name, "b.test");
  EXPECT_EQ(found.names[2].ip.to_string(), "2001:db8::1");
  EXPECT_EQ(found.dropped, 9u);  // statistics are cumulative: the larger of the two
}

TEST(PcapngFile, PacketsThatCannotBeReadStillTakeANumber) {
  const bool big = false;
  const std::string file = section(big) + interface(big, 1) + enhanced(big, 5, 1, "of nobody") +
                           block(big, 6, "short") + block(big, 9, "journal") + enhanced(big, 0, 1, "four");
  Issues issues;
  const auto packets = read_all(file, issues);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].packet.number, 4u);
  EXPECT_TRUE(issues.has("not declared"));
  EXPECT_TRUE(issues.has("too short"));
  EXPECT_TRUE(issues.has("journal"));
}

TEST(PcapngFile, DamagedBlockIsSkipped) {
  const bool big = false;
  std::string file = section(big) + interface(big, 1) + enhanced(big, 0, 1, "one");
  const size_t at = file.size();
  file += enhanced(big, 0, 2, "two") + enhanced(big, 0, 3, "three") + section(true) + interface(true, 101) +
          enhanced(true, 0, 4, "four");
  for (const int byte : {4, 5, 6, 7}) {  // the leading length
    std::string damaged = file;
    damaged[at + byte] = static_cast<char>(damaged[at + byte] ^ 0x55);
    Issues issues;
    const auto packets = read_all(damaged, issues);
    ASSERT_EQ(packets.size(), 3u) << byte;
    EXPECT_EQ(packets[1].data, "three");
    EXPECT_EQ(packets[2].packet.link_type, 101u);
    EXPECT_TRUE(issues.has("lengths do not agree"));
    EXPECT_TRUE(issues.has("36 bytes of the file skipped"));
  }
  std::string lost_bytes = file;
  lost_bytes.erase(at + 10, 3);  // nothing is aligned any more
  Issues issues;
  EXPECT_EQ(read_all(lost_bytes, issues).size(), 3u);
}

TEST(PcapngFile, EndInsideABlockKeepsThePacketsBytes) {
  const bool big = false;
  const std::string file =
      section(big) + interface(big, 1) + enhanced(big, 0, 1, "one") + enhanced(big, 0, 2, "0123456789ab");
  for (size_t cut = 1; cut <= 16; ++cut) {
    Issues issues;
    const auto packets = read_all(file.substr(0, file.size() - cut), issues);
    ASSERT_EQ(packets.size(), 2u) << cut;
    const size_t expected = cut <= 4 ? 12 : 16 - cut;
    EXPECT_EQ(packets[1].data, std::string("0123456789ab").substr(0, expected));
    EXPECT_TRUE(issues.has("ends inside a block"));
  }
}

TEST(PcapngFile, RefusesWhatItCannotRead) {
  Issues issues;
  EXPECT_EQ(open_capture(as_bytes(section(false).substr(0, 20)), issues).error().code, ErrorCode::malformed);
  EXPECT_EQ(open_capture(as_bytes(section(true, "", 2)), issues).error().code, ErrorCode::unsupported);
  std::string no_order = section(false);
  no_order[8] = 'x';
  EXPECT_EQ(open_capture(as_bytes(no_order), issues).error().code, ErrorCode::malformed);
  // A later section of another version is skipped, the one after it read.
  const bool big = false;
  const std::string file = section(big) + section(big, "", 9) + interface(big, 1) + enhanced(big, 0, 1, "no") +
                           section(big) + interface(big, 1) + enhanced(big, 0, 1, "yes");
  const auto packets = read_all(file, issues);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].data, "yes");
  EXPECT_TRUE(issues.has("version 9"));
}

TEST(PcapngFile, EveryPrefixAndEveryFlippedByteIsSurvived) {
  std::string file;
  for (const bool big : {true, false}) {
    file += section(big, option(big, 1, "c")) + interface(big, 1, option(big, 9, "\x09")) +
            enhanced(big, 0, 1, "abc", option(big, 1, "x")) +
            block(big, 10, Out(big).u32(0x544c534b).u32(4).raw("keys").str()) + enhanced(big, 0, 2, "def");
  }
  for (size_t length = 0; length <= file.size(); ++length) {
    Issues issues;
    const auto packets = read_all(file.substr(0, length), issues);
    EXPECT_EQ(scan_capture(as_bytes(std::string_view(file).substr(0, length))).packets, packets.size());
  }
  for (size_t at = 28; at < file.size(); ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 0xff);
    Issues issues;
    EXPECT_GE(read_all(damaged, issues).size(), 2u) << at;
  }
}

}  // namespace
}  // namespace vitrine
