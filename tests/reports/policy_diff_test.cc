#include "reports/policy_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "audit/wording.h"
#include "golden.h"
#include "reports/plain_text.h"

namespace vitrine {
namespace {

using namespace testing_reports;
using testing::HasSubstr;

PolicyDiff sample_diff() {
  PolicyDiff diff;
  diff.old_file = "aster/2024-12.yaml";
  diff.new_file = "aster/2025-02.yaml";
  diff.old_date = "2024-12-09";
  diff.new_date = "2025-02-10";
  diff.data = {{DataChange::Kind::added,
                "collect",
                "self",
                "identifier.device",
                {},
                {"We assign a number to your device."},
                false},
               {DataChange::Kind::removed,
                "collect",
                "self",
                "behaviour.keystroke-dynamics",
                {"The rhythm in which you press the keys."},
                {},
                false},
               {DataChange::Kind::removed,
                "collect",
                "self",
                "behaviour.typed-text",
                {"The rhythm in which you press the keys."},
                {},
                false},
               {DataChange::Kind::removed,
                "share",
                "analytics",
                "device.model",
                {"We share the model."},
                {"We share details."},
                true}};
  diff.statements = {{StatementChange::Kind::removed, "keystrokes", "The rhythm in which you press the keys.", ""},
                     {StatementChange::Kind::reworded, "share", "We share the model.", "We share details."}};
  diff.cookies = {{CookieChange::Kind::changed, "mtk_id", ".metrica.test", "6 months", "13 months"}};
  return diff;
}

TEST(PolicyDiffText, Golden) {
  expect_golden("policy-diff.en.txt", render_policy_diff(sample_diff(), "en", false, 90));
  expect_golden("policy-diff.ko.txt", render_policy_diff(sample_diff(), "ko", false, 90));
  expect_golden("policy-diff.json", render_policy_diff_json(sample_diff()));
}

TEST(PolicyDiffText, ShowsBothQuotesAndGroupsWhatChangedTogether) {
  const std::string text = render_policy_diff(sample_diff(), "en", false, 120);
  EXPECT_THAT(text, HasSubstr("- Keystroke timing, Text as it is typed"));
  EXPECT_THAT(text, HasSubstr("older: “We share the model.”"));
  EXPECT_THAT(text, HasSubstr("newer: “We share details.”"));
  EXPECT_THAT(text, HasSubstr("a broader word of the newer text still covers it"));
  EXPECT_TRUE(forbidden_words(text).empty());
}

TEST(PolicyDiffText, NoChangeIsSaid) {
  EXPECT_THAT(render_policy_diff(PolicyDiff{}, "en", false, 80), HasSubstr("named in both"));
}

TEST(PolicyDiffText, ForeignBytesCannotReachTheTerminal) {
  for (const std::string& poison : poisons()) {
    PolicyDiff diff = sample_diff();
    for (DataChange& change : diff.data) change.old_quotes = {poison};
    diff.statements[0].old_quote = diff.statements[0].id = diff.cookies[0].name = diff.new_file = poison;
    const std::string text = render_policy_diff(diff, "en", false, 90);
    EXPECT_EQ(printable(text).size(),
              text.size() + 7 * static_cast<size_t>(std::count(text.begin(), text.end(), '\n')));
    EXPECT_EQ(nlohmann::json::parse(render_policy_diff_json(diff))["data"].size(), diff.data.size());
  }
}

}  // namespace
}  // namespace vitrine
