#include "reports/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "audit/wording.h"
#include "golden.h"
#include "reports/plain_text.h"
#include "sample_results.h"

namespace vitrine {
namespace {

using namespace testing_reports;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Terminal, Golden) {
  expect_golden("sample.en.txt", render_terminal(sample_result(), "en", false, 100));
  expect_golden("sample.ko.txt", render_terminal(sample_result(), "ko", false, 100));
}

TEST(Terminal, StaysWithinItsSizeAndWidth) {
  for (int width : {60, 80, 100, 140}) {
    for (const char* locale : {"en", "ko"}) {
      const std::vector<std::string> lines = lines_of(render_terminal(sample_result(), locale, false, width));
      EXPECT_LE(lines.size(), width >= 100 ? 65u : 100u) << width;
      for (const std::string& line : lines) {
        if (line.starts_with("  vitrine ")) continue;  // commands are for copying: never broken
        EXPECT_LE(display_width(line), static_cast<size_t>(width)) << line;
      }
    }
  }
  EXPECT_LE(lines_of(render_terminal(large_result(10'000), "en", false, 100)).size(), 65u);
}

TEST(Terminal, MarksSimulatedOnlyWhenItIs) {
  EXPECT_TRUE(render_terminal(sample_result(), "ko", false, 80).starts_with("| SIMULATED"));
  AuditResult real;
  EXPECT_THAT(render_terminal(real, "en", false, 80), Not(HasSubstr("SIMULATED")));
}

TEST(Terminal, ColourOnlyWhenAsked) {
  EXPECT_THAT(render_terminal(sample_result(), "en", false, 100), Not(HasSubstr("\x1b")));
  EXPECT_THAT(render_terminal(sample_result(), "en", true, 100), HasSubstr("\x1b[1;31m"));
}

TEST(Terminal, SaysVerdictsInTheirWords) {
  const std::string text = render_terminal(sample_result(), "en", false, 140);
  EXPECT_THAT(
      text,
      HasSubstr("Keystroke timing → Metrica Pte. Ltd. (SIMULATED) (company: Singapore, address: Germany): not found "
                "in the texts examined"));
  EXPECT_THAT(text, HasSubstr("packet 520, origin 12.4:77"));
  EXPECT_THAT(text, HasSubstr("Battery state → the service itself"));
  EXPECT_THAT(text, HasSubstr("vitrine origin 12.2:4 aster-sample.pcapng"));
}

TEST(Terminal, NothingIsSaidPlainly) {
  EXPECT_THAT(render_terminal(AuditResult{}, "en", false, 80), HasSubstr("could be tied to the subject"));
}

TEST(Terminal, ForeignBytesCannotReachTheTerminal) {
  for (const std::string& poison : poisons()) {
    const std::string text = render_terminal(hostile_result(poison), "en", false, 100);
    EXPECT_EQ(printable(text).size(), text.size() + 7 * static_cast<size_t>(std::count(text.begin(), text.end(), '\n')))
        << "only line feeds may be unprintable";
  }
}

TEST(Terminal, WordingLintPasses) {
  for (const char* locale : {"en", "ko"}) {
    EXPECT_TRUE(forbidden_words(render_terminal(sample_result(), locale, false, 100)).empty());
    EXPECT_THAT(render_terminal(sample_result(), locale, false, 100), Not(HasSubstr("compliant")));
  }
}

}  // namespace
}  // namespace vitrine
