#include "audit/yaml_reader.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

std::string error_of(std::string_view text, YamlLimits limits = {}) {
  auto document = YamlDocument::parse(text, "f.yaml", limits);
  return document ? "" : document.error().to_string();
}

TEST(YamlReader, ReadsScalarsListsAndMapsWithLines) {
  auto document = YamlDocument::parse("a: 1\nb: [x, \"2\"]\nc:\n  d: null\n  e: true\n", "f.yaml");
  ASSERT_TRUE(document) << document.error().to_string();
  YamlMap map(document->root());
  EXPECT_EQ(map.integer("a"), 1);
  EXPECT_EQ(map.texts("b"), (std::vector<std::string>{"x", "2"}));
  const YamlNode* c = map.node("c");
  ASSERT_NE(c, nullptr);
  YamlMap inner(*c);
  EXPECT_EQ(inner.text_or_null("d"), std::nullopt);
  EXPECT_TRUE(inner.boolean("e"));
  EXPECT_TRUE(inner.finish());
  EXPECT_TRUE(map.finish());
  EXPECT_EQ(document->root().find("c")->find("e")->where(), "f.yaml:5, key c.e");
  EXPECT_EQ(document->root().find("b")->items()[1]->where(), "f.yaml:2, key b[1]");
}

TEST(YamlReader, UnknownKeyIsNamedWithFileAndLine) {
  auto document = YamlDocument::parse("a: 1\nextra: 2\n", "f.yaml");
  ASSERT_TRUE(document);
  YamlMap map(document->root());
  map.integer("a");
  const auto done = map.finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().to_string(), "f.yaml:2, key extra: unknown key 'extra'");
}

TEST(YamlReader, FirstFailureIsKept) {
  auto document = YamlDocument::parse("a: [1]\nb: x\n", "f.yaml");
  ASSERT_TRUE(document);
  YamlMap map(document->root());
  EXPECT_EQ(map.text("a"), "");
  EXPECT_EQ(map.integer("b"), 0);
  map.text("missing");
  EXPECT_EQ(map.finish().error().to_string(), "f.yaml:1, key a: expected a text");
}

TEST(YamlReader, MissingAndNullAreRefused) {
  auto document = YamlDocument::parse("a:\n", "f.yaml");
  ASSERT_TRUE(document);
  YamlMap null_value(document->root());
  null_value.text("a");
  EXPECT_EQ(null_value.finish().error().message, "null is not allowed here");
  YamlMap missing(document->root());
  missing.text_or_null("a");
  missing.text("b");
  EXPECT_EQ(missing.finish().error().message, "key 'b' is missing");
}

TEST(YamlReader, QuotedWordsAreNotBooleansOrNumbers) {
  auto document = YamlDocument::parse("a: \"true\"\nb: \"1\"\n", "f.yaml");
  ASSERT_TRUE(document);
  EXPECT_FALSE(document->root().find("a")->as_bool());
  EXPECT_FALSE(document->root().find("b")->as_integer());
  EXPECT_EQ(*document->root().find("b")->as_text(), "1");
}

TEST(YamlReader, ChoiceNamesTheValueAndTheList) {
  static constexpr std::pair<std::string_view, int> kWords[] = {{"one", 1}, {"two", 2}};
  auto document = YamlDocument::parse("a: three\n", "f.yaml");
  ASSERT_TRUE(document);
  YamlMap map(document->root());
  map.choice<int>("a", kWords);
  EXPECT_EQ(map.finish().error().to_string(), "f.yaml:1, key a: unknown value 'three'; allowed: one, two");
}

TEST(YamlReader, RefusesWhatTheFilesDoNotUse) {
  EXPECT_EQ(error_of("a: &x 1\nb: *x\n"), "f.yaml:1: anchors are not used in these files");
  EXPECT_EQ(error_of("a: !int 1\n"), "f.yaml:1: unknown tag '!int'");
  EXPECT_EQ(error_of("a: 1\na: 2\n"), "f.yaml:2: key 'a' stands twice");
  EXPECT_EQ(error_of("[a]: 1\n"), "f.yaml:1: a key must be a word");
  EXPECT_NE(error_of("a: 1\n---\nb: 2\n").find("more than one"), std::string::npos);
  EXPECT_NE(error_of("").find("no YAML document"), std::string::npos);
  EXPECT_NE(error_of("a: [1\n").find("f.yaml:"), std::string::npos);
}

TEST(YamlReader, BoundsHold) {
  EXPECT_NE(error_of(std::string(100, '[')), "");
  std::string deep;
  for (int i = 0; i < 30; ++i) deep += std::string(i, ' ') + "a:\n";
  EXPECT_NE(error_of(deep + std::string(30, ' ') + "b: 1\n").find("nested deeper"), std::string::npos);
  EXPECT_NE(error_of("[1,2,3,4]", {.bytes = 100, .depth = 4, .nodes = 4}).find("more values"), std::string::npos);
  EXPECT_NE(error_of("a: 1", {.bytes = 3}).find("longer than"), std::string::npos);
  std::string aliases = "a: &a [x]\n";
  for (int i = 0; i < 30; ++i) aliases += "b" + std::to_string(i) + ": [*a, *a]\n";
  EXPECT_NE(error_of(aliases), "");
}

}  // namespace
}  // namespace vitrine
