#include "audit/classifier.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

struct Seen : FieldSink {
  void field(const Field& f) override { fields.push_back(f); }
  std::vector<Field> fields;
};

const Taxonomy& taxonomy() {
  static const Taxonomy loaded = *Taxonomy::load(VITRINE_SOURCE_DIR "/policies/taxonomy.yaml");
  return loaded;
}

Result<ClientRules> rules(const std::vector<ClientRules::Text>& texts) { return ClientRules::parse(texts, taxonomy()); }

std::string client(const std::string& id, const std::string& hosts, const std::string& rows) {
  return "client: " + id + "\nservice: null\nplatform: any\nversions: any\nhosts: " + hosts + "\nrules:\n" + rows;
}
std::string row(const std::string& id, const std::string& rest) {
  return "  - {id: " + id + ", source: s, date: 2026-11, " + rest + "}\n";
}

class ClassifierTest : public testing::Test {
 protected:
  ClassifierTest() {
    connection.client.ip = IpAddress::parse("203.0.113.7");
    connection.server.ip = IpAddress::parse("198.51.100.4");
    exchange.connection = &connection;
    exchange.method = "POST";
    exchange.host = "chat.deepseek.com";
    exchange.path = "/api/v0/users/login?x=1";
  }
  // Classifies one value; `pattern` 0 = not cached.
  Field classify(const ClientRules& loaded, Location location, std::string_view path, std::string_view name,
                 std::string_view value, ValueType type = ValueType::string, PatternId pattern = 0) {
    Seen seen;
    Classifier classifier(taxonomy(), loaded, seen);
    Part part;
    classifier.begin_part(exchange, part);
    classifier.field(make(location, path, name, value, type, pattern));
    classifier.end_part(exchange, part);
    EXPECT_EQ(seen.fields.size(), 1u);
    return seen.fields[0];
  }
  Field make(Location location, std::string_view path, std::string_view name, std::string_view value,
             ValueType type = ValueType::string, PatternId pattern = 0) {
    Field f;
    f.exchange = &exchange;
    f.location = location;
    f.path = path;
    f.name = name;
    f.value = value;
    f.value_type = type;
    f.pattern = pattern;
    return f;
  }
  std::string_view type_of(const Field& f) { return taxonomy().id(f.type); }

  ConnectionInfo connection;
  Exchange exchange;
};

TEST_F(ClassifierTest, ShippedRulesLoadAndDecide) {
  auto loaded = ClientRules::load({VITRINE_SOURCE_DIR "/policies/clients"}, taxonomy());
  ASSERT_TRUE(loaded) << loaded.error().to_string();
  EXPECT_GE(loaded->files().size(), 7u);
  EXPECT_EQ(loaded->files().back().client, "generic");
  const Field agent = classify(*loaded, Location::header, "header:user-agent", "user-agent", "x/1");
  EXPECT_EQ(type_of(agent), "device.user-agent");
  EXPECT_EQ(agent.observation, Observation::certain);
  EXPECT_EQ(agent.decided_by, "gen-user-agent");
  const Field mail = classify(*loaded, Location::body, "body|json/email", "email", "anna@mail.example");
  EXPECT_EQ(type_of(mail), "account.email");
  EXPECT_EQ(mail.observation, Observation::probable);
}

TEST_F(ClassifierTest, ClientFileBeforeGenericAndFieldBeforeNamesAcrossFiles) {
  const std::string generic =
      client("generic", "null", row("g", "names: [deviceid], type: identifier.other, observation: probable"));
  const std::string by_name = client("a-web", "[\"*.deepseek.com\"]",
                                     row("n", "names: [deviceid], type: identifier.device, observation: probable"));
  const std::string by_path =
      client("b-app", "[chat.deepseek.com]",
             row("f", "field: \"body|json/device_id\", type: identifier.installation, observation: probable"));
  auto one = rules({{"g.yaml", generic}, {"a.yaml", by_name}});
  ASSERT_TRUE(one) << one.error().to_string();
  EXPECT_EQ(classify(*one, Location::body, "body|json/device_id", "device_id", "x").decided_by, "n");
  auto both = rules({{"g.yaml", generic}, {"a.yaml", by_name}, {"b.yaml", by_path}});
  ASSERT_TRUE(both);
  EXPECT_EQ(classify(*both, Location::body, "body|json/device_id", "device_id", "x").decided_by, "f");
  exchange.host = "elsewhere.example";
  EXPECT_EQ(classify(*both, Location::body, "body|json/device_id", "device_id", "x").decided_by, "g");
}

