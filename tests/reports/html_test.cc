#include "reports/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "audit/wording.h"
#include "golden.h"
#include "reports/plain_text.h"
#include "sample_results.h"

namespace vitrine {
namespace {

using namespace testing_reports;
using testing::HasSubstr;
using testing::Not;

// Every tag of the page with its attribute names, in order: what a browser
// would build. Quoted attribute values are skipped as a browser skips them.
std::vector<std::string> structure(const std::string& page) {
  std::vector<std::string> tags;
  const size_t style_begin = page.find("<style>"), style_end = page.find("</style>");
  for (size_t at = 0; at < page.size();) {
    if (at > style_begin && at < style_end) at = style_end;
    if (page[at] != '<') {
      ++at;
      continue;
    }
    std::string tag;
    char quote = 0;
    for (++at; at < page.size() && (quote != 0 || page[at] != '>'); ++at) {
      const char c = page[at];
      if (quote != 0) {
        if (c == quote) quote = 0;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else {
        tag += c;
      }
    }
    tags.push_back(tag);
  }
  return tags;
}

std::vector<std::string> values_of(const std::string& page, const std::string& attribute) {
  std::vector<std::string> values;
  const std::string opening = " " + attribute + "=\"";
  for (size_t at = page.find(opening); at != std::string::npos; at = page.find(opening, at + 1)) {
    const size_t from = at + opening.size();
    values.push_back(page.substr(from, page.find('"', from) - from));
  }
  return values;
}

TEST(Html, Golden) {
  expect_golden("sample.en.html", render_html(sample_result(), "en"));
  EXPECT_EQ(render_html(sample_result(), "ko"), render_html(sample_result(), "ko"));
}

TEST(Html, IsSelfContained) {
  const std::string page = render_html(sample_result(), "en");
  ASSERT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_TRUE(page.ends_with("</html>\n"));
  EXPECT_THAT(page, HasSubstr("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\""));
  for (const char* forbidden : {"<script", "<link", "<img", "<iframe", "@import", "src=", "url(http", "javascript:"}) {
    EXPECT_THAT(page, Not(HasSubstr(forbidden)));
  }
  for (const std::string& target : values_of(page, "href")) EXPECT_TRUE(target.starts_with("#")) << target;
}

TEST(Html, EveryLinkLeadsToOnePlace) {
  const std::string page = render_html(sample_result(), "en");
  std::set<std::string> ids;
  for (const std::string& id : values_of(page, "id")) EXPECT_TRUE(ids.insert(id).second) << "twice: " << id;
  size_t links = 0;
  for (const std::string& target : values_of(page, "href")) {
    EXPECT_TRUE(ids.contains(target.substr(1))) << target;
    ++links;
  }
  EXPECT_GT(links, 25u);
  EXPECT_THAT(page, Not(HasSubstr("⟦")));
  EXPECT_THAT(render_html(sample_result(), "ko"), Not(HasSubstr("⟦")));
}

TEST(Html, ForeignTextNeverBecomesMarkup) {
  const std::vector<std::string> plain = structure(render_html(hostile_result("zz"), "en"));
  ASSERT_GT(plain.size(), 500u);
  for (const std::string& poison : poisons()) {
    const std::string page = render_html(hostile_result(poison), "en");
    EXPECT_EQ(structure(page), plain) << poison;
    EXPECT_THAT(page, Not(HasSubstr("<script")));
    EXPECT_THAT(page, Not(HasSubstr("<img")));
    std::string text = page;
    text.erase(std::remove(text.begin(), text.end(), '\n'), text.end());
    EXPECT_EQ(printable(text), text) << "controls or bidirectional marks in the page";
  }
}

TEST(Html, TheStructureTestSeesMarkup) {
  EXPECT_NE(structure("<p>a</p>"), structure("<p><b>a</b></p>"));
  EXPECT_NE(structure("<p title=\"a\">"), structure("<p title=\"a\" onclick=\"b\">"));
}

TEST(Html, LinksRowsToSentencesAndBytes) {
  const std::string page = render_html(sample_result(), "en");
  EXPECT_THAT(page, HasSubstr("nor addresses that lead to it, to analytics companies."));
  EXPECT_THAT(page, HasSubstr("Aster Chat Privacy Notice, 2025-02-10"));
  EXPECT_THAT(page, HasSubstr("vitrine origin 12.2:4 aster-sample.pcapng"));
  EXPECT_THAT(page, HasSubstr("body|json/events/0/payload/bio|base64|json/dwell/0"));
  EXPECT_THAT(page, HasSubstr(std::string(64, 'a')));
}

TEST(Html, MarksSimulatedOnlyWhenItIs) {
  const std::string page = render_html(sample_result(), "en");
  EXPECT_THAT(page, HasSubstr("<title>SIMULATED – "));
  EXPECT_THAT(page, HasSubstr("<div class=\"simulated\""));
  EXPECT_THAT(render_html(AuditResult{}, "en"), Not(HasSubstr("SIMULATED")));
}

TEST(Html, LargeResultsStayBounded) {
  const std::string page = render_html(large_result(10'000), "en");
  EXPECT_LT(page.size(), 4'000'000u);
  EXPECT_THAT(page, HasSubstr("9,500 more findings are in report.json."));
}

TEST(Html, EmptyResultIsAPage) {
  const std::string page = render_html(AuditResult{}, "ko");
  EXPECT_TRUE(page.ends_with("</html>\n"));
  EXPECT_THAT(page, Not(HasSubstr("<tbody>\n</tbody>")));
}

TEST(Html, WordingLintPasses) {
  for (const char* locale : {"en", "ko"}) {
    const std::string page = render_html(sample_result(), locale);
    EXPECT_TRUE(forbidden_words(page).empty());
    EXPECT_THAT(page, Not(HasSubstr("compliant")));
  }
}

}  // namespace
}  // namespace vitrine
