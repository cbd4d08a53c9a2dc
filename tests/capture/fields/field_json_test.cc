// NDJSON lines against the schema files that are shipped.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "capture/fields/exchange_json.h"
#include "capture/fields/field_json.h"
#include "capture/fields/pattern_table.h"
#include "field_collector.h"

namespace vitrine {
namespace {

using Json = nlohmann::json;

Json load_schema(const std::string& name) {
  std::ifstream file(std::string(VITRINE_SOURCE_DIR) + "/capture/fields/" + name);
  return Json::parse(file);
}

// The part of JSON Schema that our schema files use; an unknown keyword fails.
std::string check(const Json& schema, const Json& value, const std::string& at) {
  for (const auto& [keyword, rule] : schema.items()) {
    if (keyword == "$schema" || keyword == "$id" || keyword == "title" || keyword == "description" ||
        keyword == "properties" || keyword == "format" || keyword == "default")
      continue;
    if (keyword == "type") {
      const bool ok = rule == "object"    ? value.is_object()
                      : rule == "string"  ? value.is_string()
                      : rule == "integer" ? value.is_number_integer() || value.is_number_unsigned()
                      : rule == "number"  ? value.is_number()
                      : rule == "boolean" ? value.is_boolean()
                                          : false;
      if (!ok) return at + " is not a " + rule.get<std::string>();
    } else if (keyword == "const") {
      if (value != rule) return at + " is not " + rule.dump();
    } else if (keyword == "enum") {
      if (std::find(rule.begin(), rule.end(), value) == rule.end())
        return at + " has no value of the list: " + value.dump();
    } else if (keyword == "minimum") {
      if (value.get<double>() < rule.get<double>()) return at + " is too small";
    } else if (keyword == "maximum") {
      if (value.get<double>() > rule.get<double>()) return at + " is too large";
    } else if (keyword == "minLength") {
      if (value.get<std::string>().size() < rule.get<size_t>()) return at + " is too short";
    } else if (keyword == "pattern") {
      // Only character classes, \. and : are used; walk them by hand.
      static const std::map<std::string, std::string> kAllowed = {{"^[0-9]+\\.[0-9]+$", "0123456789."},
                                                                  {"^[0-9]+\\.[0-9]+:[0-9]+$", "0123456789.:"},
                                                                  {"^[0-9a-f]{64}$", "0123456789abcdef"}};
      const auto allowed = kAllowed.find(rule.get<std::string>());
      if (allowed == kAllowed.end()) return at + " has an unknown pattern";
      if (value.get<std::string>().empty() ||
          value.get<std::string>().find_first_not_of(allowed->second) != std::string::npos)
        return at + " breaks its pattern";
    } else if (keyword == "required") {
      for (const auto& key : rule) {
        if (!value.contains(key.get<std::string>())) return at + " lacks " + key.get<std::string>();
      }
    } else if (keyword == "additionalProperties") {
      for (const auto& [key, member] : value.items()) {
        if (!schema["properties"].contains(key)) return at + " has an unknown key " + key;
        if (const std::string bad = check(schema["properties"][key], member, at + "/" + key); !bad.empty()) return bad;
      }
    } else {
      return "unknown keyword " + keyword;
    }
  }
  return {};
}

class LineSink : public FieldSink {
 public:
  void field(const Field& field) override {
    Field f = field;
    const char* type = "";
    if (f.name == "model") {
      f.observation = Observation::probable;
      f.decided_by = "rule-1";
      f.confidence = 0.75F;
      type = "device.model";
    }
    writer.append(lines, f, type);
    std::string single;
    append_field_json(single, f, type);
    EXPECT_TRUE(lines.ends_with(single)) << "the cache changes nothing";
  }
  FieldJsonWriter writer;
  std::string lines;
};

TEST(FieldJson, LinesFollowTheSchema) {
  LineSink sink;
  FieldExtractor extractor(sink);
  testing::Collector c;  // for its exchange
  c.exchange.process = "aster \"beta\"";
  extractor.opened(c.exchange);
  const std::vector<HeaderField> headers = {{"User-Agent", "Aster/1.0", 0, 9},
                                            {"X-Bad", "\xff\x01 and \"quotes\"", 9, 10}};
  Part head;
  head.time = *parse_rfc3339("2026-11-23T10:00:00.123Z");
  head.headers = headers;
  extractor.part(c.exchange, head);
  std::string blob(200, '\0');
  for (size_t i = 0; i < blob.size(); ++i) blob[i] = static_cast<char>(i * 37);
  const std::string body = R"({"model":"A-5","n":1.50,"t":true,"z":null,"e":"","o":{},"u":"caf\u00e9\n\"x\""})";
  Part part;
  part.kind = Part::Kind::body;
  part.time = head.time;
  for (const std::string& content : {body, blob}) {
    part.content = as_bytes(content);
    part.wire_bytes = content.size();
    extractor.part(c.exchange, part);
  }
  const Json schema = load_schema("field.schema.json");
  std::istringstream stream(sink.lines);
  std::string line;
  std::map<std::string, Json> by_path;
  std::set<std::string> keys;
  while (std::getline(stream, line)) {
    const Json json = Json::parse(line);
    EXPECT_EQ(check(schema, json, "field"), "") << line;
    by_path[json["path"]] = json;
    for (const auto& [key, value] : json.items()) keys.insert(key);
  }
  EXPECT_EQ(by_path["body|json/model"]["type"], "device.model");
  EXPECT_EQ(by_path["body|json/model"]["confidence"], 0.75);
  EXPECT_EQ(by_path["body|json/model"]["time"], "2026-11-23T10:00:00.123Z");
  EXPECT_EQ(by_path["body|json/model"]["client"]["process"], "aster \"beta\"");
  EXPECT_EQ(by_path["body|json/model"]["client"]["port"], 50000);
  EXPECT_EQ(by_path["body|json/model"]["host"], "chat.aster.test");
  EXPECT_EQ(by_path["body|json/n"]["value"], "1.50");
  EXPECT_EQ(by_path["body|json/n"]["value_type"], "number");
  EXPECT_EQ(by_path["body|json/n"]["origin"].get<std::string>().substr(0, 4), "7.1:");
  for (const char* default_or_derived : {"schema_version", "exchange", "location", "name", "direction", "value_type"}) {
    EXPECT_FALSE(by_path["body|json/model"].contains(default_or_derived)) << default_or_derived;
  }
  EXPECT_EQ(by_path["body|json/u"]["value"], "caf\xc3\xa9\n\"x\"");
  EXPECT_FALSE(by_path["body|json/z"].contains("value"));
  EXPECT_FALSE(by_path["body|json/e"].contains("value"));
  EXPECT_FALSE(by_path["body|json/e"].contains("opaque"));
  EXPECT_EQ(by_path["body|json/o"]["value_type"], "container");
  EXPECT_EQ(by_path["header:x-bad"]["value_type"], "binary");
  EXPECT_EQ(by_path["body"]["opaque"], true);
  EXPECT_EQ(by_path["body"]["bytes"], 200);
  EXPECT_GT(by_path["body"]["entropy"].get<double>(), 7);
  EXPECT_TRUE(keys.contains("decided_by"));
}

