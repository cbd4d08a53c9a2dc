// Chat templates against goldens of python3-jinja2 (tools/make_template_goldens.py),
// the bounds, and what a hostile template may not do. tests/peers/chat_template_test.py
// compares the templates of published models.
#include "engine/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace vitrine {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Result<std::string> render(std::string_view source, ChatMap values = {}, const ChatLimits& limits = {}) {
  const auto chat = ChatTemplate::parse(source, limits);
  if (!chat) return tl::unexpected(chat.error());
  ChatInput input;
  input.messages = ChatList{ChatMap{{"role", "user"}, {"content", "hi"}}};
  input.extra = std::move(values);
  return chat->render(input);
}

std::string outcome(std::string_view source, const ChatLimits& limits = {}) {
  const auto out = render(source, {}, limits);
  return out ? *out : out.error().to_string();
}

TEST(ChatTemplate, EqualsJinja) {
  const std::string path = std::string(VITRINE_SOURCE_DIR) + "/tests/engine/data/chat_template.golden.json";
  const auto golden = nlohmann::ordered_json::parse(*read_file(path));
  ASSERT_GT(golden["cases"].size(), 300u);
  ChatInput input;
  const ChatValue values = *ChatValue::from_json(golden["values"].dump());
  input.extra = *values.as_map();
  input.now = golden["now"];
  for (const auto& test : golden["cases"]) {
    const std::string source = test["template"];
    const auto chat = ChatTemplate::parse(source);
    const auto out = chat ? chat->render(input) : tl::unexpected(chat.error());
    if (test.contains("out")) {
      EXPECT_EQ(out ? *out : out.error().to_string(), test["out"]) << source;
    } else {
      ASSERT_FALSE(out) << source << " gave " << *out;
      EXPECT_EQ(out.error().code == ErrorCode::usage, test["error"].is_string()) << source;
      if (test["error"].is_string()) {
        EXPECT_EQ(out.error().message, test["error"]);
      }
    }
  }
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  EXPECT_THAT(outcome("a\nb\n{{ 1 + }}"), StartsWith("chat template, line 3"));
  EXPECT_THAT(outcome("a\n{{ none.x.y }}"), StartsWith("chat template, line 2"));
  EXPECT_THAT(outcome("{% if true %}\n\nx"), HasSubstr("'endif' is missing"));
  EXPECT_THAT(outcome("{% endfor %}"), HasSubstr("'endfor' without its beginning"));
  EXPECT_THAT(outcome("\n{{ 'abc"), HasSubstr("a string without end"));
  EXPECT_THAT(outcome("{{ x "), HasSubstr("a tag without end"));
  EXPECT_THAT(outcome("{# x "), HasSubstr("a comment without end"));
  EXPECT_THAT(outcome("{{ x|nonesuch }}"), HasSubstr("the filter 'nonesuch' is not supported"));
  EXPECT_THAT(outcome("{{ x is nonesuch }}"), HasSubstr("the test 'nonesuch' is not supported"));
  EXPECT_THAT(outcome("{% nonesuch %}"), HasSubstr("the statement 'nonesuch' is not supported"));
}

