// Evidence belongs to what it is shown for; leads are counted apart.
#include "audit/masking.h"
#include "tests/audit/audit_fixture.h"

namespace vitrine {
namespace {

using namespace testing;

Request to(const std::string& host, ConnectionId connection, double time, std::vector<SentValue> values) {
  Request out;
  out.host = host;
  out.connection = connection;
  out.time = time;
  out.values = std::move(values);
  return out;
}

std::vector<uint64_t> packets(const std::vector<Evidence>& evidence) {
  std::vector<uint64_t> out;
  for (const Evidence& each : evidence) out.push_back(each.packet);
  return out;
}

World world_with(std::vector<std::string> statements) {
  World world;
  PolicyText text;
  text.statements = std::move(statements);
  world.inputs.policies = {text.parse()};
  return world;
}

TEST(EvidenceOfObservation, IsOfTheStrongestValuesHoweverTheyAreSharded) {
  const World world = world_with({});
  const std::vector<Request> requests = {to("chat.test", 10, 10, {{"device.model", "guess", Observation::unconfirmed}}),
                                         to("chat.test", 20, 20, {{"device.model", "perhaps", Observation::probable}}),
                                         to("chat.test", 30, 30, {{"device.model", "surely", Observation::certain}}),
                                         to("chat.test", 40, 40, {{"device.model", "perhaps", Observation::probable}}),
                                         to("chat.test", 50, 50, {{"device.model", "surely", Observation::certain}})};
  for (size_t shards : {1, 2, 3}) {
    const AuditResult result = world.run(requests, shards);
    const Finding* finding = result.finding(FindingKind::flow, "device.model", "chatco");
    ASSERT_NE(finding, nullptr);
    EXPECT_EQ(finding->observation, Observation::certain);
    EXPECT_EQ(packets(finding->evidence), (std::vector<uint64_t>{31, 51}));
    const Flow* flow = result.flow(finding->flows.at(0));
    ASSERT_NE(flow, nullptr);
    EXPECT_EQ(flow->count, 5u);
    EXPECT_EQ(flow->count_by_observation, (std::array<uint64_t, 4>{0, 1, 2, 2}));
    EXPECT_EQ(packets(flow->evidence), (std::vector<uint64_t>{31, 51}));
    EXPECT_EQ(flow->sample, mask("surely", taxonomy(), taxonomy().find("device.model")));
    EXPECT_EQ(flow->first.ns, at(10).ns);
    EXPECT_EQ(flow->surest_first.ns, at(30).ns);
    ASSERT_EQ(flow->weaker.size(), 2u);
    EXPECT_EQ(flow->weaker[0].observation, Observation::probable);
    EXPECT_EQ(packets(flow->weaker[0].evidence), (std::vector<uint64_t>{21, 41}));
    EXPECT_EQ(flow->weaker[1].observation, Observation::unconfirmed);
  }
}

TEST(EvidenceOfObservation, FollowsARaisedValue) {
  const World world = world_with({});
  FlowCollector collector(world.inputs);
  const Request early = to("chat.test", 10, 10, {{"content.draft", "other", Observation::probable}});
  const Request step = to("chat.test", 20, 20, {{"content.draft", "hello", Observation::probable}});
  feed(collector, early);
  feed(collector, step);
  ExchangeBrief brief;
  brief.id = {20, 1};
  brief.context.host = "chat.test";
  brief.context.server = IpAddress::parse(step.server);
  FlowCollector::LateValue value;
  value.time = at(20);
  value.packet = 21;
  value.origin = 1;
  value.path = "body|json/x";
  value.value = "hello";
  value.type = taxonomy().find("content.draft");
  value.observation = Observation::certain;
  value.decided_by = "detector:draft";
  collector.raise(brief, value, Observation::probable);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  const Finding* finding = result.finding(FindingKind::flow, "content.draft", "chatco");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->observation, Observation::certain);
  EXPECT_EQ(packets(finding->evidence), std::vector<uint64_t>{21});
  EXPECT_EQ(result.flow(finding->flows.at(0))->count_by_observation, (std::array<uint64_t, 4>{0, 0, 1, 1}));
}

TEST(EvidenceOfObservation, OnOneSideOfAMarkerIsOfThatSide) {
  World world = world_with({});
  world.rule(
      "kind: before-marker, marker: consent-accepted, types: [identifier.browser], third_party_requests: false, "
      "cookies: none");
  const AuditResult result = world.run({to("chat.test", 10, 10, {{"identifier.browser", "a", Observation::probable}}),
                                        to("chat.test", 30, 30, {{"identifier.browser", "b", Observation::certain}})});
  const RuleResult& rule = result.rules.at(0);
  ASSERT_EQ(rule.hits.size(), 1u);
  EXPECT_EQ(rule.hits[0].observation, Observation::probable) << "what was certain was sent after consent";
  EXPECT_EQ(packets(rule.hits[0].evidence), std::vector<uint64_t>{11});
}

TEST(EvidenceOfObservation, OfAFindingIsOfItsSurestLeg) {
  const World world = world_with({});
  FlowCollector collector(world.inputs);
  collector.resolved(IpAddress::parse("203.0.113.10"), "d1.edge-cdn.test");
  feed(collector, to("chat.test", 10, 10, {{"device.model", "perhaps", Observation::probable}}));
  Request direct = to("chat.test", 20, 20, {{"device.model", "surely", Observation::certain}});
  direct.server = "203.0.113.11";
  feed(collector, direct);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  const Finding* finding = result.finding(FindingKind::flow, "device.model", "chatco");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->flows.size(), 2u);
  EXPECT_EQ(finding->observation, Observation::certain);
  EXPECT_EQ(packets(finding->evidence), std::vector<uint64_t>{21});
}

