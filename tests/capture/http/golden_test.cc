// Connections recorded over loopback: curl 7.88 and nghttp2's nghttp against
// nginx 1.22, Chromium against a small server. tests/golden/http/*.script, in
// the form of tests/fuzz/http_script.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "transcript.h"

namespace vitrine::testing {
namespace {

using ::testing::HasSubstr;

Transcript load(const std::string& name) {
  Transcript t;
  const auto file = read_file(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/http/" + name + ".script");
  EXPECT_TRUE(file.has_value()) << name;
  if (!file) return t;
  std::string_view in = *file;
  t.mid_stream = (in[0] & 1) != 0;
  t.alpn = in[0] & 2 ? "h2" : "";
  in.remove_prefix(1);
  while (in.size() >= 3) {
    const Direction d = in[0] & 1 ? Direction::server_to_client : Direction::client_to_server;
    const size_t length = static_cast<uint8_t>(in[1]) | static_cast<uint8_t>(in[2]) << 8;
    const bool close = (in[0] >> 1 & 3) == 2;
    in.remove_prefix(3);
    if (close) {
      t.close(d);
    } else {
      t.add(d, std::string(in.substr(0, length)));
      in.remove_prefix(std::min(length, in.size()));
    }
  }
  return t;
}

// SHA-256 of the text the server had, made by sha256sum.
constexpr const char* kTextDigest = "sha=59e199e0";

TEST(Golden, CurlHttp1) {
  const Outcome out = check(load("curl_http1"));
  EXPECT_EQ(out.protocol, "http/1.1");
  EXPECT_THAT(out.log, HasSubstr("1 opened HTTP/1.1 GET http aster.test /a.txt host=aster.test"));
  EXPECT_THAT(out.log, HasSubstr("content=18000 " + std::string(kTextDigest)));
  EXPECT_THAT(out.log, HasSubstr("2 closed complete 204"));
  EXPECT_THAT(out.log, HasSubstr("3 body > '{\"prompt\":\"hi\"}'"));
  EXPECT_THAT(out.log, HasSubstr("3 body < 'posted\\n'"));
  EXPECT_THAT(out.issues, ::testing::IsEmpty());
}

TEST(Golden, CurlHttp2) {
  const Outcome out = check(load("curl_http2"));
  EXPECT_EQ(out.protocol, "h2");
  EXPECT_THAT(out.log, HasSubstr("opened HTTP/2 GET http 127.0.0.1:"));
  EXPECT_THAT(out.log, HasSubstr("content=18000 " + std::string(kTextDigest)));
  EXPECT_THAT(out.issues, ::testing::IsEmpty());
}

TEST(Golden, Nghttp) {
  const Outcome out = check(load("nghttp"));
  EXPECT_EQ(out.protocol, "h2");
  EXPECT_THAT(out.log, HasSubstr("GET http 127.0.0.1:"));
  EXPECT_THAT(out.log, HasSubstr("content=18000 " + std::string(kTextDigest)));
  // nginx pushes /a.txt; nghttp, which asks for it itself, resets the push while
  // its data is on the way.
  EXPECT_THAT(out.log, HasSubstr("/2 headers < [:method: GET] [:path: /a.txt]"));
  EXPECT_THAT(out.log, HasSubstr("/2 closed reset 0"));
  EXPECT_THAT(out.issues, ::testing::ElementsAre("truncated http2: data on a stream that is closed",
                                                 "truncated http2: header block on a stream that is closed"));
}

TEST(Golden, ChromiumWebSocketDeflate) {
  const Outcome out = check(load("chromium_websocket"));
  EXPECT_THAT(out.log, HasSubstr("1 opened HTTP/1.1 GET http aster.test:18200 /ws host=aster.test"));
  EXPECT_THAT(out.log, HasSubstr("message < 'hello' text websocket"));
  EXPECT_THAT(out.log, HasSubstr("message > 'draft draft draft one' text websocket permessage-deflate"));
  EXPECT_THAT(out.log, HasSubstr("message > 'draft draft draft one two' text websocket permessage-deflate"));
  EXPECT_THAT(out.log, HasSubstr("message > '\\x01\\x02\\x03' websocket permessage-deflate"));
}

}  // namespace
}  // namespace vitrine::testing
