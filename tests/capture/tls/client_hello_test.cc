// ClientHello fields and fingerprints without any key.
#include "capture/tls/client_hello.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "capture/tls/cipher_suites.h"
#include "capture/tls/hello_info.h"
#include "follow.h"

namespace vitrine::test {
namespace {

using tls::ClientHello;

// The hello of the example in FoxIO's JA4.md (Chromium, 2023), GREASE added.
ClientHello published_example() {
  ClientHello hello;
  hello.legacy_version = 0x0303;
  hello.versions = {0x8a8a, 0x0304, 0x0303};
  hello.ciphers = {0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
                   0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
  hello.extensions = {0xfafa, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d,
                      0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x1a1a};
  hello.signature_algorithms = {0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601};
  hello.alpn = {"h2", "http/1.1"};
  return hello;
}

TEST(Ja4, PublishedExample) { EXPECT_EQ(tls::ja4(published_example()), "t13d1516h2_8daaf6152771_e5627efa2ab1"); }

TEST(Ja4, WithoutSignatureAlgorithms) {
  ClientHello hello = published_example();
  hello.signature_algorithms.clear();
  EXPECT_EQ(tls::ja4(hello), "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

TEST(Ja4, NothingOffered) {
  ClientHello hello;
  hello.legacy_version = 0x0301;
  EXPECT_EQ(tls::ja4(hello), "t10i000000_000000000000_000000000000");
}

TEST(Ja4, VersionsCountsAndProtocolNames) {
  const auto first_part = [](const ClientHello& hello) { return tls::ja4(hello).substr(0, 10); };
  ClientHello hello;
  hello.legacy_version = 0x0300;
  EXPECT_EQ(first_part(hello), "ts3i000000");
  hello.legacy_version = 0x7777;
  EXPECT_EQ(first_part(hello), "t00i000000");
  hello.legacy_version = 0x0303;
  hello.ciphers.assign(120, 0x1301);
  EXPECT_EQ(first_part(hello), "t12i990000");
  hello.ciphers.clear();
  // The published table of ALPN cases.
  const std::pair<std::string, std::string> cases[] = {
      {"http/1.1", "h1"}, {"h", "hh"},     {"", "00"},           {"\xab", "ab"},
      {"\xab\xcd", "ad"}, {"0\xab", "3b"}, {"01\xab\xcd", "3d"}, {std::string("0\xab\xcd") + "1", "01"}};
  for (const auto& [name, code] : cases) {
    hello.alpn = {name};
    EXPECT_EQ(first_part(hello), "t12i0000" + code);
  }
}

TEST(Ja3, GreaseIsRemoved) {
  ClientHello hello;
  hello.legacy_version = 769;
  hello.ciphers = {47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4};
  hello.extensions = {0, 10, 11};
  hello.groups = {23, 24, 25};
  hello.point_formats = {0};
  // The published example of the JA3 article.
  EXPECT_EQ(tls::ja3_text(hello), "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
  EXPECT_EQ(tls::ja3(hello), "ada70206e40642a3e4461f35503241d5");
  hello.ciphers.insert(hello.ciphers.begin(), 0x3a3a);
  hello.extensions.insert(hello.extensions.begin(), 0xdada);
  hello.groups.push_back(0x0a0a);
  EXPECT_EQ(tls::ja3(hello), "ada70206e40642a3e4461f35503241d5");
}

TEST(Ja3, EmptyListsKeepTheirCommas) {
  ClientHello hello;
  hello.legacy_version = 769;
  hello.ciphers = {4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99};
  EXPECT_EQ(tls::ja3_text(hello), "769,4-5-10-9-100-98-3-6-19-18-99,,,");
  EXPECT_EQ(tls::ja3(hello), "de350869b8c85de67a350c8d186f11e6");
}

TEST(Grease, SixteenValues) {
  int count = 0;
  for (unsigned value = 0; value < 0x10000; ++value) count += tls::is_grease(static_cast<uint16_t>(value));
  EXPECT_EQ(count, 16);
  EXPECT_TRUE(tls::is_grease(0x0a0a));
  EXPECT_TRUE(tls::is_grease(0xfafa));
  EXPECT_FALSE(tls::is_grease(0x0a1a));
}

// The first record of real clients. JA3 as tshark 4.0.17 prints it
// (tls.handshake.ja3); Chromium shuffles its extensions, so only its JA4 is lasting.
Collector follow_golden(const std::string& name) {
  std::ifstream in(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/tls/" + name, std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
  return follow({{kC2s, bytes}}, "");
}

TEST(RealHello, Curl) {
  const Collector got = follow_golden("curl-7.88.1.clienthello");
  EXPECT_EQ(got.last_info.ja3, "0149f47eabf9a20d0893e2a44e5a6323");
  EXPECT_EQ(got.last_info.ja4, "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6");
  EXPECT_EQ(got.last_info.sni, "chat.aster.test");
  EXPECT_FALSE(got.last_info.ech_offered);
}

TEST(RealHello, Chromium) {
  const Collector got = follow_golden("chromium-156.clienthello");
  EXPECT_EQ(got.last_info.ja3_text,
            "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,"
            "18-13-0-45-51-5-16-65037-11-65281-51764-10-35-23-17613-43-27,4588-29-23-24,0");
  EXPECT_EQ(got.last_info.ja3, "72f81a1dd8e2124aa1a6515f8f0d35d4");
  EXPECT_EQ(got.last_info.ja4, "t13d1517h2_8daaf6152771_cb7bf5808d99");
  EXPECT_EQ(got.last_info.sni, "chat.aster.test");
  EXPECT_EQ(got.last_info.alpn_offered, (std::vector<std::string>{"h2", "http/1.1"}));
  EXPECT_TRUE(got.last_info.ech_offered);  // GREASE here
}

TEST(ClientHelloParse, EveryPrefixIsRefusedOrShort) {
  Peers peers({});
  const Transcript transcript = peers.run({});
  const Bytes record = transcript.wire.at(0).bytes;
  const Bytes body = record.subspan(9);
  ClientHello hello;
  ASSERT_TRUE(tls::parse_client_hello(body, hello));
  EXPECT_EQ(hello.sni, "chat.aster.test");
  size_t accepted = 0;
  for (size_t size = 0; size < body.size(); ++size) {
    const std::vector<uint8_t> prefix(body.begin(), body.begin() + static_cast<long>(size));
    accepted += tls::parse_client_hello(prefix, hello);
  }
  EXPECT_LE(accepted, 1u);  // exactly up to the end of the compression methods
}

// A server has the message from OpenSSL and says of it what a capture shows.
TEST(HandshakeInfo, SaysWhatACaptureOfItShows) {
  std::ifstream in(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/tls/curl-7.88.1.clienthello", std::ios::binary);
  const std::vector<uint8_t> record{std::istreambuf_iterator<char>(in), {}};
  const Bytes message = Bytes(record).subspan(5);  // behind the record's header
  const TlsInfo seen = follow({{kC2s, record}}, "").last_info;
  const TlsInfo info = tls::handshake_info(message, 0x0304, 0x1301, "h2", true);
  EXPECT_TRUE(info.client_hello_seen);
  EXPECT_EQ(info.sni, seen.sni);
  EXPECT_EQ(info.alpn_offered, seen.alpn_offered);
  EXPECT_EQ(info.ja3_text, seen.ja3_text);
  EXPECT_EQ(info.ja3, "0149f47eabf9a20d0893e2a44e5a6323");
  EXPECT_EQ(info.ja4, "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6");
  EXPECT_EQ(info.cipher_name, "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(info.alpn, "h2");
  EXPECT_TRUE(info.resumed);
  for (const Bytes broken : {message.first(message.size() - 1), message.first(3), Bytes()}) {
    const TlsInfo unknown = tls::handshake_info(broken, 0x0303, 0x1399, "", false);
    EXPECT_FALSE(unknown.client_hello_seen);
    EXPECT_EQ(unknown.cipher_name, "0x1399");
    EXPECT_EQ(unknown.ja4, "");
  }
}

TEST(Suites, NamesAndUnknown) {
  EXPECT_EQ(tls::suite_name(0x1301), "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(tls::suite_name(0xcca8), "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256");
  EXPECT_EQ(tls::suite_name(0x1399), "0x1399");
  EXPECT_EQ(tls::find_suite(0xffff), nullptr);
}

TEST(LooksLikeTls, FirstBytes) {
  const auto looks = [](std::vector<uint8_t> bytes) { return looks_like_tls(bytes); };
  EXPECT_TRUE(looks({0x16, 3, 1}));
  EXPECT_TRUE(looks({0x16, 3, 1, 2, 0}));
  EXPECT_TRUE(looks({0x17, 3, 3, 0, 40, 1}));
  EXPECT_FALSE(looks({0x16, 3}));
  EXPECT_FALSE(looks({'G', 'E', 'T'}));
  EXPECT_FALSE(looks({0x16, 2, 1}));
  EXPECT_FALSE(looks({0x16, 3, 1, 0xff, 0xff}));
  EXPECT_FALSE(looks({0x16, 3, 1, 0, 0}));
}

}  // namespace
}  // namespace vitrine::test
