// Reverse direction, attribution, recipients, aggregation, determinism.
#include "audit/evaluate.h"

#include <gtest/gtest.h>

#include "audit_fixture.h"

namespace vitrine {
namespace {

using testing::at;
using testing::PolicyText;
using testing::Request;
using testing::statement;
using testing::World;

const char* kKeys = "behaviour.keystroke-dynamics";

World keystroke_world(std::vector<std::string> more = {}) {
  World world;
  PolicyText text;
  text.statements = {statement("keys", "collect", kKeys, "self", "", "automatic", "typing"),
                     statement("ip", "collect", "network.ip-public", "self")};
  for (auto& each : more) text.statements.push_back(each);
  world.inputs.policies = {text.parse()};
  return world;
}
Request plain() {
  Request request;
  request.values = {{"device.model"}};
  return request;
}
bool has_reason(const Finding& finding, const char* id) {
  for (const Sentence& reason : finding.reasons) {
    if (reason.id == id) return true;
  }
  return false;
}

// ---- the mutations of the example ----

TEST(Mutations, WithoutTheKeystrokeStatementItIsOmitted) {
  Request typing = plain();
  typing.values = {{kKeys, "12,80,91", Observation::certain}};
  World declared = keystroke_world();
  EXPECT_EQ(declared.run({typing}).finding(FindingKind::flow, kKeys, "chatco")->verdict, Verdict::clear);
  World undeclared;
  PolicyText text;
  text.statements = {statement("ip", "collect", "network.ip-public", "self")};
  undeclared.inputs.policies = {text.parse()};
  const AuditResult result = undeclared.run({typing});
  EXPECT_EQ(result.finding(FindingKind::flow, kKeys, "chatco")->verdict, Verdict::omitted);
  EXPECT_EQ(result.finding(FindingKind::declared, kKeys, "self"), nullptr);
}

TEST(Mutations, ACleanCaptureWithTheTypingStepIsDeclaredNotObserved) {
  const AuditResult result = keystroke_world().run({plain()});
  const Finding* finding = result.finding(FindingKind::declared, kKeys, "self");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::declared_not_observed);
  EXPECT_TRUE(finding->coverage.all_read());
  EXPECT_EQ(finding->coverage.decoded, 1500u);
  EXPECT_EQ(finding->positives.at(0).quote, "quote of keys");
  EXPECT_EQ(result.finding(FindingKind::declared, "network.ip-public", "self"), nullptr) << "was observed";
}

TEST(Mutations, WithoutTheTypingStepItIsNotTestable) {
  World world = keystroke_world();
  std::erase_if(world.inputs.context.steps, [](const Step& step) { return step.step == "typing-start"; });
  const AuditResult result = world.run({plain()});
  const Finding* finding = result.finding(FindingKind::declared, kKeys, "self");
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  EXPECT_TRUE(has_reason(*finding, "reason.step-not-taken"));
}

TEST(Mutations, AStepOutsideTheCaptureExercisesNothing) {
  World world = keystroke_world();
  world.inputs.context.steps[3].time = at(5000);
  EXPECT_EQ(world.run({plain()}).finding(FindingKind::declared, kKeys, "self")->verdict, Verdict::not_testable);
}

TEST(Mutations, AnUndecodableBlobToTheSameRecipientIsNotTestable) {
  Request blob = plain();
  blob.connection = 2;
  blob.opaque = 321;
  const AuditResult result = keystroke_world().run({plain(), blob});
  const Finding* finding = result.finding(FindingKind::declared, kKeys, "self");
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  ASSERT_EQ(finding->coverage.undecoded.size(), 1u);
  EXPECT_EQ(finding->coverage.undecoded[0], std::pair(Cause::opaque, uint64_t{321}));
  EXPECT_TRUE(has_reason(*finding, "reason.undecoded"));
}

TEST(Mutations, ABlobToAnotherRecipientDoesNotBlock) {
  Request blob = plain();
  blob.connection = 2;
  blob.host = "fp.guard.test";
  blob.opaque = 321;
  blob.server = "203.0.113.20";
  EXPECT_EQ(keystroke_world().run({plain(), blob}).finding(FindingKind::declared, kKeys, "self")->verdict,
            Verdict::declared_not_observed);
}

TEST(Mutations, WithoutKeysItIsNotTestable) {
  Request locked = plain();
  locked.connection = 2;
  locked.no_key = 700;
  const AuditResult result = keystroke_world().run({plain(), locked});
  const Finding* finding = result.finding(FindingKind::declared, kKeys, "self");
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  EXPECT_EQ(finding->coverage.undecoded.at(0), std::pair(Cause::no_key, uint64_t{700}));
}

TEST(Mutations, UnattributedUndecodedTrafficToTheRecipientCountsAsWell) {
  Request locked = plain();
  locked.connection = 2;
  locked.no_key = 700;
  World world = keystroke_world();
  world.inputs.context.processes = {"chat-app"};
  Request own = plain();
  own.process = "chat-app";
  locked.process = "other";
  const AuditResult result = world.run({own, locked});
  EXPECT_EQ(result.finding(FindingKind::declared, kKeys, "self")->verdict, Verdict::not_testable);
}

TEST(Mutations, ADenialAddedIsAmbiguous) {
  Request typing = plain();
  typing.values = {{kKeys, "12,80,91", Observation::certain}};
  World world = keystroke_world({statement("no", "deny-collect", kKeys, "self")});
  EXPECT_EQ(world.run({typing}).finding(FindingKind::flow, kKeys, "chatco")->verdict, Verdict::ambiguous);
}

// ---- reverse direction ----

TEST(Declared, OpaqueFingerprintBlocksWhateverTheLedgerSays) {
  Request blob = plain();
  blob.values.push_back({"device.opaque-fingerprint", "AAAA"});
  const AuditResult result = keystroke_world().run({blob});
  EXPECT_TRUE(has_reason(*result.finding(FindingKind::declared, kKeys, "self"), "reason.opaque-field"));
}

TEST(Declared, ABroadWordIsSatisfiedByANarrowerFlow) {
  World world;
  PolicyText text;
  text.statements = {statement("d", "collect", "device, network", "self")};
  world.inputs.policies = {text.parse()};
  const AuditResult result = world.run({plain()});
  EXPECT_EQ(result.finding(FindingKind::declared, "device", "self"), nullptr);
  EXPECT_EQ(result.finding(FindingKind::declared, "network", "self"), nullptr) << "the address of the connection";
}

TEST(Declared, OnlyAutomaticStatementsAreTestedTheOthersAreListed) {
  World world;
  PolicyText text;
  text.statements = {statement("u", "collect", "account.email", "self", "", "user-provided"),
                     statement("s", "share", "account.email", "any", "", "server-side"),
                     statement("t", "collect", "account.email", "self", "", "from-third-parties"),
                     statement("c", "collect", "account.email", "self", "scope: \"children\"")};
  world.inputs.policies = {text.parse()};
  const AuditResult result = world.run({plain()});
  EXPECT_EQ(result.finding(FindingKind::declared, "account.email", "self"), nullptr);
  std::vector<std::string> why;
  for (const OutOfReach& each : result.out_of_reach) why.push_back(each.why.id);
  std::sort(why.begin(), why.end());
  EXPECT_EQ(why, (std::vector<std::string>{"reach.from-third-parties", "reach.scope", "reach.server-side",
                                           "reach.user-provided"}));
}

TEST(Declared, HostsOfNobodyKnownMayBeOfACategory) {
  World world;
  PolicyText text;
  text.statements = {statement("s", "share", "device.battery", "analytics")};
  world.inputs.policies = {text.parse()};
  Request unknown = plain();
  unknown.connection = 2;
  unknown.host = "who.test";
  unknown.referer = "https://chat.test/";
  EXPECT_EQ(world.run({plain(), unknown}).finding(FindingKind::declared, "device.battery", "analytics")->verdict,
            Verdict::declared_not_observed);
  unknown.opaque = 64;
  EXPECT_EQ(world.run({plain(), unknown}).finding(FindingKind::declared, "device.battery", "analytics")->verdict,
            Verdict::not_testable);
}

TEST(Declared, WithoutAnyTrafficToTheServiceNothingIsSaid) {
  World world = keystroke_world();
  Request other = plain();
  other.host = "news.paper.test";
  const AuditResult result = world.run({other});
  EXPECT_TRUE(has_reason(*result.finding(FindingKind::declared, kKeys, "self"), "reason.no-hosts"));
}

// ---- attribution ----

struct AttributionCase {
  const char *name, *host, *referer, *origin, *initiator, *process;
  bool attributed;
};
class Attributes : public ::testing::TestWithParam<AttributionCase> {};

TEST_P(Attributes, Flow) {
  const AttributionCase& given = GetParam();
  World world;
  if (*given.process) world.inputs.context.processes = {"chat-app"};
  Request request = plain();
  request.host = given.host;
  request.referer = given.referer;
  request.origin = given.origin;
  request.initiator = given.initiator;
  request.process = given.process;
  const AuditResult result = world.run({request});
  auto has = [](const std::vector<Flow>& flows) {
    for (const Flow& flow : flows) {
      if (flow.type == "device.model") return true;
    }
    return false;
  };
  EXPECT_EQ(has(result.flows), given.attributed);
  EXPECT_EQ(has(result.unattributed), !given.attributed);
}

INSTANTIATE_TEST_SUITE_P(
    Model, Attributes,
    ::testing::Values(AttributionCase{"first_party", "chat.test", "", "", "", "", true},
                      AttributionCase{"page_by_referer", "x.ads.test", "https://chat.test/a", "", "", "", true},
                      AttributionCase{"page_by_origin", "x.ads.test", "", "https://www.chat.test", "", "", true},
                      AttributionCase{"page_by_initiator", "x.ads.test", "", "", "https://chat.test/app.js", "", true},
                      AttributionCase{"client_rule_without_referer", "t.meter.test", "", "", "", "", true},
                      AttributionCase{"client_rule_asked_by_another_site", "t.meter.test", "https://news.paper.test/",
                                      "", "", "", false},
                      AttributionCase{"browser_update", "update.browser.test", "", "", "", "", false},
                      AttributionCase{"third_party_without_rule", "x.ads.test", "", "", "", "", false},
                      AttributionCase{"origin_null", "x.ads.test", "", "null", "", "", false},
                      AttributionCase{"its_process", "x.ads.test", "", "", "", "chat-app", true},
                      AttributionCase{"another_process", "chat.test", "", "", "", "curl", false}),
    [](const auto& row) { return row.param.name; });

TEST(Attribution, MixedTrafficIsKeptApart) {
  World world;
  Request ours = plain(), theirs = plain(), update = plain();
  ours.host = theirs.host = "t.meter.test";
  ours.referer = "https://chat.test/";
  theirs.referer = "https://news.paper.test/";
  theirs.connection = 2;
  update.connection = 3;
  update.host = "update.browser.test";
  const AuditResult result = world.run({ours, theirs, update});
  EXPECT_NE(result.finding(FindingKind::flow, "device.model", "meter"), nullptr);
  EXPECT_EQ(result.finding(FindingKind::flow, "device.model", "browser.test"), nullptr);
  for (const Flow& flow : result.flows) {
    if (flow.type != "device.model") continue;
    EXPECT_EQ(flow.count, 1u);
  }
  EXPECT_EQ(result.unattributed.size(), 4u);  // model and address, to two recipients
}

TEST(Attribution, AFrameThatOnlyTheSubjectUsesSpeaksForIt) {
  World world;
  Request frame = plain(), inner = plain();
  frame.host = "widget.who.test";
  frame.referer = "https://chat.test/";
  inner.connection = 2;
  inner.host = "cdn.deep.test";
  inner.referer = "https://widget.who.test/";
  EXPECT_EQ(world.run({frame, inner}).unattributed.size(), 0u);
  Request elsewhere = frame;
  elsewhere.connection = 3;
  elsewhere.referer = "https://news.paper.test/";
  EXPECT_EQ(world.run({frame, inner, elsewhere}).unattributed.size(), 4u);
}

TEST(Attribution, TheSubjectIsGuessedFromTheHostsAndSaidSo) {
  World world;
  world.inputs.context = {};
  const AuditResult result = world.run({plain()});
  EXPECT_EQ(result.context.service, "chat");
  bool said = false;
  for (const Sentence& each : result.context.assumed) said |= each.id == "context.assumed.service-guessed";
  EXPECT_TRUE(said);
}

// ---- aggregation ----

TEST(Flows, OnePerTypeAndRecipientWithCountsAndMaskedSample) {
  World world;
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 1200; ++i) {
    Request request = plain();
    request.connection = i + 1;
    request.time = 0.01 * static_cast<double>(i);
    request.values = {{"account.email", "user" + std::to_string(i) + "@mail.test", Observation::certain}};
    requests.push_back(request);
  }
  const AuditResult result = world.run(requests);
  ASSERT_EQ(result.flows.size(), 2u);  // e-mail; address of the connections
  const Flow& flow = result.flows[0].type == "account.email" ? result.flows[0] : result.flows[1];
  EXPECT_EQ(flow.count, 1200u);
  EXPECT_EQ(flow.distinct_values, 1000u);
  EXPECT_TRUE(flow.distinct_at_least);
  EXPECT_EQ(flow.first, at(0));
  EXPECT_EQ(flow.last, at(11.99));
  EXPECT_EQ(flow.evidence.size(), 5u);
  EXPECT_EQ(flow.evidence[0].packet, 2u);
  ASSERT_TRUE(flow.last_evidence);
  EXPECT_EQ(flow.last_evidence->packet, 1201u);
  EXPECT_EQ(flow.sample.find("user0@mail"), std::string::npos);
  EXPECT_EQ(flow.sample_digest.size(), 16u);
  EXPECT_EQ(flow.evidence[0].chain, "tls 1.3 > HTTP/1.1");
}

