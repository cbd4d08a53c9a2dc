#include "capture/input/exchange_log.h"

#include <algorithm>

#include "capture/input/har.h"
#include "tests/capture/input/exchange_text.h"

namespace vitrine {
namespace {

constexpr const char* kHead = "{\"type\":\"vitrine-exchange-log\",\"version\":1}\n";

std::string read(std::string_view log) {
  ExchangeText sink(as_bytes(log));
  const Status status = read_exchange_log(as_bytes(log), sink);
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_EQ(sink.exchanges_open, 0);
  EXPECT_EQ(sink.connections_open, 0);
  return sink.text;
}

TEST(ExchangeLog, TheExampleOfTheManualReads) {
  const std::string log = *read_file(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/exchange_log/manual.ndjson");
  ASSERT_TRUE(looks_like_exchange_log(as_bytes(log)));
  EXPECT_EQ(exchange_log_comment(as_bytes(log)), "SIMULATED: a tap of the lab");
  expect_golden(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/exchange_log/manual.txt", read(log));
  // The manual shows this very text.
  const std::string manual = *read_file(std::string(VITRINE_SOURCE_DIR) + "/docs/exchange-log.md");
  EXPECT_NE(manual.find(log), std::string::npos);
}

// HAR → log → exchanges: the same but for where the bytes stand.
TEST(ExchangeLog, HarsSurviveTheRoundTrip) {
  for (const char* name : {"chrome", "firefox", "safari", "charles", "insomnia", "playwright-chromium", "damaged"}) {
    const std::string har = *read_file(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/har/" + name + ".har");
    ExchangeText direct({});
    ASSERT_TRUE(read_har(as_bytes(har), direct));
    std::string log = exchange_log_head({.comment = name});
    ExchangeLogWriter writer(log);
    ASSERT_TRUE(read_har(as_bytes(har), writer));
    const std::string again = read(log);
    // Numbers and steps differ by design: the log's lines are the evidence now.
    const auto neutral = [](const std::string& text) {
      std::string out;
      for (size_t at = 0; at < text.size();) {
        const size_t end = text.find('\n', at);
        std::string line = text.substr(at, end - at);
        at = end + 1;
        for (const char* step : {" har", " exchange-log", " base64", " gzip", " sse"}) {
          if (const size_t found = line.find(step);
              found != std::string::npos && line.starts_with("  ") && !line.starts_with("    ")) {
            line.erase(found, std::string(step).size());
          }
        }
        for (const char* word : {"connection ", "open ", "close "}) {
          if (line.starts_with(word)) line = word + line.substr(line.find(' ', std::string(word).size()));
        }
        if (line.starts_with("issue "))
          line = line.substr(0, line.find('@')) + line.substr(line.find(' ', line.find('@')));
        out += line + "\n";
      }
      return out;
    };
    EXPECT_EQ(neutral(direct.text), neutral(again)) << name;
  }
}

TEST(ExchangeLog, BytesThatAreNoTextAreKept) {
  std::string log = kHead;
  ExchangeLogWriter writer(log);
  ConnectionInfo info;
  info.id = 9;
  writer.connection(info, ExchangeSink::ConnectionEvent::hello);
  Exchange exchange;
  exchange.id = {9, 1};
  exchange.connection = &info;
  exchange.protocol = Protocol::http11;
  exchange.method = "G\xffT";
  exchange.scheme = "http";
  exchange.authority = "a.test:8080";
  exchange.host = "a.test";
  exchange.path = "/\xe4?q=\xf6#x";
  writer.opened(exchange);
  Part part;
  const HeaderField field{"x-name", "caf\xe9"};
  part.headers = std::span(&field, 1);
  writer.part(exchange, part);
  part = {};
  part.kind = Part::Kind::body;
  part.content = as_bytes("\xff\xfe");
  writer.part(exchange, part);
  writer.closed(exchange, CloseReason::complete);
  writer.connection(info, ExchangeSink::ConnectionEvent::closed);
  EXPECT_TRUE(is_valid_utf8(log));
  ExchangeText sink({});
  ASSERT_TRUE(read_exchange_log(as_bytes(log), sink));
  EXPECT_TRUE(sink.issues.empty()) << sink.text;
  EXPECT_NE(sink.text.find("G\xffT http://a.test:8080/\xe4?q=\xf6#x host=a.test"), std::string::npos) << sink.text;
  EXPECT_NE(sink.text.find("x-name: caf\xe9"), std::string::npos);
  EXPECT_NE(sink.text.find("hex fffe"), std::string::npos);
}

// CONNECT has no path, OPTIONS * no slash, a response alone no request.
TEST(ExchangeLog, TargetsThatAreNoUrlSurvive) {
  const auto round = [](Exchange exchange) {
    ConnectionInfo info;
    info.id = 3;
    exchange.id = {3, 1};
    exchange.connection = &info;
    std::string log = kHead;
    ExchangeLogWriter writer(log);
    writer.opened(exchange);
    writer.closed(exchange, CloseReason::gap);
    ExchangeText sink({});
    EXPECT_TRUE(read_exchange_log(as_bytes(log), sink));
    EXPECT_TRUE(sink.issues.empty()) << sink.text;
    const size_t at = sink.text.find("unknown ");
    return sink.text.substr(at, sink.text.find('\n', at) - at);
  };
  Exchange exchange;
  exchange.method = "CONNECT";
  exchange.scheme = "http";
  exchange.authority = "proxy.test:443";
  exchange.host = "proxy.test";
  EXPECT_NE(round(exchange).find("http://proxy.test:443 host=proxy.test"), std::string::npos);
  exchange.method = "OPTIONS";
  exchange.path = "*";
  EXPECT_NE(round(exchange).find("OPTIONS http://proxy.test:443* host=proxy.test"), std::string::npos);
  Exchange alone;
  alone.scheme = "https";
  alone.host = "198.51.100.7";
  EXPECT_NE(round(alone).find(" https:// host=198.51.100.7"), std::string::npos);
}

TEST(ExchangeLog, LinesThatBreakTheFormatAreCountedAndPassedOver) {
  const std::string log = std::string(kHead) + R"({"type":"connection","connection":1,"server":"203.0.113.1:443"}
not json
{"type":"connection","connection":1}
{"type":"connection","connection":0}
{"type":"connection","connection":2,"client":"nowhere"}
{"type":"part","connection":1,"ordinal":1,"kind":"body","direction":"client_to_server","content":"x"}
{"type":"open","connection":7,"ordinal":1,"url":"http://a.test/"}
{"type":"open","connection":1,"ordinal":1,"url":"no url"}
{"type":"open","connection":1,"ordinal":1,"method":"GET","url":"http://a.test/"}
{"type":"open","connection":1,"ordinal":1,"method":"GET","url":"http://a.test/"}
{"type":"part","connection":1,"ordinal":1,"kind":"essence","direction":"client_to_server"}
{"type":"part","connection":1,"ordinal":1,"kind":"body","direction":"up","content":"x"}
{"type":"part","connection":1,"ordinal":1,"kind":"body","direction":"client_to_server"}
{"type":"part","connection":1,"ordinal":1,"kind":"body","direction":"client_to_server","content_base64":"*"}
{"type":"part","connection":1,"ordinal":1,"kind":"body","direction":"client_to_server","content":"x","cause":"luck"}
{"type":"part","connection":1,"ordinal":1,"kind":"headers","direction":"client_to_server","headers":[["a"],["b","c"]]}
{"type":"close","connection":1,"ordinal":1,"reason":"boredom","client_to_server":{"bytes":{"luck":1,"decoded":5}}}
{"type":"mystery"}
{"type":"resolved","ip":"x","name":"a.test"}
{"type":"open","connection":1,"ordinal":2,"url":"http://a.test/2"} trailing
{"type":"issue","cause":"no_key","what":"tap: a pinned connection passed through"}
{"type":"open","connection":1,"ordi)";
  ExchangeText sink(as_bytes(log));
  ASSERT_TRUE(read_exchange_log(as_bytes(log), sink));
  EXPECT_EQ(sink.exchanges_open, 0);
  EXPECT_EQ(sink.connections_open, 0);
  EXPECT_EQ(sink.issues.size(), 21u) << sink.text;
  EXPECT_EQ(sink.issues.back().cause, Cause::truncated);
  EXPECT_EQ(sink.issues.back().packet, 23u);
  EXPECT_NE(sink.text.find("    b: c\n"), std::string::npos);
  EXPECT_NE(sink.text.find("decoded=5"), std::string::npos);
  EXPECT_NE(sink.text.find("close 2.2 end_of_capture"), std::string::npos) << sink.text;
  EXPECT_NE(sink.text.find("issue no_key @22 tap: a pinned connection passed through"), std::string::npos);
}

TEST(ExchangeLog, HeadsDecide) {
  ExchangeText sink({});
  EXPECT_FALSE(read_exchange_log(as_bytes("{\"type\":\"connection\",\"connection\":1}\n"), sink));
  const Status status = read_exchange_log(as_bytes("{\"type\":\"vitrine-exchange-log\",\"version\":2}\n"), sink);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::unsupported);
  EXPECT_NE(status.error().message.find("version 2"), std::string::npos);
}

TEST(ExchangeLog, LogsMayBeConcatenated) {
  const std::string one = std::string(kHead) + R"({"type":"connection","connection":1}
{"type":"open","connection":1,"ordinal":1,"method":"GET","url":"http://a.test/"}
)";
  const std::string text = read(one + one);
  EXPECT_NE(text.find("open 2.1 "), std::string::npos);
  EXPECT_NE(text.find("open 5.1 "), std::string::npos);
}

TEST(ExchangeLog, CutAtEveryByte) {
  const std::string log = *read_file(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/exchange_log/manual.ndjson");
  for (size_t cut = 0; cut <= log.size(); ++cut) {
    const std::string part = log.substr(0, cut);
    ExchangeText sink(as_bytes(part));
    (void)read_exchange_log(as_bytes(part), sink);
    EXPECT_EQ(sink.exchanges_open, 0);
    EXPECT_EQ(sink.connections_open, 0);
  }
}

}  // namespace
}  // namespace vitrine
