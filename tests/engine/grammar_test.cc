// The language of compiled schemas, by example.
#include "engine/grammar.h"

#include <gmock/gmock.h>

#include <chrono>

namespace vitrine {
namespace {

using testing::HasSubstr;

struct Case {
  const char* schema;
  std::vector<const char*> in, out;
};

void check(const Case& c, const GrammarOptions& options = {}) {
  SCOPED_TRACE(c.schema);
  const auto grammar = compile_json_schema(c.schema, options);
  ASSERT_TRUE(grammar.has_value()) << grammar.error().to_string();
  for (const char* text : c.in) EXPECT_TRUE(matches(**grammar, text)) << text;
  for (const char* text : c.out) EXPECT_FALSE(matches(**grammar, text)) << text;
}

TEST(Grammar, Types) {
  check({R"({"type": "null"})",
         {"null", " null", "\nnull", "\n\nnull"},
         {"", "nul", "nulls", "null ", "  null", "\n\n\nnull", "\tnull"}});
  check({R"({"type": "boolean"})", {"true", "false"}, {"True", "1", "\"true\""}});
  check({R"({"type": ["string", "null"]})", {"null", "\"null\""}, {"1", "\"null"}});
  check({R"({"type": "integer"})",
         {"0", "-0", "12", "-7", "12345678901234567890"},
         {"00", "01", "+1", "1.0", "1e3", "-", "123456789012345678901", "--1"}});
  check({R"({"type": "number"})",
         {"0", "1.5", "-0.25", "1e9", "1E-99", "0.00e+1", "12"},
         {"1.", ".5", "1e", "1e100", "01.5", "1.e3", "NaN", "0.123456789012345678901"}});
  check({"true", {"1", "\"a\"", "[1, {\"a\": []}]", "{}", "null"}, {"", "[1,]", "{\"a\"}", "[1 2]"}});
}

TEST(Grammar, Strings) {
  check({R"({"type": "string"})",
         {R"("")", R"("a b")", "\"\u00e9\ud55c\U0001F600\"", R"("\"\\\/\b\f\n\r\t")",
          R"("\u00e9\uD83D\uDE00\ud7ff\ue000\udbff\udfff")"},
         {"\"\n\"", "\"\x1f\"", R"("\u12")", R"("\x41")", R"("\ud83d")", R"("\ud83dx")", R"("\ud83d\u0041")",
          R"("\udc00")", "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe0\x80\x80\"",
          "\"\xc3\"", R"("a)"}});
  check({R"({"type": "string", "minLength": 2, "maxLength": 3})",
         {R"("ab")", R"("abc")", "\"\ud55c\uae00\"", R"("\u0041\n")", R"("\uD83D\uDE00\uD83D\uDE00\uD83D\uDE00")"},
         {R"("a")", R"("abcd")", R"("")", R"("\uD83D\uDE00")"}});
  check({R"({"type": "string", "maxLength": 0})", {R"("")"}, {R"("a")", R"("\n")"}});
}

TEST(Grammar, Objects) {
  const char* person = R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
                           "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2}}, "required": ["age"],
                           "additionalProperties": false})";
  check({person,
         {R"({"age": 1})", R"({"name":"a","age":1,"tags":["x","y"]})", "{\n  \"age\": 1\n}", R"({ "age": 1 })",
          "{\n\t\"name\": \"\",\n\t\"age\": 3,\n\t\"tags\": [\n\t]\n}", R"({"age":1,"tags":[]})"},
         {"{}", R"({"name": "a"})", R"({"age": 1, "name": "a"})", R"({"age": 1, "x": 2})", R"({"age": 1,})",
          R"({"age":  1})", R"({"age" : 1})", R"({"age": 1 , "tags": []})", R"({"age":1,"tags":["x","y","z"]})",
          R"({"age": 1, "age": 1})", R"({"ag\u0065": 1})", "{\n\n\"age\": 1}", "{\r\n\"age\": 1}"}});
  check({R"({"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}})",
         {"{}", R"({"a": null})", R"({"a": null, "b": 1, "ab": 2, "": 3})", R"({"b": 1})", R"({"b": 1, "b": 2})"},
         {R"({"a": 1})", R"({"b": null})", R"({"b": 1, "a": null})"}});
  check({R"({"properties": {"\u00e9\"\n": true, "\u00ea": true}, "required": ["z"], "additionalProperties": true})",
         {"{\"\u00e9\\\"\\n\": 1, \"z\": 2}", "{\"z\": 1}", "{\"z\": 1, \"\u00e8\": 2}",
          "{\"z\": 1, \"\u00e9\": 2, \"\u00e9\\\"\": 1}"},
         {"{\"\u00e8\": 1, \"z\": 2}", "{\"z\": 1, \"\u00ea\": 2}", "{\"z\": 1, \"\xc3\": 2}", "1"}});
  check({R"({"type": "object"})", {"{}", R"({"a": [1, {}]})"}, {"[]", "1"}});
  check({R"({"type": "object", "properties": {}})", {"{}", "{ }", "{\n}"}, {R"({"a": 1})"}});
  check({R"({"properties": {"a": {"type": "integer"}}})",
         {"{}", R"({"a": 1})", R"({"a": 1, "b": 2})", "3"},
         {R"({"a": ""})"}},
        {.open = true});
}

