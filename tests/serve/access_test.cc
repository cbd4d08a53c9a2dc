#include "serve/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitrine::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

HttpRequest request(Headers headers, std::string server = "127.0.0.1:8080") {
  HttpRequest out;
  out.headers = std::move(headers);
  out.peer.server = std::move(server);
  return out;
}

TEST(Access, HostsThatRebindingWouldUse) {
  const Access access({.keys = {}, .hosts = {"models.corp.test"}, .origins = {}});
  for (const char* host : {"localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080",
                           "models.corp.test", "models.corp.test:443"}) {
    EXPECT_FALSE(access.check_place(request({{"Host", host}}))) << host;
  }
  EXPECT_FALSE(access.check_place(request({{"Host", "192.0.2.5:8080"}}, "192.0.2.5:8080")));
  for (const char* host : {"evil.test", "evil.test:8080", "localhost.evil.test", "127.0.0.1.evil.test",
                           "192.0.2.6:8080", "", "[::1", "models.corp.test.evil"}) {
    const auto refusal = access.check_place(request({{"Host", host}}));
    ASSERT_TRUE(refusal) << host;
    EXPECT_EQ(refusal->code, "host_not_allowed");
  }
}

TEST(Access, PagesElsewhereMayNotCall) {
  const Access access({.keys = {}, .hosts = {}, .origins = {"https://app.example"}});
  const auto ask = [&](const char* origin) {
    return access.check_place(request({{"Host", "localhost:8080"}, {"Origin", origin}}));
  };
  EXPECT_FALSE(ask("http://localhost:8080"));
  EXPECT_FALSE(ask("https://app.example"));
  for (const char* origin : {"null", "http://localhost:8081", "https://localhost:8080", "http://evil.test",
                             "https://app.example.evil.test", "http://app.example"}) {
    EXPECT_TRUE(ask(origin)) << origin;
  }
}

TEST(Access, Keys) {
  auto keys =
      parse_keys("# team keys\nalice 0123456789abcdef\n\n  bob\t fedcba9876543210 \nABCDEFGHIJKLMNOP\n", "keys");
  ASSERT_TRUE(keys) << keys.error().to_string();
  ASSERT_EQ(keys->size(), 3u);
  const Access access({.keys = *keys, .hosts = {}, .origins = {}});
  std::string owner;
  EXPECT_FALSE(access.check_key(request({{"Authorization", "Bearer 0123456789abcdef"}}), owner));
  EXPECT_EQ(owner, "alice");
  EXPECT_FALSE(access.check_key(request({{"X-API-Key", "fedcba9876543210"}}), owner));
  EXPECT_EQ(owner, "bob");
  EXPECT_FALSE(access.check_key(request({{"authorization", "bearer ABCDEFGHIJKLMNOP"}}), owner));
  EXPECT_EQ(owner, "key-3");
  for (const Headers& headers : std::vector<Headers>{{},
                                                     {{"Authorization", "Bearer "}},
                                                     {{"Authorization", "Bearer 0123456789abcdeF"}},
                                                     {{"Authorization", "Bearer 0123456789abcdef0"}},
                                                     {{"Authorization", "Basic 0123456789abcdef"}}}) {
    const auto refusal = access.check_key(request(headers), owner);
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->status, 401);
    EXPECT_EQ(owner, "");
  }
}

TEST(Access, KeyFilesSayWhereTheyAreWrongAndNeverTheKey) {
  const auto wrong = [](std::string_view text) { return parse_keys(text, "keys.txt").error().to_string(); };
  EXPECT_THAT(wrong("a 0123456789abcdef\nb short-key\n"), HasSubstr("keys.txt:2"));
  EXPECT_THAT(wrong("b short-key\n"), Not(HasSubstr("short-key")));
  EXPECT_THAT(wrong("a 0123456789abcdef\na 0123456789abcdee\n"), HasSubstr("twice"));
  EXPECT_THAT(wrong("a 0123456789abc def\n"), HasSubstr("keys.txt:1"));
}

}  // namespace
}  // namespace vitrine::serve
