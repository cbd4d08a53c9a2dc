// What must change in a finding when one thing changes in the texts, in the
// context or in what could be read; everything else stays as recorded.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/cli/aster.h"

namespace vitrine::cli::aster {
namespace {

using testing::Contains;
using testing::Field;

constexpr const char* kAster = "aster-intelligence";
constexpr const char* kKeystrokes = "behaviour.keystroke-dynamics";
const std::string kDecember = "aster/2024-12.yaml";

AuditResult mutated(const std::string& scenario, std::function<void(AuditInputs&)> mutate) {
  Options options;
  options.mutate = std::move(mutate);
  return audit(scenario, "2024-12", options);
}

Statement statement(const AuditInputs& inputs, Action action, const std::string& data, const std::string& recipient) {
  Statement out;
  out.id = "added";
  out.action = action;
  out.data = {data};
  out.types = {inputs.taxonomy->find(data)};
  EXPECT_NE(out.types.front(), 0);
  out.recipient = recipient;
  out.channel = Channel::automatic;
  out.trigger = "always";
  out.quote = "(added by the test)";
  return out;
}

// Findings that differ between two results, as "kind type recipient: before > after".
std::vector<std::string> differences(const AuditResult& before, const AuditResult& after) {
  std::vector<std::string> out;
  const auto key = [](const Finding& f) { return std::string(to_string(f.kind)) + " " + f.type + " " + f.recipient; };
  for (const Finding& finding : before.findings) {
    const Finding* other = after.finding(finding.kind, finding.type, finding.recipient);
    if (verdict_of(&finding) != verdict_of(other))
      out.push_back(key(finding) + ": " + verdict_of(&finding) + " > " + verdict_of(other));
  }
  for (const Finding& finding : after.findings) {
    if (before.finding(finding.kind, finding.type, finding.recipient) == nullptr) {
      out.push_back(key(finding) + ": – > " + verdict_of(&finding));
    }
  }
  return out;
}

TEST(AsterMutations, WithoutTheKeystrokeStatementItIsOmittedAndNothingElseChanges) {
  const AuditResult result = mutated("keystroke", [](AuditInputs& inputs) {
    auto& statements = policy_of(inputs, kDecember).statements;
    const size_t before = statements.size();
    std::erase_if(statements, [](const Statement& each) { return each.id == "keystrokes"; });
    ASSERT_EQ(statements.size(), before - 1);
  });
  const Finding* finding = result.finding(FindingKind::flow, kKeystrokes, kAster);
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::omitted);
  EXPECT_EQ(finding->observation, Observation::certain);
  EXPECT_EQ(finding->inference, Inference::textual);
  EXPECT_TRUE(finding->is_proof());
  EXPECT_TRUE(finding->positives.empty());
  EXPECT_FALSE(finding->evidence.empty());
  EXPECT_EQ(finding->explanation.id, "finding.omitted");
  EXPECT_THAT(
      differences(cached("keystroke", "2024-12"), result),
      testing::ElementsAre(testing::HasSubstr("behaviour.keystroke-dynamics aster-intelligence: clear > omitted")));
}

TEST(AsterMutations, ADenialAddedIsAmbiguous) {
  const AuditResult result = mutated("keystroke", [](AuditInputs& inputs) {
    policy_of(inputs, kDecember).statements.push_back(statement(inputs, Action::deny_collect, kKeystrokes, "self"));
  });
  const Finding* finding = result.finding(FindingKind::flow, kKeystrokes, kAster);
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::ambiguous);
  ASSERT_EQ(finding->positives.size(), 1u);
  EXPECT_EQ(finding->positives.front().id, "keystrokes");
  ASSERT_EQ(finding->denials.size(), 1u);
  EXPECT_EQ(finding->denials.front().id, "added");
  EXPECT_FALSE(finding->denials.front().excepted);
}

TEST(AsterMutations, ADenialInsteadOfTheStatementIsContradicted) {
  const AuditResult result = mutated("keystroke", [](AuditInputs& inputs) {
    for (Statement& each : policy_of(inputs, kDecember).statements) {
      if (each.id == "keystrokes") each.action = Action::deny_collect;
    }
  });
  const Finding* finding = result.finding(FindingKind::flow, kKeystrokes, kAster);
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::contradicted);
  ASSERT_EQ(finding->denials.size(), 1u);
  EXPECT_EQ(finding->denials.front().id, "keystrokes");
}

TEST(AsterMutations, ANarrowStatementIsAnExceptionToABroadDenial) {
  const AuditResult result = mutated("keystroke", [](AuditInputs& inputs) {
    policy_of(inputs, kDecember).statements.push_back(statement(inputs, Action::deny_collect, "behaviour", "self"));
  });
  const Finding* finding = result.finding(FindingKind::flow, kKeystrokes, kAster);
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::clear);
  ASSERT_EQ(finding->denials.size(), 1u);
  EXPECT_TRUE(finding->denials.front().excepted);
}

