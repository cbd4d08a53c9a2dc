// Policy files: loading, lint, selection by date, region, language; difference
// of two versions; wording; context; recipients.
#include "audit/policy.h"

#include <gtest/gtest.h>

#include "audit/policy_diff.h"
#include "audit/policy_select.h"
#include "audit/sentences.h"
#include "audit/wording.h"
#include "audit_fixture.h"

namespace vitrine {
namespace {

using testing::PolicyText;
using testing::statement;
using testing::taxonomy;

const std::string kRoot = std::string(VITRINE_SOURCE_DIR) + "/policies";

std::string error_of(const std::string& yaml) {
  auto policy = parse_policy(yaml, "p.yaml", taxonomy());
  return policy ? "" : policy.error().to_string();
}
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("no " + from);
  return text.replace(at, from.size(), to);
}

TEST(PolicyFile, ErrorsNameFileLineAndKey) {
  PolicyText text;
  text.statements = {statement("a", "collect", "device.model", "self")};
  const std::string good = text.yaml();
  EXPECT_EQ(error_of(good), "");
  struct Case {
    std::string from, to, expected;
  };
  for (const Case& each :
       {Case{"action: collect", "action: gather", "gather"}, Case{"device.model", "device.modell", "device.modell"},
        Case{"trigger: always", "trigger: sometimes", "sometimes"},
        Case{"updated: 2026-01-01", "updated: 2026-02-30", "2026-02-30"},
        Case{"complete: true", "complete: false", "complete"}, Case{"kind: privacy", "kind: poem", "poem"},
        Case{"default: chatco", "default: nobody", "nobody"}, Case{"country: CN", "country: china", "china"},
        Case{", quote: \"quote of a\"", "", "quote"}, Case{"cookies: []", "cookies: []\nextra: 1", "extra"},
        Case{"policy: 1", "policy: 2", "policy"}}) {
    const std::string error = error_of(replaced(good, each.from, each.to));
    EXPECT_NE(error.find("p.yaml:"), std::string::npos) << each.to << ": " << error;
    EXPECT_NE(error.find(each.expected), std::string::npos) << error;
  }
  text.statements.push_back(text.statements[0]);
  EXPECT_NE(error_of(text.yaml()).find("duplicate id 'a'"), std::string::npos);
}

TEST(PolicyFile, EveryShippedFileLoadsAndIsClean) {
  auto policies = load_policies(kRoot + "/vendors", taxonomy());
  ASSERT_TRUE(policies) << policies.error().to_string();
  EXPECT_GE(policies->size(), 5u);
  auto recipients = RecipientDirectory::load(kRoot + "/recipients");
  ASSERT_TRUE(recipients) << recipients.error().to_string();
  auto regions = Regions::parse(*read_file(kRoot + "/laws/regions.yaml"), "regions.yaml");
  ASSERT_TRUE(regions) << regions.error().to_string();
  for (const Policy& policy : *policies) {
    for (const LintProblem& problem : lint_policy(policy, *recipients, *regions)) {
      ADD_FAILURE() << problem.where << ": " << problem.message;
    }
  }
}

TEST(PolicyLint, FindsWhatTheGrammarCannotSee) {
  testing::World world;
  PolicyText text;
  text.statements = {statement("a", "share", "device.model, device.model", "nobody", "regions: [Atlantis]")};
  const Policy policy = text.parse();
  auto has = [&](const std::vector<LintProblem>& problems, const std::string& words) {
    for (const LintProblem& each : problems) {
      if ((each.where + each.message).find(words) != std::string::npos) return true;
    }
    return false;
  };
  const auto problems =
      lint_policy(policy, world.inputs.recipients, world.inputs.regions, "The quote  of\n b is here.");
  EXPECT_TRUE(has(problems, "unknown recipient 'nobody'"));
  EXPECT_TRUE(has(problems, "unknown region 'Atlantis'"));
  EXPECT_TRUE(has(problems, "twice"));
  EXPECT_TRUE(has(problems, "the quote is not in the text"));
  EXPECT_TRUE(has(problems, "statement a"));
  EXPECT_FALSE(
      has(lint_policy(policy, world.inputs.recipients, world.inputs.regions, "x quote\n\t of   a."), "quote is not"));
}

// ---- selection ----

struct Held {
  testing::World world;
  std::vector<Policy> policies;
  void add(const std::string& file, const std::string& updated, const std::string& last_seen,
           const std::function<void(PolicyText&)>& change = {}) {
    PolicyText text;
    text.file = file;
    text.updated = updated;
    text.first_seen = updated;
    text.last_seen = last_seen;
    if (change) change(text);
    policies.push_back(text.parse());
  }
  std::string pick(const std::string& date, const std::string& country = "DE", const std::string& language = "",
                   const std::string& platform = "web", const std::string& account = "consumer") {
    std::string out;
    for (const auto& use :
         select_policies(policies, world.inputs.regions, {"chat", platform, country, language, account, date})) {
      out += (out.empty() ? "" : " ") + use.policy->file + ":" + std::string(to_string(use.status));
    }
    return out;
  }
};

TEST(PolicySelect, ByDate) {
  Held held;
  held.add("v1", "2024-12-05", "2025-02-16");
  held.add("v2", "2025-02-14", "2025-04-27");
  EXPECT_EQ(held.pick("2024-12-04"), "");
  EXPECT_EQ(held.pick("2024-12-05"), "v1:in-force");
  EXPECT_EQ(held.pick("2025-02-13"), "v1:in-force");
  EXPECT_EQ(held.pick("2025-02-14"), "v2:in-force");
  EXPECT_EQ(held.pick("2025-04-27"), "v2:in-force");
  EXPECT_EQ(held.pick("2026-11-23"), "v2:latest-known");
  const auto late =
      select_policies(held.policies, held.world.inputs.regions, {"chat", "web", "DE", "", "consumer", "2026-11-23"});
  EXPECT_EQ(render(late.at(0).sentence, Language::en),
            "Privacy Policy, version of 2025-02-14: latest known, recorded 2025-04-27.");
  EXPECT_EQ(choose_policies(held.policies, {"v1"}).at(0).status, PolicyStatus::chosen);
}

TEST(PolicySelect, EffectiveDateGoesBeforeUpdated) {
  Held held;
  held.add("v1", "2025-01-01", "2025-12-31");
  held.add("v2", "2025-06-01", "2025-12-31", [](PolicyText& text) { text.effective = "2025-07-01"; });
  EXPECT_EQ(held.pick("2025-06-15"), "v1:in-force");
  EXPECT_EQ(held.pick("2025-07-01"), "v2:in-force");
}

TEST(PolicySelect, ByRegionLanguageServiceAndAccount) {
  Held held;
  held.add("world", "2025-01-01", "2026-12-31");
  held.add("eea", "2025-01-01", "2026-12-31", [](PolicyText& text) { text.regions = "[EEA]"; });
  held.add("kr", "2025-01-01", "2026-12-31", [](PolicyText& text) {
    text.regions = "[KR]";
    text.language = "ko";
  });
  held.add("kr-en", "2025-01-01", "2026-12-31", [](PolicyText& text) { text.regions = "[KR]"; });
  held.add("cookies", "2025-01-01", "2026-12-31", [](PolicyText& text) {
    text.kind = "cookies";
    text.services = "[web]";
  });
  held.add("business", "2025-01-01", "2026-12-31", [](PolicyText& text) { text.accounts = "[business]"; });
  EXPECT_EQ(held.pick("2026-01-01", "DE"), "cookies:in-force eea:in-force");
  EXPECT_EQ(held.pick("2026-01-01", "US"), "cookies:in-force world:in-force");
  EXPECT_EQ(held.pick("2026-01-01", ""), "cookies:in-force world:in-force");
  EXPECT_EQ(held.pick("2026-01-01", "KR", "ko"), "cookies:in-force kr:in-force");
  EXPECT_EQ(held.pick("2026-01-01", "KR", "fr"), "cookies:in-force kr-en:in-force");
  EXPECT_EQ(held.pick("2026-01-01", "US", "", "app"), "world:in-force");
  EXPECT_EQ(held.pick("2026-01-01", "US", "", "api"), "");
  EXPECT_EQ(held.pick("2026-01-01", "US", "", "web", "business"), "business:in-force");
}

// ---- difference ----

TEST(PolicyDiff, DeepSeekDroppedKeystrokesAndNamedDeviceIdentifiers) {
  auto older = parse_policy(*read_file(kRoot + "/vendors/deepseek/2024-12-05.yaml"), "old", taxonomy());
  auto newer = parse_policy(*read_file(kRoot + "/vendors/deepseek/2025-02-14.yaml"), "new", taxonomy());
  ASSERT_TRUE(older && newer);
  const PolicyDiff diff = diff_policies(*older, *newer, taxonomy());
  const DataChange* keys = nullptr;
  for (const DataChange& change : diff.data) {
    if (change.type == "behaviour.keystroke-dynamics" && change.action == "collect") keys = &change;
  }
  ASSERT_NE(keys, nullptr);
  EXPECT_EQ(keys->kind, DataChange::Kind::removed);
  EXPECT_FALSE(keys->still_broadly);
  ASSERT_FALSE(keys->old_quotes.empty());
  EXPECT_NE(keys->old_quotes[0].find("keystroke patterns or rhythms"), std::string::npos);
}

TEST(PolicyDiff, BothQuotesOfAClauseThatLostAType) {
  PolicyText a, b;
  a.statements = {
      "{id: t, action: collect, data: [device.model, device.os], recipient: self, channel: automatic, trigger: always, "
      "countries: [], quote: \"model and system\"}"};
  b.statements = {
      "{id: t, action: collect, data: [device.model], recipient: self, channel: automatic, trigger: always, countries: "
      "[], quote: \"model\"}",
      statement("w", "collect", "device", "self")};
  const PolicyDiff diff = diff_policies(a.parse(), b.parse(), taxonomy());
  ASSERT_EQ(diff.data.size(), 2u);
  EXPECT_EQ(diff.data[0].type, "device");
  EXPECT_EQ(diff.data[0].kind, DataChange::Kind::added);
  EXPECT_EQ(diff.data[1].type, "device.os");
  EXPECT_TRUE(diff.data[1].still_broadly);
  EXPECT_EQ(diff.data[1].old_quotes, std::vector<std::string>{"model and system"});
  EXPECT_EQ(diff.data[1].new_quotes, std::vector<std::string>{"model"});
  ASSERT_EQ(diff.statements.size(), 2u);
  EXPECT_EQ(diff.statements[1].kind, StatementChange::Kind::reworded);
}

// ---- wording ----

TEST(Wording, FindsForbiddenWordsInBothLanguages) {
  EXPECT_EQ(forbidden_words("This is ILLEGAL; a breach. 위반입니다 불법"),
            (std::vector<std::string>{"illegal", "breach", "위반", "불법"}));
  EXPECT_TRUE(forbidden_words("inconsistent with the text; breaching_point is one name; legal bases").empty());
  EXPECT_EQ(lint_wording("fine\nviolates it\n", "en.yaml").at(0).where, "en.yaml:2");
}

TEST(Wording, NothingShippedSaysThem) {
  for (const WordingProblem& problem : lint_sentences()) ADD_FAILURE() << problem.where << ": " << problem.word;
  for (const char* name :
       {"laws/gdpr.yaml", "laws/eprivacy.yaml", "laws/pipa.yaml", "laws/ccpa.yaml", "org/no-egress.yaml"}) {
    auto rules = parse_rules(*read_file(kRoot + "/" + name), name, taxonomy());
    ASSERT_TRUE(rules) << name;
    for (const WordingProblem& problem : lint_rules(*rules)) ADD_FAILURE() << problem.where << ": " << problem.word;
  }
}

TEST(Sentences, AreSortedAndHaveTheSamePlaceholdersInBothLanguages) {
  auto names = [](std::string_view text) {
    std::set<std::string> found;
    for (size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
      found.emplace(text.substr(at, text.find('}', at) - at));
    }
    return found;
  };
  std::string_view last;
  for (const SentenceText& each : sentence_catalogue()) {
    EXPECT_LT(last, each.id);
    last = each.id;
    EXPECT_EQ(names(each.en), names(each.ko)) << each.id;
  }
  EXPECT_EQ(render({"finding.omitted", {{"type", "t"}, {"recipient", "r"}}}, Language::en),
            "t to r: not found in the texts examined.");
}

// ---- context, recipients ----

TEST(ContextFile, IsReadStrictly) {
  auto context = parse_context(
      "context: 1\nsimulated: true\nsubject: {service: aster, client: aster-web, version: \"1.4.2\"}\n"
      "user: {country: DE, account: consumer}\noperator: \"lab\"\nsteps:\n"
      "  - {step: submit, time: \"2026-11-23T10:00:05Z\"}\n  - {step: launch, time: \"2026-11-23T10:00:00Z\", note: "
      "\"x\"}\n",
      "audit.yaml");
  ASSERT_TRUE(context) << context.error().to_string();
  EXPECT_TRUE(context->simulated);
  EXPECT_EQ(context->steps.at(0).step, "launch");
  for (const char* bad : {"context: 1\nsubject: {service: a}\nsteps: [{step: dance, time: \"2026-11-23T10:00:00Z\"}]\n",
                          "context: 1\nsubject: {service: a}\nsteps: [{step: launch, time: noon}]\n",
                          "context: 1\nsubject: {service: a}\nuser: {country: germany}\n",
                          "context: 1\nsubject: {service: a}\nsecrets: [{id: a, value: short}]\n",
                          "context: 1\nsubject: {service: a, platfrom: web}\n", "context: 1\n", "{}", ""}) {
    auto refused = parse_context(bad, "audit.yaml");
    ASSERT_FALSE(refused) << bad;
    EXPECT_NE(refused.error().to_string().find("audit.yaml"), std::string::npos);
  }
}

TEST(Recipients, RegistrableDomainsAndEntities) {
  EXPECT_EQ(registrable_domain("a.b.example.co.uk"), "example.co.uk");
  EXPECT_EQ(registrable_domain("chat.aster.test"), "aster.test");
  EXPECT_EQ(registrable_domain("co.uk"), "");
  EXPECT_EQ(registrable_domain("203.0.113.7"), "");
  testing::World world;
  const RecipientDirectory& all = world.inputs.recipients;
  EXPECT_EQ(all.by_host("T.Meter.Test")->id, "meter");
  EXPECT_EQ(all.by_host("notmeter.test"), nullptr);
  EXPECT_EQ(all.by_host("x.edge-cdn.test"), nullptr);
  EXPECT_EQ(all.by_canonical_name("x.edge-cdn.test")->id, "edge");
  EXPECT_TRUE(all.category_within("analytics", "service-provider"));
  EXPECT_FALSE(all.category_within("service-provider", "analytics"));
  EXPECT_TRUE(host_matches("*.volces.test", "a.b.volces.test"));
  EXPECT_FALSE(host_matches("*.volces.test", "volces.test"));
}

TEST(Recipients, AnEdgeIsALegOfItsOwn) {
  testing::World world;
  FlowCollector collector(world.inputs);
  testing::Request request;
  request.values = {{"device.model"}};
  testing::feed(collector, request);
  collector.resolved(IpAddress::parse("203.0.113.10"), "d1.edge-cdn.test");
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  ASSERT_FALSE(result.flows.empty());
  EXPECT_EQ(result.flows[0].leg, Leg::through_edge);
  EXPECT_EQ(result.flows[0].recipient, "chatco");
}

TEST(Recipients, ACountryDatabaseThatIsNoneIsRefused) {
  auto refused = CountryDatabase::open(std::string(VITRINE_SOURCE_DIR) + "/policies/taxonomy.yaml");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unreadable);
}

}  // namespace
}  // namespace vitrine