TEST(FieldJson, LongValuesAreCutAtACharacter) {
  testing::Collector c;
  Field field;
  field.exchange = &c.exchange;
  field.path = "body|text";
  const std::string text =
      "ab\xc3\xa9"
      "cd";
  field.value = text;
  std::string out;
  append_field_json(out, field, {}, {.text = 3, .binary = 2});
  Json json = Json::parse(out);
  EXPECT_EQ(json["value"], "ab");
  EXPECT_EQ(json["cut"], true);
  EXPECT_EQ(json["bytes"], 6);
  field.value_type = ValueType::binary;
  out.clear();
  append_field_json(out, field, {}, {.text = 3, .binary = 2});
  EXPECT_EQ(Json::parse(out)["value"], "YWI=");
}

// Every plain and every special byte at every alignment: what is written reads back.
TEST(FieldJson, EscapesEveryByte) {
  testing::Collector c;
  Field field;
  field.exchange = &c.exchange;
  field.path = "p";
  for (int byte = 0; byte < 0x80; ++byte) {
    for (const size_t at : {0u, 1u, 2u, 3u, 5u, 7u, 8u, 11u, 15u, 16u, 17u, 40u}) {
      for (const size_t size : {1u, 2u, 3u, 4u, 6u, 7u, 8u, 9u, 12u, 15u, 16u, 17u, 31u, 32u, 33u, 41u, 3000u}) {
        if (at >= size) continue;
        std::string text(size, 'x');
        text[at] = static_cast<char>(byte);
        field.value = text;
        std::string out;
        append_field_json(out, field, {});
        ASSERT_EQ(Json::parse(out)["value"], text);
      }
    }
  }
}

// The same field by the short way and by the general one (a value is cut there).
TEST(FieldJson, DefaultsAreLeftOut) {
  testing::Collector c;
  Field field;
  field.exchange = &c.exchange;
  field.path = "query:q";
  field.value = "long enough to cut";
  field.observation = Observation::probable;
  field.decided_by = "rule-1";
  field.confidence = 0.8F;
  for (const size_t text : {100u, 4u}) {
    std::string out;
    append_field_json(out, field, "content.prompt", {.text = text, .binary = 2});
    const Json json = Json::parse(out);
    EXPECT_FALSE(json.contains("confidence"));
    EXPECT_FALSE(json.contains("direction"));
    EXPECT_FALSE(json.contains("value_type"));
    EXPECT_EQ(json["type"], "content.prompt");
    EXPECT_EQ(json["observation"], "probable");
    EXPECT_EQ(json["value"], std::string(field.value.substr(0, text)));
  }
  field.direction = Direction::server_to_client;
  field.confidence = 0.5F;
  std::string out;
  append_field_json(out, field, "content.prompt");
  EXPECT_EQ(Json::parse(out)["direction"], "server_to_client");
  EXPECT_EQ(Json::parse(out)["confidence"], 0.5);
}