TEST_F(ClassifierTest, FileOrderDecidesInsideOneFile) {
  auto loaded = rules(
      {{"c.yaml",
        client("c", "[\"*\"]",
               row("web", "names: [deviceid], value_pattern: web, type: none, observation: certain") +
                   row("first", "names: [deviceid], type: identifier.device, observation: unconfirmed") +
                   row("second", "field: \"body|json/device_id\", type: identifier.other, observation: probable"))}});
  ASSERT_TRUE(loaded) << loaded.error().to_string();
  const Field web = classify(*loaded, Location::body, "body|json/device_id", "device_id", "WEB");
  EXPECT_EQ(web.decided_by, "web");
  EXPECT_EQ(web.type, 0);
  EXPECT_EQ(web.observation, Observation::none);
  EXPECT_EQ(classify(*loaded, Location::body, "body|json/device_id", "device_id", "x").decided_by, "first");
}

TEST_F(ClassifierTest, HostUrlMethodLocationsAndParentsLimitARule) {
  auto loaded = rules(
      {{"c.yaml", client("c", "[\"*\"]",
                         row("r",
                             "host: \"chat.*\", url: \"/api/v*/users/**\", method: POST, names: [model], locations: "
                             "[body], parents: [device], type: device.model, observation: probable"))}});
  ASSERT_TRUE(loaded) << loaded.error().to_string();
  const auto decided = [&](Location at, std::string_view path) {
    return classify(*loaded, at, path, "model", "SM-1").decided_by;
  };
  EXPECT_EQ(decided(Location::body, "body|json/device/model"), "r");
  EXPECT_EQ(decided(Location::body, "body|json/events/3/device/info/model"), "r");
  EXPECT_EQ(decided(Location::body, "body|json/model"), "");
  EXPECT_EQ(decided(Location::query, "query:device|json/model"), "");
  exchange.path = "/api/v0/chat";
  EXPECT_EQ(decided(Location::body, "body|json/device/model"), "");
  exchange.path = "/api/v0/users/a/b";
  EXPECT_EQ(decided(Location::body, "body|json/device/model"), "r");
  exchange.method = "PUT";
  EXPECT_EQ(decided(Location::body, "body|json/device/model"), "");
}

TEST_F(ClassifierTest, CachedPatternsKeepConditionsAndIndicesApart) {
  auto loaded = rules(
      {{"c.yaml",
        client("c", "[\"*\"]",
               row("os", "field: \"body|json/v/0\", type: device.os, observation: probable") +
                   row("rest", "field: \"body|json/v/*\", type: device.model, observation: probable") +
                   row("cond", "names: [k], value_check: uuid, type: identifier.device, observation: certain"))}});
  ASSERT_TRUE(loaded) << loaded.error().to_string();
  Seen seen;
  Classifier classifier(taxonomy(), *loaded, seen);
  Part part;
  classifier.begin_part(exchange, part);
  classifier.field(make(Location::body, "body|json/v/1", "v", "a", ValueType::string, 1));
  classifier.field(make(Location::body, "body|json/v/0", "v", "b", ValueType::string, 1));
  classifier.field(make(Location::body, "body|json/v/2", "v", "c", ValueType::string, 1));
  classifier.field(make(Location::body, "body|json/k", "k", "no", ValueType::string, 2));
  classifier.field(
      make(Location::body, "body|json/k", "k", "3f2b8c1e-6a4d-4e0f-9b77-0c5d2a1f8e63", ValueType::string, 2));
  classifier.end_part(exchange, part);
  std::vector<std::string> by;
  for (const Field& f : seen.fields) by.emplace_back(f.decided_by);
  EXPECT_EQ(by, (std::vector<std::string>{"rest", "os", "rest", "", "cond"}));
}