TEST(Grammar, Arrays) {
  check({R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
         {"[1]", "[1,2]", "[1, 2, 3]", "[\n  1,\n  2\n]", "[ 1 ]"},
         {"[]", "[1,2,3,4]", "[1,]", "[,1]", "[1 ,2]", "[1\n,2]"}});
  check({R"({"prefixItems": [{"type": "string"}, {"type": "null"}], "items": {"type": "integer"}})",
         {"[]", R"(["a"])", R"(["a", null])", R"(["a", null, 1, 2])"},
         {"[1]", R"(["a", 1])", R"(["a", null, null])"}});
  check({R"({"prefixItems": [{"type": "string"}], "items": false})", {"[]", R"(["a"])"}, {R"(["a", 1])"}});
  check({R"({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}, "maxItems": 1000000000})",
         {"[]", "[[],[1],[2,3]]", "[[1],\n[]]"},
         {"[1]", "[[[]]]"}});
}

TEST(Grammar, EnumAndConst) {
  check({R"({"enum": ["a", "ab", 1, 12, 1.50, null, true, {"x": [1, "y"]}, []]})",
         {R"("a")", R"("ab")", "1", "12", "1.50", "null", "true", R"({"x": [1, "y"]})", "[]", R"({"x":[1,"y"]})"},
         {R"("b")", "2", "1.5", "false", R"({"x": [1]})", "{}", "[1]", R"("\u0061")", "121"}});
  check({R"({"type": "string", "enum": ["a", 1, "long"], "maxLength": 2})", {R"("a")"}, {"1", R"("long")"}});
  check({R"({"const": "a\"b\u0001"})", {R"("a\"b\u0001")"}, {R"("a")"}});
  check({R"({"type": "integer", "enum": [1, 2.0, 2.5, 9], "maximum": 8})", {"1", "2.0"}, {"2", "2.5", "9"}});
}

