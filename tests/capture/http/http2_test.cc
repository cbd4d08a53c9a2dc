// HTTP/2 transcripts: RFC 9113, 7541, 8441, and joining late.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "h2_writer.h"
#include "transcript.h"

namespace vitrine::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Direction kClient = Direction::client_to_server;
const std::string kAckSettings = H2Writer::frame(kSettings, kAck, 0, {});

TEST(Http2, InterleavedStreams) {
  H2Writer c, s;
  const Outcome out =
      check(Transcript()
                .client(H2Writer::preface() + c.get(1, "/1") +
                        c.headers(3, {{":method", "POST"},
                                      {":scheme", "https"},
                                      {":authority", "aster.test:8443"},
                                      {":path", "/3"},
                                      {"content-type", "application/json"}}))
                .client(H2Writer::data(3, "{\"a\":") + H2Writer::frame(kPing, 0, 0, "12345678") +
                        H2Writer::data(3, "1}", true))
                .server(H2Writer::frame(kSettings, 0, 0, {}) + kAckSettings + s.headers(3, {{":status", "200"}}) +
                        s.headers(1, {{":status", "404"}}) + H2Writer::data(3, "ab") + H2Writer::data(1, "x", true) +
                        H2Writer::data(3, "cd") + s.headers(3, {{"grpc-status", "0"}}, true))
                .close_both());
  EXPECT_EQ(out.protocol, "h2");
  EXPECT_THAT(out.log, HasSubstr("1/1 opened HTTP/2 GET https Aster.test /1 host=aster.test"));
  EXPECT_THAT(out.log, HasSubstr("2/3 opened HTTP/2 POST https aster.test:8443 /3 host=aster.test"));
  EXPECT_THAT(out.log, HasSubstr("2/3 body > '{\"a\":1}'"));
  EXPECT_THAT(out.log, HasSubstr("2/3 body < 'abcd'"));
  EXPECT_THAT(out.log, HasSubstr("2/3 trailers < [grpc-status: 0]"));
  EXPECT_THAT(out.log, HasSubstr("1/1 closed complete 404"));
  EXPECT_THAT(out.log, HasSubstr("2/3 closed complete 200"));
  EXPECT_TRUE(out.issues.empty());
}