TEST(AsterMutations, ABroaderWordIsVague) {
  const AuditResult result = mutated("keystroke", [](AuditInputs& inputs) {
    for (Statement& each : policy_of(inputs, kDecember).statements) {
      if (each.id != "keystrokes") continue;
      each.data = {"behaviour"};
      each.types = {inputs.taxonomy->find("behaviour")};
    }
  });
  const Finding* finding = result.finding(FindingKind::flow, kKeystrokes, kAster);
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::vague);
  EXPECT_EQ(finding->vagueness, Vagueness::data);
}

TEST(AsterMutations, CleanWithTheTypingStepIsDeclaredNotObserved) {
  const AuditResult& result = cached("clean", "2024-12");
  const Finding* finding = result.finding(FindingKind::declared, kKeystrokes, "self");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::declared_not_observed);
  ASSERT_EQ(finding->positives.size(), 1u);
  EXPECT_EQ(finding->positives.front().id, "keystrokes");
  EXPECT_TRUE(finding->reasons.empty());
  EXPECT_TRUE(finding->coverage.all_read());
  // Its name, and its address: a connection opened in advance was never used, and named nothing.
  EXPECT_THAT(finding->coverage.hosts, testing::ElementsAre("2001:db8:10::10", "chat.aster.test"));
}

TEST(AsterMutations, CleanWithoutTheTypingStepIsNotTestable) {
  const AuditResult result = mutated("clean", [](AuditInputs& inputs) {
    ASSERT_EQ(std::erase_if(inputs.context.steps, [](const Step& step) { return step.step == "typing-start"; }), 1u);
  });
  const Finding* finding = result.finding(FindingKind::declared, kKeystrokes, "self");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  ASSERT_EQ(finding->reasons.size(), 1u);
  EXPECT_EQ(finding->reasons.front().id, "reason.step-not-taken");
  EXPECT_THAT(finding->reasons.front().arguments,
              testing::ElementsAre(std::pair<std::string, std::string>("step", "typing-start")));
  EXPECT_TRUE(finding->coverage.all_read());
}

