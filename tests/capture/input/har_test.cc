#include "capture/input/har.h"

#include "capture/input/json_tree.h"
#include "tests/capture/input/exchange_text.h"

namespace vitrine {
namespace {

const std::string kFolder = std::string(VITRINE_SOURCE_DIR) + "/tests/golden/har/";

std::string run(std::string_view file, bool replay = true) {
  ExchangeText sink(replay ? as_bytes(file) : Bytes{});
  const Status status = read_har(as_bytes(file), sink);
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_EQ(sink.exchanges_open, 0);
  EXPECT_EQ(sink.connections_open, 0);
  return sink.text;
}

std::string wrap(const std::string& entries) { return R"({"log":{"version":"1.2","entries":[)" + entries + "]}}"; }
std::string entry(const std::string& request, const std::string& response = R"({"status":200})",
                  const std::string& rest = "") {
  return R"({"startedDateTime":"2026-11-20T09:00:00Z","time":5,"request":{"method":"GET","url":"http://a.test/",)" +
         request + R"("headers":[]},"response":)" + response + rest + "}";
}

class HarGolden : public testing::TestWithParam<const char*> {};

TEST_P(HarGolden, GivesTheSameExchanges) {
  const Result<std::string> file = read_file(kFolder + GetParam() + ".har");
  ASSERT_TRUE(file);
  ASSERT_TRUE(looks_like_har(as_bytes(*file)));
  ExchangeText sink(as_bytes(*file));
  ASSERT_TRUE(read_har(as_bytes(*file), sink));
  EXPECT_GT(sink.replayed, 0u);
  EXPECT_EQ(sink.exchanges_open, 0);
  EXPECT_EQ(sink.connections_open, 0);
  expect_golden(kFolder + GetParam() + ".txt", sink.text);
}

INSTANTIATE_TEST_SUITE_P(Exporters, HarGolden,
                         testing::Values("chrome", "firefox", "firefox-153", "safari", "charles", "insomnia",
                                         "mitmproxy-11", "playwright-chromium", "damaged"),
                         [](const auto& values) {
                           std::string name = values.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Whatever place the file is cut at: no crash, and the entries before the cut
// are the ones of the whole file.
TEST(Har, CutAtEveryByteKeepsTheEntriesBefore) {
  for (const char* name : {"chrome", "charles"}) {
    const std::string file = *read_file(kFolder + name + ".har");
    const std::string whole = run(file);
    const size_t entries = file.find("\"entries\"");
    for (size_t cut = 0; cut < file.size(); cut += cut < entries + 2000 ? 1 : 37) {
      const std::string part = file.substr(0, cut);
      ExchangeText sink(as_bytes(part));
      const Status status = read_har(as_bytes(part), sink);
      if (!status) {
        EXPECT_LT(cut, entries + 16);
        continue;
      }
      EXPECT_EQ(sink.exchanges_open, 0);
      const size_t closed = sink.text.rfind("\nclose 1.1 complete");
      if (closed != std::string::npos) {
        EXPECT_TRUE(whole.starts_with(sink.text.substr(0, closed))) << name << " cut at " << cut;
      }
      if (file.find_first_of("]", cut) != std::string::npos && cut + 4 < file.size()) {
        EXPECT_FALSE(sink.issues.empty()) << "a cut at " << cut << " went unnoticed";
      }
    }
  }
}

TEST(Har, DamageInOneEntryCostsThatEntryOnly) {
  const std::string file = *read_file(kFolder + "chrome.har");
  const size_t second = file.find("\"_connectionId\": \"102\"");
  const size_t third = file.find("\"_connectionId\": \"103\"");
  ASSERT_NE(third, std::string::npos);
  size_t kept = 0;
  for (size_t at = second; at + 40 < third; at += 3) {
    std::string damaged = file;
    damaged[at] = '\0';
    damaged[at + 1] = '\x01';
    const std::string text = run(damaged);
    EXPECT_NE(text.find("open 1.1 "), std::string::npos);
    // Entry 3 by its URL: its number depends on how the damage reads.
    EXPECT_NE(text.find("GET wss://rt.aster.test/socket?v=2 "), std::string::npos) << "damage at " << at;
    kept += text.find("GET https://chat.aster.test/large.bin") != std::string::npos;
  }
  EXPECT_GT(kept, 50u);
}

TEST(Har, NoEntriesIsAnErrorThatSaysSo) {
  for (const std::string_view file :
       {"", "{", "[]", R"({"log":{}})", R"({"log":{"entries":{}}})", R"({"log":[1]})", "\xef\xbb\xbf"}) {
    ExchangeText sink({});
    const Status status = read_har(as_bytes(file), sink);
    ASSERT_FALSE(status) << file;
    EXPECT_NE(status.error().message.find("log.entries"), std::string::npos);
  }
}

TEST(Har, DamageBeforeTheEntriesIsSurvived) {
  const std::string text = run(R"({"log":{"pages":[{"title":"x" oops}],"entries":[)" + entry("") + "]}}");
  EXPECT_NE(text.find("issue malformed @0 har: damaged before log.entries"), std::string::npos);
  EXPECT_NE(text.find("GET http://a.test/"), std::string::npos);
}

TEST(Har, DuplicateKeysCountAsJavaScriptReadsThem) {
  const std::string text = run(wrap(
      R"({"startedDateTime":"2026-11-20T09:00:00Z","request":{"method":"GET","method":"POST","url":"http://first.test/","url":"http://last.test/x"},"response":{"status":200}})"));
  EXPECT_NE(text.find("POST http://last.test/x"), std::string::npos);
}

TEST(Har, WhatWasNotTransmittedGivesNoExchange) {
  const std::string text = run(wrap(
      entry("", R"({"status":200})", R"(,"_fromCache":"memory")") + "," +
      entry("", R"({"status":200})", R"(,"_fetchType":"Disk Cache")") + "," +
      R"({"startedDateTime":"2026-11-20T09:00:00Z","request":{"method":"GET","url":"blob:https://a.test/1"},"response":{"status":200}})"));
  EXPECT_EQ(text.find("open"), std::string::npos);
  EXPECT_NE(text.find("issue decoded @1 har: entry answered from the browser's cache"), std::string::npos);
  EXPECT_NE(text.find("issue decoded @2"), std::string::npos);
  EXPECT_NE(text.find("issue unsupported @3 har: entry of scheme blob"), std::string::npos);
}

TEST(Har, OddEntriesAreNamedAndPassedOver) {
  const std::string text = run(wrap(
      R"(null, "x", 7, [], {}, {"request":null}, {"request":{"url":5}}, {"request":{"url":"/relative"}}, {"request":{"url":"http://"}})"));
  EXPECT_EQ(text.find("open"), std::string::npos);
  size_t issues = 0;
  for (size_t at = text.find("issue malformed"); at != std::string::npos; at = text.find("issue malformed", at + 1))
    ++issues;
  EXPECT_EQ(issues, 9u);
}

TEST(Har, BodyThatIsNotBase64IsMalformed) {
  const std::string text = run(wrap(entry(
      "", R"({"status":200,"headers":[],"content":{"mimeType":"text/plain","encoding":"base64","text":"%%%%"}})")));
  EXPECT_NE(text.find("issue malformed @1 har: body is not base64"), std::string::npos);
  EXPECT_NE(text.find("close 1.1 malformed"), std::string::npos);
  EXPECT_NE(text.find("malformed=4"), std::string::npos);
}

// Firefox and mitmproxy write binary request bodies with one character a byte:
// the size tells them from text.
TEST(Har, RequestBodyOfOneCharacterAByte) {
  const auto body = [](int size, const std::string& text, const std::string& header = "") {
    return R"("bodySize":)" + std::to_string(size) + R"(,"postData":{"mimeType":"application/octet-stream","text":")" +
           text + "\"}," + header;
  };
  const std::string bytes = run(wrap(entry(body(4, R"(\u0000\u009f\u00ffz)"))));
  EXPECT_NE(bytes.find("hex 009fff7a"), std::string::npos) << bytes;
  EXPECT_NE(bytes.find("> body har latin1"), std::string::npos) << bytes;
  for (const auto& [size, text] : {std::pair{3, "gr\xc3\xbc"}, {4, "gr\xc3\xbc"}}) {
    const std::string read = run(wrap(entry(body(size, text))));
    EXPECT_EQ(read.find("latin1") != std::string::npos, size == 3) << read;
  }
  // No size, no guess; characters that are no byte; a size that fits nothing.
  for (const std::string& other : {body(-1, "\xc3\xbc"), body(1, "\xe2\x82\xac"), body(2, "a\xc3\xbcz")})
    EXPECT_EQ(run(wrap(entry(other))).find("latin1"), std::string::npos) << other;
}

TEST(Har, WhatWasBrokenOffIsNotComplete) {
  const std::string aborted = R"({"status":200,"_error":"net::ERR_ABORTED","headers":[{"name":"content-length",)"
                              R"("value":"257"}],"content":{"size":0,"mimeType":"application/json"}})";
  EXPECT_NE(run(wrap(entry("", aborted))).find("gap=257"), std::string::npos) << run(wrap(entry("", aborted)));
  const std::string charles = R"({"status":200,"_charlesStatus":"FAILED","headers":[],"content":{"size":0}})";
  EXPECT_NE(run(wrap(entry("", charles))).find("close 1.1 connection_closed"), std::string::npos);
  const std::string events =
      R"({"status":200,"headers":[{"name":"Content-Type","value":"text/event-stream"}],"content":{"size":-1}})";
  EXPECT_NE(run(wrap(entry("", events))).find("an event stream was not exported"), std::string::npos);
}

// As Charles and Insomnia write them: escaped slashes, a query that is one
// empty pair, a time with an offset; no headers, and an empty body with a type.
TEST(Har, SmallPeculiarities) {
  const std::string charles =
      R"({"startedDateTime":"2026-11-20T09:00:00.250-07:00","time":1,"request":{"method":"GET",)"
      R"("url":"https:\/\/a.test\/?=","queryString":[{"name":"","value":""}],"headers":[]},)"
      R"("response":{"status":200,"_charlesStatus":"COMPLETE","headers":[]}})";
  const std::string text = run(wrap(charles));
  EXPECT_NE(text.find("open 1.1 2026-11-20T16:00:00.250Z"), std::string::npos) << text;
  EXPECT_NE(text.find("GET https://a.test/?="), std::string::npos) << text;
  const std::string insomnia = run(wrap(entry(R"("bodySize":-1,"postData":{"mimeType":"","text":"","params":[]},)")));
  EXPECT_NE(insomnia.find(">complete 0 "), std::string::npos) << insomnia;
}

TEST(Har, HugeAndDeepEntriesAreBounded) {
  std::string headers = R"("headers":[)";
  for (int i = 0; i < 400'000; ++i) headers += R"({"name":"x","value":"y"},)";
  headers.back() = ']';
  const std::string many =
      R"({"startedDateTime":"2026-11-20T09:00:00Z","request":{"method":"GET","url":"http://a.test/",)" + headers +
      R"(},"response":{"status":200}})";
  ExchangeText sink({});
  const std::string file = wrap(many + "," + entry(""));
  ASSERT_TRUE(read_har(as_bytes(file), sink));
  ASSERT_EQ(sink.issues.size(), 1u);
  EXPECT_EQ(sink.issues[0].cause, Cause::truncated);
  EXPECT_NE(sink.text.find("open 2.1 "), std::string::npos);

  std::string deep =
      R"({"startedDateTime":"2026-11-20T09:00:00Z","x":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  ExchangeText second({});
  const std::string nested = wrap(deep + "," + entry(""));
  ASSERT_TRUE(read_har(as_bytes(nested), second));
  EXPECT_NE(second.text.find("GET http://a.test/"), std::string::npos);
}

// Time to find the next entry must not grow with the square of the damage.
TEST(Har, HostileDamageIsReadInLinearTime) {
  std::string evil;
  for (int i = 0; i < 100'000; ++i) evil += R"({"a":[{"b":1},)";
  ExchangeText sink({});
  const std::string file = wrap(evil);
  ASSERT_TRUE(read_har(as_bytes(file), sink));
  EXPECT_EQ(sink.text.find("open"), std::string::npos);
}

TEST(JsonTree, ContainersThatAreCutReachAsFarAsTheyWereRead) {
  const std::string_view text = R"({"a":[{"b":"c"},{"d":"e)";
  JsonTokenizer json(text);
  JsonTree tree;
  EXPECT_FALSE(tree.read(json));
  const JsonTree::Node* a = tree.find(&tree.root(), "a");
  ASSERT_NE(a, nullptr);
  EXPECT_TRUE(a->cut);
  EXPECT_EQ(a->offset + a->length, text.size());
  EXPECT_FALSE(tree.first(a)->cut);
}

}  // namespace
}  // namespace vitrine
