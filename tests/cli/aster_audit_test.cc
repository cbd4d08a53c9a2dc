// The ground truth of examples/aster/EXPECTED.md, held against the object that
// every report is made from. Section numbers are those of that file.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/cli/aster.h"

namespace vitrine::cli::aster {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr const char* kAster = "aster-intelligence";

char letter(const std::string& scenario) { return scenario == "baseline" ? 'B' : scenario == "keystroke" ? 'K' : 'C'; }

class Aster : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  const std::string& scenario() const { return std::get<0>(GetParam()); }
  const std::string& version() const { return std::get<1>(GetParam()); }
  const AuditResult& result() const { return cached(scenario(), version()); }
  bool in(std::string_view scenarios) const { return scenarios.find(letter(scenario())) != std::string_view::npos; }
};

std::string case_name(const testing::TestParamInfo<std::tuple<std::string, std::string>>& each) {
  std::string name = std::get<0>(each.param) + "_" + std::get<1>(each.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Aster, Aster, testing::Combine(testing::ValuesIn(kScenarios), testing::ValuesIn(kVersions)),
                         case_name);

// ---- section 7 ----------------------------------------------------------------

struct Row {
  const char *type, *recipient, *december, *february, *scenarios;
};
// "–": no finding, because nothing of the type was sent there.
constexpr Row kVerdictTable[] = {
    {"behaviour.keystroke-dynamics", kAster, "clear", "omitted", "K"},
    {"behaviour.keystroke-dynamics", "metrica", "omitted", "omitted", "K"},
    {"content.draft", kAster, "omitted", "omitted", "BKC"},
    {"content.prompt", kAster, "clear", "clear", "BKC"},
    {"content.chat-url", "metrica", "omitted", "contradicted", "BKC"},
    {"content.chat-url", "helpdesk-widgets", "omitted", "omitted", "BKC"},
    {"account.email", kAster, "clear", "clear", "BKC"},
    {"account.email", "helpdesk-widgets", "vague (recipient)", "clear", "BKC"},
    {"content.support-message", "helpdesk-widgets", "vague (recipient)", "clear", "BK"},
    {"network.ip-public", kAster, "clear", "clear", "BKC"},
    {"network.ip-public", "metrica", "omitted", "omitted", "BKC"},
    {"network.ip-public", "shieldprint", "omitted", "omitted", "BK"},
    {"network.ip-public", "helpdesk-widgets", "omitted", "clear", "BKC"},
    {"identifier.device", kAster, "omitted", "clear", "BKC"},
    {"identifier.installation", kAster, "clear", "clear", "BKC"},
    {"identifier.mac", kAster, "omitted", "vague (data)", "BK"},
    {"identifier.account", "metrica", "omitted", "omitted", "BKC"},
    {"identifier.browser", "metrica", "vague (recipient)", "vague (recipient)", "BKC"},
    {"identifier.risk-token", kAster, "omitted", "omitted", "BK"},
    {"device.os", kAster, "clear", "clear", "BK"},
    {"device.locale", kAster, "clear", "clear", "BKC"},
    {"device.timezone", kAster, "vague (data)", "vague (data)", "BKC"},
    {"device.screen", kAster, "vague (data)", "vague (data)", "BKC"},
    {"device.timezone", "metrica", "vague (both)", "vague (both)", "BKC"},
    {"device.screen", "metrica", "vague (both)", "vague (both)", "BKC"},
    {"device.cpu", "metrica", "vague (both)", "vague (both)", "BKC"},
    {"device.model", "metrica", "vague (both)", "vague (both)", "BKC"},
    {"device.os", "metrica", "vague (both)", "vague (both)", "BKC"},
    {"behaviour.usage", "metrica", "vague (recipient)", "vague (recipient)", "BKC"},
    {"behaviour.pointer", "metrica", "omitted", "omitted", "BKC"},
    {"behaviour.performance", "metrica", "omitted", "omitted", "BKC"},
    {"device.opaque-fingerprint", "shieldprint", "omitted", "vague (both)", "BK"},
};

TEST_P(Aster, VerdictsAreThoseOfSection7) {
  for (const Row& row : kVerdictTable) {
    SCOPED_TRACE(std::string(row.type) + " to " + row.recipient);
    const Finding* finding = result().finding(FindingKind::flow, row.type, row.recipient);
    if (!in(row.scenarios)) {
      // device.os of the clean visit is sent as a client hint; the table speaks of the other two.
      if (std::string_view(row.type) != "device.os") {
        EXPECT_EQ(verdict_of(finding), "–");
      }
      continue;
    }
    EXPECT_EQ(verdict_of(finding), version() == "2024-12" ? row.december : row.february);
    if (finding == nullptr) continue;
    // Every finding leads to flows, and every flow to packets of the recording.
    ASSERT_FALSE(finding->flows.empty());
    ASSERT_FALSE(finding->evidence.empty());
    for (const std::string& id : finding->flows) {
      const Flow* flow = result().flow(id);
      ASSERT_NE(flow, nullptr);
      EXPECT_EQ(flow->type, row.type);
      EXPECT_EQ(flow->recipient, row.recipient);
      EXPECT_THAT(flow->attributed_by, testing::Not(testing::Contains(Attribution::unattributed)));
    }
    for (const Evidence& evidence : finding->evidence) {
      EXPECT_GT(evidence.packet, 0u);
      EXPECT_LE(evidence.packet, result().inputs.front().packets);
    }
    // Who is quoted fits the verdict.
    const bool covered = finding->verdict == Verdict::clear || finding->verdict == Verdict::vague;
    EXPECT_EQ(finding->positives.empty(), !covered);
    EXPECT_EQ(finding->denials.empty(), finding->verdict != Verdict::contradicted);
    for (const StatementRef& ref : finding->positives) EXPECT_FALSE(ref.quote.empty());
  }
}

// Only certain and textual may be called proof: keystroke timing is found by
// structure, and so it may.
TEST_P(Aster, KeystrokeTimingIsCertainAndFoundByStructure) {
  for (const char* recipient : {kAster, "metrica"}) {
    const Finding* finding = result().finding(FindingKind::flow, "behaviour.keystroke-dynamics", recipient);
    if (!in("K")) {
      EXPECT_EQ(finding, nullptr);
      continue;
    }
    ASSERT_NE(finding, nullptr);
    EXPECT_EQ(finding->observation, Observation::certain);
    EXPECT_EQ(finding->inference, Inference::textual);
    EXPECT_TRUE(finding->is_proof());
    const Flow* flow = result().flow(finding->flows.front());
    ASSERT_NE(flow, nullptr);
    EXPECT_THAT(flow->decided_by, testing::Contains(testing::StartsWith("detector:keystroke")));
  }
}

TEST_P(Aster, TheTextsComparedAreTheChosenOnes) {
  ASSERT_EQ(result().policies.size(), 2u);
  EXPECT_EQ(result().policies[0].file, "aster/" + version() + ".yaml");
  EXPECT_EQ(result().policies[1].file, "aster/cookies.yaml");
  EXPECT_EQ(result().policies[0].status, PolicyStatus::chosen);
  EXPECT_TRUE(result().policies[0].complete);
  EXPECT_TRUE(result().simulated);
}

// The statement `keystrokes` of 2024-12, the other way round.
TEST_P(Aster, TheKeystrokeStatementTheOtherWayRound) {
  const Finding* declared = result().finding(FindingKind::declared, "behaviour.keystroke-dynamics", "self");
  if (version() == "2025-02" || in("K")) {
    EXPECT_EQ(declared, nullptr);  // no such statement, or observed
    return;
  }
  ASSERT_NE(declared, nullptr);
  ASSERT_EQ(declared->positives.size(), 1u);
  EXPECT_EQ(declared->positives.front().id, "keystrokes");
  if (in("C")) {
    EXPECT_EQ(declared->verdict, Verdict::declared_not_observed);
    EXPECT_THAT(declared->reasons, IsEmpty());
    EXPECT_TRUE(declared->coverage.all_read());
    EXPECT_GT(declared->coverage.decoded, 10'000u);
    return;
  }
  // Baseline: typing was exercised, but the opaque x-shield-token went to Aster.
  EXPECT_EQ(declared->verdict, Verdict::not_testable);
  ASSERT_EQ(declared->coverage.undecoded.size(), 1u);
  EXPECT_EQ(declared->coverage.undecoded.front().first, Cause::opaque);
  const uint64_t bytes = declared->coverage.undecoded.front().second;
  EXPECT_GE(bytes, 240u);  // its value, once as a literal
  EXPECT_LE(bytes, 2u * 320u);
  ASSERT_EQ(declared->reasons.size(), 1u);
  EXPECT_EQ(declared->reasons.front().id, "reason.undecoded");
  EXPECT_THAT(declared->reasons.front().arguments,
              ElementsAre(std::pair<std::string, std::string>("bytes", std::to_string(bytes)),
                          std::pair<std::string, std::string>("cause", "opaque")));
}

TEST_P(Aster, NothingCrashedSoTheCrashStatementIsNotTestable) {
  const Finding* crash = result().finding(FindingKind::declared, "behaviour.crash", "self");
  ASSERT_NE(crash, nullptr);
  EXPECT_EQ(crash->verdict, Verdict::not_testable);
  EXPECT_THAT(crash->reasons, testing::Contains(testing::Field(&Sentence::id, "reason.step-not-taken")));
}

// ---- section 1 ----------------------------------------------------------------

struct Company {
  const char *key, *country, *ip_country, *scenarios;
  RecipientRole role;
  std::vector<std::string> hosts;
};
const std::vector<Company> kCompanies = {
    {kAster, "CN", "CN", "BKC", RecipientRole::first_party, {"chat.aster.test"}},
    {"metrica", "SG", "DE", "BKC", RecipientRole::processor, {"telemetry.metrica.test"}},
    {"shieldprint", "CN", "CN", "BK", RecipientRole::processor, {"fp.shieldprint.test"}},
    {"helpdesk-widgets", "US", "US", "BKC", RecipientRole::processor, {"widget.helpdesk.test"}},
    {"tidings", "DE", "DE", "BK", RecipientRole::third_party, {"news.tidings.test"}},
    {"browser-maker", "US", "US", "BKC", RecipientRole::third_party, {"updates.browser.test"}},
};

TEST_P(Aster, RecipientsWithRolesAndCountries) {
  for (const Company& company : kCompanies) {
    SCOPED_TRACE(company.key);
    const RecipientInfo* info = result().recipient(company.key);
    if (!in(company.scenarios)) {
      EXPECT_EQ(info, nullptr);
      continue;
    }
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(info->entity, company.key);
    EXPECT_EQ(info->role, company.role);
    for (const std::string& host : company.hosts) EXPECT_THAT(info->hosts, testing::Contains(host));
    std::map<CountryOf, std::set<std::string>> countries;
    for (const CountryInfo& country : info->countries) {
      countries[country.what].insert(country.country);
      EXPECT_FALSE(country.source.empty());
      EXPECT_FALSE(country.date.empty());
    }
    EXPECT_THAT(countries[CountryOf::entity], ElementsAre(company.country));
    EXPECT_THAT(countries[CountryOf::ip], ElementsAre(company.ip_country));
  }
  const RecipientInfo* aster = result().recipient(kAster);
  ASSERT_NE(aster, nullptr);
  EXPECT_EQ(std::count(aster->hosts.begin(), aster->hosts.end(), "api.aster.test"), in("BK") ? 1 : 0);
}

TEST_P(Aster, FlowsAreAttributedAsSection1Says) {
  std::set<std::string> attributed, unattributed;
  for (const Flow& flow : result().flows) attributed.insert(flow.hosts.begin(), flow.hosts.end());
  for (const Flow& flow : result().unattributed) unattributed.insert(flow.hosts.begin(), flow.hosts.end());
  std::vector<std::string> theirs = {"chat.aster.test", "telemetry.metrica.test", "widget.helpdesk.test"};
  std::vector<std::string> others = {"192.0.2.53", "updates.browser.test", "2001:db8:10::10"};
  if (in("BK")) {
    theirs.insert(theirs.end(), {"api.aster.test", "fp.shieldprint.test"});
    others.insert(others.end(), {"news.tidings.test", "telemetry.metrica.test"});
  }
  EXPECT_THAT(attributed, testing::UnorderedElementsAreArray(theirs));
  EXPECT_THAT(unattributed, testing::UnorderedElementsAreArray(others));
  // No finding speaks about the newspaper or the browser's maker.
  for (const Finding& finding : result().findings) {
    EXPECT_NE(finding.recipient, "tidings");
    EXPECT_NE(finding.recipient, "browser-maker");
  }
}

// The newspaper asked the very same analytics host once for its script and once for a beacon.
TEST_P(Aster, TheNewspapersBeaconIsNotHeldAgainstAster) {
  std::set<std::string> paths;
  for (const Flow& flow : result().unattributed) {
    if (flow.recipient != "metrica") continue;
    for (const Evidence& evidence : flow.evidence) paths.insert(evidence.url_path);
  }
  paths.erase("");  // properties of the connection
  if (in("BK")) EXPECT_THAT(paths, UnorderedElementsAre("/beacon", "/sdk/metrica.js"));
  else EXPECT_THAT(paths, IsEmpty());
}

// ---- section 4 ----------------------------------------------------------------

TEST_P(Aster, LookAlikesOfKeystrokeTimingAreNotReported) {
  std::set<std::string> paths;
  for (const auto* list : {&result().flows, &result().unattributed}) {
    for (const Flow& flow : *list) {
      if (flow.type != "behaviour.keystroke-dynamics") continue;
      for (const Evidence& evidence : flow.evidence) paths.insert(evidence.path);
    }
  }
  if (!in("K")) {
    EXPECT_THAT(paths, IsEmpty());
    return;
  }
  EXPECT_FALSE(paths.empty());
  for (const std::string& path : paths) {
    EXPECT_TRUE(path.find("/params/kd") != std::string::npos ||
                path.find("/payload/bio|base64|json") != std::string::npos)
        << path;
    for (const char* innocent :
         {"hovers", "pointer", "heartbeats", "resources", "local_time_ms", "client_timestamp_ms"}) {
      EXPECT_EQ(path.find(innocent), std::string::npos) << path;
    }
  }
}

// Drafts reveal the rhythm of typing by the times of their requests; they are
// content, and all stand before the step `submit`.
TEST_P(Aster, DraftsAreContentSentBeforeSubmitting) {
  const Finding* draft = result().finding(FindingKind::flow, "content.draft", kAster);
  ASSERT_NE(draft, nullptr);
  const auto submit = std::find_if(result().context.steps.begin(), result().context.steps.end(),
                                   [](const StepMarker& marker) { return marker.step == "submit"; });
  ASSERT_NE(submit, result().context.steps.end());
  const Flow* flow = result().flow(draft->flows.front());
  ASSERT_NE(flow, nullptr);
  EXPECT_GE(flow->count, 5u);
  EXPECT_LT(flow->last, submit->time);
  for (const Evidence& evidence : flow->evidence) {
    EXPECT_EQ(evidence.url_path, "/api/v0/chat/draft");
    EXPECT_EQ(evidence.path, "body|json/text");
  }
}

// ---- section 5 ----------------------------------------------------------------

TEST_P(Aster, CookiesAgainstTheCookieNotice) {
  std::map<std::string, std::vector<CookieIssue>> attributed;
  std::set<std::string> others;
  for (const CookieRow& row : result().cookies) {
    if (row.attributed) attributed.emplace(row.name, row.issues);
    else others.insert(row.name);
  }
  std::map<std::string, std::vector<CookieIssue>> expected = {
      {"bucket_ab", {CookieIssue::undeclared}},
      {"mtk_id", {CookieIssue::longer_lifetime, CookieIssue::before_consent}},
      {"metrica_uid", {CookieIssue::before_consent}},
      {"aster_session", {}},
      {"aster_did", {}},
      {"aster_consent", {}},
      {"helpdesk-device-id-aster", {}},
  };
  if (in("BK")) expected["sp_did"] = {};
  EXPECT_EQ(attributed, expected);
  EXPECT_EQ(others.count("tidings_reader"), in("BK") ? 1u : 0u);
  EXPECT_EQ(attributed.count("tidings_reader"), 0u);
  for (const CookieRow& row : result().cookies) {
    if (row.name == "mtk_id" && row.attributed) {
      EXPECT_EQ(row.max_age, 63'072'000);
      EXPECT_EQ(row.table_lifetime, "13 months");
    }
  }
}

// ---- section 6 ----------------------------------------------------------------

// Bytes that nothing decoded, by cause, over the hosts that were spoken to as
// such. IPv6 neighbour discovery is listed too: it is no stream of the client's.
std::map<Cause, uint64_t> undecoded(const AuditResult& result) {
  std::map<Cause, uint64_t> out;
  for (const LedgerRow& row : result.ledger) {
    if (row.host.ends_with(".test")) {
      for (size_t cause = 1; cause < kCauses; ++cause) {
        if (row.bytes.by_cause[cause] > 0) out[static_cast<Cause>(cause)] += row.bytes.by_cause[cause];
      }
    }
  }
  return out;
}

TEST_P(Aster, OnlyTheTwoOpaquePlacesAreNotDecoded) {
  if (in("C")) {
    EXPECT_THAT(undecoded(result()), IsEmpty());
    return;
  }
  EXPECT_THAT(undecoded(result()), ElementsAre(testing::Key(Cause::opaque)));
  for (const LedgerRow& row : result().ledger) {
    const uint64_t opaque = row.bytes[Cause::opaque];
    if (row.direction == Direction::server_to_client) {
      // Shieldprint's answer is enciphered like its request.
      EXPECT_EQ(opaque > 0, row.host == "fp.shieldprint.test") << row.host;
    } else if (row.host == "fp.shieldprint.test" || row.host == "chat.aster.test") {
      EXPECT_GT(opaque, 0u) << row.host;
    } else {
      EXPECT_EQ(opaque, 0u) << row.host;
    }
  }
}

TEST_P(Aster, TheLedgerIsTheSumOfItsRows) {
  std::array<ByteCounts, 2> sums;
  for (const LedgerRow& row : result().ledger) sums[static_cast<size_t>(row.direction)] += row.bytes;
  for (size_t direction = 0; direction < 2; ++direction) {
    EXPECT_EQ(sums[direction].by_cause, result().ledger_totals[direction].by_cause);
    EXPECT_GT(sums[direction].total(), 20'000u);
  }
}

TEST_P(Aster, WithoutSecretsTheSameBytesAreThereAndNoneIsRead) {
  Options options;
  options.ignore_embedded_secrets = true;
  const AuditResult blind = audit(scenario(), version(), options);
  std::map<std::pair<std::string, Direction>, ByteCounts> rows;
  for (const LedgerRow& row : blind.ledger) rows[{row.host, row.direction}] = row.bytes;
  for (size_t direction = 0; direction < 2; ++direction) {
    EXPECT_EQ(blind.ledger_totals[direction].total(), result().ledger_totals[direction].total());
    EXPECT_GT(blind.ledger_totals[direction][Cause::no_key], blind.ledger_totals[direction].total() / 2);
  }
  // What never was encrypted is still read.
  EXPECT_EQ((rows[{"fp.shieldprint.test", Direction::client_to_server}][Cause::no_key]), 0u);
  EXPECT_GT((rows[{"chat.aster.test", Direction::client_to_server}][Cause::no_key]), 0u);
  EXPECT_EQ(blind.finding(FindingKind::flow, "behaviour.keystroke-dynamics", kAster), nullptr);
}

// ---- the whole ----------------------------------------------------------------

TEST_P(Aster, TheResultIsTheSameAtAnyNumberOfThreads) {
  Options options;
  options.threads = 5;
  const AuditResult parallel = audit(scenario(), version(), options);
  ASSERT_EQ(parallel.findings.size(), result().findings.size());
  for (size_t i = 0; i < parallel.findings.size(); ++i) {
    const Finding &left = result().findings[i], &right = parallel.findings[i];
    EXPECT_EQ(left.id, right.id);
    EXPECT_EQ(verdict_of(&left), verdict_of(&right)) << left.type << " to " << left.recipient;
    EXPECT_EQ(left.flows, right.flows);
    EXPECT_EQ(left.evidence, right.evidence);
  }
}

}  // namespace
}  // namespace vitrine::cli::aster