TEST(AsterMutations, ATypingStepOutsideTheRecordingExercisesNothing) {
  const AuditResult result = mutated("clean", [](AuditInputs& inputs) {
    for (Step& step : inputs.context.steps) {
      if (step.step == "typing-start") step.time.ns += 3600 * int64_t{1'000'000'000};
    }
  });
  const Finding* finding = result.finding(FindingKind::declared, kKeystrokes, "self");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  EXPECT_THAT(finding->reasons, Contains(Field(&Sentence::id, "reason.step-not-taken")));
}

TEST(AsterMutations, BaselineIsNotTestableBecauseOfTheBlobAndSaysItsBytes) {
  const Finding* finding = cached("baseline", "2024-12").finding(FindingKind::declared, kKeystrokes, "self");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  ASSERT_EQ(finding->coverage.undecoded.size(), 1u);
  EXPECT_EQ(finding->coverage.undecoded.front().first, Cause::opaque);
  EXPECT_THAT(finding->coverage.hosts, testing::ElementsAre("2001:db8:10::10", "api.aster.test", "chat.aster.test"));
  // The ledger has the same bytes in the row of the host they went to.
  uint64_t opaque = 0;
  for (const LedgerRow& row : cached("baseline", "2024-12").ledger) {
    if (row.host == "chat.aster.test" && row.direction == Direction::client_to_server)
      opaque = row.bytes[Cause::opaque];
  }
  EXPECT_EQ(finding->coverage.undecoded.front().second, opaque);
  ASSERT_EQ(finding->reasons.size(), 1u);
  EXPECT_EQ(finding->reasons.front().id, "reason.undecoded");
  EXPECT_THAT(finding->reasons.front().arguments,
              Contains(std::pair<std::string, std::string>("bytes", std::to_string(opaque))));
  // A missing step is a second reason, not another verdict.
  const AuditResult without = mutated("baseline", [](AuditInputs& inputs) {
    std::erase_if(inputs.context.steps, [](const Step& step) { return step.step == "typing-start"; });
  });
  const Finding* both = without.finding(FindingKind::declared, kKeystrokes, "self");
  ASSERT_NE(both, nullptr);
  EXPECT_EQ(both->verdict, Verdict::not_testable);
  EXPECT_EQ(both->reasons.size(), 2u);
}

TEST(AsterMutations, CleanWithoutKeysIsNotTestable) {
  Options options;
  options.ignore_embedded_secrets = true;
  const AuditResult result = audit("clean", "2024-12", options);
  const Finding* finding = result.finding(FindingKind::declared, kKeystrokes, "self");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  ASSERT_EQ(finding->coverage.undecoded.size(), 1u);
  EXPECT_EQ(finding->coverage.undecoded.front().first, Cause::no_key);
  EXPECT_GT(finding->coverage.undecoded.front().second, 10'000u);
  ASSERT_EQ(finding->reasons.size(), 1u);
  EXPECT_EQ(finding->reasons.front().id, "reason.undecoded");
  EXPECT_THAT(finding->reasons.front().arguments, Contains(std::pair<std::string, std::string>("cause", "no_key")));
}

// The other side of the ledger's rule: without keys, what was decoded of a TLS
// connection moves to no_key, and the sum stays.
TEST(AsterMutations, WithoutKeysBytesMoveToNoKeyAndTheSumStays) {
  Options options;
  options.ignore_embedded_secrets = true;
  const AuditResult blind = audit("clean", "2024-12", options);
  const AuditResult& sighted = cached("clean", "2024-12");
  ASSERT_EQ(blind.ledger.size(), sighted.ledger.size());
  for (size_t i = 0; i < blind.ledger.size(); ++i) {
    const LedgerRow &without = blind.ledger[i], &with = sighted.ledger[i];
    EXPECT_EQ(without.host, with.host);
    EXPECT_EQ(without.bytes.total(), with.bytes.total()) << with.host;
    EXPECT_EQ(without.bytes[Cause::decoded] + without.bytes[Cause::no_key], with.bytes[Cause::decoded]) << with.host;
  }
}

TEST(AsterMutations, MissingTextsAreNotTestableAndNamed) {
  const std::string missing = "Supplementary notice for residents of Korea (SIMULATED)";
  const auto add_missing = [&](AuditInputs& inputs) {
    Policy& policy = policy_of(inputs, "aster/2025-02.yaml");
    policy.complete = false;
    policy.missing.push_back({missing, {"KR"}, {"behaviour"}, {inputs.taxonomy->find("behaviour")}});
  };
  Options korea;
  korea.mutate = [&](AuditInputs& inputs) {
    add_missing(inputs);
    inputs.context.country = "KR";
  };
  const AuditResult result = audit("keystroke", "2025-02", korea);
  EXPECT_EQ(result.context.country, "KR");
  for (const char* recipient : {kAster, "metrica"}) {
    const Finding* finding = result.finding(FindingKind::flow, kKeystrokes, recipient);
    ASSERT_NE(finding, nullptr);
    EXPECT_EQ(finding->verdict, Verdict::not_testable);
    EXPECT_THAT(finding->missing, testing::ElementsAre(missing));
    EXPECT_THAT(finding->reasons, Contains(Field(&Sentence::id, "reason.texts-missing")));
    EXPECT_FALSE(finding->is_proof());
  }
  // The missing text cannot speak about other data, and not to other countries.
  const Finding* draft = result.finding(FindingKind::flow, "content.draft", kAster);
  ASSERT_NE(draft, nullptr);
  EXPECT_EQ(draft->verdict, Verdict::omitted);
  Options germany;
  germany.mutate = add_missing;
  const Finding* elsewhere = nullptr;
  const AuditResult german = audit("keystroke", "2025-02", germany);
  elsewhere = german.finding(FindingKind::flow, kKeystrokes, kAster);
  ASSERT_NE(elsewhere, nullptr);
  EXPECT_EQ(elsewhere->verdict, Verdict::omitted);
}

TEST(AsterMutations, WithoutAnyTextNothingIsTestable) {
  const AuditResult result = mutated("keystroke", [](AuditInputs& inputs) {
    inputs.chosen_policies.clear();
    inputs.policies.clear();
  });
  EXPECT_TRUE(result.policies.empty());
  EXPECT_EQ(result.text_status.id, "policy.none-held");
  size_t flows = 0;
  for (const Finding& finding : result.findings) {
    if (finding.kind != FindingKind::flow) continue;
    ++flows;
    EXPECT_EQ(finding.verdict, Verdict::not_testable);
    EXPECT_THAT(finding.reasons, Contains(Field(&Sentence::id, "reason.no-text")));
  }
  EXPECT_GT(flows, 50u);
}

// Chosen by date: the December notice was the one in force in January 2025.
TEST(AsterMutations, ThePolicyDateChoosesTheVersion) {
  for (const auto& [date, file] :
       {std::pair("2025-01-15", "aster/2024-12.yaml"), std::pair("2025-03-01", "aster/2025-02.yaml")}) {
    const AuditResult result = mutated("keystroke", [date = date](AuditInputs& inputs) {
      inputs.chosen_policies.clear();
      inputs.context.policy_date = date;
    });
    const auto privacy = std::find_if(result.policies.begin(), result.policies.end(),
                                      [](const PolicyUse& use) { return use.kind == "privacy"; });
    ASSERT_NE(privacy, result.policies.end());
    EXPECT_EQ(privacy->file, file);
  }
}

}  // namespace
}  // namespace vitrine::cli::aster