TEST_F(ClassifierTest, ValueChecksDecideWithoutARule) {
  auto none = rules({});
  ASSERT_TRUE(none);
  const auto classified = [&](std::string_view value, ValueType type = ValueType::string) {
    return classify(*none, Location::body, "body|json/x", "x", value, type);
  };
  EXPECT_EQ(type_of(classified("Asia/Seoul")), "device.timezone");
  EXPECT_EQ(classified("Asia/Seoul").observation, Observation::certain);
  EXPECT_EQ(classified("Asia/Seoul").decided_by, "check:timezone_iana");
  EXPECT_EQ(type_of(classified("ko-KR")), "device.locale");
  EXPECT_EQ(classified("ko-KR").observation, Observation::unconfirmed);
  EXPECT_EQ(classified("click").type, 0);
  EXPECT_EQ(classified("17", ValueType::number).type, 0);
  EXPECT_EQ(classified("true", ValueType::boolean).type, 0);
  EXPECT_EQ(classified("").decided_by, "");
}

TEST_F(ClassifierTest, OwnAddressIsCertainAndTheServersIsNothing) {
  auto loaded = rules(
      {{"c.yaml", client("c", "[\"*\"]", row("ip", "names: [ip], type: network.ip-public, observation: probable"))}});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(classify(*loaded, Location::body, "body|json/x", "x", "203.0.113.7").observation, Observation::certain);
  EXPECT_EQ(classify(*loaded, Location::body, "body|json/x", "x", "203.0.113.8").observation, Observation::unconfirmed);
  EXPECT_EQ(classify(*loaded, Location::body, "body|json/x", "x", "198.51.100.4").type, 0);
  EXPECT_EQ(classify(*loaded, Location::body, "body|json/ip", "ip", "203.0.113.7").observation, Observation::certain);
  EXPECT_EQ(classify(*loaded, Location::body, "body|json/ip", "ip", "203.0.113.8").observation, Observation::probable);
}

TEST_F(ClassifierTest, FormConfirmsAProbableRule) {
  auto loaded =
      rules({{"c.yaml",
              client("c", "[\"*\"]", row("tz", "names: [timezone], type: device.timezone, observation: probable"))}});
  ASSERT_TRUE(loaded);
  const Field named = classify(*loaded, Location::body, "body|json/timezone", "timezone", "Asia/Seoul");
  EXPECT_EQ(named.observation, Observation::certain);
  EXPECT_EQ(named.decided_by, "tz");
  EXPECT_EQ(classify(*loaded, Location::body, "body|json/timezone", "timezone", "9").observation,
            Observation::probable);
}

TEST_F(ClassifierTest, CutValuesAreNotJudgedByForm) {
  auto none = rules({});
  Seen seen;
  Classifier classifier(taxonomy(), *none, seen);
  Field cut = make(Location::body, "body|json/x", "x", "203.0.113.7");
  cut.cut = true;
  classifier.field(cut);
  EXPECT_EQ(seen.fields[0].type, 0);
}