TEST(Flows, ServerValuesMakeNoFlow) {
  World world;
  FlowCollector collector(world.inputs);
  Request request;
  testing::feed(collector, request);
  Exchange exchange;
  exchange.id = {9, 1};
  exchange.host = "chat.test";
  Field field;
  field.exchange = &exchange;
  field.direction = Direction::server_to_client;
  field.type = testing::taxonomy().find("device.model");
  field.observation = Observation::certain;
  collector.field(field);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  for (const Flow& flow : result.flows) EXPECT_NE(flow.type, "device.model");
}

std::string summary(const AuditResult& result) {
  std::string out;
  for (const auto* flows : {&result.flows, &result.unattributed}) {
    for (const Flow& flow : *flows) {
      out += flow.id + flow.type + flow.recipient + std::to_string(flow.count) + "/" +
             std::to_string(flow.distinct_values) + flow.sample + flow.sample_digest;
      for (const Evidence& item : flow.evidence) out += " " + std::to_string(item.packet) + item.host + item.path;
      if (flow.last_evidence) out += " last " + std::to_string(flow.last_evidence->packet);
      out += "\n";
    }
  }
  for (const Finding& finding : result.findings) {
    out += finding.id + std::string(to_string(finding.verdict)) + finding.type + finding.recipient;
    for (const Evidence& item : finding.evidence) out += " " + std::to_string(item.packet);
    out += "\n";
  }
  for (const CookieRow& row : result.cookies) {
    out += row.name + row.domain + std::to_string(row.max_age.value_or(-1)) + std::to_string(row.issues.size());
    for (const Evidence& item : row.evidence) out += " " + std::to_string(item.packet);
    out += "\n";
  }
  for (const LedgerRow& row : result.ledger) out += row.host + std::to_string(row.bytes.total()) + "\n";
  for (const TimelineBin& bin : result.timeline) {
    out += std::to_string(bin.start.ns) + bin.recipient + std::to_string(bin.requests) + "," +
           std::to_string(bin.values) + "\n";
  }
  for (const RecipientInfo& info : result.recipients) out += info.key + std::to_string(info.hosts.size()) + "\n";
  return out;
}

