#include <gtest/gtest.h>

#include "follow.h"

namespace vitrine::test {
namespace {

constexpr Direction kC2s = Direction::client_to_server, kS2c = Direction::server_to_client;

std::string text(size_t size, char from = 'a') {
  std::string out(size, ' ');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(from + i * 7 % 26);
  return out;
}

// Bytes of records of type application_data, headers included: what a missing key takes away.
void exchange_some(Peers::Connection& connection) {
  connection.send(kC2s, "GET / HTTP/1.1\r\n\r\n");
  connection.send(kS2c, text(40000));
  connection.send(kC2s, text(3));
  connection.send(kS2c, text(1));
}

void expect_same(const Transcript& transcript, const Collector& got) {
  for (const Direction direction : {kC2s, kS2c}) {
    const auto side = static_cast<size_t>(direction);
    EXPECT_EQ(got.data[side], transcript.plaintext[side]);
    EXPECT_EQ(got.total(direction), transcript.raw_bytes(direction));
    EXPECT_EQ(got.counts[side].undecoded(), 0u);
    EXPECT_EQ(got.closes[side], 1);
    EXPECT_EQ(got.gaps[side], 0u);
  }
  EXPECT_TRUE(got.continuous);
  for (const auto& [what, count] : got.issues) ADD_FAILURE() << what;
}

void expect_all_chunkings(const Transcript& transcript, const std::string& keys) {
  ASSERT_EQ(transcript.error, "");
  expect_same(transcript, follow(transcript.wire, keys, Chunking::whole));
  expect_same(transcript, follow(transcript.wire, keys, Chunking::bytes));
  for (unsigned seed = 1; seed <= 3; ++seed) expect_same(transcript, follow(transcript.wire, keys, Chunking::random, seed));
}

class Tls13Suite : public testing::TestWithParam<const char*> {};

TEST_P(Tls13Suite, OpensEveryRecord) {
  PeerOptions options;
  options.ciphers = GetParam();
  Peers peers(options);
  const Transcript transcript = peers.run(exchange_some);
  expect_all_chunkings(transcript, transcript.key_log);
  const Collector got = follow(transcript.wire, transcript.key_log);
  EXPECT_EQ(got.last_info.cipher_name, GetParam());
  EXPECT_EQ(got.last_info.version, 0x0304);
  EXPECT_EQ(got.last_info.sni, "chat.aster.test");
  EXPECT_EQ(got.last_info.alpn, "h2");
  EXPECT_EQ(got.last_info.alpn_offered, (std::vector<std::string>{"h2", "http/1.1"}));
  EXPECT_EQ(got.last_info.certificate_names, (std::vector<std::string>{"chat.aster.test", "*.aster.test", "203.0.113.7"}));
  EXPECT_TRUE(got.last_info.decrypted);
  EXPECT_FALSE(got.last_info.resumed);
}

INSTANTIATE_TEST_SUITE_P(All, Tls13Suite,
                         testing::Values("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
                                         "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"),
                         [](const auto& suite) { return std::string(suite.param); });

}  // namespace
}  // namespace vitrine::test
