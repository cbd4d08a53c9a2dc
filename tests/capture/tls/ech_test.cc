// Encrypted Client Hello: the key log names a random that is not on the wire.
#include <gtest/gtest.h>

#include <random>

#include "capture/tls/handshake.h"
#include "follow.h"

#include <zlib.h>
#include <zstd.h>

namespace vitrine::test {
namespace {

// Puts an outer random into the hello, as ECH does; the secrets do not depend on it.
std::vector<Wire> with_outer_random(std::vector<Wire> wire) {
  for (size_t i = 0; i < 32; ++i) wire.at(0).bytes.at(5 + 4 + 2 + i) ^= 0x5a;
  return wire;
}

// Secrets of other connections, `count` of them.
std::string other_secrets(size_t count) {
  std::mt19937 random(3);
  std::string out;
  const auto hex = [&](size_t bytes) {
    std::string text_out;
    for (size_t i = 0; i < 2 * bytes; ++i) text_out += "0123456789abcdef"[random() % 16];
    return text_out;
  };
  for (size_t i = 0; i < count; ++i) {
    const std::string name = hex(32);
    for (const char* label :
         {"SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"})
      out += std::string(label) + " " + name + " " + hex(48) + "\n";
  }
  return out;
}

TEST(Ech, InnerRandomIsFoundByTrial) {
  PeerOptions options;
  options.ech = true;
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  const auto wire = with_outer_random(transcript.wire);
  for (const Chunking chunking : {Chunking::whole, Chunking::bytes}) {
    const Collector got = follow(wire, other_secrets(200) + transcript.key_log, chunking);
    expect_whole(transcript, got);
    EXPECT_TRUE(got.last_info.ech_offered);
  }
}

TEST(Ech, WithoutTheExtensionNothingIsTried) {
  Peers peers({});
  const Transcript transcript = peers.run(converse);
  const Collector got = follow(with_outer_random(transcript.wire), transcript.key_log);
  EXPECT_EQ(got.data[0] + got.data[1], "");
  EXPECT_EQ(got.counts[1][Cause::no_key], protected_bytes(transcript, kS2c));
}

TEST(Ech, TrialsAreBounded) {
  PeerOptions options;
  options.ech = true;
  Peers peers(options);
  const Transcript transcript = peers.run(converse);
  const Collector got = follow(with_outer_random(transcript.wire), other_secrets(1500));
  EXPECT_EQ(got.data[0] + got.data[1], "");
  EXPECT_TRUE(got.issues.contains("tls: more than 1024 secrets to try for an encrypted ClientHello"));
}

// RFC 8879. The message is made here: OpenSSL 3.0 does not compress certificates.
TEST(CompressedCertificate, ZlibAndZstd) {
  std::vector<uint8_t> message(3000);
  for (size_t i = 0; i < message.size(); ++i) message[i] = static_cast<uint8_t>(i / 7);
  const auto framed = [&](uint8_t algorithm, const std::vector<uint8_t>& packed, size_t length) {
    std::vector<uint8_t> out = {0,
                                algorithm,
                                static_cast<uint8_t>(length >> 16),
                                static_cast<uint8_t>(length >> 8),
                                static_cast<uint8_t>(length),
                                0,
                                static_cast<uint8_t>(packed.size() >> 8),
                                static_cast<uint8_t>(packed.size())};
    for (const uint8_t byte : packed) out.push_back(byte);
    return out;
  };
  std::vector<uint8_t> zlib_packed(compressBound(message.size()));
  uLongf zlib_size = zlib_packed.size();
  ASSERT_EQ(compress(zlib_packed.data(), &zlib_size, message.data(), message.size()), Z_OK);
  zlib_packed.resize(zlib_size);
  std::vector<uint8_t> zstd_packed(ZSTD_compressBound(message.size()));
  zstd_packed.resize(ZSTD_compress(zstd_packed.data(), zstd_packed.size(), message.data(), message.size(), 3));

  std::vector<uint8_t> out;
  EXPECT_TRUE(tls::decompress_certificate(framed(1, zlib_packed, message.size()), out));
  EXPECT_EQ(out, message);
  EXPECT_TRUE(tls::decompress_certificate(framed(3, zstd_packed, message.size()), out));
  EXPECT_EQ(out, message);
  EXPECT_FALSE(tls::decompress_certificate(framed(1, zlib_packed, message.size() - 1), out));
  EXPECT_FALSE(tls::decompress_certificate(framed(3, zstd_packed, message.size() + 1), out));
  EXPECT_FALSE(tls::decompress_certificate(framed(2, zlib_packed, message.size()), out));
  EXPECT_FALSE(tls::decompress_certificate(framed(9, zlib_packed, message.size()), out));
  EXPECT_FALSE(tls::decompress_certificate(framed(1, zlib_packed, 0xffffff), out));
  EXPECT_FALSE(tls::decompress_certificate({}, out));
}

}  // namespace
}  // namespace vitrine::test
