// A user whose country is not known, and clauses with dates of their own.
#include "audit/country_cases.h"

#include "tests/audit/audit_fixture.h"

namespace vitrine {
namespace {

using namespace testing;

const std::string kVendors = std::string(VITRINE_SOURCE_DIR) + "/policies/vendors";

PolicyText text_of(std::vector<std::string> statements) {
  PolicyText text;
  text.statements = std::move(statements);
  return text;
}

World somewhere(const std::vector<PolicyText>& texts) {
  World world;
  world.inputs.context.country.clear();
  for (const PolicyText& text : texts) world.inputs.policies.push_back(text.parse());
  return world;
}

Finding of_type(const World& world, const std::string& type) {
  Request request;
  request.values = {{type}};
  const AuditResult result = world.run({request});
  const Finding* finding = result.finding(FindingKind::flow, type, "chatco");
  if (finding == nullptr) throw std::runtime_error("no finding");
  return *finding;
}

TEST(UnknownCountry, WhatDependsOnItIsNotTestable) {
  const PolicyText text = text_of({statement("w", "collect", "device.model", "self"),
                                   statement("kr", "collect", "device.os", "self", "regions: [KR]"),
                                   statement("eea", "deny-collect", "device.battery", "self", "regions: [EEA]"),
                                   statement("more", "collect", "device.battery", "self"),
                                   statement("same", "collect", "device.model", "self", "regions: [KR]")});
  const World world = somewhere({text});
  EXPECT_EQ(of_type(world, "device.model").verdict, Verdict::clear) << "found in the text wherever the user is";
  EXPECT_EQ(of_type(world, "device.cpu").verdict, Verdict::omitted) << "found nowhere";
  const Finding os = of_type(world, "device.os");
  EXPECT_EQ(os.verdict, Verdict::not_testable) << "declared in KR: no accusation";
  EXPECT_EQ(os.reasons.at(0), (Sentence{"reason.country", {{"regions", "KR"}}}));
  EXPECT_EQ(os.explanation.id, "finding.not-testable.country");
  const Finding battery = of_type(world, "device.battery");
  EXPECT_EQ(battery.verdict, Verdict::not_testable) << "denied in the EEA: no all-clear";
  EXPECT_EQ(battery.reasons.at(0), (Sentence{"reason.country", {{"regions", "EEA"}}}));

  World known = world;
  known.inputs.context.country = "KR";
  EXPECT_EQ(of_type(known, "device.os").verdict, Verdict::clear);
  EXPECT_EQ(of_type(known, "device.battery").verdict, Verdict::clear);
  known.inputs.context.country = "FR";
  EXPECT_EQ(of_type(known, "device.battery").verdict, Verdict::ambiguous);
}

TEST(UnknownCountry, AnotherEditionMaySaySomethingElse) {
  PolicyText korean = text_of({statement("k", "collect", "device.os", "self")});
  korean.file = "chat/kr.yaml";
  korean.regions = "[KR]";
  const World world = somewhere({text_of({statement("w", "collect", "device.model", "self")}), korean});
  EXPECT_EQ(of_type(world, "device.os").verdict, Verdict::not_testable);
  EXPECT_EQ(of_type(world, "device.model").verdict, Verdict::not_testable) << "the Korean edition does not say it";
  EXPECT_EQ(of_type(world, "device.cpu").verdict, Verdict::omitted);
}

TEST(UnknownCountry, RegionalStatementsAreNotTestableNotForgotten) {
  const World world =
      somewhere({text_of({statement("kr", "collect", "device.os", "self", "regions: [KR]"),
                          statement("kr-typed", "collect", "account.email", "self", "regions: [KR]", "user-provided"),
                          statement("w", "collect", "device.cpu", "self"),
                          statement("kr-cpu", "collect", "device.cpu", "self", "regions: [KR]")})});
  const AuditResult result = world.run({Request{}});
  const Finding* os = result.finding(FindingKind::declared, "device.os", "self");
  ASSERT_NE(os, nullptr);
  EXPECT_EQ(os->verdict, Verdict::not_testable);
  EXPECT_EQ(os->reasons.at(0), (Sentence{"reason.country-declared", {{"regions", "KR"}}}));
  EXPECT_EQ(result.finding(FindingKind::declared, "device.cpu", "self")->verdict, Verdict::declared_not_observed);
  ASSERT_EQ(result.out_of_reach.size(), 1u);
  EXPECT_EQ(result.out_of_reach[0].statement.id, "kr-typed");

  World german = world;
  german.inputs.context.country = "DE";
  EXPECT_EQ(german.run({Request{}}).finding(FindingKind::declared, "device.os", "self"), nullptr);
}

TEST(UnknownCountry, ACookieAnotherEditionNamesIsNotUndeclared) {
  const auto row = [](const std::string& name) {
    return "{name: " + name +
           ", domain: chat.test, party: first, provider: self, lifetime: session, max_age: null, purpose: x, category: "
           "necessary, quote: \"q\"}";
  };
  PolicyText everywhere, korean;
  everywhere.cookies = {row("sid")};
  korean.file = "chat/kr.yaml";
  korean.regions = "[KR]";
  korean.cookies = {row("sid"), row("kr_id")};
  World world = somewhere({everywhere, korean});
  Request setting;
  setting.response_headers = {{"set-cookie", "kr_id=1"}};
  const auto cookie = [&] {
    const AuditResult result = world.run({setting});
    const Finding* finding = result.finding(FindingKind::cookie, "identifier.cookie", "chatco");
    return finding ? finding->verdict : Verdict::clear;
  };
  EXPECT_EQ(cookie(), Verdict::not_testable);
  setting.response_headers = {{"set-cookie", "other=1"}};
  EXPECT_EQ(cookie(), Verdict::omitted) << "no edition names it";
  world.inputs.context.country = "DE";
  setting.response_headers = {{"set-cookie", "kr_id=1"}};
  EXPECT_EQ(cookie(), Verdict::omitted);
}

// ---- dates of a clause ---------------------------------------------------------

TEST(StatementDates, AreReadStrictly) {
  const auto reads = [](const std::string& more) {
    return parse_policy(text_of({statement("s", "collect", "device.os", "self", more)}).yaml(), "f.yaml", taxonomy())
        .has_value();
  };
  EXPECT_TRUE(reads("from: 2026-01-01, until: 2026-01-02"));
  EXPECT_FALSE(reads("until: 2026-02"));
  EXPECT_FALSE(reads("from: 2026-01-02, until: 2026-01-02"));
  EXPECT_FALSE(reads("till: 2026-01-02"));
}

TEST(StatementDates, AClauseCountsUntilTheRecordHoldsTheTextWithoutIt) {
  World world;
  world.inputs.policies = {text_of({statement("out", "collect", "device.os", "self", "until: 2026-03-01"),
                                    statement("in", "collect", "device.cpu", "self", "from: 2026-03-02")})
                               .parse()};
  const auto verdict_on = [&](const std::string& day, const std::string& type) {
    world.inputs.context.policy_date = day;
    return of_type(world, type).verdict;
  };
  EXPECT_EQ(verdict_on("2026-02-28", "device.os"), Verdict::clear);
  EXPECT_EQ(verdict_on("2026-03-01", "device.os"), Verdict::omitted);
  EXPECT_EQ(verdict_on("2026-03-01", "device.cpu"), Verdict::omitted);
  EXPECT_EQ(verdict_on("2026-03-02", "device.cpu"), Verdict::clear);
  const AuditResult result = world.run({Request{}});
  ASSERT_EQ(result.out_of_reach.size(), 1u);
  EXPECT_EQ(result.out_of_reach[0].why, (Sentence{"reach.withdrawn", {{"date", "2026-03-01"}}}));

  // A text the user chose is read as of the day of its record, 2026-01-02.
  world.inputs.context.policy_date.reset();
  world.inputs.chosen_policies = {"chat/2026-01-01.yaml"};
  EXPECT_EQ(of_type(world, "device.os").verdict, Verdict::clear);
}

// facts: the clause stood in the English text on 28 April and 8 May 2025, not on
// 9 May; that version counts until 4 July.
TEST(StatementDates, DeepSeeksKoreanClauseOfApril2025) {
  auto held = load_policies(kVendors, taxonomy());
  ASSERT_TRUE(held) << held.error().to_string();
  const auto regions = Regions::parse(*read_file(std::string(VITRINE_SOURCE_DIR) + "/policies/laws/regions.yaml"), "r");
  ASSERT_TRUE(regions);
  const auto clauses = [&](const std::string& day, const std::string& country) {
    SelectionQuery query{"deepseek", "web", country, "en", "consumer", day};
    std::pair<std::string, size_t> found;
    for (const SelectedPolicy& use : select_policies(*held, *regions, query)) {
      if (use.policy->kind != "privacy") continue;
      found.first = use.policy->file;
      for (const Statement& statement : use.policy->statements) {
        found.second +=
            statement.id.starts_with("korea-") && statement_applies(*use.policy, statement, *regions, query);
      }
    }
    return found;
  };
  using Found = std::pair<std::string, size_t>;
  EXPECT_EQ(clauses("2025-04-27", "KR"), (Found{"deepseek/2025-02-14.yaml", 0}));
  const Found april = clauses("2025-04-28", "KR");
  EXPECT_EQ(april.first, "deepseek/2025-04-28.yaml");
  EXPECT_GE(april.second, 5u);
  EXPECT_EQ(clauses("2025-05-08", "KR"), april);
  EXPECT_EQ(clauses("2025-05-09", "KR"), (Found{"deepseek/2025-04-28.yaml", 0}));
  EXPECT_EQ(clauses("2025-07-03", "KR"), (Found{"deepseek/2025-04-28.yaml", 0}));
  EXPECT_EQ(clauses("2025-07-04", "KR"), (Found{"deepseek/2025-07-04.yaml", 0}));
  EXPECT_EQ(clauses("2025-05-01", "DE"), (Found{"deepseek/2025-04-28.yaml", 0}));
}

}  // namespace
}  // namespace vitrine