// What got other servers' hosts to run code (CVE-2024-34359, CVE-2025-27516,
// CVE-2026-5760 and their like): a path from a value to the interpreter's insides.
TEST(ChatTemplate, NothingReachesOutside) {
  for (const char* source : {
           "{{ ''.__class__ }}",
           "{{ ''.__class__.__mro__[1].__subclasses__() }}",
           "{{ messages.__class__ }}",
           "{{ namespace.__init__.__globals__ }}",
           "{{ raise_exception.__globals__['os'].popen('id').read() }}",
           "{{ ''['__class__'] }}",
           "{{ ''|attr('__class__') }}",
           "{{ messages|map(attribute='__class__')|list }}",
           "{{ 'x'|attr('format') }}",
           "{{ '{0.__class__}'.format('') }}",
           "{{ '{0.__class__}'.format_map({}) }}",
           "{{ '%s'|format('x') }}",
           "{{ '%(a)s' % {'a': 1} }}",
           "{{ cycler.__init__.__globals__.os }}",
           "{{ self.__init__ }}",
           "{{ lipsum.__globals__ }}",
           "{{ config }}{{ request.application }}",
           "{{ loop.__class__ }}",
           "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
           "{% set ns = namespace() %}{{ ns.__dict__ }}",
           "{% import 'os' as os %}",
           "{% include '/etc/passwd' %}",
           "{% extends 'x' %}",
           "{% from 'x' import y %}",
           "{% block a %}{% endblock %}",
           "{% call x() %}{% endcall %}",
           "{% do messages.append(1) %}",
           "{{ messages.append(1) }}",
           "{{ messages.clear() }}",
           "{{ messages[0].update({'a': 1}) }}",
           "{{ messages[0].pop('role') }}",
           "{% set messages.x = 1 %}",
           "{{ open('/etc/passwd') }}",
           "{{ eval('1') }}",
           "{% set f = ''.join %}{{ f.__self__ }}",
       }) {
    const auto out = render(source);
    EXPECT_FALSE(out) << source << " gave " << *out;
  }
  // Text from messages is never a template.
  ChatInput input;
  input.messages = ChatList{ChatMap{{"role", "user"}, {"content", "{{ 7 * 7 }}{% if %}"}}};
  EXPECT_EQ(*ChatTemplate::parse("{{ messages[0].content }}")->render(input), "{{ 7 * 7 }}{% if %}");
}

TEST(ChatTemplate, WorkAndSizeAreBounded) {
  const auto limited = [](std::string_view source) {
    const std::clock_t begin = std::clock();
    const auto out = render(source);
    EXPECT_LT(std::clock() - begin, 20 * CLOCKS_PER_SEC) << source.substr(0, 200);
    return !out && out.error().code == ErrorCode::limit;
  };
  EXPECT_TRUE(limited("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"));
  EXPECT_TRUE(limited("{% for a in range(99999999999) %}{% endfor %}"));
  EXPECT_TRUE(limited("{{ range(100001)|list }}"));
  EXPECT_TRUE(limited("{{ 'x' * 99999999999 }}"));
  EXPECT_TRUE(limited("{{ [0] * 99999999999 }}"));
  EXPECT_TRUE(limited("{{ 9223372036854775807 + 1 }}"));
  EXPECT_TRUE(limited("{{ 10 ** 1000 }}"));
  EXPECT_TRUE(
      limited("{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"));
  EXPECT_TRUE(limited(
      "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x|replace('', ns.x) %}{% endfor %}"));
  EXPECT_TRUE(
      limited("{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"));
  EXPECT_TRUE(
      limited("{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}"));
  EXPECT_TRUE(
      limited("{% set ns = namespace(x={}) %}{% for i in range(9999) %}{% set ns.x = {'a': ns.x} %}{% endfor %}"));
  EXPECT_TRUE(limited("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"));
  EXPECT_TRUE(limited("{% macro f(n) %}{{ f(n) ~ f(n) }}{% endmacro %}{{ f(1) }}"));
  EXPECT_TRUE(limited("{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{{ x }}{% endfor %}"));
  EXPECT_TRUE(
      limited("{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = x|upper|length %}{% endfor %}"));
  EXPECT_TRUE(limited("{% set x = range(100000)|list %}{% for i in x %}{% if 'a' in x %}{% endif %}{% endfor %}"));
  EXPECT_TRUE(limited("{{ range(100000)|map('string')|unique|list|length }}"));
  EXPECT_TRUE(limited("{{ 'a'|indent(99999999999999)|length ~ 'x' * 99999999 }}"));
  EXPECT_TRUE(limited("{{ ('a' * 9000000).strip('b' * 9000000) }}"));
  // Sources.
  const auto deep = [](std::string_view open, std::string_view middle, std::string_view close, int count) {
    std::string source;
    for (int i = 0; i < count; ++i) source += open;
    source += middle;
    for (int i = 0; i < count; ++i) source += close;
    return source;
  };
  EXPECT_TRUE(limited("{{ " + deep("(", "1", ")", 50000) + " }}"));
  EXPECT_TRUE(limited("{{ " + deep("[", "", "]", 50000) + " }}"));
  EXPECT_TRUE(limited("{{ " + deep("not ", "1", "", 50000) + " }}"));
  EXPECT_TRUE(limited("{{ " + deep("-", "1", "", 50000) + " }}"));
  EXPECT_TRUE(limited("{{ 1" + deep("+1", "", "", 50000) + " }}"));
  EXPECT_TRUE(limited("{{ x" + deep(".a", "", "", 50000) + " }}"));
  EXPECT_TRUE(limited("{{ x" + deep("|e", "", "", 50000) + " }}"));
  EXPECT_TRUE(limited("{{ " + deep("1 if 1 else ", "1", "", 15000) + " }}"));
  EXPECT_TRUE(limited(deep("{% if 1 %}", "", "{% endif %}", 5000)));
  EXPECT_TRUE(limited(deep("{% for x in y %}", "", "{% endfor %}", 5000)));
  EXPECT_TRUE(limited(std::string(300 << 10, 'x')));
  // A long chain of elif is no nesting.
  EXPECT_EQ(outcome("{% if 0 %}" + deep("{% elif 0 %}", "{% else %}x", "", 2000) + "{% endif %}"), "x");
  // Values from outside.
  ChatValue nested = ChatList{};
  for (int i = 0; i < 1000; ++i) nested = ChatList{nested};
  const auto out = render("x", {{"v", nested}});
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, ErrorCode::limit);
}