// ---- transport -----------------------------------------------------------------

TEST(TransportEvidence, NamesTheHostThatSentInCleartext) {
  World world = world_with({});
  world.rule(
      "kind: transport, min_tls: \"1.2\", cleartext: true, credentials_in_url: true, types: [identifier, device]");
  Request secure = to("a.chat.test", 10, 10, {{"identifier.device", "id-1"}});
  Request clear = to("z.chat.test", 20, 20, {{"identifier.device", "id-1"}});
  clear.tls = 0;
  Request old = to("m.chat.test", 30, 30, {{"identifier.device", "id-1"}});
  old.tls = 0x0302;
  Request url = to("u.chat.test", 40, 40, {{"identifier.device", "id-1"}});
  url.values[0].location = Location::query;
  for (size_t shards : {1, 3}) {
    const AuditResult result = world.run({secure, clear, old, url}, shards);
    std::map<std::string, std::pair<std::string, std::vector<uint64_t>>> told;
    for (const RuleHit& hit : result.rules.at(0).hits) {
      if (hit.type != "identifier.device") continue;
      told[hit.note] = {hit.host, packets(hit.evidence)};
      EXPECT_EQ(hit.count, 1u) << hit.note;
      EXPECT_NE(hit.message_en.find("identifier.device"), std::string::npos);
    }
    using Told = std::pair<std::string, std::vector<uint64_t>>;
    EXPECT_EQ(told.at("cleartext"), (Told{"z.chat.test", {21}}));
    EXPECT_EQ(told.at("tls-version"), (Told{"m.chat.test", {31}}));
    EXPECT_EQ(told.at("in-url"), (Told{"u.chat.test", {41}}));
  }
}

// ---- leads ---------------------------------------------------------------------

TEST(Leads, AreCountedApart) {
  World world = world_with({});
  world.rule("kind: verdict, verdicts: [omitted]");
  const AuditResult result = world.run(
      {to("chat.test", 10, 10,
          {{"device.model", "x", Observation::probable}, {"identifier.other", "y", Observation::unconfirmed}})});
  const auto omitted = static_cast<size_t>(Verdict::omitted);
  EXPECT_EQ(result.finding(FindingKind::flow, "identifier.other", "chatco")->verdict, Verdict::omitted);
  EXPECT_TRUE(result.finding(FindingKind::flow, "identifier.other", "chatco")->is_lead());
  EXPECT_EQ(result.lead_counts[omitted], 1u);
  size_t found = 0;
  for (const Finding& each : result.findings) found += each.verdict == Verdict::omitted && !each.is_lead();
  EXPECT_EQ(result.verdict_counts[omitted], found);
  const RuleResult& rule = result.rules.at(0);
  EXPECT_EQ(rule.leads, 1u);
  EXPECT_EQ(rule.hits_total, found);
  for (const RuleHit& hit : rule.hits) EXPECT_NE(hit.type, "identifier.other");
}

TEST(Leads, AloneMakeNoEvidenceOfARule) {
  World world = world_with({});
  world.rule("kind: verdict, verdicts: [omitted], types: [identifier]");
  const AuditResult result =
      world.run({to("chat.test", 10, 10, {{"identifier.other", "y", Observation::unconfirmed}})});
  EXPECT_EQ(result.rules.at(0).status, RuleStatus::not_testable);
  EXPECT_EQ(result.rules.at(0).why.id, "reason.only-leads");
  EXPECT_TRUE(result.rules.at(0).hits.empty());
}

// GB counts as adequate until 2025-01-01 in this world.
TEST(TransferDay, IsThatOfTheCaptureNotOfTheTextsChosen) {
  World world = world_with({});
  World::check(world.inputs.recipients.add(
      "recipients: 1\nentities:\n  - {id: britco, name: Brit, country: GB, domains: [brit.test], "
      "categories: [analytics], kind: processor, source: test, date: 2026-01}\n",
      "more.yaml"));
  world.rule("kind: transfer, outside: EEA, adequacy: eu-adequacy, personal_only: true");
  Request sent = to("x.brit.test", 10, 10, {{"device.model"}});
  sent.origin = "https://chat.test";
  const auto british = [&] {
    size_t hits = 0;
    const AuditResult result = world.run({sent});
    for (const RuleHit& hit : result.rules.at(0).hits) hits += hit.country == "GB";
    return hits;
  };
  EXPECT_GE(british(), 1u);
  world.inputs.context.policy_date = "2024-06-01";
  EXPECT_GE(british(), 1u) << "the data went in 2026";
}

}  // namespace
}  // namespace vitrine