TEST(ExchangeJson, LinesFollowTheSchema) {
  testing::Collector c;
  Exchange& e = c.exchange;
  e.scheme = "https";
  e.authority = "chat.aster.test";
  e.path = "/a?b=\"c\"";
  e.status = 200;
  e.protocol = Protocol::http2;
  e.opened = *parse_rfc3339("2026-11-23T10:00:00Z");
  e.message(Direction::client_to_server).complete = e.message(Direction::server_to_client).complete = true;
  e.message(Direction::client_to_server).content_bytes = 12;
  e.message(Direction::client_to_server).sha256 = std::string(64, 'a');
  std::string out;
  append_exchange_json(out, e, CloseReason::complete);
  ASSERT_TRUE(out.ends_with("}\n"));
  const Json schema = load_schema("exchange.schema.json");
  const Json json = Json::parse(out);
  EXPECT_EQ(check(schema, json, "exchange"), "");
  EXPECT_EQ(json["exchange"], "7.1");
  EXPECT_EQ(json["url"], "https://chat.aster.test/a?b=\"c\"");
  EXPECT_EQ(json["request_bytes"], 12);
  EXPECT_EQ(json["response_bytes"], 0);
  EXPECT_EQ(json["complete"], true);
  EXPECT_FALSE(json.contains("response_sha256"));
  std::string cut;
  append_exchange_json(cut, e, CloseReason::gap);
  EXPECT_EQ(Json::parse(cut)["complete"], false);
  EXPECT_EQ(Json::parse(cut)["closed"], "gap");
  EXPECT_EQ(check(schema, Json::parse(cut), "exchange"), "");
}

TEST(PatternTable, InternsATrie) {
  using Step = PatternTable::Step;
  PatternTable table(5);
  const PatternId body = table.intern(0, Step::location, "body");
  const PatternId json = table.intern(body, Step::decoder, "json");
  const PatternId events = table.intern(json, Step::key, "ev/ents");
  const PatternId any = table.intern(events, Step::index, "3");
  EXPECT_EQ(table.intern(events, Step::index, "4"), any);
  EXPECT_EQ(table.text(any), "body|json/ev~1ents/*");
  EXPECT_EQ(table.parent(any), events);
  EXPECT_EQ(table.step_text(events), "ev/ents");
  EXPECT_NE(table.intern(json, Step::key, "*"), any);
  EXPECT_EQ(table.size(), 5u);
  EXPECT_EQ(table.intern(json, Step::key, "more"), 0u);
  EXPECT_EQ(table.intern(json, Step::key, "ev/ents"), events) << "a full table still finds";
  EXPECT_EQ(table.intern(body, Step::key, std::string(300, 'x')), 0u);
  EXPECT_EQ(table.text(0), "");
  EXPECT_EQ(table.text(1234), "");
}

// What followed the last time is a hint only: any order gives what intern gives.
TEST(PatternTable, MembersAreWhatInternSays) {
  using Step = PatternTable::Step;
  PatternTable table(40), plain(40);
  const PatternId object = table.intern(0, Step::location, "body"), same = plain.intern(0, Step::location, "body");
  uint64_t state = 1;
  for (int round = 0; round < 300; ++round) {
    PatternId before = 0;
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      const std::string key = "k" + std::to_string(round % 3 == 0 ? i : static_cast<int>(state >> 33) % 60);
      const PatternTable::Member member = table.member(object, before, key);
      ASSERT_EQ(member.pattern, plain.intern(same, Step::key, key));
      ASSERT_EQ(member.key_hash, hash_key(key, 0));
      before = member.pattern;
    }
  }
  EXPECT_EQ(table.member(0, 0, "k1").pattern, 0u);
}

TEST(PatternTable, GrowsWithoutLosingIds) {
  PatternTable table(100'000);
  const PatternId root = table.intern(0, PatternTable::Step::location, "body");
  std::vector<PatternId> ids;
  for (int i = 0; i < 20'000; ++i)
    ids.push_back(table.intern(root, PatternTable::Step::key, "key" + std::to_string(i)));
  for (int i = 0; i < 20'000; ++i)
    ASSERT_EQ(table.intern(root, PatternTable::Step::key, "key" + std::to_string(i)), ids[i]);
  EXPECT_EQ(table.text(ids[777]), "body/key777");
}

}  // namespace
}  // namespace vitrine
