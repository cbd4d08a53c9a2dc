// What the modes hash and none leave out, and what can still be seen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "base/file.h"
#include "capture/fields/field_extractor.h"
#include "capture/input/exchange_log.h"
#include "capture/tap/content_filter.h"
#include "capture/tap/tap.h"
#include "tests/capture/tap/tap_replay.h"

namespace vitrine {
namespace {

using testing::HasSubstr;
using testing::Not;

const Direction kUp = Direction::client_to_server, kDown = Direction::server_to_client;

const WithheldValues& values() {
  static const WithheldValues made{std::array<uint8_t, 32>{1, 2, 3}};
  return made;
}

std::string json(std::string_view text) {
  std::string out;
  return values().append_json(out, text) ? out : "(not JSON)";
}
std::string value(WithheldKind kind, std::string_view text) {
  std::string out;
  values().append(out, kind, text);
  return out;
}
std::string string(std::string_view text) { return value(WithheldKind::string, text); }
std::string number(std::string_view text) { return value(WithheldKind::number, text); }

TEST(Withheld, WhatStandsForAValueIsReadBackAndNothingElseIs) {
  const WithheldValue value{WithheldKind::number, 12, 0x00ff1234567890ab};
  std::string text;
  append_withheld(text, value);
  EXPECT_EQ(text, "withheld.number.12.00ff1234567890ab");
  WithheldValue read;
  ASSERT_TRUE(parse_withheld(text, read));
  EXPECT_EQ(read.kind, value.kind);
  EXPECT_EQ(read.bytes, value.bytes);
  EXPECT_EQ(read.digest, value.digest);
  for (const char* other :
       {"", "withheld", "withheld.", "withheld.number", "withheld.number.", "withheld.number.12.",
        "withheld.text.1.00ff1234567890ab", "withheld.number.12.00FF1234567890AB", "withheld.number.12.00ff1234567890a",
        "withheld.number.12.00ff1234567890abc", "withheld.number..00ff1234567890ab",
        "withheld.number.-1.00ff1234567890ab", "withheld.number.012.00ff1234567890ab",
        "withheld.number.12x.00ff1234567890ab", "withheld.number.99999999999999999999.00ff1234567890ab",
        " withheld.number.12.00ff1234567890ab", "withheld.number.12.00ff1234567890ab "}) {
    EXPECT_FALSE(parse_withheld(other, read)) << other;
  }
}

TEST(Withheld, JsonKeepsItsStructureAndNames) {
  EXPECT_EQ(json(R"( {"a":"x", "b" : [1,-2.5e3,true,null,"x"], "c":{}} )"),
            R"( {"a":")" + string("x") + R"(", "b" : [")" + number("1") + R"(",")" + number("-2.5e3") +
                R"(",true,null,")" + string("x") + R"("], "c":{}} )");
  EXPECT_EQ(string("x"), string("x"));
  EXPECT_NE(string("x"), string("y"));
  // The value counts, not how it was escaped.
  EXPECT_EQ(json(R"(["\u0041"])"), json(R"(["A"])"));
  EXPECT_EQ(json("{\"a\":1}\n{\"a\":1}\n"), "{\"a\":\"" + number("1") + "\"}\n{\"a\":\"" + number("1") + "\"}\n");
  for (const char* other : {"", "x", "\"a secret\"", "12", "{\"a\":\"secret\"", "[1,", "[1] x", "{\"a\":1}}", "[DONE]"})
    EXPECT_EQ(json(other), "(not JSON)") << other;
  std::string kept = "before";
  EXPECT_FALSE(values().append_json(kept, "[1,2"));
  EXPECT_EQ(kept, "before");
}