TEST(Flows, TheResultDoesNotDependOnSharding) {
  World world = keystroke_world();
  std::vector<Request> requests;
  const char* hosts[] = {"chat.test", "t.meter.test", "fp.guard.test", "update.browser.test"};
  for (uint64_t i = 0; i < 300; ++i) {
    Request request;
    request.connection = i * 13 % 307 + 1;
    request.host = hosts[i % 4];
    request.time = static_cast<double>(i * 13 % 977);
    request.referer = i % 3 ? "https://chat.test/" : "https://news.paper.test/";
    request.values = {{"device.model", "m" + std::to_string(i % 17)}, {"device.os", "os"}};
    request.opaque = i % 5;
    request.response_headers = {{"set-cookie", "c" + std::to_string(i % 3) + "=1; Max-Age=" + std::to_string(i)}};
    request.headers = {{"cookie", "a=1; b=2"}};
    requests.push_back(request);
  }
  const std::string one = summary(world.run(requests, 1));
  EXPECT_TRUE(one == summary(world.run(requests, 2)));
  EXPECT_TRUE(one == summary(world.run(requests, 7)));
  std::reverse(requests.begin(), requests.end());
  EXPECT_TRUE(one == summary(world.run(requests, 3)));
  EXPECT_GT(one.size(), 2000u);
}

