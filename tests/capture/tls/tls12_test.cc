// TLS 1.2 (RFC 5246) with real peers.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "capture/tls/cipher_suites.h"
#include "follow.h"

namespace vitrine::test {
namespace {

struct Negotiable {
  std::string openssl_name, iana_name, key;
  bool psk;
  bool aead;
};

// Every TLS 1.2 suite this OpenSSL can negotiate with the certificates at hand.
std::vector<Negotiable> negotiable() {
  std::vector<Negotiable> out;
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_cipher_list(context, "ALL:COMPLEMENTOFALL:@SECLEVEL=0");
  STACK_OF(SSL_CIPHER)* ciphers = SSL_CTX_get_ciphers(context);
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
    const int kx = SSL_CIPHER_get_kx_nid(cipher), au = SSL_CIPHER_get_auth_nid(cipher);
    if (kx == NID_kx_any || kx == NID_kx_srp || au == NID_auth_dss || au == NID_auth_srp) continue;
    const bool psk = kx == NID_kx_psk || kx == NID_kx_dhe_psk || kx == NID_kx_ecdhe_psk || kx == NID_kx_rsa_psk;
    std::string key = "none";
    if (au == NID_auth_ecdsa) key = "ec";
    else if (au == NID_auth_rsa || kx == NID_kx_rsa_psk) key = "rsa";
    out.push_back(
        {SSL_CIPHER_get_name(cipher), SSL_CIPHER_standard_name(cipher), key, psk, SSL_CIPHER_is_aead(cipher) == 1});
  }
  SSL_CTX_free(context);
  return out;
}

PeerOptions tls12(const std::string& ciphers = "ECDHE-RSA-AES128-GCM-SHA256") {
  PeerOptions options;
  options.version = TLS1_2_VERSION;
  options.ciphers = ciphers + ":@SECLEVEL=0";
  return options;
}

class Tls12Suite : public testing::TestWithParam<Negotiable> {};

TEST_P(Tls12Suite, OpensEveryRecord) {
  PeerOptions options = tls12(GetParam().openssl_name);
  options.key = GetParam().key;
  options.psk = GetParam().psk;
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
  expect_no_key(transcript);
  const Collector got = follow(transcript.wire, transcript.key_log);
  EXPECT_EQ(got.last_info.cipher_name, GetParam().iana_name);
  EXPECT_EQ(got.last_info.version, 0x0303);
  EXPECT_EQ(got.last_info.alpn, "h2");
  // Names are in the clear: the key does not matter.
  const Collector blind = follow(transcript.wire, "");
  EXPECT_EQ(blind.last_info.certificate_names.empty(), GetParam().key == "none");
}

INSTANTIATE_TEST_SUITE_P(All, Tls12Suite, testing::ValuesIn(negotiable()), [](const auto& suite) {
  std::string name = suite.param.iana_name;
  return name.substr(4);
});

TEST(Tls12, TheListOfSuitesIsNotEmpty) {
  const auto all = negotiable();
  EXPECT_GE(std::count_if(all.begin(), all.end(), [](const Negotiable& suite) { return suite.aead; }), 50);
}

TEST(Tls12, MacThenEncrypt) {
  for (const char* suite : {"AES128-SHA", "ECDHE-RSA-AES256-SHA384", "AES128-SHA256"}) {
    PeerOptions options = tls12(suite);
    options.context_options = SSL_OP_NO_ENCRYPT_THEN_MAC;
    Peers peers(options);
    const Transcript transcript = peers.run(converse);
    expect_whole_in_all_chunkings(transcript, transcript.key_log);
  }
}

TEST(Tls12, ResumptionByTicketAndBySession) {
  for (const uint64_t option : {uint64_t{0}, uint64_t{SSL_OP_NO_TICKET}}) {
    PeerOptions options = tls12();
    options.context_options = option;
    Peers peers(options);
    peers.run(converse);
    const Transcript second = peers.run(converse);
    expect_whole_in_all_chunkings(second, second.key_log);
    expect_no_key(second);
    EXPECT_TRUE(follow(second.wire, "").last_info.resumed);
  }
}

TEST(Tls12, Renegotiation) {
  PeerOptions options = tls12();
  options.context_options = SSL_OP_ALLOW_CLIENT_RENEGOTIATION;
  Peers peers(options);
  const Transcript transcript = peers.run([](Peers::Connection& connection) {
    converse(connection);
    connection.renegotiate();
    converse(connection);
    connection.renegotiate();
    converse(connection);
  });
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
  for (const Direction ahead : {kC2s, kS2c}) {
    std::vector<Wire> wire = transcript.wire;
    std::stable_partition(wire.begin(), wire.end(), [&](const Wire& piece) { return piece.direction == ahead; });
    expect_whole(transcript, follow(wire, transcript.key_log, Chunking::random));
  }
}

TEST(Tls12, ClientCertificateAndFragments) {
  PeerOptions options = tls12("ECDHE-ECDSA-CHACHA20-POLY1305");
  options.key = "ec";
  options.client_certificate = true;
  options.max_fragment = 512;
  options.extra_names = 150;
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  expect_whole_in_all_chunkings(transcript, transcript.key_log);
  expect_no_key(transcript);
  EXPECT_EQ(follow(transcript.wire, "").last_info.certificate_names.size(), 153u);
}

TEST(Tls12, DirectionsOutOfStep) {
  Peers peers(tls12());
  peers.run(converse);
  const Transcript transcript = peers.run(converse);  // abbreviated
  for (const Direction ahead : {kC2s, kS2c}) {
    std::vector<Wire> wire = transcript.wire;
    std::stable_partition(wire.begin(), wire.end(), [&](const Wire& piece) { return piece.direction == ahead; });
    for (const Chunking chunking : {Chunking::whole, Chunking::bytes, Chunking::random})
      expect_whole(transcript, follow(wire, transcript.key_log, chunking));
  }
}

TEST(Tls12, SeveralSecretsForOneRandom) {
  Peers peers(tls12());
  const Transcript transcript = peers.run(converse);
  std::string wrong = transcript.key_log;
  wrong[wrong.size() - 2] = wrong[wrong.size() - 2] == '0' ? '1' : '0';
  expect_whole_in_all_chunkings(transcript, wrong + transcript.key_log);
}

// TLS 1.0 is refused by name, not misread.
TEST(Tls12, OlderVersionsAreUnsupported) {
  PeerOptions options = tls12("AES128-SHA");
  options.version = TLS1_VERSION;
  options.ciphers = "AES128-SHA:@SECLEVEL=0";
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  ASSERT_EQ(transcript.error, "");
  const Collector got = follow(transcript.wire, transcript.key_log, Chunking::random);
  EXPECT_TRUE(got.issues.contains("tls: version 0x0301 is not read"));
  for (const Direction direction : {kC2s, kS2c}) {
    EXPECT_EQ(got.counts[static_cast<size_t>(direction)][Cause::unsupported], protected_bytes(transcript, direction));
    EXPECT_EQ(got.total(direction), transcript.raw_bytes(direction));
  }
  expect_no_key(transcript);
}

}  // namespace
}  // namespace vitrine::test