TEST(Grammar, Numbers) {
  check({R"({"type": "integer", "minimum": -5, "maximum": 120})",
         {"-5", "0", "-0", "7", "99", "100", "120"},
         {"-6", "121", "130", "1000", "-10", "200"}});
  check({R"({"type": "integer", "exclusiveMinimum": 9.5, "exclusiveMaximum": 1e3})",
         {"10", "999"},
         {"9", "1000", "0", "-10"}});
  check({R"({"type": "number", "minimum": 0.5, "maximum": 10})",
         {"0.5", "0.50", "0.51", "1", "9.99", "10", "10.0", "10.000"},
         {"0.4", "0", "0.49", "10.01", "-1", "1e0", "11"}});
  check({R"({"type": "number", "exclusiveMaximum": 0})", {"-1", "-0.001", "-123.5"}, {"0", "-0", "-0.0", "1"}});
  check({R"({"type": "number", "maximum": -1.25})",
         {"-1.25", "-1.250", "-1.26", "-2", "-10"},
         {"-1.24", "-1", "-0.5", "1", "0"}});
  check({R"({"type": "integer", "multipleOf": 15, "minimum": 1})", {"15", "150", "45"}, {"0", "10", "5", "16"}});
}

TEST(Grammar, Patterns) {
  check({R"({"type": "string", "pattern": "^[a-c]{2,3}$"})",
         {R"("ab")", R"("abc")"},
         {R"("a")", R"("abca")", R"("abd")"}});
  check({R"({"type": "string", "pattern": "b+"})", {R"("b")", R"("abba")", "\"\u00e9b\\\"\""}, {R"("")", R"("aca")"}});
  check({R"({"type": "string", "pattern": "^(foo|b(?:ar)?)\\d*$"})",
         {R"("foo")", R"("b12")", R"("bar0")"},
         {R"("ba")", R"("foox")"}});
  check({R"({"type": "string", "pattern": "^.$"})",
         {"\"\ud55c\"", "\"\U0001F600\"", R"("\"")", R"("\u0000")"},
         {R"("\n")", R"("ab")", "\"\xed\x95\""}});
  check({R"({"type": "string", "pattern": "^[^a]$"})",
         {R"("\n")", R"("b")", R"("\\")", R"("\u001f")", "\"\x7f\""},
         {R"("a")", R"("\u0062")", R"("\u000a")", R"("\u001F")", R"("\/")"}});
  check({R"({"type": "string", "pattern": "^a|b$"})", {R"("ax")", R"("xb")"}, {R"("xa")", R"("bx")"}});
  check({R"({"type": "string", "pattern": "^a*$", "minLength": 2, "maxLength": 4})",
         {R"("aa")", R"("aaaa")"},
         {R"("a")", R"("aaaaa")"}});
  check({R"({"type": "string", "pattern": "$^"})", {R"("")"}, {R"("a")"}});
  check({R"({"type": "string", "pattern": "^[\\w.-]+@x\\.(com|org)$"})",
         {R"("a.b-c@x.com")"},
         {R"("@x.com")", R"("a@xXcom")"}});
  check({R"({"type": "string", "pattern": "^[\ud55c-\ud7a3]{2}$"})", {"\"\ud55c\ud7a3\""}, {"\"\ud55b\ud7a3\""}});
}