TEST(Withheld, AListOfAMillionNumbersIsOneValue) {
  std::string text = "[1";
  for (int i = 0; i < 1'000'000; ++i) text += ",1";
  EXPECT_EQ(json(text + "]"), "(not JSON)");
  std::string pairs = "a=1", out;
  for (int i = 0; i < 1'000'000; ++i) pairs += "&a=1";
  EXPECT_GT(values().append_pairs(out, pairs), pairs.size() - 3 * 4096);
  EXPECT_LT(out.size(), 200'000u);
  EXPECT_THAT(out, testing::EndsWith(string(pairs.substr(4 * 4095))));
}

TEST(Withheld, UrlsKeepPathAndNames) {
  const auto url = [](std::string_view text) {
    std::string out;
    const uint64_t left_out = values().append_url(out, text);
    return out + " " + std::to_string(left_out);
  };
  EXPECT_EQ(url("/a/b"), "/a/b 0");
  EXPECT_EQ(url("/a?q=secret&n=&flag"), "/a?q=" + string("secret") + "&n=&" + string("flag") + " 10");
  EXPECT_EQ(url("/a?x=a=b"), "/a?x=" + string("a=b") + " 3");
  EXPECT_EQ(url("https://me:pw@host:1/a?b=c#frag"),
            "https://" + string("me:pw") + "@host:1/a?b=" + string("c") + "#" + string("frag") + " 10");
  EXPECT_EQ(url("/r?to=https://me@b/"), "/r?to=" + string("https://me@b/") + " 13");
  EXPECT_EQ(url("?"), "? 0");
  EXPECT_EQ(url(""), " 0");
}

TEST(Withheld, HeadersThatAuthenticate) {
  for (const char* name :
       {"Authorization", "proxy-authorization", "X-API-Key", "api-key", "X-Goog-Api-Key", "x-auth-token",
        "X-Amz-Security-Token", "sec-websocket-protocol", "x-csrf-token", "X-Signature"})
    EXPECT_TRUE(is_credential_header(name)) << name;
  for (const char* name : {"cookie", "user-agent", "x-stainless-lang", "Sec-WebSocket-Key", "accept", "content-type"})
    EXPECT_FALSE(is_credential_header(name)) << name;
}

// ---- a whole conversation ----------------------------------------------------

struct Sent {
  std::string value;
  bool withheld;
  ValueType type;
};

class Read : public ExchangeSink, public FieldSink {
 public:
  explicit Read(std::string_view log) {
    const Status status = read_exchange_log(as_bytes(log), *this);
    EXPECT_TRUE(status) << status.error().message;
  }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override { extractor_.connection(info, event); }
  void opened(const Exchange& exchange) override { extractor_.opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { extractor_.part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override {
    extractor_.closed(exchange, reason);
    for (const Direction d : {kUp, kDown}) {
      counts[static_cast<size_t>(d)] += exchange.message(d).bytes;
      digests += exchange.message(d).sha256;
      opaque += extractor_.opaque_bytes(exchange, d);
    }
  }
  void issue(Issue issue) override { issues.push_back(issue.what); }
  void field(const Field& field) override {
    if (field.exchange->id.ordinal == 0) return;
    fields.emplace(std::string(to_string(field.direction)) + " " + std::string(field.path),
                   Sent{std::string(field.value), field.withheld, field.value_type});
  }
  Sent sent(const std::string& path) const {
    const auto found = fields.find("client_to_server " + path);
    return found == fields.end() ? Sent{"(none)", false, ValueType::null} : found->second;
  }
  std::set<std::string> paths() const {
    std::set<std::string> out;
    for (const auto& [path, value] : fields) out.insert(path);
    return out;
  }

  std::multimap<std::string, Sent> fields;
  ByteCounts counts[2];
  std::string digests;
  uint64_t opaque = 0;
  std::vector<std::string> issues;

 private:
  FieldExtractor extractor_{*this};
};

const std::string kChat =
    R"({"model":"secret-model","messages":[{"role":"user","content":"secret-prompt"}],"seed":4711,"stream":true})";
const std::string kForm = "user=secret-user&pin=1234";
const std::string kBinary("\0\0\0\0\10secret\xff\xfe", 13);

std::string log_of(TapContent content) {
  const std::string path = testing::TempDir() + "vitrine-content-" + std::to_string(getpid()) + ".ndjson";
  Result<std::unique_ptr<Tap>> tap = Tap::open({.path = path, .content = content});
  EXPECT_TRUE(tap) << tap.error().to_string();
  TapPeer peer;
  peer.client = {IpAddress::parse("127.0.0.1"), 50001};
  peer.server = {IpAddress::parse("127.0.0.1"), 8080};
  const auto say = [&](TapConnection& connection, Direction direction, std::string_view text) {
    connection.bytes(direction, as_bytes(text), {1'800'000'000'000'000'000});
  };
  const auto request = [](std::string_view head, std::string_view type, std::string_view body) {
    return std::string(head) + "Host: a.test\r\nUser-Agent: OpenAI/Python 1.0\r\nCookie: sid=kept-cookie\r\n" +
           "Authorization: Bearer sk-secret-key\r\nReferer: http://a.test/page?from=secret-referer\r\n" +
           "Content-Type: " + std::string(type) + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           std::string(body);
  };
  const auto connection = (*tap)->connection(peer, {1'800'000'000'000'000'000});
  say(*connection, kUp, request("POST /v1/chat?lang=secret-lang&empty= HTTP/1.1\r\n", "application/json", kChat));
  say(*connection, kDown, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const char* event : {"data: {\"delta\":\"secret-answer\",\"n\":1}\n\n", "data: [DONE]\n\n"}) {
    std::ostringstream chunk;
    chunk << std::hex << std::strlen(event) << "\r\n" << event << "\r\n";
    say(*connection, kDown, chunk.str());
  }
  say(*connection, kDown, "0\r\n\r\n");
  say(*connection, kUp, request("POST /form HTTP/1.1\r\n", "application/x-www-form-urlencoded", kForm));
  say(*connection, kDown, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<p>secret</p>");
  say(*connection, kUp, request("POST /up HTTP/1.1\r\n", "application/grpc", kBinary));
  say(*connection, kDown, "HTTP/1.1 204 No Content\r\n\r\n");
  connection->close({1'800'000'001'000'000'000});
  const Status closed = (*tap)->close({});
  EXPECT_TRUE(closed) << closed.error().to_string();
  std::string log = *read_file(path);
  std::filesystem::remove(path);
  return log;
}

TEST(TapContent, NothingThatIsLeftOutStandsInTheLog) {
  EXPECT_THAT(log_of(TapContent::full), HasSubstr("secret-prompt"));
  for (const TapContent content : {TapContent::hash, TapContent::none}) {
    const std::string log = log_of(content);
    EXPECT_THAT(log, Not(HasSubstr("secret"))) << to_string(content);
    EXPECT_THAT(log, Not(HasSubstr("c2VjcmV0")));  // in base64
    EXPECT_THAT(log, Not(HasSubstr("4711")));
    EXPECT_THAT(log, Not(HasSubstr("sha256")));
    EXPECT_THAT(log, HasSubstr("kept-cookie"));
    EXPECT_THAT(log, HasSubstr("OpenAI/Python 1.0"));
  }
}

TEST(TapContent, HashKeepsPathsAndKinds) {
  const Read full(log_of(TapContent::full)), hash(log_of(TapContent::hash));
  EXPECT_THAT(hash.issues, testing::IsEmpty());
  const Sent prompt = hash.sent("body|json/messages/0/content");
  EXPECT_TRUE(prompt.withheld);
  EXPECT_EQ(prompt.type, ValueType::string);
  EXPECT_THAT(prompt.value, testing::StartsWith("withheld.string.13."));
  EXPECT_EQ(hash.sent("body|json/seed").type, ValueType::number);
  EXPECT_TRUE(hash.sent("body|json/seed").withheld);
  EXPECT_EQ(hash.sent("body|json/stream").value, "true");
  EXPECT_FALSE(hash.sent("body|json/stream").withheld);
  EXPECT_TRUE(hash.sent("query:lang").withheld);
  EXPECT_TRUE(hash.sent("header:authorization").withheld);
  EXPECT_TRUE(hash.sent("body|form/user").withheld);
  EXPECT_FALSE(hash.sent("header:user-agent").withheld);
  EXPECT_FALSE(hash.sent("cookie:sid").withheld);
  // JSON, forms and heads: the same fields, in both directions; equal values are equal.
  for (const std::string& path : full.paths()) {
    const bool closed = path.find("text") != path.npos || path.find("grpc") != path.npos ||
                        path.find("referer") != path.npos || path.find("authorization") != path.npos;
    if (!closed) {
      EXPECT_TRUE(hash.paths().contains(path)) << path;
    }
  }
  EXPECT_EQ(hash.fields.count("client_to_server header:authorization"), 3u);
  std::set<std::string> keys;
  for (auto [at, end] = hash.fields.equal_range("client_to_server header:authorization"); at != end; ++at)
    keys.insert(at->second.value);
  EXPECT_EQ(keys.size(), 1u);
  // Another log, another key.
  EXPECT_NE(Read(log_of(TapContent::hash)).sent("body|json/seed").value, hash.sent("body|json/seed").value);
}

TEST(TapContent, NoneKeepsSizes) {
  const Read none(log_of(TapContent::none));
  EXPECT_THAT(none.issues, testing::IsEmpty());
  const Sent body = none.sent("body");
  EXPECT_TRUE(none.sent("body|text").withheld) << body.value;
  EXPECT_EQ(none.sent("body|json/messages/0/content").value, "(none)");
  EXPECT_TRUE(none.sent("query:lang").withheld);
  EXPECT_EQ(none.sent("query:empty").value, "");
  EXPECT_EQ(none.fields.count("server_to_client body|sse|text"), 2u) << testing::PrintToString(none.paths());
  bool size = false;
  for (const auto& [path, value] : none.fields)
    size |= value.value.starts_with("withheld.string." + std::to_string(kChat.size()) + ".");
  EXPECT_TRUE(size);
}

TEST(TapContent, WhatIsLeftOutIsCountedAsNotRead) {
  const Read full(log_of(TapContent::full));
  EXPECT_EQ(full.counts[0].undecoded() + full.counts[1].undecoded(), 0u);
  for (const TapContent content : {TapContent::hash, TapContent::none}) {
    const Read read(log_of(content));
    EXPECT_EQ(read.opaque, 0u);
    for (int d = 0; d < 2; ++d) {
      EXPECT_EQ(read.counts[d].total(), full.counts[d].total());
      EXPECT_EQ(read.counts[d].undecoded(), read.counts[d][Cause::withheld]);
    }
    // Bodies, three credentials, three referers, one query.
    EXPECT_EQ(read.counts[0][Cause::withheld],
              kChat.size() + kForm.size() + kBinary.size() + 3 * std::string("Bearer sk-secret-key").size() +
                  3 * std::string("secret-referer").size() + std::string("secret-lang").size());
  }
}

}  // namespace
}  // namespace vitrine