TEST(ClientRules, ErrorsNameFileLineAndKey) {
  const auto error_of = [](const std::string& text) {
    auto loaded = rules({{"c.yaml", text}});
    return loaded ? std::string() : loaded.error().to_string();
  };
  EXPECT_EQ(error_of(client("c", "null", row("r", "names: [a], type: device.nothing, observation: probable"))),
            "c.yaml:7, key rules[0].type: there is no type 'device.nothing' in the taxonomy");
  EXPECT_NE(error_of(client("c", "null", row("r", "names: [a-b], type: none, observation: probable")))
                .find("not a normalised name"),
            std::string::npos);
  EXPECT_NE(error_of(client("c", "null", row("r", "type: none, observation: probable"))).find("exactly one of"),
            std::string::npos);
  EXPECT_NE(
      error_of(client("c", "null", row("r", "names: [a], field: \"body|json/a\", type: none, observation: probable")))
          .find("exactly one of"),
      std::string::npos);
  EXPECT_NE(error_of(client("c", "null", row("r", "field: \"boddy|json/a\", type: none, observation: probable")))
                .find("'boddy' is not a location"),
            std::string::npos);
  EXPECT_NE(error_of(client("c", "null", row("r", "field: \"body|json/**/a\", type: none, observation: probable")))
                .find("'/**' at the end"),
            std::string::npos);
  EXPECT_NE(
      error_of(client("c", "null", row("r", "names: [a], value_pattern: \"(\", type: none, observation: probable")))
          .find("RE2"),
      std::string::npos);
  EXPECT_NE(error_of(client("c", "null", row("r", "names: [a], type: none, observation: maybe")))
                .find("unknown value 'maybe'"),
            std::string::npos);
  EXPECT_NE(
      error_of(client("c", "[]", row("r", "names: [a], type: none, observation: probable"))).find("the list is empty"),
      std::string::npos);
  auto twice = rules({{"a.yaml", client("a", "null", row("r", "names: [a], type: none, observation: probable"))},
                      {"b.yaml", client("b", "null", row("r", "names: [a], type: none, observation: probable"))}});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().to_string(), "b.yaml:7, key rules[0]: id 'r' already stands at a.yaml:7, key rules[0]");
}

TEST(PathGlob, FieldGrammar) {
  const auto m = [](std::string_view glob, std::string_view path) { return FieldGlob(glob).matches(path); };
  EXPECT_TRUE(m("body|json/events/*/t", "body|json/events/13/t"));
  EXPECT_FALSE(m("body|json/events/*/t", "body|json/events/13/a/t"));
  EXPECT_TRUE(m("header:x-*-token", "header:x-sentinel-token"));
  EXPECT_FALSE(m("header:x-*", "header:x-a|base64"));
  EXPECT_TRUE(m("header:x-ds|base64|json/**", "header:x-ds|base64|json/a/b"));
  EXPECT_TRUE(m("body|json/a/**", "body|json/a"));
  EXPECT_TRUE(m("body|json/a/**", "body|json/a|json/x"));
  EXPECT_FALSE(m("body|json/a/**", "body|json/ab"));
  EXPECT_TRUE(m("query:id", "query:id[2]"));
  EXPECT_TRUE(m("body|form/a", "body|form/a[1]"));
  EXPECT_FALSE(m("query:id", "query:id2"));
  EXPECT_TRUE(m("body|json/0/2", "body|json/0/2"));
  EXPECT_FALSE(m("body|json/0/2", "body|json/1/2"));
  EXPECT_TRUE(FieldGlob("body|json/0/2").could_match("body|json/1/7"));
  EXPECT_FALSE(FieldGlob("body|json/0/2").could_match("body|json/a"));
  EXPECT_FALSE(FieldGlob("body|json/a0/2x").indexed());
}

TEST(PathGlob, HostsAndUrls) {
  EXPECT_TRUE(host_glob_matches("*.volces.com", "gator.volces.com"));
  EXPECT_TRUE(host_glob_matches("fp-*.fengkongcloud.com", "fp-sa-it-acc.fengkongcloud.com"));
  EXPECT_FALSE(host_glob_matches("*.volces.com", "volces.com.example"));
  EXPECT_TRUE(url_glob_matches("/api/v*/users/**", "/api/v0/users/a/b"));
  EXPECT_TRUE(url_glob_matches("/backend-*/f/**", "/backend-api/f/conversation"));
  EXPECT_FALSE(url_glob_matches("/api/*", "/api/a/b"));
  EXPECT_TRUE(url_glob_matches("/**/end", "/a/b/end"));
  EXPECT_TRUE(url_glob_matches("/rec/bundle**", "/rec/bundle/v2"));
  EXPECT_FALSE(url_glob_matches("/api", "/api/"));
}

TEST(NormalisedName, KeepsLettersAndDigits) {
  EXPECT_EQ(normalised_name("X-Device-Id"), "xdeviceid");
  EXPECT_EQ(normalised_name("device_id[2]"), "deviceid");
  EXPECT_EQ(normalised_name("a[b]"), "ab");
  EXPECT_EQ(normalised_name("\xed\x95\x9c"), "");
}

}  // namespace
}  // namespace vitrine