TEST(ChatTemplate, LimitsAreTheCallers) {
  ChatLimits limits;
  limits.steps = 50;
  EXPECT_THAT(outcome("{% for i in range(100) %}{% endfor %}", limits), HasSubstr("more than 50 steps"));
  limits = {};
  limits.output_bytes = 10;
  EXPECT_THAT(outcome("{% for i in range(9) %}ab{% endfor %}", limits), HasSubstr("more than 10 bytes of output"));
  limits = {};
  limits.source_bytes = 3;
  EXPECT_THAT(outcome("abcd", limits), HasSubstr("longer than 3 bytes"));
}

// A namespace may hold itself; nothing else can, and nothing leaks (checked by the address sanitizer).
TEST(ChatTemplate, NamespacesMayHoldThemselves) {
  EXPECT_EQ(outcome("{% set a = namespace() %}{% set a.b = a %}{% set a.c = [a] %}{{ a.b.b.b.x is defined }}"),
            "False");
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% for x in [1, 2] %}{% set ns.l = loop %}{% endfor %}{{ ns.l.index }}"),
            "2");
}

TEST(ChatTemplate, IllFormedTextIsReplaced) {
  EXPECT_EQ(*render("{{ v|length }}{{ v }}", {{"v", "a\xFF\xE4\xB8"}}), "3a\uFFFD\uFFFD");
  EXPECT_EQ(outcome("\xFF{{ 'x\xFF' }}"), "\uFFFDx\uFFFD");
}

TEST(ChatTemplate, UsesNamesWholeWords) {
  const auto chat = ChatTemplate::parse("{% if enable_thinking %}{{ tools_x }}{% endif %}");
  EXPECT_TRUE(chat->uses("enable_thinking"));
  EXPECT_FALSE(chat->uses("thinking"));
  EXPECT_FALSE(chat->uses("tools"));
}

TEST(ChatValue, ReadsJsonWithinBounds) {
  const auto value = ChatValue::from_json(R"({"b":1,"a":[1.5,true,null,"x\n"],"b":{"c":-2}})");
  ASSERT_TRUE(value);
  ASSERT_EQ(value->as_map()->size(), 2u);
  EXPECT_EQ((*value->as_map())[0].first, "b");
  EXPECT_EQ(*value->find("b")->find("c")->as_integer(), -2) << "of a key that comes twice the last value counts";
  EXPECT_EQ(*(*value->find("a")->as_list())[3].as_string(), "x\n");
  EXPECT_FALSE(ChatValue::from_json(std::string(100, '[') + std::string(100, ']')));
  for (const char* bad : {"", "{", "[1,", "{\"a\"", "{\"a\":", "nul", "1 2", "1e999", "[1}"})
    EXPECT_FALSE(ChatValue::from_json(bad)) << bad;
}

}  // namespace
}  // namespace vitrine