TEST(Http2, ContinuationPaddingPriority) {
  H2Writer c;
  const std::string block =
      c.block({{":method", "GET"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", "/long"}, {"x-a", "b"}});
  std::string first(1, '\x03');               // pad length
  first += std::string("\x80\0\0\0\x10", 5);  // priority
  first += block.substr(0, 3) + std::string(3, '\0');
  std::string data(1, '\x02');
  data += "body" + std::string(2, '\0');
  const Outcome out =
      check(Transcript()
                .client(H2Writer::preface() + H2Writer::frame(kHeaders, kPadded | kPriorityFlag, 1, first) +
                        H2Writer::frame(kContinuation, 0, 1, block.substr(3, 2)) +
                        H2Writer::frame(kContinuation, kEndHeaders, 1, block.substr(5)) +
                        H2Writer::frame(kData, kPadded | kEndStream, 1, data))
                .close_both());
  EXPECT_THAT(out.log, HasSubstr("opened HTTP/2 GET https a.test /long"));
  EXPECT_THAT(out.log, HasSubstr("[x-a: b]"));
  EXPECT_THAT(out.log, HasSubstr("body > 'body' wire=4"));
  EXPECT_TRUE(out.issues.empty());
}

TEST(Http2, PushPromiseIsAnExchangeOfTheServer) {
  H2Writer c, s;
  const std::string promised("\0\0\0\x02", 4);
  const Outcome out = check(Transcript()
                                .client(H2Writer::preface() + c.get(1, "/"))
                                .server(H2Writer::frame(kSettings, 0, 0, {}) +
                                        H2Writer::frame(kPushPromise, kEndHeaders, 1,
                                                        promised + s.block({{":method", "GET"},
                                                                            {":scheme", "https"},
                                                                            {":authority", "aster.test"},
                                                                            {":path", "/pushed"}})) +
                                        s.headers(1, {{":status", "200"}}, true) + s.headers(2, {{":status", "200"}}) +
                                        H2Writer::data(2, "p", true))
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("2/2 opened HTTP/2 GET https aster.test /pushed"));
  EXPECT_THAT(out.log, HasSubstr("2/2 headers < [:method: GET]"));
  EXPECT_THAT(out.log, HasSubstr("2/2 body < 'p'"));
  EXPECT_THAT(out.log, HasSubstr("2/2 closed complete 200 >{complete type="));
}

TEST(Http2, ResetAndDataBehindIt) {
  H2Writer c, s;
  const Outcome out = check(
      Transcript()
          .client(H2Writer::preface() + c.get(1, "/"))
          .server(H2Writer::frame(kSettings, 0, 0, {}) + s.headers(1, {{":status", "200"}}) + H2Writer::data(1, "part"))
          .client(H2Writer::frame(kRstStream, 0, 1, std::string("\0\0\0\x08", 4)))
          .server(H2Writer::data(1, "late") + H2Writer::frame(kGoaway, 0, 0, std::string(8, '\0')))
          .close_both());
  EXPECT_THAT(out.log, HasSubstr("body < 'part' incomplete cause=truncated"));
  EXPECT_THAT(out.log, HasSubstr("1/1 closed reset 200"));
  EXPECT_THAT(out.issues, Contains("truncated http2: data on a stream that is closed"));
}

TEST(Http2, InformationalHeads) {
  H2Writer c, s;
  const Outcome out =
      check(Transcript()
                .client(H2Writer::preface() + c.get(1, "/"))
                .server(H2Writer::frame(kSettings, 0, 0, {}) + s.headers(1, {{":status", "103"}, {"link", "</x>"}}) +
                        s.headers(1, {{":status", "200"}}, true))
                .close_both());
  EXPECT_THAT(out.log, HasSubstr("headers < [:status: 103] [link: </x>]"));
  EXPECT_THAT(out.log, HasSubstr("closed complete 200"));
}

TEST(Http2, SettingsTableSizeIsHonoured) {
  H2Writer c, s;
  nghttp2_hd_deflate_change_table_size(c.deflater(), 0);
  nghttp2_hd_deflate_change_table_size(s.deflater(), 65536);
  Transcript t;
  t.client(H2Writer::preface(H2Writer::setting(1, 65536)));
  t.server(H2Writer::frame(kSettings, 0, 0, H2Writer::setting(1, 0)));
  t.client(kAckSettings + c.get(1, "/1", {{"x-a", "v"}}) + c.get(3, "/3", {{"x-a", "v"}}));
  std::string big;
  for (uint32_t stream : {1u, 3u}) {
    Fields fields = {{":status", "200"}};
    for (int i = 0; i < 300; ++i) fields.push_back({"x-" + std::to_string(i), std::string(40, 'v')});
    big += s.headers(stream, fields, true);
  }
  t.server(big).close_both();
  const Outcome out = check(t);
  EXPECT_THAT(out.log, HasSubstr("2/3 opened HTTP/2 GET https Aster.test /3"));
  EXPECT_THAT(out.log, HasSubstr("[x-299: "));
  EXPECT_TRUE(out.issues.empty()) << out.issues[0];
}

TEST(Http2, JoinedLateSaysWhatIsLost) {
  H2Writer c, s;
  // Before the capture: entries the later blocks point at.
  c.get(1, "/0", {{"x-before", "secret-table-entry"}});
  s.headers(1, {{":status", "200"}, {"x-server", "abc"}});
  Transcript t;
  t.mid_stream = true;
  t.client(std::string("tail of a frame\x01", 16) +
           c.get(3, "/3", {{"x-before", "secret-table-entry"}, {"x-before", "new"}, {"x-new", "n"}}) +
           c.get(5, "/5", {{"x-new", "n"}}));
  t.server(s.headers(3, {{":status", "200"}, {"x-server", "abc"}}, true)).close_both();
  const Outcome out = check(t);
  EXPECT_EQ(out.protocol, "h2");
  EXPECT_THAT(out.issues, Contains("gap http2: header block not decodable: HPACK state lost"));
  EXPECT_THAT(out.log, HasSubstr("1/3 opened HTTP/2 GET https"));
  EXPECT_THAT(out.log, HasSubstr("[?: new]"));
  EXPECT_THAT(out.log, HasSubstr("[x-new: n]"));
  EXPECT_THAT(out.log, HasSubstr("2/5 opened"));
  EXPECT_THAT(out.log, Not(HasSubstr("secret-table-entry")));
  EXPECT_THAT(out.log, HasSubstr(" gap="));
}

TEST(Http2, GapInsideDataKeepsFraming) {
  H2Writer c, s;
  const std::string data = H2Writer::data(1, "0123456789", true);
  const Outcome out = check(
      Transcript()
          .client(
              H2Writer::preface() +
              c.headers(
                  1,
                  {{":method", "POST"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a.test"}, {"x-t", "1"}}) +
              data.substr(0, 12))
          .gap(kClient, 4)
          .client(data.substr(16) + c.get(3, "/3", {{"x-t", "1"}}))
          .close_both());
  EXPECT_THAT(out.log, HasSubstr("body > '012' incomplete cause=gap"));
  EXPECT_THAT(out.log, HasSubstr("2/3 headers > [:method: GET]"));
  EXPECT_THAT(out.log, HasSubstr("[x-t: 1]"));
  EXPECT_THAT(out.issues, Not(Contains(HasSubstr("HPACK"))));
}

TEST(Http2, GapOverFramesResynchronises) {
  H2Writer c, s;
  const std::string lost = c.get(3, "/3", {{"x-lost", "1"}});
  const Outcome out = check(Transcript()
                                .client(H2Writer::preface() + c.get(1, "/1"))
                                .gap(kClient, lost.size() - 5)
                                .client(lost.substr(lost.size() - 5) + c.get(5, "/5", {{"x-lost", "1"}}))
                                .server(H2Writer::frame(kSettings, 0, 0, {}) + s.headers(5, {{":status", "200"}}, true))
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("2/5 opened HTTP/2 GET https"));
  EXPECT_THAT(out.log, HasSubstr("2/5 closed complete 200"));
  EXPECT_THAT(out.issues, Contains("gap http2: frame boundaries lost in a gap"));
  EXPECT_THAT(out.issues, Contains("gap http2: header block not decodable: HPACK state lost"));
}

TEST(Http2, UpgradeFromHttp1) {
  H2Writer c, s;
  const Outcome out =
      check(Transcript()
                .client("GET /up HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
                        "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
                .server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" +
                        H2Writer::frame(kSettings, 0, 0, {}) + s.headers(1, {{":status", "200"}}) +
                        H2Writer::data(1, "up", true))
                .client(H2Writer::preface() + c.get(3, "/3"))
                .server(s.headers(3, {{":status", "204"}}, true))
                .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 opened HTTP/1.1 GET http a.test /up"));
  EXPECT_THAT(out.log, HasSubstr("1/1 body < 'up'"));
  EXPECT_THAT(out.log, HasSubstr("1/1 closed complete 200"));
  EXPECT_THAT(out.log, HasSubstr("2/3 closed complete 204"));
  EXPECT_EQ(out.protocol, "h2");
  EXPECT_TRUE(out.issues.empty());
}

TEST(Http2, ExtendedConnectWebSocket) {
  H2Writer c, s;
  const std::string masked(
      "\x81\x82\x01\x02\x03\x04"
      "ik",
      8);  // "hi"
  const Outcome out = check(Transcript()
                                .client(H2Writer::preface() + c.headers(1, {{":method", "CONNECT"},
                                                                            {":protocol", "websocket"},
                                                                            {":scheme", "https"},
                                                                            {":authority", "a.test"},
                                                                            {":path", "/chat"}}))
                                .server(H2Writer::frame(kSettings, 0, 0, {}) + s.headers(1, {{":status", "200"}}))
                                .client(H2Writer::data(1, masked.substr(0, 3)) + H2Writer::data(1, masked.substr(3)))
                                .server(H2Writer::data(1,
                                                       std::string("\x82\x03"
                                                                   "abc",
                                                                   5),
                                                       true))
                                .client(H2Writer::data(1, {}, true))
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("opened HTTP/2 CONNECT https a.test /chat"));
  EXPECT_THAT(out.log, HasSubstr("message > 'hi' text websocket wire=8"));
  EXPECT_THAT(out.log, HasSubstr("message < 'abc' websocket wire=5"));
  EXPECT_THAT(out.log, HasSubstr("closed complete 200"));
}

TEST(Http2, MalformedFramesAreCounted) {
  H2Writer c;
  const Outcome out = check(Transcript()
                                .client(H2Writer::preface() + H2Writer::frame(kWindowUpdate, 0, 0, "xy") +
                                        H2Writer::frame(77, 0, 0, "??") + c.get(1, "/1") +
                                        H2Writer::frame(kContinuation, kEndHeaders, 1, "x") + c.get(3, "/3"))
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("malformed="));
  EXPECT_THAT(out.log, HasSubstr("unsupported=11"));
  EXPECT_THAT(out.log, HasSubstr("2/3 opened"));
  EXPECT_THAT(out.issues, Contains("unsupported http2: unknown frame type"));
}

TEST(Http2, StreamBound) {
  HttpLimits limits;
  limits.streams = 3;
  H2Writer c;
  std::string many = H2Writer::preface();
  for (uint32_t id = 1; id < 21; id += 2) many += c.get(id, "/" + std::to_string(id), {{"x-k", "v"}});
  const Outcome out = check(Transcript().client(many).close_both(), limits);
  EXPECT_THAT(out.log, HasSubstr("3/5 opened"));
  EXPECT_THAT(out.log, Not(HasSubstr("4/7 opened")));
  EXPECT_THAT(out.issues, Contains("truncated http2: more open streams than the bound"));
}

TEST(Http2, HpackBombIsBounded) {
  H2Writer c;
  HttpLimits limits;
  limits.header_bytes = 64 << 10;
  std::string block = c.block({{":method", "GET"},
                               {":scheme", "https"},
                               {":authority", "a.test"},
                               {":path", "/"},
                               {"x-big", std::string(3000, 'b')}});
  block += std::string(60000, '\xbe');  // the newest entry, again and again
  std::string frames = H2Writer::preface();
  for (size_t at = 0; at < block.size(); at += 16000) {
    frames += H2Writer::frame(at == 0 ? kHeaders : kContinuation, at + 16000 >= block.size() ? kEndHeaders : 0, 1,
                              block.substr(at, 16000));
  }
  const Outcome out = check(Transcript().client(frames).close_both(), limits);
  EXPECT_THAT(out.issues, Contains("truncated http: more header fields than the bound"));
  EXPECT_LT(out.log.size(), 10000u);
}

TEST(Http2, EveryCutAndGapAccountsForEveryByte) {
  H2Writer c, s;
  Transcript t;
  t.client(H2Writer::preface() + c.get(1, "/1", {{"x-a", "1"}}) +
           c.headers(3, {{":method", "POST"}, {":path", "/3"}, {"x-a", "1"}}) + H2Writer::data(3, "hello", true));
  t.server(H2Writer::frame(kSettings, 0, 0, {}) + s.headers(1, {{":status", "200"}}) +
           H2Writer::data(1, "abcdef", true) + s.headers(3, {{":status", "200"}}, true));
  for (size_t step = 0; step < 2; ++step) {
    for (size_t length = 0; length < t.steps[step].bytes.size(); ++length) {
      Transcript cut = t;
      cut.steps[step].bytes.resize(length);
      run(cut.close_both(), 0);
      for (size_t missing : {1, 9, 20}) {
        Transcript hole;
        for (size_t i = 0; i < 2; ++i) {
          if (i != step) {
            hole.steps.push_back(t.steps[i]);
            continue;
          }
          hole.add(t.steps[i].direction, t.steps[i].bytes.substr(0, length)).gap(t.steps[i].direction, missing);
          hole.add(t.steps[i].direction, t.steps[i].bytes.substr(std::min(length + missing, t.steps[i].bytes.size())));
        }
        check(hole.close_both());
        ASSERT_FALSE(HasFailure()) << "step " << step << " length " << length << " missing " << missing;
      }
    }
  }
}

}  // namespace
}  // namespace vitrine::testing