TEST(Ledger, TheResultAccountsForEveryByte) {
  World world;
  Request locked = plain();
  locked.connection = 2;
  locked.no_key = 700;
  const AuditResult result = world.run({plain(), locked});
  uint64_t rows = 0;
  for (const LedgerRow& row : result.ledger) rows += row.bytes.total();
  EXPECT_EQ(rows, 1000u + 500 + 500 + 700);
  EXPECT_EQ(result.ledger_totals[0].total() + result.ledger_totals[1].total(), rows);
  EXPECT_EQ(result.ledger_totals[0][Cause::no_key], 700u);
}

TEST(Flows, AnUndecryptedConnectionStillShowsTheAddress) {
  World world;
  Request locked;
  locked.no_key = 700;
  const AuditResult result = world.run({locked});
  ASSERT_EQ(result.flows.size(), 1u);
  EXPECT_EQ(result.flows[0].type, "network.ip-public");
  EXPECT_EQ(result.flows[0].observation, Observation::certain);
  EXPECT_EQ(result.flows[0].recipient, "chatco");
}

TEST(Context, StepsAndAssumptionsAreReported) {
  World world;
  world.inputs.context = {};
  world.inputs.context.service = "chat";
  const AuditResult result = world.run({plain()});
  std::vector<std::string> ids;
  for (const Sentence& each : result.context.assumed) ids.push_back(each.id);
  EXPECT_EQ(ids,
            (std::vector<std::string>{"context.assumed.platform", "context.assumed.country", "context.assumed.account",
                                      "context.assumed.language", "context.assumed.steps"}));
}

TEST(Simulated, IsSaidWhenAnyInputSaysSo) {
  World world;
  EXPECT_FALSE(world.run({plain()}).simulated);
  world.inputs.files[0].simulated = true;
  EXPECT_TRUE(world.run({plain()}).simulated);
}

}  // namespace
}  // namespace vitrine
