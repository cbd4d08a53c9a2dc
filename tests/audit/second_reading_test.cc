// What must not be said: cases in which an accusation or an all-clear would
// stand on nothing.
#include "audit/masking.h"
#include "tests/audit/audit_fixture.h"

namespace vitrine {
namespace {

using namespace testing;
using ::testing::Test;

PolicyText text_of(std::vector<std::string> statements) {
  PolicyText text;
  text.statements = std::move(statements);
  return text;
}

Request request(const std::string& host, ConnectionId connection, std::vector<SentValue> values = {},
                double time = 45) {
  Request out;
  out.host = host;
  out.connection = connection;
  out.values = std::move(values);
  out.time = time;
  return out;
}

Finding declared(const AuditResult& result, const std::string& type, const std::string& recipient = "self") {
  const Finding* finding = result.finding(FindingKind::declared, type, recipient);
  if (finding == nullptr) throw std::runtime_error("no finding on the statement of " + type);
  return *finding;
}

Verdict verdict_of_cookie(const AuditResult& result) {
  const Finding* finding = result.finding(FindingKind::flow, "identifier.cookie", "chatco");
  if (finding == nullptr) throw std::runtime_error("no finding on the cookie identifier");
  return finding->verdict;
}

std::set<std::string> reasons(const Finding& finding) {
  std::set<std::string> ids;
  for (const Sentence& reason : finding.reasons) ids.insert(reason.id);
  return ids;
}

const std::string kKeystrokes =
    statement("keys", "collect", "behaviour.keystroke-dynamics", "self", {}, "automatic", "typing");

// ---- declared, not observed --------------------------------------------------

TEST(DeclaredNotObserved, NeedsAStepInsideOneRecording) {
  World world;
  world.inputs.policies = {text_of({kKeystrokes}).parse()};
  const Request plain = request("chat.test", 1, {{"device.model"}});
  EXPECT_EQ(declared(world.run({plain}), "behaviour.keystroke-dynamics").verdict, Verdict::declared_not_observed);

  // Between two recordings nothing was seen.
  World two = world;
  two.inputs.files = {{"a.pcapng", "", "pcapng", 1, 1, false, at(0), at(30)},
                      {"b.pcapng", "", "pcapng", 1, 1, false, at(60), at(90)}};
  EXPECT_EQ(declared(two.run({plain}), "behaviour.keystroke-dynamics").verdict, Verdict::not_testable);

  // Typing shortly before the first packet was not recorded; a launch then was.
  World late = world;
  late.inputs.files = {{"a.pcapng", "", "pcapng", 1, 1, false, at(41), at(90)}};
  const AuditResult result = late.run({plain});
  EXPECT_EQ(declared(result, "behaviour.keystroke-dynamics").verdict, Verdict::not_testable);
  for (const StepMarker& step : result.context.steps) {
    EXPECT_EQ(step.in_capture, step.step == "launch" || step.step == "submit") << step.step;
  }

  World timeless = world;
  timeless.inputs.files = {{"a.har", "", "har", 1, 0, false, std::nullopt, std::nullopt}};
  EXPECT_EQ(declared(timeless.run({plain}), "behaviour.keystroke-dynamics").verdict, Verdict::not_testable);
}

TEST(DeclaredNotObserved, NamesOnlyStatementsWhoseStepWasTaken) {
  World world;
  world.inputs.policies = {
      text_of({statement("always", "collect", "identifier.device", "self"),
               statement("paying", "collect", "identifier.device", "self", {}, "automatic", "payment")})
          .parse()};
  const Finding finding = declared(world.run({request("chat.test", 1)}), "identifier.device");
  EXPECT_EQ(finding.verdict, Verdict::declared_not_observed);
  ASSERT_EQ(finding.positives.size(), 1u);
  EXPECT_EQ(finding.positives[0].id, "always");
}

TEST(DeclaredNotObserved, NotWhenSeenInTrafficOfNobody) {
  World world;
  world.inputs.policies = {text_of({kKeystrokes}).parse()};
  world.inputs.context.processes = {"browser"};
  Request other = request("chat.test", 2, {{"behaviour.keystroke-dynamics"}});
  other.process = "somebody-else";
  const AuditResult result = world.run({request("chat.test", 1), other});
  const Finding finding = declared(result, "behaviour.keystroke-dynamics");
  EXPECT_EQ(finding.verdict, Verdict::not_testable);
  EXPECT_EQ(reasons(finding), std::set<std::string>{"reason.unattributed"});
}

TEST(DeclaredNotObserved, NotWhenAUserAgentMayTellIt) {
  World world;
  world.inputs.policies = {text_of({statement("t", "collect", "device.os, device.battery", "self")}).parse()};
  const AuditResult result = world.run({request("chat.test", 1, {{"device.user-agent"}})});
  EXPECT_EQ(reasons(declared(result, "device.os")), std::set<std::string>{"reason.within"});
  EXPECT_EQ(declared(result, "device.battery").verdict, Verdict::declared_not_observed);
}

TEST(DeclaredNotObserved, FilesOfRequestsHoldNoAddresses) {
  World world;
  world.inputs.policies = {text_of({statement("t", "collect", "network.ip-public", "self")}).parse()};
  world.inputs.files = {{"a.har", "", "har", 1, 0, false, at(0), at(100)}};
  FlowCollector collector(world.inputs);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  EXPECT_TRUE(reasons(declared(result, "network.ip-public")).count("reason.not-recorded"));
}

TEST(DeclaredNotObserved, NotBeyondBounds) {
  World world;
  world.inputs.policies = {text_of({kKeystrokes}).parse()};
  FlowCollector collector(world.inputs);
  feed(collector, request("chat.test", 1));
  const AuditResult result =
      evaluate(world.inputs, std::move(collector),
               {{Issue{Cause::truncated, "fields: an exchange has more fields than are kept", 9, 0}, 1}});
  EXPECT_EQ(reasons(declared(result, "behaviour.keystroke-dynamics")), std::set<std::string>{"reason.bounds"});
}

TEST(DeclaredNotObserved, NotBesideAWebSocketWithoutItsMessages) {
  World world;
  world.inputs.policies = {text_of({kKeystrokes}).parse()};
  FlowCollector collector(world.inputs);
  feed(collector, request("chat.test", 1));
  ConnectionInfo connection;
  connection.id = 2;
  connection.transport = Transport::har;
  Exchange exchange;
  exchange.id = {2, 1};
  exchange.connection = &connection;
  exchange.host = "chat.test";
  exchange.protocol = Protocol::http11;
  exchange.status = 101;
  collector.exchange_closed(exchange, CloseReason::complete, {0, 0});
  collector.connection_closed(connection);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  EXPECT_EQ(reasons(declared(result, "behaviour.keystroke-dynamics")), std::set<std::string>{"reason.bounds"});
}

// ---- what a text says, to whom ------------------------------------------------

TEST(Statements, SharingWithOthersSaysNothingOfTheFirstParty) {
  World world;
  world.inputs.policies = {text_of({statement("d", "deny-share", "device.model", "any")}).parse()};
  const AuditResult denied = world.run({request("chat.test", 1, {{"device.model"}}), [] {
                                          Request third = request("t.meter.test", 2, {{"device.model"}});
                                          third.origin = "https://chat.test";
                                          return third;
                                        }()});
  EXPECT_EQ(denied.finding(FindingKind::flow, "device.model", "chatco")->verdict, Verdict::omitted);
  EXPECT_EQ(denied.finding(FindingKind::flow, "device.model", "meter")->verdict, Verdict::contradicted);

  world.inputs.policies = {text_of({statement("s", "share", "device.model", "any")}).parse()};
  const AuditResult shared = world.run({request("chat.test", 1, {{"device.model"}})});
  EXPECT_EQ(shared.finding(FindingKind::flow, "device.model", "chatco")->verdict, Verdict::omitted);
}

TEST(Statements, ADenialForAppsIsNotHeldAgainstAnUnknownClient) {
  World world;
  world.inputs.policies = {text_of({statement("p", "collect", "identifier.cookie", "self"),
                                    statement("d", "deny-collect", "identifier.cookie", "self", "services: [app]")})
                               .parse()};
  world.inputs.context.client.clear();
  const std::vector<Request> sent = {request("chat.test", 1, {{"identifier.cookie"}})};
  EXPECT_EQ(verdict_of_cookie(world.run(sent)), Verdict::clear);
  world.inputs.context.platform = "app";
  EXPECT_EQ(verdict_of_cookie(world.run(sent)), Verdict::ambiguous);
}

// ---- attribution --------------------------------------------------------------

TEST(Attribution, AFollowedLinkIsNotTheSubjects) {
  World world;
  world.inputs.policies = {text_of({}).parse()};
  Request page = request("www.paper.test", 2, {{"device.model"}});
  page.referer = "https://chat.test/";
  page.headers = {{"sec-fetch-dest", "document"}, {"sec-fetch-mode", "navigate"}};
  Request tracker = request("x.ads.test", 3, {{"identifier.browser"}});
  tracker.referer = "https://www.paper.test/";
  const AuditResult result = world.run({request("chat.test", 1), page, tracker});
  for (const Flow& flow : result.flows) EXPECT_EQ(flow.recipient, "chatco") << flow.type;

  // The same two as a frame in the subject's page are the subject's.
  page.headers = {{"sec-fetch-dest", "iframe"}};
  const AuditResult frame = world.run({request("chat.test", 1), page, tracker});
  EXPECT_NE(frame.finding(FindingKind::flow, "device.model", "paper"), nullptr);
  EXPECT_NE(frame.finding(FindingKind::flow, "identifier.browser", "adhouse"), nullptr);
}

// ---- rules ----------------------------------------------------------------------

TEST(NothingSeen, IsNotSaidOfBytesThatWereNotRead) {
  World world;
  world.inputs.policies = {text_of({statement("p", "collect", "device.model, network.ip-public", "self")}).parse()};
  world.rule("kind: transport, min_tls: null, cleartext: true, credentials_in_url: true, types: [identifier]");
  const Request read = request("chat.test", 1, {{"device.model"}});
  EXPECT_EQ(world.run({read}).rules.at(0).status, RuleStatus::nothing_seen);
  Request unread = request("chat.test", 2);
  unread.no_key = 700;
  const AuditResult result = world.run({read, unread});
  EXPECT_EQ(result.rules.at(0).status, RuleStatus::not_testable);
  EXPECT_EQ(result.rules.at(0).why.id, "reason.nothing-in-the-rest");
}

TEST(NothingSeen, IsNotSaidWhenTextsAreMissing) {
  World world;
  world.rule("kind: verdict, verdicts: [omitted, contradicted]");
  const std::vector<Request> sent = {request("chat.test", 1, {{"device.model"}})};
  EXPECT_EQ(world.run(sent).rules.at(0).why.id, "reason.no-text");
  PolicyText text;
  text.missing = {"{document: \"Korean page\", regions: [world], data: []}"};
  world.inputs.policies = {text.parse()};
  const AuditResult result = world.run(sent);
  EXPECT_EQ(result.rules.at(0).status, RuleStatus::not_testable);
  EXPECT_EQ(result.rules.at(0).why.id, "reason.texts-missing");
}

// ---- cookies ----------------------------------------------------------------------

const std::string kCookieRow =
    "{name: sid, domain: chat.test, party: first, provider: self, lifetime: session, max_age: null, purpose: x, "
    "category: necessary, quote: \"q\"}";

TEST(Cookies, RemovingOneIsNotSettingOne) {
  World world;
  PolicyText text;
  text.cookies = {kCookieRow};
  world.inputs.policies = {text.parse()};
  Request removing = request("chat.test", 1);
  removing.response_headers = {{"set-cookie", "old=; Max-Age=0"},
                               {"set-cookie", "older=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}};
  const AuditResult result = world.run({removing});
  EXPECT_EQ(result.cookies.size(), 2u);
  for (const CookieRow& row : result.cookies) EXPECT_TRUE(row.issues.empty()) << row.name;
  EXPECT_EQ(result.finding(FindingKind::cookie, "identifier.cookie", "chatco"), nullptr);
}

TEST(Cookies, ATableThatIsNotHeldMayNameIt) {
  World world;
  PolicyText text;
  text.cookies = {kCookieRow};
  text.missing = {"{document: \"Cookie notice\", regions: [world], data: [identifier.cookie]}"};
  world.inputs.policies = {text.parse()};
  Request setting = request("chat.test", 1);
  setting.response_headers = {{"set-cookie", "other=1"}};
  const AuditResult result = world.run({setting});
  const Finding* finding = result.finding(FindingKind::cookie, "identifier.cookie", "chatco");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::not_testable);
  EXPECT_EQ(finding->missing, std::vector<std::string>{"Cookie notice"});
}

// ---- what is printed ----------------------------------------------------------------

TEST(Masking, PagesKeepNoIds) {
  EXPECT_EQ(mask("https://chat.test/a/s/0b1c2d3e-4f5a-4b6c-8d7e-9f0a1b2c3d4e?token=abc", Sensitivity::plain),
            "https://chat.test/a/s/*?…");
  EXPECT_EQ(mask("/u/anna@mail.test/inbox#x", Sensitivity::plain), "/u/*/inbox#…");
  EXPECT_EQ(mask("https://anna:secret@chat.test/", Sensitivity::plain), "https://…@chat.test/");
  EXPECT_EQ(mask("anna.lee@mail.test", Sensitivity::plain).find("anna.lee"), std::string::npos);
  EXPECT_EQ(mask("Mozilla/5.0 (X11; Linux x86_64)", Sensitivity::plain), "Mozilla/5.0 (X11; Linux x86_64)");
}

TEST(Masking, EvidencePathsKeepNoIds) {
  World world;
  world.inputs.policies = {text_of({}).parse()};
  Request sent =
      request("chat.test", 1, {{"device.model", "v", Observation::probable, "body|json/anna@mail.test/0/model"}});
  sent.path = "/users/anna%40mail.test/chats/0b1c2d3e-4f5a-4b6c-8d7e-9f0a1b2c3d4e/send?t=1";
  const AuditResult result = world.run({sent});
  const Finding* finding = result.finding(FindingKind::flow, "device.model", "chatco");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->evidence.at(0).url_path, "/users/*/chats/*/send");
  EXPECT_EQ(finding->evidence.at(0).path, "body|json/*/0/model");
}

// ---- addresses ------------------------------------------------------------------------

// A client behind address translation, as its recorder sees it: the classifier
// types the inner address by its form.
std::set<std::string> address_types(const World& world, const std::string& host, const std::string& server) {
  FlowCollector collector(world.inputs);
  ConnectionInfo connection;
  connection.id = 4;
  connection.client = {IpAddress::parse("192.168.1.20"), 50000};
  connection.server = {IpAddress::parse(server), 443};
  connection.tls = !host.empty();
  connection.tls_info.sni = host;
  Exchange whole;
  whole.id = {4, 0};
  whole.connection = &connection;
  whole.host = host.empty() ? server : host;
  Field field;
  field.exchange = &whole;
  field.location = Location::connection;
  field.path = "connection:client-ip";
  field.value = "192.168.1.20";
  field.type = taxonomy().find("network.ip-local");
  field.observation = Observation::certain;
  collector.field(field);
  collector.connection_closed(connection);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  std::set<std::string> types;
  for (const auto* list : {&result.flows, &result.unattributed}) {
    for (const Flow& flow : *list) types.insert(flow.type + " " + std::string(to_string(flow.observation)));
  }
  return types;
}

TEST(Addresses, AreThoseTheRecipientSees) {
  const World world;
  EXPECT_EQ(address_types(world, "chat.test", "203.0.113.10"), std::set<std::string>{"network.ip-public probable"});
  EXPECT_EQ(address_types(world, "", "203.0.113.10"), std::set<std::string>{"network.ip-public probable"});
  EXPECT_EQ(address_types(world, "", "192.168.1.1"), std::set<std::string>{"network.ip-local certain"});
  // A proxy of the organisation, or a name of its own: what stands behind it is not known.
  EXPECT_EQ(address_types(world, "chat.test", "10.0.0.8"), std::set<std::string>{"network.ip-public probable"});
}

// ---- selection, recipients -------------------------------------------------------------

TEST(Selection, AnEditionMadeLaterTakesNobodysPlaceBefore) {
  World world;
  world.inputs.context.country = "KR";
  world.inputs.context.language = "ko";
  PolicyText old;
  old.file = "chat/world.yaml";
  old.updated = "2026-01-01";
  PolicyText korean = old, translated = old;
  korean.file = "chat/kr.yaml";
  korean.regions = "[KR]";
  korean.updated = korean.first_seen = "2026-06-01";
  translated.file = "chat/ko.yaml";
  translated.language = "ko";
  translated.updated = translated.first_seen = "2026-06-01";
  const auto chosen_on = [&](const std::string& day, const PolicyText& other) {
    world.inputs.policies = {old.parse(), other.parse()};
    world.inputs.context.policy_date = day;
    const AuditResult result = world.run({request("chat.test", 1)});
    return result.policies.empty() ? std::string("none") : result.policies.at(0).file;
  };
  EXPECT_EQ(chosen_on("2026-03-01", korean), "chat/world.yaml");
  EXPECT_EQ(chosen_on("2026-06-01", korean), "chat/kr.yaml");
  EXPECT_EQ(chosen_on("2026-03-01", translated), "chat/world.yaml");
  EXPECT_EQ(chosen_on("2026-06-01", translated), "chat/ko.yaml");
  EXPECT_EQ(chosen_on("2025-12-31", korean), "none");
}

TEST(DeclaredNotObserved, NotWhenSentToACompanyNoListKnows) {
  World world;
  world.inputs.policies = {text_of({statement("s", "share", "device.battery", "analytics")}).parse()};
  Request unknown = request("who.test", 2, {{"device.battery"}});
  unknown.origin = "https://chat.test";
  const Finding finding = declared(world.run({request("chat.test", 1), unknown}), "device.battery", "analytics");
  EXPECT_EQ(finding.verdict, Verdict::not_testable);
  EXPECT_EQ(reasons(finding), std::set<std::string>{"reason.unknown-company"});
  // A company of another kind is not meant.
  Request paper = request("www.paper.test", 2, {{"device.battery"}});
  paper.origin = "https://chat.test";
  EXPECT_EQ(declared(world.run({request("chat.test", 1), paper}), "device.battery", "analytics").verdict,
            Verdict::declared_not_observed);
}

TEST(OutOfReach, HoldsStorageAndUseOnServersToo) {
  World world;
  world.inputs.policies = {text_of({statement("st", "store", "device.model", "self", {}, "server-side"),
                                    statement("us", "use", "device.model", "self", {}, "server-side"),
                                    statement("no", "deny-use", "device.model", "self", {}, "server-side"),
                                    statement("dc", "deny-collect", "device.model", "self", {}, "server-side")})
                               .parse()};
  std::vector<std::string> ids;
  for (const OutOfReach& each : world.run({request("chat.test", 1)}).out_of_reach) ids.push_back(each.statement.id);
  EXPECT_EQ(ids, (std::vector<std::string>{"st", "us", "no"}));
}

TEST(Recipients, APrivateAddressWithoutTrafficIsLocal) {
  World world;
  FlowCollector collector(world.inputs);
  ConnectionInfo ping;
  ping.id = 8;
  ping.transport = Transport::other_ip;
  ping.server = {IpAddress::parse("192.168.1.1"), 0};
  collector.connection_closed(ping);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  ASSERT_NE(result.recipient("192.168.1.1"), nullptr);
  EXPECT_EQ(result.recipient("192.168.1.1")->role, RecipientRole::local);
}

}  // namespace
}  // namespace vitrine