TEST(Grammar, Formats) {
  check({R"({"type": "string", "format": "date"})",
         {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
         {R"("2023-02-29")", R"("1900-02-29")", R"("2024-13-01")", R"("2024-04-31")", R"("0000-01-01")",
          R"("2024-1-1")"}});
  check({R"({"type": "string", "format": "date-time"})",
         {R"("2024-02-29T23:59:59Z")", R"("2024-01-01T00:00:00.5+09:00")"},
         {R"("2024-02-29 23:59:59Z")", R"("2024-02-29T24:00:00Z")", R"("2024-02-29T23:59:59")"}});
  check({R"({"type": "string", "format": "uuid"})",
         {R"("123e4567-e89b-12d3-a456-426614174000")"},
         {R"("123e4567e89b12d3a456426614174000")"}});
  check({R"({"type": "string", "format": "ipv4"})",
         {R"("0.0.0.0")", R"("255.255.255.255")"},
         {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}});
  check({R"({"type": "string", "format": "ipv6"})",
         {R"("::")", R"("::1")", R"("1::")", R"("1:2:3:4:5:6:7:8")", R"("1:2::7:8")", R"("1:2:3:4:5:6:7::")",
          R"("::ffff:1.2.3.4")", R"("1:2::3:1.2.3.4")"},
         {R"("1:2:3:4:5:6:7")", R"(":::")", R"("1::2::3")", R"("12345::")", R"("1:2:3:4:5:6:7:8:9")",
          R"("1:2:3:4:5:6:7:8::")"}});
  check({R"({"type": "string", "format": "email"})",
         {R"("a.b@example.org")"},
         {R"("a@")", R"("@b")", R"("a..b@c")", R"("a b@c")"}});
  check({R"({"type": "string", "format": "hostname"})",
         {R"("a")", R"("a-b.example")"},
         {R"("-a")", R"("a-")", R"("a..b")", R"("")"}});
  check({R"({"type": "string", "format": "duration"})",
         {R"("P1D")", R"("PT1H30M")", R"("P2W")", R"("P1Y2M3DT4H5M6S")"},
         {R"("P")", R"("PT")", R"("1D")", R"("P1H")"}});
  check({R"({"type": "string", "format": "time"})", {R"("12:00:00Z")"}, {R"("12:00:60Z")", R"("12:00")"}});
  check({R"({"type": "string", "format": "uri"})",
         {R"("https://a.b/c?d=e#f")", R"("mailto:a@b")", R"("a:")"},
         {R"("a b:")", R"("//x")", R"("http://a b")"}});
}

TEST(Grammar, Combinations) {
  check(
      {R"({"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a", "b"]},
                       {"type": "object", "properties": {"a": {"type": "integer"}, "c": {"type": "string"}}, "required": ["a"]},
                       {"type": "string"}]})",
       {R"({"a": 1, "b": null})", R"({"a": 1})", R"({"a": 1, "c": "x"})", R"("s")"},
       {R"({"a": 1, "b": null, "c": "x"})", R"({"a": 1, "c": null})", R"({"b": null})"}});
  check(
      {R"({"type": "object", "properties": {"a": {"type": "integer"}}, "allOf": [{"properties": {"a": {"maximum": 5}, "b": {"type": "string"}}},
             {"required": ["b"]}]})",
       {R"({"a": 5, "b": ""})", R"({"b": ""})"},
       {R"({"a": 6, "b": ""})", R"({"a": 5})"}});
  check({R"({"oneOf": [{"properties": {"kind": {"const": "x"}, "v": {"type": "integer"}}, "required": ["kind"]},
                       {"properties": {"kind": {"enum": ["y", "z"]}, "w": {"type": "integer"}}, "required": ["kind"]}, {"type": "null"}]})",
         {R"({"kind": "x", "v": 1})", R"({"kind": "y", "w": 1})", "null"},
         {R"({"kind": "x", "w": 1})", "{}"}});
  check(
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
       {R"({"a": 1})", R"({"b": 1})", R"({"a": 1, "b": 2})"},
       {"{}"}});
  check({R"({"anyOf": [{"const": 1}, {"type": "integer", "minimum": 10}, {"const": "1"}]})",
         {"1", "10", "11", "\"1\""},
         {"2", "01"}});
  check({R"({"allOf": [{"type": ["integer", "string"]}, {"type": ["number", "null"]}]})",
         {"1"},
         {"1.5", "null", "\"a\""}});
}

TEST(Grammar, References) {
  const char* list =
      R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"value": {"type": "integer"},
                         "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"]}}})";
  check({list,
         {R"({"value": 1, "next": null})", R"({"value": 1, "next": {"value": 2, "next": null}})"},
         {R"({"value": 1})", R"({"value": 1, "next": {"value": 2}})"}});
  check({R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[],[[]]]"}, {"[1]"}});
  check({R"({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "null"}}})", {"null"}, {"1"}});
  check({R"({"$ref": "#/$defs/s", "maxLength": 1, "$defs": {"s": {"type": "string"}}})", {R"("a")"}, {R"("ab")"}});
}

// Nesting stops where the bound can still be met.
TEST(Grammar, DepthIsBoundedWithoutDeadEnds) {
  const char* list = R"({"type": "object", "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
                         "deep": {"type": "array", "items": {"type": "array", "minItems": 1, "items": {"type": "array"}}}},
                         "required": ["next"], "additionalProperties": false})";
  check({list,
         {R"({"next": {"next": {"next": null}}})", R"({"next": {"next": null, "deep": []}})",
          R"({"next": null, "deep": []})"},
         {R"({"next": {"next": {"next": {"next": null}}}})", R"({"next": {"next": {"next": null, "deep": []}}})",
          R"({"next": null, "deep": [[[]]]})"}},
        {.document_depth = 3});
}

