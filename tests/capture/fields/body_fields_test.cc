#include <gmock/gmock.h>

#include "field_collector.h"

namespace vitrine {
namespace {

using testing::Collector;
using ::testing::ElementsAre;

std::string envelope(std::string_view payload, char flags = 0) {
  std::string out(1, flags);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(payload.size() >> shift));
  return out + std::string(payload);
}

TEST(BodyFields, Multipart) {
  Collector c;
  c.body(
      "preamble\r\n--XyZ\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n"
      "{\"lang\":\"en\"}\r\n--XyZ\r\nContent-Disposition: form-data; name=\"file\"; "
      "filename=\"a;b.txt\"\r\nContent-Type: text/plain\r\n\r\n"
      "line one\r\n--XyZ not at a line's end\r\nline two\r\n--XyZ\r\ncontent-disposition: form-data; "
      "name=\"meta\"\r\n\r\nagain\r\n--XyZ--\r\nepilogue",
      "multipart/form-data; boundary=\"XyZ\"");
  EXPECT_EQ(c.value("body|multipart/meta|json/lang"), "en");
  EXPECT_EQ(c.value("body|multipart/file/filename"), "a;b.txt");
  EXPECT_EQ(c.value("body|multipart/file/content-type"), "text/plain");
  EXPECT_EQ(c.value("body|multipart/meta[1]"), "again");
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(BodyFields, MultipartByItsLooksAndMixed) {
  Collector c;
  c.body(
      "--b1\r\nContent-Type: application/json\r\n\r\n{\"x\":1}\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b1--",
      {});
  EXPECT_EQ(c.value("body|multipart/0|json/x"), "1");
  EXPECT_EQ(c.value("body|multipart/1"), "hi");
  EXPECT_EQ(c.find("body|multipart/1")->pattern, "body|multipart/*");
  Collector cut;
  cut.body("--b1\r\nContent-Disposition: form-data; name=a\r\n\r\nhal", "multipart/form-data; boundary=b1", {}, {},
           Part::Kind::body, false);
  EXPECT_EQ(cut.value("body|multipart/a"), "hal");
  EXPECT_TRUE(cut.find("body|multipart/a")->cut);
}

TEST(BodyFields, JsonLinesAndSequences) {
  for (const std::string_view separator : {"\n", "\r\n", "\x1e", ""}) {
    Collector c;
    c.body("{\"a\":1}" + std::string(separator) + "{\"a\":2}" + std::string(separator), "text/plain");
    EXPECT_EQ(c.value("body|json/a"), "1");
    EXPECT_EQ(c.value("body|json[1]/a"), "2");
    EXPECT_EQ(c.find("body|json/a")->pattern_id, c.find("body|json[1]/a")->pattern_id);
    EXPECT_TRUE(c.issues.empty());
    EXPECT_EQ(c.replayed, c.fields.size());
  }
}

TEST(BodyFields, JsonBehindPrefixesAndWrongTypes) {
  for (const std::string_view prefix : {")]}'\n", "for(;;);", "while(1);", "\xef\xbb\xbf", " \n"}) {
    Collector c;
    c.body(std::string(prefix) + "{\"a\":\"x\"}", "application/json");
    EXPECT_EQ(c.value("body|json/a"), "x") << prefix;
    EXPECT_EQ(c.replayed, 1u);
  }
  for (const std::string_view type :
       {"text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "application/octet-stream", ""}) {
    Collector c;
    c.body("{\"a\":\"x\"}", std::string(type));
    EXPECT_EQ(c.value("body|json/a"), "x") << type;
  }
  Collector scalar;
  scalar.body("\"pong\"", "application/json");
  EXPECT_EQ(scalar.value("body|json"), "pong");
  Collector form;
  form.body("a=1&b=%7B%22c%22%3A2%2C%22d%22%3A3%7D", "text/plain");
  EXPECT_EQ(form.value("body|form/b|json/c"), "2");
}

TEST(BodyFields, TextIsOneField) {
  Collector c;
  c.body("<html><body>{\"a\":1}</body></html>", "text/html; charset=utf-8");
  EXPECT_EQ(c.fields.size(), 1u);
  EXPECT_EQ(c.value("body|text"), "<html><body>{\"a\":1}</body></html>");
  Collector prose;
  prose.body("Tell me a story about 100% of everything.", "text/plain");
  EXPECT_EQ(prose.value("body|text"), "Tell me a story about 100% of everything.");
  EXPECT_EQ(prose.replayed, 1u);
}

TEST(BodyFields, EnvelopesOfConnectAndGrpc) {
  Collector c;
  c.body(envelope(R"({"kind":"ping"})") + envelope(R"({"kind":"pong"})") + envelope("{}", 2),
         "application/connect+json");
  EXPECT_EQ(c.value("body|connect-envelope|json/kind"), "ping");
  EXPECT_EQ(c.value("body|connect-envelope[1]|json/kind"), "pong");
  EXPECT_EQ(c.find("body|connect-envelope[2]|json")->type, ValueType::container);
  EXPECT_EQ(c.replayed, c.fields.size());

  std::string proto;
  for (int i = 0; i < 100; ++i) proto.push_back(static_cast<char>(i * 7));
  Collector grpc;
  grpc.body(envelope(proto) + envelope("grpc-status:0\r\n", '\x80'), "application/grpc-web+proto");
  EXPECT_EQ(grpc.value("body|grpc-web"), proto);
  EXPECT_TRUE(grpc.find("body|grpc-web")->opaque);
  EXPECT_EQ(grpc.extractor.opaque_bytes(grpc.exchange, Direction::client_to_server), 100u);
  EXPECT_EQ(grpc.value("body|grpc-web[1]"), "grpc-status:0\r\n");

  Collector broken;
  broken.body(envelope("abc") + std::string("\0\0\0\xff\xff"
                                            "abc",
                                            8),
              "application/connect+json");
  EXPECT_THAT(broken.issues, ::testing::Contains("fields: a message envelope ends early"));
  EXPECT_EQ(broken.replayed, broken.fields.size());
}

TEST(BodyFields, WebSocketMessages) {
  Collector c;
  c.exchange.protocol = Protocol::websocket;
  // One masked text frame (RFC 6455 section 5.7: "Hello"), as it is on the wire.
  const std::string frame("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
  c.body("Hello", {}, frame, {Decoder::websocket}, Part::Kind::message);
  EXPECT_EQ(c.value("frame|text"), "Hello");
  EXPECT_EQ(c.find("frame|text")->location, Location::frame);
  EXPECT_EQ(c.replayed, 1u);
  c.body(R"(42["typing",{"draft":"wi"}])", {}, {}, {}, Part::Kind::message);
  EXPECT_EQ(c.value("frame|json/1/draft"), "wi");
  c.body(R"({"t":1,"k":"x"})", {}, {}, {}, Part::Kind::message);
  EXPECT_EQ(c.value("frame|json/k"), "x");
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(BodyFields, ServerSentEvents) {
  Collector c;
  c.direction = Direction::server_to_client;
  c.body(R"({"delta":"Hi"})", "text/event-stream", "event: message\ndata: {\"delta\":\"Hi\"}\n\n", {Decoder::sse},
         Part::Kind::message, true, {21, 14});
  c.body("[DONE]", "text/event-stream", "data: [DONE]\n\n", {Decoder::sse}, Part::Kind::message, true, {6, 6});
  c.body("one\ntwo", "text/event-stream", "data: one\r\nid: 3\r\ndata:two\r\n\r\n", {Decoder::sse}, Part::Kind::message,
         true, {6, 20});
  EXPECT_EQ(c.value("body|sse|json/delta"), "Hi");
  EXPECT_EQ(c.value("body|sse|text"), "[DONE]");
  EXPECT_EQ(c.fields[0].direction, Direction::server_to_client);
  EXPECT_EQ(c.value("body|sse|text"), "[DONE]");
  EXPECT_EQ(c.fields[2].value, "one\ntwo");
  EXPECT_EQ(c.replayed, 3u);
}

TEST(BodyFields, EmptyBodyHasNoFields) {
  Collector c;
  c.body("", "application/json");
  EXPECT_EQ(c.count, 0u);
}

}  // namespace
}  // namespace vitrine
