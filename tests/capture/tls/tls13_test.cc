// TLS 1.3 (RFC 8446) with real peers.
#include <gtest/gtest.h>

#include <algorithm>

#include "follow.h"

namespace vitrine::test {
namespace {

class Tls13Suite : public testing::TestWithParam<const char*> {};

TEST_P(Tls13Suite, OpensEveryRecord) {
  PeerOptions options;
  options.ciphers = GetParam();
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
  expect_no_key(transcript);
  const Collector got = follow(transcript.wire, transcript.key_log);
  EXPECT_EQ(got.last_info.cipher_name, GetParam());
  EXPECT_EQ(got.last_info.version, 0x0304);
  EXPECT_EQ(got.last_info.sni, "chat.aster.test");
  EXPECT_EQ(got.last_info.alpn, "h2");
  EXPECT_EQ(got.last_info.alpn_offered, (std::vector<std::string>{"h2", "http/1.1"}));
  EXPECT_EQ(got.last_info.certificate_names,
            (std::vector<std::string>{"chat.aster.test", "*.aster.test", "203.0.113.7"}));
  EXPECT_TRUE(got.last_info.decrypted);
  EXPECT_FALSE(got.last_info.resumed);
  EXPECT_FALSE(got.last_info.retry);
}

INSTANTIATE_TEST_SUITE_P(All, Tls13Suite,
                         testing::Values("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
                                         "TLS_AES_128_CCM_8_SHA256"),
                         [](const auto& suite) { return std::string(suite.param); });

TEST(Tls13, ClientHelloSpanIsTheMessage) {
  Peers peers({});
  const Transcript transcript = peers.run(converse);
  const Collector got = follow(transcript.wire, "", Chunking::bytes);
  const auto first = records_of(transcript, kC2s).at(0);
  EXPECT_EQ(got.last_info.client_hello, (StreamSpan{first.offset + 5, first.size - 5}));
}

TEST(Tls13, HelloRetryRequest) {
  PeerOptions options;
  options.client_groups = "X25519:P-256";
  options.server_groups = "P-256";
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
  expect_no_key(transcript);
  EXPECT_TRUE(follow(transcript.wire, transcript.key_log).last_info.retry);
}

TEST(Tls13, Resumption) {
  Peers peers({});
  peers.run(converse);
  const Transcript second = peers.run(converse);
  expect_whole_in_all_chunkings(second, peers.all_keys());
  const Collector got = follow(second.wire, peers.all_keys());
  EXPECT_TRUE(got.last_info.resumed);
  EXPECT_TRUE(got.last_info.certificate_names.empty());
}

TEST(Tls13, EarlyDataComesFirstInTheSameStream) {
  PeerOptions options;
  options.early_data = true;
  Peers peers(options);
  peers.run(converse);
  const Transcript second = peers.run(converse, text(5000, 9));
  ASSERT_NE(second.key_log.find("CLIENT_EARLY_TRAFFIC_SECRET"), std::string::npos);
  expect_whole_in_all_chunkings(second, second.key_log);
  expect_no_key(second);
  const Collector got = follow(second.wire, second.key_log);
  EXPECT_TRUE(got.last_info.early_data);
  EXPECT_TRUE(got.last_info.resumed);
}

TEST(Tls13, EarlyDataWithoutItsSecretIsAGapAtTheFront) {
  PeerOptions options;
  options.early_data = true;
  Peers peers(options);
  peers.run(converse);
  const Transcript second = peers.run(converse, text(5000, 9));
  const Collector got = follow(second.wire, without(second.key_log, {"CLIENT_EARLY"}), Chunking::random);
  EXPECT_EQ(got.data[0], second.plaintext[0].substr(5000));
  EXPECT_EQ(got.data[1], second.plaintext[1]);
  EXPECT_EQ(got.gap_chunks[0], 1u);
  EXPECT_GE(got.gaps[0], 5000u);
  EXPECT_LE(got.gaps[0], 5100u);
  EXPECT_GT(got.counts[0][Cause::no_key], 5000u);
  EXPECT_EQ(got.total(kC2s), second.raw_bytes(kC2s));
  EXPECT_TRUE(got.continuous);
}

TEST(Tls13, EarlyDataTheServerRefusesIsNotPartOfTheStream) {
  PeerOptions options;
  options.early_data = true;
  options.reject_early_data = true;  // from the second connection on
  Peers peers(options);
  peers.run(converse);
  const Transcript second = peers.run(converse, text(3000, 9));
  ASSERT_EQ(second.error, "");
  for (const Chunking chunking : {Chunking::whole, Chunking::bytes, Chunking::random}) {
    const Collector got = follow(second.wire, second.key_log, chunking);
    EXPECT_EQ(got.data[0], second.plaintext[0]);
    EXPECT_EQ(got.data[1], second.plaintext[1]);
    EXPECT_EQ(got.counts[0][Cause::unsupported], 3000u + 22);
    EXPECT_EQ(got.total(kC2s), second.raw_bytes(kC2s));
    EXPECT_EQ(got.gaps[0], 0u);
    EXPECT_EQ(got.issues.size(), 1u);
  }
}

TEST(Tls13, EarlyDataBeforeARetryIsNotPartOfTheStream) {
  PeerOptions options;
  options.early_data = true;
  options.client_groups = "X25519:P-256";
  options.server_groups = "P-256";
  options.reject_early_data = true;
  Peers peers(options);
  peers.run(converse);
  const Transcript second = peers.run(converse, text(3000, 9));
  ASSERT_EQ(second.error, "");
  for (const Chunking chunking : {Chunking::whole, Chunking::bytes, Chunking::random}) {
    const Collector got = follow(second.wire, second.key_log, chunking);
    EXPECT_TRUE(got.last_info.retry);
    EXPECT_EQ(got.data[0], second.plaintext[0]);
    EXPECT_EQ(got.data[1], second.plaintext[1]);
    EXPECT_EQ(got.counts[0][Cause::unsupported], 3000u + 22);
    EXPECT_EQ(got.total(kC2s), second.raw_bytes(kC2s));
  }
}

TEST(Tls13, KeyUpdateInBothDirections) {
  Peers peers({});
  const Transcript transcript = peers.run([](Peers::Connection& connection) {
    connection.send(kC2s, text(100));
    connection.update_keys(kC2s, true);
    converse(connection);
    connection.update_keys(kS2c, false);
    converse(connection);
    connection.update_keys(kS2c, true);
    connection.update_keys(kC2s, false);
    converse(connection);
  });
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
}

TEST(Tls13, ClientCertificateAndPostHandshakeAuthentication) {
  PeerOptions options;
  options.client_certificate = true;
  Peers peers(options);
  const Transcript transcript = peers.run([](Peers::Connection& connection) {
    converse(connection);
    connection.verify_client_again();
    converse(connection);
  });
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
  // The names are the server's, not the client's.
  EXPECT_EQ(follow(transcript.wire, transcript.key_log).last_info.certificate_names.at(0), "chat.aster.test");
}

TEST(Tls13, FragmentedHandshakeAndPadding) {
  PeerOptions options;
  options.max_fragment = 512;
  options.extra_names = 200;
  options.padding = 100;
  options.key = "ec";
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
  expect_no_key(transcript);
  EXPECT_EQ(follow(transcript.wire, transcript.key_log).last_info.certificate_names.size(), 203u);
}

TEST(Tls13, WithoutMiddleboxCompatibility) {
  PeerOptions options;
  options.cleared_options = SSL_OP_ENABLE_MIDDLEBOX_COMPAT;
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  for (const RawRecord& record : records_of(transcript, kC2s)) EXPECT_NE(record.type, 20);
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
}

// The lines of each label alone are missing.
TEST(Tls13, MissingHandshakeSecretsDoNotHideTheData) {
  Peers peers({});
  const Transcript transcript = peers.run(converse);
  for (const Chunking chunking : {Chunking::whole, Chunking::bytes}) {
    const Collector got =
        follow(transcript.wire, without(transcript.key_log, {"CLIENT_HANDSHAKE", "SERVER_HANDSHAKE"}), chunking);
    EXPECT_EQ(got.data[0], transcript.plaintext[0]);
    EXPECT_EQ(got.data[1], transcript.plaintext[1]);
    EXPECT_EQ(got.gaps[0] + got.gaps[1], 0u);
    for (const Direction direction : {kC2s, kS2c}) {
      EXPECT_GT(got.counts[static_cast<size_t>(direction)][Cause::no_key], 0u);
      EXPECT_EQ(got.total(direction), transcript.raw_bytes(direction));
    }
    EXPECT_TRUE(got.last_info.certificate_names.empty());
    EXPECT_TRUE(got.last_info.decrypted);
  }
}

TEST(Tls13, MissingServerSecretHidesOneDirection) {
  Peers peers({});
  const Transcript transcript = peers.run(converse);
  const Collector got = follow(transcript.wire, without(transcript.key_log, {"SERVER_TRAFFIC"}), Chunking::random);
  EXPECT_EQ(got.data[0], transcript.plaintext[0]);
  EXPECT_EQ(got.data[1], "");
  EXPECT_EQ(got.counts[0].undecoded(), 0u);
  EXPECT_EQ(got.counts[1].undecoded(), got.counts[1][Cause::no_key]);
  EXPECT_EQ(got.total(kS2c), transcript.raw_bytes(kS2c));
  EXPECT_EQ(got.closes[1], 1);
}

TEST(Tls13, SeveralSecretsForOneRandom) {
  Peers peers({});
  const Transcript transcript = peers.run(converse);
  // Wrong secrets stand before the right ones.
  std::string wrong = transcript.key_log;
  for (size_t at = wrong.find('\n'); at != std::string::npos; at = wrong.find('\n', at + 1))
    wrong[at - 1] = wrong[at - 1] == '0' ? '1' : '0';
  expect_whole_in_all_chunkings(transcript, wrong + transcript.key_log);
}

TEST(Tls13, WrongSecretsAreNoKeyAndSaySo) {
  Peers peers({});
  const Transcript transcript = peers.run(converse);
  std::string wrong = transcript.key_log;
  for (size_t at = wrong.find('\n'); at != std::string::npos; at = wrong.find('\n', at + 1))
    wrong[at - 1] = wrong[at - 1] == '0' ? '1' : '0';
  expect_no_key(transcript, wrong);
  const Collector got = follow(transcript.wire, wrong);
  EXPECT_TRUE(got.issues.contains("tls: the secrets held for this connection do not open its records"));
}

// Reassembly may give one direction far ahead of the other.
TEST(Tls13, DirectionsOutOfStep) {
  PeerOptions options;
  options.early_data = true;
  Peers peers(options);
  const Transcript first = peers.run(converse);
  const Transcript second = peers.run(converse, text(100));
  for (const Transcript* transcript : {&first, &second}) {
    for (const Direction ahead : {kC2s, kS2c}) {
      std::vector<Wire> wire = transcript->wire;
      std::stable_partition(wire.begin(), wire.end(), [&](const Wire& piece) { return piece.direction == ahead; });
      for (const Chunking chunking : {Chunking::whole, Chunking::bytes, Chunking::random})
        expect_whole(*transcript, follow(wire, peers.all_keys(), chunking));
    }
  }
}

// An answer to early data must come out after its request.
TEST(Tls13, EarlyRequestComesBeforeItsResponse) {
  PeerOptions options;
  options.early_data = true;
  Peers peers(options);
  peers.run(converse);
  const Transcript second =
      peers.run([](Peers::Connection& connection) { connection.send(kS2c, "response"); }, "request");
  const Collector got = follow(second.wire, second.key_log);
  ASSERT_EQ(got.order.size(), 2u);
  EXPECT_EQ(got.order[0], kC2s);
  EXPECT_EQ(got.order[1], kS2c);
}

// Only one direction was captured.
TEST(Tls13, OneDirectionAlone) {
  for (const Direction only : {kC2s, kS2c}) {
    Peers peers({});
    const Transcript transcript = peers.run(converse);
    std::vector<Wire> wire;
    for (const Wire& piece : transcript.wire)
      if (piece.direction == only) wire.push_back(piece);
    const Collector got = follow(wire, transcript.key_log, Chunking::random);
    const auto side = static_cast<size_t>(only);
    EXPECT_EQ(got.total(only), transcript.raw_bytes(only));
    EXPECT_EQ(got.closes[side], 1);
    // The client names its random, so its own stream can be read; a server's cannot.
    if (only == kC2s) EXPECT_EQ(got.data[side], transcript.plaintext[side]);
    else EXPECT_EQ(got.counts[side][Cause::no_key], protected_bytes(transcript, only));
  }
}

}  // namespace
}  // namespace vitrine::test