void refused(const char* schema, ErrorCode code, const char* where, const char* message,
             const GrammarOptions& options = {}) {
  SCOPED_TRACE(schema);
  const auto grammar = compile_json_schema(schema, options);
  ASSERT_FALSE(grammar.has_value());
  EXPECT_EQ(grammar.error().code, code) << grammar.error().to_string();
  EXPECT_EQ(grammar.error().where, where);
  EXPECT_THAT(grammar.error().message, HasSubstr(message));
}

TEST(Grammar, RefusesByName) {
  const auto unsupported = [](const char* schema, const char* where, const char* message) {
    refused(schema, ErrorCode::unsupported, where, message);
  };
  unsupported(R"({"not": {}})", "#/not", "'not'");
  unsupported(R"({"properties": {"a/b": {"patternProperties": {}}}})", "#/properties/a~1b/patternProperties",
              "patternProperties");
  unsupported(R"({"items": {"uniqueItems": true}})", "#/items/uniqueItems", "not supported");
  unsupported(R"({"minProperties": 1})", "#/minProperties", "minProperties");
  unsupported(R"({"if": {}})", "#/if", "'if'");
  unsupported(R"({"$ref": "https://example.org/x"})", "#/$ref", "within the schema");
  unsupported(R"({"$ref": "#name"})", "#/$ref", "by place");
  unsupported(R"({"$dynamicRef": "#a"})", "#/$dynamicRef", "$dynamicRef");
  unsupported(R"({"format": "idn-email"})", "#/format", "idn-email");
  unsupported(R"({"pattern": "(a)\\1"})", "#/pattern", "back reference");
  unsupported(R"x({"pattern": "(?=a)"})x", "#/pattern", "look-around");
  unsupported(R"({"pattern": "\\bx"})", "#/pattern", "\\b");
  unsupported(R"({"type": "number", "multipleOf": 0.01})", "#/multipleOf", "whole numbers");
  unsupported(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", "#/oneOf", "0 and 1");
  unsupported(R"({"$schema": "https://example.org/s"})", "#/$schema", "dialect");
  unsupported(R"({"nullable": true})", "#/nullable", "null");
  unsupported(R"({"allOf": [{"anyOf": [{"type": "string", "made up": 1}]}]})", "#/allOf/0/anyOf/0/made up", "made up");
  unsupported(R"({"const": {"a": 1}, "required": ["b"]})", "#/const", "beside");
}

TEST(Grammar, RefusesWhatIsNoSchema) {
  const auto malformed = [](const char* schema, const char* where, const char* message) {
    refused(schema, ErrorCode::malformed, where, message);
  };
  malformed("", "", "not JSON");
  malformed("{", "", "not JSON");
  malformed("{} x", "", "not JSON");
  malformed("{\"a\": \"\xff\"}", "", "UTF-8");
  malformed(R"({"a": "\ud800"})", "", "not JSON");
  malformed("[]", "#", "a schema is");
  malformed(R"({"type": "strin"})", "#/type", "must be");
  malformed(R"({"type": []})", "#/type", "must be");
  malformed(R"({"properties": {"a": 1}})", "#/properties/a", "a schema");
  malformed(R"({"required": [1]})", "#/required/0", "a name");
  malformed(R"({"maxLength": -1})", "#/maxLength", "0 or more");
  malformed(R"({"maxLength": 1.5})", "#/maxLength", "0 or more");
  malformed(R"({"minimum": "1"})", "#/minimum", "a number");
  malformed(R"({"anyOf": []})", "#/anyOf", "array of schemas");
  malformed(R"({"$ref": "#/nowhere"})", "#/$ref", "there is no");
  malformed(R"({"$ref": "#"})", "#", "without end");
  malformed(R"({"anyOf": [{"type": "null"}, {"$ref": "#"}]})", "#", "without end");
  malformed(R"x({"pattern": "("})x", "#/pattern", "'('");
  malformed(R"({"pattern": "a{2,1}"})", "#/pattern", "wrong way");
  malformed(R"({"type": "null", "type": "null"})", "#", "twice");
}

TEST(Grammar, RefusesSchemasOfNothing) {
  for (const char* schema :
       {"false", R"({"enum": []})", R"({"type": "string", "minLength": 2, "maxLength": 1})",
        R"({"allOf": [{"type": "null"}, {"type": "string"}]})",
        R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})",
        R"({"type": "array", "minItems": 1, "items": {"$ref": "#"}})",
        R"({"type": "integer", "minimum": 1.2, "maximum": 1.8})", R"({"type": "string", "pattern": "a^"})",
        R"({"type": "array", "minItems": 2, "prefixItems": [{}, false]})",
        R"({"type": "integer", "minimum": 123456789012345678901234567890})"}) {
    refused(schema, ErrorCode::usage, "", "no text");
  }
}

TEST(Grammar, Choices) {
  const std::vector<std::string> texts = {"yes", "no", "yes, but"};
  const auto grammar = compile_choice(texts);
  ASSERT_TRUE(grammar.has_value());
  for (const char* text : {"yes", "no", "yes, but", " no"}) EXPECT_TRUE(matches(**grammar, text)) << text;
  for (const char* text : {"", "ye", "yes,", "maybe", "no "}) EXPECT_FALSE(matches(**grammar, text)) << text;
}

TEST(Grammar, Calls) {
  CallGrammar calls;
  calls.separator = "\n";
  calls.calls = 2;
  for (const char* name : {"time", "timer"}) {
    calls.tools.push_back(
        {name, std::string("<tool_call>\n{\"name\": \"") + name + "\", \"arguments\": ",
         name == std::string("time")
             ? R"({"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]})"
             : R"({"type": "integer"})",
         "}\n</tool_call>"});
  }
  const auto grammar = compile_calls(calls);
  ASSERT_TRUE(grammar.has_value()) << grammar.error().to_string();
  const std::string one = "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"zone\": \"CET\"}}\n</tool_call>";
  const std::string two = "<tool_call>\n{\"name\": \"timer\", \"arguments\": 60}\n</tool_call>";
  for (const std::string& text : {one, two, one + "\n" + two, two + "\n" + two})
    EXPECT_TRUE(matches(**grammar, text)) << text;
  for (const std::string& text : {std::string(), one + "\n", one + two, one + "\n" + two + "\n" + one})
    EXPECT_FALSE(matches(**grammar, text)) << text;

  calls.tools[1].after = "0";
  EXPECT_THAT(compile_calls(calls).error().message, HasSubstr("go on a number"));
  calls.tools[1] = calls.tools[0];
  calls.tools[1].before += "{";
  EXPECT_THAT(compile_calls(calls).error().message, HasSubstr("like a value"));
  calls.tools[1] = calls.tools[0];
  calls.tools[1].parameters = R"({"type": "object", "properties": {"a": {"not": {}}}})";
  EXPECT_EQ(compile_calls(calls).error().where, "tool 'time' #/properties/a/not");
  EXPECT_FALSE(compile_calls({}).has_value());
}

// Each ends, quickly, in a grammar or an error that names a place.
TEST(Grammar, HostileSchemasStayWithinBounds) {
  const auto repeat = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  std::vector<std::string> schemas;
  schemas.push_back(
      R"({"type": "array", "items": {"type": "string", "minLength": 999999999}, "minItems": 1000000000, "maxItems": 100000000000000000000})");
  schemas.push_back(repeat(R"({"anyOf": [)", 100) + "{}" + repeat("]}", 100));
  schemas.push_back(repeat(R"({"items": )", 250) + "{}" + repeat("}", 250));
  schemas.push_back(repeat(R"({"items": )", 100000) + "{}" + repeat("}", 100000));
  std::string many = R"({"enum": [)";
  for (int i = 0; i < 60000; ++i) many += (i ? ",\"" : "\"") + std::to_string(i * 7919) + "\"";
  schemas.push_back(many + "]}");
  std::string wide = R"({"anyOf": [)";
  for (int i = 0; i < 20000; ++i)
    wide +=
        std::string(i ? "," : "") + R"({"type": "object", "properties": {"a": {"const": )" + std::to_string(i) + "}}}";
  schemas.push_back(wide + "]}");
  // 2^30 combinations of alternatives
  std::string product = R"({"allOf": [)";
  for (int i = 0; i < 30; ++i) {
    const std::string n = std::to_string(i);
    product += std::string(i ? "," : "") + R"({"anyOf": [{"properties": {"a)" + n +
               R"(": {"type": "string"}}}, {"required": ["b)" + n + R"("]}]})";
  }
  schemas.push_back(product + "]}");
  // Each definition two of the next.
  std::string chain = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 5000; ++i) {
    const std::string next = R"({"$ref": "#/$defs/d)" + std::to_string(i + 1) + "\"}";
    chain += "\"d" + std::to_string(i) + R"(": {"allOf": [)" + next + "," + next + "]},";
  }
  schemas.push_back(chain + R"("d5000": {}}})");
  std::string nested = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 5000; ++i) {
    const std::string next = R"({"$ref": "#/$defs/d)" + std::to_string(i + 1) + "\"}";
    nested += "\"d" + std::to_string(i) + R"(": {"prefixItems": [)" + next + "," + next + "], \"minItems\": 2},";
  }
  schemas.push_back(nested + R"("d5000": {}}})");
  for (const char* pattern :
       {"^(a|b)*a(a|b){30}$", "((a{100}){100}){100}", "a{100000}{100000}", "(x+x+)+y", "^[\\\\w]{1,5000}$",
        "(a?){2000}a{2000}", "((((((((((a{10}){10}){10}){10}){10}){10}){10}){10}){10}){10})"}) {
    schemas.push_back(std::string(R"({"type": "string", "maxLength": 100000, "pattern": ")") + pattern + "\"}");
  }
  schemas.push_back(R"({"type": "string", "pattern": ")" + repeat("(", 50000) + repeat(")", 50000) + "\"}");
  schemas.push_back(R"({"type": "string", "pattern": ")" + repeat("a|", 50000) + "a\"}");
  std::string properties = R"({"type": "object", "properties": {)";
  for (int i = 0; i < 18000; ++i)
    properties += (i ? ",\"" : "\"") + repeat("x", i % 40) + std::to_string(i) + R"(": {"type": "integer"})";
  schemas.push_back(properties + "}}");
  for (const std::string& schema : schemas) {
    SCOPED_TRACE(schema.substr(0, 100));
    const auto start = std::chrono::steady_clock::now();
    const auto grammar = compile_json_schema(schema);
    const auto spent = std::chrono::steady_clock::now() - start;
    EXPECT_LT(std::chrono::duration<double>(spent).count(), 5) << "ten times of what it takes";
    EXPECT_TRUE(grammar.has_value() || grammar.error().code == ErrorCode::limit ||
                grammar.error().code == ErrorCode::malformed);
  }
}

}  // namespace
}  // namespace vitrine
