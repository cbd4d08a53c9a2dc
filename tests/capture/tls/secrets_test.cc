#include "capture/tls/secrets.h"

#include <gtest/gtest.h>

#include <map>

namespace vitrine::test {
namespace {

struct Counting : IssueSink {
  void issue(Issue issue) override { ++seen[issue.what]; }
  std::map<std::string, int> seen;
};

std::string hex(size_t bytes, char digit) { return std::string(2 * bytes, digit); }

ClientRandom random_of(uint8_t value) {
  ClientRandom random;
  random.fill(value);
  return random;
}

TEST(Secrets, ReadsEveryLabel) {
  Counting issues;
  SecretStore store;
  const std::string random = " " + hex(32, 'a') + " ";
  store.load("# a comment\r\n\r\nCLIENT_RANDOM" + random + hex(48, '1') + "\r\nCLIENT_EARLY_TRAFFIC_SECRET" + random +
                 hex(32, '2') + "\nCLIENT_HANDSHAKE_TRAFFIC_SECRET" + random + hex(32, '3') +
                 "\nSERVER_HANDSHAKE_TRAFFIC_SECRET" + random + hex(48, '4') + "\nCLIENT_TRAFFIC_SECRET_0" + random +
                 hex(32, '5') + "\nSERVER_TRAFFIC_SECRET_0" + random + hex(32, '6') + "\nEXPORTER_SECRET" + random +
                 hex(32, '7') + "\nEARLY_EXPORTER_SECRET" + random + hex(32, '8') + "\nCLIENT_TRAFFIC_SECRET_12" +
                 random + hex(32, '9') + "\nSERVER_TRAFFIC_SECRET_1" + random + hex(32, 'b'),
             issues);
  EXPECT_TRUE(issues.seen.empty());
  EXPECT_EQ(store.size(), 10u);
  EXPECT_TRUE(store.knows(random_of(0xaa)));
  EXPECT_FALSE(store.knows(random_of(0xab)));
  const auto early = store.find(random_of(0xaa), SecretLabel::client_early_traffic);
  ASSERT_EQ(early.size(), 1u);
  EXPECT_EQ(early[0]->bytes, std::vector<uint8_t>(32, 0x22));
  EXPECT_EQ(store.find(random_of(0xaa), SecretLabel::client_traffic_n).size(), 1u);
  EXPECT_TRUE(store.find(random_of(0xbb), SecretLabel::client_random).empty());
}

TEST(Secrets, BadLinesAreCountedAndSkipped) {
  Counting issues;
  SecretStore store;
  const std::string good = "CLIENT_RANDOM " + hex(32, 'c') + " " + hex(48, 'd') + "\n";
  store.load("CLIENT_RANDOM\nCLIENT_RANDOM " + hex(31, 'a') + " " + hex(48, 'b') + "\nCLIENT_RANDOM " + hex(32, 'a') +
                 " " + hex(47, 'b') + "\nCLIENT_RANDOM " + hex(32, 'g') + " " + hex(48, 'b') + "\n" + good +
                 "CLIENT_RANDOM " + hex(32, 'a') + " " + hex(48, 'b') + " more\nCLIENT_TRAFFIC_SECRET_0 " +
                 hex(32, 'a') + " " + hex(20, 'b') + "\nSOMETHING_NEW " + hex(32, 'a') + " " + hex(48, 'b') +
                 "\nRSA 0011223344556677 " + hex(48, 'b') + "\nECH_SECRET " + hex(32, 'a') + " " + hex(48, 'b') + "\n" +
                 std::string("\0\x01\xff binary\n", 11) + "CLIENT_RANDOM " + hex(32, 'e') + " " + hex(48, 'F'),
             issues);
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(issues.seen["key log: malformed line skipped"], 6);
  EXPECT_EQ(issues.seen["key log: line with an unknown label skipped"], 2);
  EXPECT_EQ(issues.seen["key log: line without a client random (RSA) skipped"], 1);
}

TEST(Secrets, DuplicatesOnceDifferentOnesAllInOrder) {
  Counting issues;
  SecretStore store;
  const std::string random = "CLIENT_RANDOM " + hex(32, '5') + " ";
  store.load(random + hex(48, '1') + "\n" + random + hex(48, '2') + "\n" + random + hex(48, '1') + "\n", issues);
  store.load(random + hex(48, '2') + "\n" + random + hex(48, '3') + "\n", issues);
  const auto held = store.find(random_of(0x55), SecretLabel::client_random);
  ASSERT_EQ(held.size(), 3u);
  for (uint8_t i = 0; i < 3; ++i) EXPECT_EQ(held[i]->bytes[0], 0x11 * (i + 1));
  EXPECT_EQ(store.all(SecretLabel::client_random).size(), 3u);
  EXPECT_TRUE(store.all(SecretLabel::exporter).empty());
}

TEST(Secrets, OneRandomHoldsAtMostSixtyFour) {
  Counting issues;
  SecretStore store;
  std::string log;
  for (int i = 0; i < 200; ++i) {
    char number[8];
    std::snprintf(number, sizeof number, "%04x", i);
    log += "CLIENT_RANDOM " + hex(32, '7') + " " + hex(46, '0') + number + "\n";
  }
  store.load(log, issues);
  EXPECT_EQ(store.size(), 64u);
  EXPECT_EQ(issues.seen["key log: more than 64 secrets for one client random; the rest is not used"], 136);
}

}  // namespace
}  // namespace vitrine::test
