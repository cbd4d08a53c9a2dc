// Inputs that want to cost more than they are worth.
#include <gmock/gmock.h>
#include <zlib.h>

#include "base/digest.h"
#include "field_collector.h"

namespace vitrine {
namespace {

using testing::Collector;

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

TEST(Hostile, NestingEndsAtTheDepthLimit) {
  std::string text = R"({"v":"the end"})";
  for (int i = 0; i < 30; ++i) text = "{\"v\":\"" + to_base64(as_bytes(gzip(text))) + "\"}";
  Collector c;
  c.body(text, "application/json");
  ASSERT_EQ(c.fields.size(), 1u);
  EXPECT_TRUE(c.fields[0].path.starts_with("body|json/v|base64|gzip|json/v|base64|gzip|json/v"));
  // Each decoder counts, so 16 of them are some five rounds.
  EXPECT_LE(std::count(c.fields[0].path.begin(), c.fields[0].path.end(), '|'), 18);
  EXPECT_EQ(c.replayed, 1u);
}

TEST(Hostile, DecompressionBombsStopAtTheBudget) {
  const std::string bomb = to_base64(as_bytes(gzip(std::string(8 << 20, 'a'))));
  ExtractLimits limits;
  limits.decoded_bytes_per_part = 1 << 20;
  Collector c(limits);
  c.replay = false;
  c.body("{\"v\":\"" + bomb + "\",\"w\":\"" + bomb + "\"}", "application/json");
  ASSERT_EQ(c.fields.size(), 2u);
  EXPECT_EQ(c.fields[0].path, "body|json/v");
  // What was not looked at is no text that was read.
  EXPECT_TRUE(c.fields[0].opaque);
  EXPECT_TRUE(c.fields[1].opaque);
}

TEST(Hostile, AMillionKeysInOneObject) {
  std::string text = "{";
  for (int i = 0; i < 1'000'000; ++i)
    text += "\"k" + std::to_string(i % 999'999) + "\":" + std::to_string(i % 10) + ",";
  text.back() = '}';
  Collector c;
  c.keep = c.replay = false;
  c.body(text, "application/json");
  EXPECT_EQ(c.count, 1'000'000u);
  EXPECT_LE(c.extractor.patterns().size(), 200'000u);
  EXPECT_GT(c.extractor.patterns().refused(), 0u);
}

TEST(Hostile, TheMillionthKeyIsFoundToBeADuplicate) {
  std::string text = "{";
  for (int i = 0; i < 5000; ++i) text += "\"k" + std::to_string(i) + "\":1,";
  text += "\"k0\":2,\"k4999\":3,\"k0\":4}";
  Collector c;
  c.replay = false;
  c.body(text, "application/json");
  EXPECT_EQ(c.value("body|json/k0"), "1");
  EXPECT_EQ(c.value("body|json/k0[1]"), "2");
  EXPECT_EQ(c.value("body|json/k4999[1]"), "3");
  EXPECT_EQ(c.value("body|json/k0[2]"), "4");
}

TEST(Hostile, AMillionHeaders) {
  std::vector<HeaderField> headers(1'000'000, HeaderField{"x-a", "1", 0, 1});
  Collector c;
  c.keep = c.replay = false;
  c.pieces = "1";
  Part part;
  part.headers = headers;
  c.extractor.part(c.exchange, part);
  EXPECT_EQ(c.count, 1'000'000u + 2);
}

TEST(Hostile, FieldsOfAnExchangeAreBounded) {
  ExtractLimits limits;
  limits.fields_per_exchange = 100;
  Collector c(limits);
  c.body("[" + std::string(5000, '1') + "]", "application/json");
  std::string many = "[1";
  for (int i = 0; i < 5000; ++i) many += ",\"x\"";
  c.body(many + "]", "application/json");
  EXPECT_EQ(c.count, 100u);
  EXPECT_THAT(c.issues, ::testing::ElementsAre("fields: an exchange has more fields than are kept"));
  EXPECT_LT(c.extractor.origins(c.exchange.id)->size(), 300u);
}

TEST(Hostile, AHundredMegabyteString) {
  const std::string text = "{\"a\":\"" + std::string(100'000'000, 'x') + "\",\"b\":1}";
  Collector c;
  c.replay = false;
  c.body(text, "application/json");
  ASSERT_EQ(c.fields.size(), 2u);
  EXPECT_TRUE(c.fields[0].cut);
  EXPECT_EQ(c.fields[0].value.size(), 1u << 20);
  EXPECT_EQ(c.value("body|json/b"), "1");
}

TEST(Hostile, DeepAndLongPathsAreBounded) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "{\"" + std::string(300, 'k') + "\":";
  text += "1" + std::string(500, '}');
  Collector c;
  c.body(text, "application/json");
  ASSERT_EQ(c.fields.size(), 1u);
  EXPECT_LE(c.fields[0].path.size(), 4096u + 600);
  Collector key;
  key.body("{\"" + std::string(1 << 20, 'k') + "\":1}", "application/json");
  EXPECT_LE(key.fields.at(0).path.size(), 600u);
  EXPECT_LE(key.fields.at(0).name.size(), 512u);
  Collector deep;
  deep.body(std::string(100'000, '['), "application/json");
  EXPECT_EQ(deep.issues.at(0), "fields: a JSON text is nested too deep");
  EXPECT_EQ(deep.count, 1u) << "the rest as text";
}

TEST(Hostile, EscapedNamesOutliveNestedValues) {
  Collector c;
  c.body(R"({"li\u0073t":["{\"in\\u006eer\":[\"a\",\"b\"]}",7]})", "application/json");
  EXPECT_EQ(c.find("body|json/list/1")->name, "list");
  EXPECT_EQ(c.find("body|json/list/0|json/inner/1")->name, "inner");
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(Hostile, BrokenUtf8IsBinaryNotLost) {
  Collector c;
  c.body("{\"a\":\"x\xff\xfey\",\"b\":\"\\u0000\"}", "application/json");
  EXPECT_EQ(c.find("body|json/a")->type, ValueType::binary);
  EXPECT_EQ(c.value("body|json/a"), "x\xff\xfey");
  EXPECT_EQ(c.find("body|json/b")->type, ValueType::string);
}

}  // namespace
}  // namespace vitrine
