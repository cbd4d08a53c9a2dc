// What opens, what must not, and what is reported opaque.
#include <gmock/gmock.h>
#include <zlib.h>

#include <random>

#include "base/digest.h"
#include "field_collector.h"

namespace vitrine {
namespace {

using testing::Collector;

std::string document_with(std::string_view text) { return "{\"v\":\"" + std::string(text) + "\"}"; }

std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(compressBound(text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string random_bytes(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

std::string base64(std::string_view bytes) { return to_base64(as_bytes(bytes)); }
std::string base64url(std::string_view bytes) {
  std::string text = base64(bytes);
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

// Path and value of the only field of a JSON string.
std::pair<std::string, std::string> only(std::string_view text) {
  Collector c;
  c.body(document_with(text), "application/json");
  EXPECT_EQ(c.fields.size(), 1u) << c.paths();
  EXPECT_EQ(c.replayed, c.fields.size());
  return {c.fields.at(0).path, c.fields.at(0).value};
}

TEST(NestedValues, Open) {
  using Pair = std::pair<std::string, std::string>;
  EXPECT_EQ(only(R"({\"a\":\"b\"})"), Pair("body|json/v|json/a", "b"));
}

TEST(NestedValues, OpenChains) {
  Collector c;
  const std::string json = R"({"algorithm":"x","salt":"1234567890abcdef"})";
  c.head({{"X-Ds-Pow-Response", base64(json)},
          {"X-Url-Safe", base64url("text with ~~~ and ??? in it")},
          {"X-Percent", "%7B%22a%22%3A%5B1%2C2%5D%7D"},
          {"X-Hex", to_hex(as_bytes("user@aster.example"))},
          {"X-Form", "lang=en-US&tz=Europe%2FBerlin"},
          {"X-Gzip", base64(gzip(R"({"deep":"value"})"))},
          {"X-Twice", base64(base64("twice encoded text"))}});
  EXPECT_EQ(c.value("header:x-ds-pow-response|base64|json/salt"), "1234567890abcdef");
  EXPECT_EQ(c.value("header:x-url-safe|base64url"), "text with ~~~ and ??? in it");
  EXPECT_EQ(c.find("header:x-url-safe|base64url")->name, "x-url-safe");
  EXPECT_EQ(c.value("header:x-percent|percent|json/a/1"), "2");
  EXPECT_EQ(c.value("header:x-hex|hex"), "user@aster.example");
  EXPECT_EQ(c.value("header:x-form|form/tz"), "Europe/Berlin");
  EXPECT_EQ(c.value("header:x-gzip|base64|gzip|json/deep"), "value");
  EXPECT_EQ(c.value("header:x-twice|base64|base64"), "twice encoded text");
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(NestedValues, OpenJwt) {
  const std::string signature = base64url(random_bytes(32, 5));
  const std::string jwt = base64url(R"({"alg":"HS256","typ":"JWT"})") + "." +
                          base64url(R"({"sub":"user-1","iat":1690000000})") + "." + signature;
  Collector c;
  c.head({{"Authorization", "Bearer " + jwt},
          {"Cookie", "session=" + jwt},
          {"Proxy-Authorization", "Basic " + base64("user:secret")}});
  EXPECT_EQ(c.value("header:authorization|jwt/header/alg"), "HS256");
  EXPECT_EQ(c.value("header:authorization|jwt/payload/sub"), "user-1");
  EXPECT_EQ(c.value("header:authorization|jwt/signature"), signature);
  EXPECT_EQ(c.value("cookie:session|jwt/payload/iat"), "1690000000");
  EXPECT_EQ(c.value("header:proxy-authorization|base64"), "user:secret");
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(NestedValues, OpenJsonStringTwice) {
  Collector c;
  c.body(R"({"v":"\"{\\\"a\\\":\\\"b\\\"}\""})", "application/json");
  EXPECT_EQ(c.value("body|json/v|json|json/a"), "b");
}

// Values that only look encoded.
TEST(NestedValues, LeaveAlone) {
  for (const std::string_view text : {"administratorrole",
                                      "internationalization",
                                      "getUserPreferencesForAccount",
                                      "ABCDEFGHIJKLMNOPQRST",
                                      "1690000000123456",
                                      "20231123103020402020202020202020",
                                      "d41d8cd98f00b204e9800998ecf8427e",
                                      "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                                      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                      "550e8400-e29b-41d4-a716-446655440000",
                                      "550e8400e29b41d4a716446655440000",
                                      "com.aster.chat.android.release",
                                      "assets/images/icons/send/button",
                                      "MacIntel",
                                      "en-US,en;q=0.9",
                                      "[1]",
                                      "[draft]",
                                      "{}",
                                      "{not json}",
                                      "100% sure",
                                      "50%20off today",
                                      "a=b",
                                      "1 < 2 && 3 > 2",
                                      "https://aster.test/a%20b?x=1&y=2",
                                      "Mozilla/5.0 (X11; Linux x86_64)",
                                      "eyJ.not.jwt.at.all",
                                      "eyJhbGciOiJIUzI1NiJ9",
                                      "true",
                                      "null",
                                      "12",
                                      "AAAAAAAAAAAAAAAAAAAAAAAA",
                                      "GS1.1.1690000000.1.1.1690000001.0.0.0",
                                      "fb.1.1690000000000.1234567890",
                                      "OPR/99.0.4788.31",
                                      "==",
                                      "====",
                                      "%",
                                      "%%%",
                                      "%zz"}) {
    const auto [path, value] = only(text);
    if (text == "eyJhbGciOiJIUzI1NiJ9") continue;  // the base64 of JSON: opens, and may
    EXPECT_EQ(path, "body|json/v") << text;
    EXPECT_EQ(value, text);
  }
}

// No false decoding over many random ids of the usual shapes.
TEST(NestedValues, RandomIdsStayIds) {
  std::mt19937 random(99);
  const std::string_view alphabets[] = {
      "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
      "abcdefghijklmnopqrstuvwxyz0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};
  size_t opened = 0;
  for (int i = 0; i < 40'000; ++i) {
    const std::string_view alphabet = alphabets[random() % 4];
    std::string id;
    const size_t length = 16 + random() % 33;
    for (size_t k = 0; k < length; ++k) id += alphabet[random() % alphabet.size()];
    Collector c;
    c.replay = false;
    c.body(document_with(id), "application/json");
    ASSERT_EQ(c.fields.size(), 1u);
    opened += c.fields[0].path != "body|json/v";
    EXPECT_FALSE(c.fields[0].opaque);
  }
  EXPECT_LE(opened, 2u);
}

TEST(NestedValues, OpaqueBlobsAreToldWithTheirEntropy) {
  const std::string blob = random_bytes(600, 1);
  Collector c;
  c.body(R"({"organization":"x","encode":2,"data":")" + base64(blob) + "\"}", "application/json");
  const auto* data = c.find("body|json/data");
  ASSERT_NE(data, nullptr) << c.paths();
  EXPECT_TRUE(data->opaque);
  EXPECT_GT(data->entropy, 7.0F);
  EXPECT_EQ(data->wire_bytes, 800u);
  EXPECT_EQ(c.extractor.opaque_bytes(c.exchange, Direction::client_to_server), 800u);
  EXPECT_EQ(c.extractor.opaque_bytes(c.exchange, Direction::server_to_client), 0u);

  Collector binary;
  binary.body(blob, "application/octet-stream");
  ASSERT_EQ(binary.fields.size(), 1u);
  EXPECT_EQ(binary.fields[0].path, "body");
  EXPECT_EQ(binary.fields[0].type, ValueType::binary);
  EXPECT_TRUE(binary.fields[0].opaque);
  EXPECT_EQ(binary.extractor.opaque_bytes(binary.exchange, Direction::client_to_server), 600u);

  Collector hex;
  hex.body(document_with(to_hex(as_bytes(blob))), "application/json");
  EXPECT_TRUE(hex.fields.at(0).opaque);
  EXPECT_EQ(hex.fields[0].wire_bytes, 1200u);
}

TEST(NestedValues, CompressedBodiesShareTheirWireBytes) {
  const std::string blob = base64(random_bytes(3000, 3));
  const std::string content = R"({"text":")" + std::string(4000, 'a') + R"(","data":")" + blob + "\"}";
  const std::string wire = gzip(content);
  Collector c;
  c.body(content, "application/json", wire, {Decoder::gzip});
  const auto* data = c.find("body|json/data");
  ASSERT_NE(data, nullptr);
  EXPECT_TRUE(data->opaque);
  EXPECT_EQ(data->wire_bytes, wire.size() * blob.size() / content.size());
  EXPECT_LE(c.extractor.opaque_bytes(c.exchange, Direction::client_to_server), wire.size());
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(NestedValues, MediaAndCredentialsAreNotOpaque) {
  std::string png = "\x89PNG\r\n\x1a\n" + random_bytes(500, 8);
  Collector c;
  c.body(png, "image/png");
  EXPECT_FALSE(c.fields.at(0).opaque);
  EXPECT_EQ(c.fields[0].type, ValueType::binary);
  c.body(document_with("data:image/png;base64," + base64(png)), "application/json");
  EXPECT_EQ(c.value("body|json/v|base64"), png);
  EXPECT_FALSE(c.find("body|json/v|base64")->opaque);

  const std::string token = base64(random_bytes(300, 4));
  Collector h;
  h.head({{"Authorization", "Bearer " + token},
          {"X-CSRF-Token", token},
          {"Openai-Sentinel-Chat-Requirements-Token", token},
          {"X-Short-Token", base64(random_bytes(90, 6))},
          {"Cookie", "cf_clearance=" + token + "; big=" + base64(random_bytes(2000, 9))},
          {"X-Blob", token}});
  EXPECT_FALSE(h.find("header:authorization")->opaque);
  EXPECT_FALSE(h.find("header:x-csrf-token")->opaque);
  // A header the client fills itself can hold an encrypted fingerprint.
  EXPECT_TRUE(h.find("header:openai-sentinel-chat-requirements-token")->opaque);
  EXPECT_FALSE(h.find("header:x-short-token")->opaque);
  EXPECT_FALSE(h.find("cookie:cf_clearance")->opaque);
  EXPECT_TRUE(h.find("cookie:big")->opaque);
  EXPECT_TRUE(h.find("header:x-blob")->opaque);
}

TEST(NestedValues, CutBodies) {
  Collector c;
  c.body("{\"a\":\"b\",\"c\":\"caf\xc3", "application/json", {}, {}, Part::Kind::body, false);
  EXPECT_EQ(c.value("body|json/a"), "b");
  EXPECT_EQ(c.value("body|json/c"), "caf") << "no half character";
  EXPECT_TRUE(c.find("body|json/c")->cut);
  EXPECT_TRUE(c.issues.empty());
  // The same without being cut is a defect of the sender.
  Collector d;
  d.body("{\"a\":\"b\",\"c\":1 2}", "application/json");
  EXPECT_EQ(d.value("body|json|text"), "2}") << d.paths();
  EXPECT_THAT(d.issues, ::testing::ElementsAre("fields: a JSON text is malformed"));
}

}  // namespace
}  // namespace vitrine

namespace vitrine {
namespace {

// Bytes in other clothes than base64: an all-clear must not count them as read.
TEST(NestedValues, BlobsInOtherAlphabetsAreOpaque) {
  const std::string bytes = random_bytes(600, 11);
  static constexpr char kBase32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string base32, digits = "1";
  for (const char c : bytes) {
    base32.push_back(kBase32[static_cast<uint8_t>(c) & 31]);
    digits += std::to_string(static_cast<uint8_t>(c) % 10);
  }
  Collector c;
  c.body("{\"a\":\"" + base32 + "\",\"b\":" + digits + ",\"c\":\"" + digits + "\",\"n\":1234567890123}",
         "application/json");
  EXPECT_TRUE(c.find("body|json/a")->opaque);
  EXPECT_TRUE(c.find("body|json/b")->opaque);
  EXPECT_TRUE(c.find("body|json/c")->opaque);
  EXPECT_FALSE(c.find("body|json/n")->opaque);
}

}  // namespace
}  // namespace vitrine
