// Every row of the decision table (audit model, section 6), its precedence,
// exceptions in both directions, regions, completeness.
#include "audit/verdict.h"

#include <gtest/gtest.h>

#include "audit/policy_select.h"
#include "audit_fixture.h"

namespace vitrine {
namespace {

using testing::PolicyText;
using testing::Request;
using testing::statement;
using testing::World;

struct Row {
  const char* name;
  std::vector<std::string> statements;
  std::string type, host;
  Verdict verdict;
  Vagueness vagueness = Vagueness::none;
  Inference inference = Inference::textual;
  bool complete = true;
};

class VerdictTable : public ::testing::TestWithParam<Row> {};

TEST_P(VerdictTable, Judges) {
  const Row& row = GetParam();
  World world;
  PolicyText text;
  text.statements = row.statements;
  if (!row.complete) text.missing = {"{document: \"Cookie notice\", regions: [world], data: []}"};
  world.inputs.policies = {text.parse()};
  Request request;
  request.host = row.host;
  request.referer = "https://chat.test/";
  request.values = {{row.type}};
  const AuditResult result = world.run({request});
  const RecipientInfo* to = nullptr;
  for (const RecipientInfo& each : result.recipients) {
    for (const std::string& host : each.hosts) to = host == row.host ? &each : to;
  }
  ASSERT_NE(to, nullptr);
  const Finding* finding = result.finding(FindingKind::flow, row.type, to->key);
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(to_string(finding->verdict), to_string(row.verdict));
  EXPECT_EQ(finding->vagueness, row.vagueness);
  EXPECT_EQ(finding->inference, row.inference);
  EXPECT_EQ(finding->observation, Observation::probable);
  EXPECT_FALSE(finding->is_proof());
  EXPECT_FALSE(finding->evidence.empty());
}

const std::string kModel = "device.model", kDevice = "device";

std::vector<Row> rows() {
  const auto S = [](const char* id, const char* action, const std::string& data, const char* to,
                    const char* more = "") { return statement(id, action, data, to, more); };
  const auto T = [](const char* channel) { return statement("c", "collect", "device.model", "self", "", channel); };
  // clang-format off: one row, one line
  return {
      // the table
      {"ambiguous",
       {S("p", "collect", kModel, "self"), S("d", "deny-collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::ambiguous},
      {"contradicted", {S("d", "deny-collect", kModel, "self")}, kModel, "chat.test", Verdict::contradicted},
      {"clear", {S("p", "collect", kModel, "self")}, kModel, "chat.test", Verdict::clear},
      {"vague_data", {S("p", "collect", kDevice, "self")}, kModel, "chat.test", Verdict::vague, Vagueness::data},
      {"vague_recipient",
       {S("p", "share", kModel, "analytics")},
       kModel,
       "t.meter.test",
       Verdict::vague,
       Vagueness::recipient},
      {"vague_both",
       {S("p", "share", kDevice, "service-provider")},
       kModel,
       "t.meter.test",
       Verdict::vague,
       Vagueness::both},
      {"vague_any", {S("p", "share", kModel, "any")}, kModel, "t.meter.test", Verdict::vague, Vagueness::recipient},
      {"omitted", {S("p", "collect", "device.os", "self")}, kModel, "chat.test", Verdict::omitted},
      {"texts_missing",
       {S("p", "collect", "device.os", "self")},
       kModel,
       "chat.test",
       Verdict::not_testable,
       Vagueness::none,
       Inference::document,
       false},
      // precedence: what stands in the text is said whether or not another text is missing
      {"clear_though_incomplete",
       {S("p", "collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::clear,
       Vagueness::none,
       Inference::textual,
       false},
      {"contradicted_though_incomplete",
       {S("d", "deny-collect", kDevice, "self")},
       kModel,
       "chat.test",
       Verdict::contradicted,
       Vagueness::none,
       Inference::textual,
       false},
      {"exact_beside_broad",
       {S("a", "collect", kDevice, "any"), S("b", "collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::clear},
      {"best_of_two_broad",
       {S("a", "share", kDevice, "service-provider"), S("b", "share", kModel, "analytics")},
       kModel,
       "t.meter.test",
       Verdict::vague,
       Vagueness::recipient},
      // a denial on an ancestor covers its descendants
      {"denied_by_ancestor", {S("d", "deny-collect", kDevice, "self")}, kModel, "chat.test", Verdict::contradicted},
      {"denied_for_any", {S("d", "deny-share", kDevice, "any")}, kModel, "t.meter.test", Verdict::contradicted},
      {"denied_to_category",
       {S("d", "deny-share", kModel, "service-provider")},
       kModel,
       "t.meter.test",
       Verdict::contradicted},
      {"denied_to_another", {S("d", "deny-share", kModel, "advertising")}, kModel, "t.meter.test", Verdict::omitted},
      // exceptions
      {"narrower_positive_data",
       {S("d", "deny-collect", kDevice, "self"), S("p", "collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::clear},
      {"narrower_positive_recipient",
       {S("d", "deny-share", kModel, "any"), S("p", "share", kModel, "meter")},
       kModel,
       "t.meter.test",
       Verdict::clear},
      {"narrower_positive_category",
       {S("d", "deny-share", kModel, "any"), S("p", "share", kModel, "analytics")},
       kModel,
       "t.meter.test",
       Verdict::vague,
       Vagueness::recipient},
      {"narrower_denial_data",
       {S("p", "collect", kDevice, "self"), S("d", "deny-collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::contradicted},
      {"narrower_denial_recipient",
       {S("p", "share", kModel, "service-provider"), S("d", "deny-share", kModel, "meter")},
       kModel,
       "t.meter.test",
       Verdict::contradicted},
      {"narrower_denial_category",
       {S("p", "share", kModel, "service-provider"), S("d", "deny-share", kModel, "analytics")},
       kModel,
       "t.meter.test",
       Verdict::contradicted},
      {"denial_for_another_is_no_exception",
       {S("p", "collect", kDevice, "self"), S("d", "deny-collect", "device.os", "self")},
       kModel,
       "chat.test",
       Verdict::vague,
       Vagueness::data},
      {"narrower_in_one_broader_in_other",
       {S("p", "share", kModel, "any"), S("d", "deny-share", kDevice, "meter")},
       kModel,
       "t.meter.test",
       Verdict::ambiguous},
      {"exception_to_the_exception",
       {S("p", "collect", kDevice, "any"), S("d", "deny-collect", kDevice, "self"), S("q", "collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::clear},
      // recipients
      {"self_is_not_a_third_party", {S("p", "collect", kModel, "self")}, kModel, "t.meter.test", Verdict::omitted},
      {"entity_of_the_publisher", {S("p", "collect", kModel, "chatco-two")}, kModel, "chat.test", Verdict::clear},
      {"entity_named", {S("p", "share", kModel, "meter")}, kModel, "t.meter.test", Verdict::clear},
      {"parent_company_named",
       {S("p", "share", kModel, "adgroup")},
       kModel,
       "x.ads.test",
       Verdict::vague,
       Vagueness::recipient},
      {"unknown_company", {S("p", "share", kModel, "meter")}, kModel, "who.test", Verdict::omitted},
      {"unknown_company_may_be_of_the_category",
       {S("p", "share", kModel, "analytics")},
       kModel,
       "who.test",
       Verdict::omitted,
       Vagueness::none,
       Inference::indicator},
      // only collect and share cover; only their denials contradict
      {"store_covers_nothing",
       {S("p", "store", kModel, "self"), S("u", "use", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::omitted},
      {"deny_use_contradicts_nothing",
       {S("p", "collect", kModel, "self"), S("d", "deny-use", kModel, "self"), S("e", "deny-store", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::clear},
      {"from_third_parties_covers_nothing", {T("from-third-parties")}, kModel, "chat.test", Verdict::omitted},
      {"user_provided_covers", {T("user-provided")}, kModel, "chat.test", Verdict::clear},
      {"server_side_covers", {T("server-side")}, kModel, "chat.test", Verdict::clear},
      // purpose and scope
      {"denial_of_a_purpose",
       {S("d", "deny-share", kModel, "any", "purpose: \"advertising\"")},
       kModel,
       "t.meter.test",
       Verdict::contradicted,
       Vagueness::none,
       Inference::indicator},
      {"purpose_beside_a_plain_denial",
       {S("d", "deny-share", kModel, "any", "purpose: \"advertising\""), S("e", "deny-share", kModel, "any")},
       kModel,
       "t.meter.test",
       Verdict::contradicted},
      {"scope_is_never_evaluated",
       {S("d", "deny-collect", kModel, "self", "scope: \"children\""), S("p", "collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::clear},
      // taxonomy: ancestors follow `broader`; drafts are not prompts, timing is not text
      {"draft_is_not_prompt",
       {S("p", "collect", "content.prompt, content.provided", "self")},
       "content.draft",
       "chat.test",
       Verdict::omitted},
      {"timing_is_not_text",
       {S("p", "collect", "behaviour.typed-text", "self")},
       "behaviour.keystroke-dynamics",
       "chat.test",
       Verdict::omitted},
      // who and where
      {"clause_for_another_country",
       {S("p", "collect", kModel, "self", "regions: [KR]")},
       kModel,
       "chat.test",
       Verdict::omitted},
      {"clause_for_the_region",
       {S("p", "collect", kModel, "self", "regions: [EEA]")},
       kModel,
       "chat.test",
       Verdict::clear},
      {"clause_for_another_service",
       {S("d", "deny-collect", kModel, "self", "services: [app]"), S("p", "collect", kModel, "self")},
       kModel,
       "chat.test",
       Verdict::clear},
      {"clause_for_another_account",
       {S("p", "collect", kModel, "self", "accounts: [business]")},
       kModel,
       "chat.test",
       Verdict::omitted},
  };
  // clang-format on
}

INSTANTIATE_TEST_SUITE_P(AuditModel, VerdictTable, ::testing::ValuesIn(rows()),
                         [](const auto& row) { return row.param.name; });

TEST(Verdict, NoTextHeldIsNotTestable) {
  World world;
  Request request;
  request.values = {{"device.model"}};
  const AuditResult result = world.run({request});
  const Finding* finding = result.finding(FindingKind::flow, "device.model", "chatco");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  ASSERT_EQ(finding->reasons.size(), 1u);
  EXPECT_EQ(finding->reasons[0].id, "reason.no-text");
  EXPECT_EQ(result.text_status.id, "policy.none-held");
}

TEST(Verdict, WithoutASubjectTheReportAsksForOne) {
  World world;
  world.inputs.context.service.clear();
  Request request;
  request.host = "somewhere-else.test";
  request.values = {{"device.model"}};
  const AuditResult result = world.run({request});
  EXPECT_EQ(result.text_status.id, "policy.no-subject");
  EXPECT_TRUE(result.findings.empty());
}

TEST(Verdict, KoreaClauseIsForUsersInKorea) {
  for (const auto& [country, verdict] :
       {std::pair{"KR", Verdict::clear}, std::pair{"DE", Verdict::omitted}, std::pair{"", Verdict::not_testable}}) {
    World world;
    PolicyText text;
    text.statements = {statement("kr", "share", "device.model", "guard", "regions: [KR]")};
    world.inputs.policies = {text.parse()};
    world.inputs.context.country = country;
    Request request;
    request.host = "fp.guard.test";
    request.referer = "https://chat.test/";
    request.values = {{"device.model"}};
    const AuditResult result = world.run({request});
    ASSERT_NE(result.finding(FindingKind::flow, "device.model", "guard"), nullptr);
    EXPECT_EQ(result.finding(FindingKind::flow, "device.model", "guard")->verdict, verdict) << country;
  }
}

TEST(Verdict, MissingTextsCountByTypeAndCountry) {
  struct Case {
    const char *missing, *type, *country;
    Verdict verdict;
  };
  for (const Case& each :
       {Case{"{document: \"Cookies\", regions: [world], data: [identifier.cookie]}", "identifier.cookie", "DE",
             Verdict::not_testable},
        Case{"{document: \"Cookies\", regions: [world], data: [identifier.cookie]}", "device.model", "DE",
             Verdict::omitted},
        Case{"{document: \"Device\", regions: [world], data: [device]}", "device.model", "DE", Verdict::not_testable},
        Case{"{document: \"Korean\", regions: [KR], data: []}", "device.model", "DE", Verdict::omitted},
        Case{"{document: \"Korean\", regions: [KR], data: []}", "device.model", "KR", Verdict::not_testable},
        Case{"{document: \"Korean\", regions: [KR], data: []}", "device.model", "", Verdict::not_testable}}) {
    World world;
    PolicyText text;
    text.missing = {each.missing};
    world.inputs.policies = {text.parse()};
    world.inputs.context.country = each.country;
    Request request;
    request.values = {{each.type}};
    const AuditResult result = world.run({request});
    EXPECT_EQ(result.finding(FindingKind::flow, each.type, "chatco")->verdict, each.verdict)
        << each.missing << each.type << each.country;
  }
}

TEST(Verdict, CertainAndTextualIsProof) {
  World world;
  PolicyText text;
  text.statements = {statement("d", "deny-collect", "device.model", "self")};
  world.inputs.policies = {text.parse()};
  Request request;
  request.values = {{"device.model", "x", Observation::certain}};
  const AuditResult result = world.run({request});
  EXPECT_TRUE(result.finding(FindingKind::flow, "device.model", "chatco")->is_proof());
  EXPECT_EQ(result.finding(FindingKind::flow, "device.model", "chatco")->denials.at(0).quote, "quote of d");
}

}  // namespace
}  // namespace vitrine
