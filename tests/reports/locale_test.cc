#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "audit/taxonomy.h"
#include "audit/wording.h"
#include "base/file.h"
#include "reports/embedded.h"
#include "reports/locale.h"

namespace vitrine {
namespace {

std::string read(const std::string& path) {
  const Result<std::string> text = read_file(std::string(VITRINE_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(text.has_value()) << path;
  return text.value_or("");
}

std::multiset<std::string> placeholders(std::string_view text) {
  std::multiset<std::string> names;
  for (size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
    names.emplace(text.substr(at, text.find('}', at) - at + 1));
  }
  return names;
}

TEST(Locale, BothLanguagesHaveTheSameIdsAndPlaceholders) {
  const Locale english = Locale::of("en"), korean = Locale::of("ko");
  ASSERT_GT(english.texts().size(), 300u);
  for (const auto& [id, text] : english.texts()) {
    ASSERT_TRUE(korean.has(id)) << id;
    EXPECT_FALSE(text.empty()) << id;
    EXPECT_EQ(placeholders(text), placeholders(korean.text(id))) << id;
  }
  EXPECT_EQ(english.texts().size(), korean.texts().size());
}

TEST(Locale, KoreanIsKorean) {
  size_t hangul = 0;
  const Locale korean = Locale::of("ko");  // a range-for would not keep it alive
  for (const auto& [id, text] : korean.texts()) {
    hangul += text.find_first_of("\xea\xeb\xec\xed") != std::string::npos;
  }
  EXPECT_GT(hangul, korean.texts().size() * 9 / 10);
}

TEST(Locale, WordingLintPasses) {
  for (const char* file : {"reports/locale/en.json", "reports/locale/ko.json"}) {
    for (const WordingProblem& problem : lint_wording(read(file), file))
      ADD_FAILURE() << problem.where << ": " << problem.word;
  }
  for (const EmbeddedFile& file : report_files()) {
    EXPECT_TRUE(lint_wording(file.content, std::string(file.name)).empty()) << file.name;
    EXPECT_EQ(file.content.find("compliant"), std::string_view::npos) << file.name;
  }
}

TEST(Locale, EveryTypeCategoryAndStepHasWords) {
  const Result<Taxonomy> taxonomy = Taxonomy::parse(read("policies/taxonomy.yaml"), "taxonomy.yaml");
  ASSERT_TRUE(taxonomy.has_value());
  const Locale korean = Locale::of("ko");
  for (TypeId type = 1; type <= taxonomy->size(); ++type) {
    EXPECT_TRUE(korean.has("type." + std::string(taxonomy->id(type)))) << taxonomy->id(type);
  }
  const std::string categories = read("policies/recipients/categories.yaml");
  size_t found = 0;
  for (size_t at = categories.find("{id: "); at != std::string::npos; at = categories.find("{id: ", at + 1)) {
    const std::string id = categories.substr(at + 5, categories.find_first_of(",}", at) - at - 5);
    EXPECT_TRUE(korean.has("category." + id)) << id;
    ++found;
  }
  EXPECT_GT(found, 10u);
}

TEST(Locale, UnknownIdsShowThemselves) {
  EXPECT_EQ(Locale::of("en").text("no.such.id"), "⟦no.such.id⟧");
  EXPECT_EQ(Locale::of("en").word("type", "device.nothing"), "device.nothing");
  EXPECT_EQ(Locale::of("ko-KR").tag(), "ko");
  EXPECT_EQ(Locale::of("fr").tag(), "en");
}

TEST(Locale, SentencesSpeakInWords) {
  const Sentence sentence = {"reason.undecoded", {{"bytes", "12345"}, {"cause", "no_key"}}};
  EXPECT_EQ(Locale::of("en").sentence(sentence), "12,345 bytes to these hosts could not be read (no key).");
}

TEST(Locale, EmbeddedFilesAreTheFilesOfTheFolder) {
  ASSERT_EQ(report_files().size(), 8u);
  for (const EmbeddedFile& file : report_files()) EXPECT_EQ(file.content, read("reports/" + std::string(file.name)));
}

}  // namespace
}  // namespace vitrine
