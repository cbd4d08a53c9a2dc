#include "capture/fields/field_extractor.h"

#include <gmock/gmock.h>

#include "field_collector.h"

namespace vitrine {
namespace {

using testing::Collector;

TEST(FieldExtractor, HeadersCookiesQueryAndPath) {
  Collector c;
  c.exchange.path = "/api/v0/users%20x/login?did=abc%2Fd&q=two+words&flag&did=2";
  c.head({{"Host", "chat.aster.test"},
          {"X-Client-Locale", "en_US"},
          {"Cookie", "ds_session_id=0123; smidV2=2025x; ds_session_id=9"},
          {"X-Client-Locale", "de_DE"}});
  EXPECT_EQ(c.value("path:method"), "POST");
  EXPECT_EQ(c.value("path"), "/api/v0/users%20x/login");
  EXPECT_EQ(c.value("path:0"), "api");
  EXPECT_EQ(c.value("path:2|percent"), "users x");
  EXPECT_EQ(c.find("path:0")->pattern, "path:*");
  EXPECT_EQ(c.value("query:did"), "abc/d");
  EXPECT_EQ(c.value("query:did[1]"), "2");
  EXPECT_EQ(c.find("query:did")->pattern_id, c.find("query:did[1]")->pattern_id);
  EXPECT_EQ(c.value("query:q"), "two words");
  EXPECT_EQ(c.value("query:flag"), "");
  EXPECT_EQ(c.value("header:host"), "chat.aster.test");
  EXPECT_EQ(c.value("header:x-client-locale"), "en_US");
  EXPECT_EQ(c.value("header:x-client-locale[1]"), "de_DE");
  EXPECT_EQ(c.value("cookie:ds_session_id"), "0123");
  EXPECT_EQ(c.value("cookie:ds_session_id[1]"), "9");
  EXPECT_EQ(c.value("cookie:smidV2"), "2025x");
  EXPECT_EQ(c.find("header:cookie"), nullptr);
  EXPECT_EQ(c.find("cookie:smidV2")->location, Location::cookie);
  EXPECT_EQ(c.find("query:did")->location, Location::query);
  EXPECT_EQ(c.find("path:0")->location, Location::path);
  EXPECT_EQ(c.replayed, c.fields.size());
}

TEST(FieldExtractor, JsonBody) {
  Collector c;
  c.body(
      R"({"events":[{"t":1690000000123,"name":"click","ok":true},{"t":-1.50e3,"name":null}],"a/b~c|d":"x\ny","a":"1","a":"2","empty":{},"none":[]})",
      "application/json");
  EXPECT_EQ(c.value("body|json/events/0/t"), "1690000000123");
  EXPECT_EQ(c.find("body|json/events/0/t")->type, ValueType::number);
  EXPECT_EQ(c.find("body|json/events/0/t")->pattern, "body|json/events/*/t");
  EXPECT_EQ(c.find("body|json/events/0/t")->name, "t");
  EXPECT_EQ(c.value("body|json/events/1/t"), "-1.50e3") << "the lexeme is kept";
  EXPECT_EQ(c.find("body|json/events/0/ok")->type, ValueType::boolean);
  EXPECT_EQ(c.find("body|json/events/1/name")->type, ValueType::null);
  EXPECT_EQ(c.value("body|json/a~1b~0c~2d"), "x\ny");
  EXPECT_EQ(c.find("body|json/a~1b~0c~2d")->name, "a/b~c|d");
  EXPECT_EQ(c.value("body|json/a"), "1");
  EXPECT_EQ(c.value("body|json/a[1]"), "2");
  EXPECT_EQ(c.find("body|json/empty")->type, ValueType::container);
  EXPECT_EQ(c.value("body|json/none"), "[]");
  EXPECT_EQ(c.replayed, c.fields.size());
  EXPECT_EQ(c.fields.size(), 10u);
}

TEST(FieldExtractor, FormBodyOpensJsonInJson) {
  Collector c;
  c.body("f.req=%5Bnull%2C%22%5B%5B%5C%22hello+there%5C%22%5D%2C1%5D%22%5D&at=AB%3A1&",
         "application/x-www-form-urlencoded;charset=utf-8");
  EXPECT_EQ(c.value("body|form/f.req|json/1|json/0/0"), "hello there");
  EXPECT_EQ(c.value("body|form/at"), "AB:1");
  EXPECT_EQ(c.replayed, c.fields.size());
}

}  // namespace
}  // namespace vitrine
