// Every kind of rule test, applicability, markers; cookies against the table.
#include "audit/rules.h"

#include <gtest/gtest.h>

#include "audit/flow_text.h"
#include "audit_fixture.h"

namespace vitrine {
namespace {

using testing::at;
using testing::feed;
using testing::PolicyText;
using testing::Request;
using testing::statement;
using testing::World;

Request sent(const std::string& type, const std::string& host = "chat.test", double time = 60) {
  static ConnectionId next = 100;
  Request request;
  request.connection = ++next;
  request.host = host;
  request.referer = "https://chat.test/";
  request.time = time;
  request.values = {{type}};
  return request;
}

void use_text(World& world, std::vector<std::string> statements, std::vector<std::string> cookies = {}) {
  PolicyText text;
  text.statements = std::move(statements);
  text.cookies = std::move(cookies);
  world.inputs.policies = {text.parse()};
}

RuleResult result_of(const World& world, const std::vector<Request>& requests) {
  return world.run(requests).rules.at(0);
}
RuleStatus status_of(const World& world, const std::vector<Request>& requests) {
  return result_of(world, requests).status;
}

TEST(Rule, AppliesByCountryAndService) {
  World world;
  world.countries = "[EEA]";
  world.rule("kind: verdict, verdicts: [omitted], personal_only: true");
  use_text(world, {});
  EXPECT_EQ(status_of(world, {sent("device.model")}), RuleStatus::evidence);
  world.inputs.context.country = "KR";
  EXPECT_EQ(status_of(world, {sent("device.model")}), RuleStatus::not_applicable);
  world.inputs.context.country = "";
  const RuleResult unknown = result_of(world, {sent("device.model")});
  EXPECT_EQ(unknown.status, RuleStatus::not_testable);
  EXPECT_EQ(unknown.why.id, "reason.no-country");
}

TEST(Rule, VerdictByTypesAndExceptions) {
  World world;
  use_text(world, {statement("p", "collect", "device.os", "self")});
  world.rule("kind: verdict, verdicts: [omitted, contradicted], types: [device], except: [device.battery]");
  const RuleResult hit = result_of(world, {sent("device.model"), sent("device.battery"), sent("device.os")});
  ASSERT_EQ(hit.hits.size(), 1u);
  EXPECT_EQ(hit.hits[0].type, "device.model");
  EXPECT_EQ(hit.hits[0].message_en, "device.model to ChatCo");
  EXPECT_FALSE(hit.hits[0].finding.empty());
  EXPECT_EQ(status_of(world, {sent("device.os")}), RuleStatus::nothing_seen);
}

TEST(Rule, DeclaredNotObserved) {
  World world;
  use_text(world, {statement("p", "collect", "device.battery", "self")});
  world.rule("kind: declared-not-observed");
  EXPECT_EQ(status_of(world, {sent("device.model")}), RuleStatus::evidence);
  EXPECT_EQ(status_of(world, {sent("device.battery")}), RuleStatus::nothing_seen);
  world.inputs.policies.clear();
  EXPECT_EQ(result_of(world, {sent("device.model")}).why.id, "reason.no-text");
}

TEST(Rule, RecipientUndeclared) {
  World world;
  world.rule("kind: recipient-undeclared, personal_only: true");
  use_text(world, {statement("p", "share", "device.os", "analytics"), statement("q", "share", "device.os", "any")});
  EXPECT_EQ(status_of(world, {sent("device.model", "t.meter.test")}), RuleStatus::nothing_seen);
  EXPECT_EQ(status_of(world, {sent("device.model", "chat.test")}), RuleStatus::nothing_seen);
  const RuleResult hit = result_of(world, {sent("device.model", "fp.guard.test")});
  EXPECT_EQ(hit.status, RuleStatus::evidence);
  EXPECT_EQ(hit.hits.at(0).recipient, "guard");
}

TEST(Rule, TransferByEntityCountryAndAdequacy) {
  World world;
  use_text(world, {});
  world.rule("kind: transfer, outside: EEA, adequacy: eu-adequacy, personal_only: true");
  const RuleResult china = result_of(world, {sent("device.model")});
  ASSERT_EQ(china.status, RuleStatus::evidence);
  EXPECT_EQ(china.hits[0].country, "CN");
  EXPECT_EQ(china.hits[0].country_of, CountryOf::entity);
  const RuleResult limited = result_of(world, {sent("device.model", "x.ads.test")});  // US: limited
  EXPECT_EQ(limited.hits.at(0).country, "US");
  EXPECT_EQ(limited.hits.at(0).note, "certified organisations");
  EXPECT_EQ(status_of(world, {sent("device.model", "n.paper.test")}), RuleStatus::nothing_seen) << "Germany";
}

TEST(Rule, TransferWithoutAnyCountryIsNotTestable) {
  World world;
  use_text(world, {});
  world.rule("kind: transfer, outside: EEA, adequacy: null, personal_only: true");
  EXPECT_EQ(result_of(world, {sent("device.model", "who.test")}).why.id, "reason.no-ip-country");
  EXPECT_EQ(status_of(world, {sent("device.model", "n.paper.test")}), RuleStatus::nothing_seen);
}

TEST(Rule, TransferNoticeAndRecipient) {
  World world;
  world.rule("kind: transfer-notice, outside: EEA, personal_only: true");
  use_text(world, {statement("s", "store", "device", "self", "", "server-side", "always", "[CN]")});
  EXPECT_EQ(status_of(world, {sent("device.model")}), RuleStatus::nothing_seen);
  use_text(world, {statement("s", "store", "device", "self")});
  EXPECT_EQ(status_of(world, {sent("device.model")}), RuleStatus::evidence);

  world.rule("kind: transfer-recipient, outside: EEA, personal_only: true");
  use_text(world, {statement("s", "share", "device", "analytics")});
  EXPECT_EQ(status_of(world, {sent("device.model", "t.meter.test")}), RuleStatus::evidence) << "a category is no name";
  use_text(world, {statement("s", "share", "device", "meter")});
  EXPECT_EQ(status_of(world, {sent("device.model", "t.meter.test")}), RuleStatus::nothing_seen);
}

TEST(Rule, Minimisation) {
  World world;
  use_text(world, {});
  world.rule("kind: minimisation, types: [device.canvas], categories: [anti-fraud], max_recipients: 1");
  EXPECT_EQ(status_of(world, {sent("device.canvas")}), RuleStatus::nothing_seen);
  EXPECT_EQ(status_of(world, {sent("device.canvas", "fp.guard.test")}), RuleStatus::evidence);
  EXPECT_EQ(result_of(world, {sent("device.canvas"), sent("device.canvas", "t.meter.test")}).hits.size(), 2u);
}

TEST(Rule, Transport) {
  World world;
  use_text(world, {});
  world.rule(
      "kind: transport, min_tls: \"1.2\", cleartext: true, credentials_in_url: true, types: [identifier, device]");
  EXPECT_EQ(status_of(world, {sent("device.model")}), RuleStatus::nothing_seen);
  Request clear = sent("device.model"), old = sent("device.model"), url = sent("identifier.device");
  clear.tls = 0;
  EXPECT_EQ(result_of(world, {clear}).hits.at(0).note, "cleartext");
  old.tls = 0x0302;
  EXPECT_EQ(result_of(world, {old}).hits.at(0).note, "tls-version");
  url.values[0].location = Location::query;
  EXPECT_EQ(result_of(world, {url}).hits.at(0).note, "in-url");
  url.values[0].type = "device.model";
  EXPECT_EQ(status_of(world, {url}), RuleStatus::nothing_seen) << "not an identifier";
}

TEST(Rule, TypeBeside) {
  World world;
  use_text(world, {});
  world.rule("kind: type-beside, type: behaviour.keystroke-dynamics, beside: [identifier]");
  EXPECT_EQ(status_of(world, {sent("behaviour.keystroke-dynamics"), sent("identifier.device", "t.meter.test")}),
            RuleStatus::nothing_seen);
  EXPECT_EQ(result_of(world, {sent("behaviour.keystroke-dynamics"), sent("identifier.device")}).hits.at(0).note,
            "identifier.device");
}

const char* kTable =
    "{name: \"track-*\", domain: .chat.test, party: first, provider: self, lifetime: \"1 week\", max_age: 604800, "
    "purpose: x, category: analytics, quote: \"q\"}";
const char* kSession =
    "{name: sid, domain: chat.test, party: first, provider: self, lifetime: session, max_age: null, purpose: x, "
    "category: necessary, quote: \"q\"}";

TEST(Rule, BeforeMarkerTypesThirdPartiesAndCookies) {
  World world;  // consent-accepted at 20 s
  use_text(world, {}, {kTable, kSession});
  const std::string base = "kind: before-marker, marker: consent-accepted, ";
  world.rule(base + "types: [device.canvas], third_party_requests: false, cookies: none");
  EXPECT_EQ(status_of(world, {sent("device.canvas", "chat.test", 10)}), RuleStatus::evidence);
  EXPECT_EQ(status_of(world, {sent("device.canvas", "chat.test", 25)}), RuleStatus::nothing_seen);

  world.rule(base + "types: [], third_party_requests: true, cookies: none");
  EXPECT_EQ(status_of(world, {sent("device.canvas", "chat.test", 10)}), RuleStatus::nothing_seen);
  Request page = sent("device.canvas", "t.meter.test", 10);
  page.headers = {{"accept", "*/*"}};
  EXPECT_EQ(result_of(world, {page}).hits.at(0).recipient, "meter");

  world.rule(base + "types: [], third_party_requests: false, cookies: non-essential");
  Request cookie = sent("device.os", "chat.test", 10);
  cookie.response_headers = {{"Set-Cookie", "track-77=x; Domain=chat.test; Max-Age=60"}};
  EXPECT_EQ(result_of(world, {cookie}).hits.at(0).note, "track-77");
  cookie.response_headers = {{"Set-Cookie", "sid=x"}};
  EXPECT_EQ(status_of(world, {cookie}), RuleStatus::nothing_seen) << "necessary";
  cookie.response_headers = {{"Set-Cookie", "unknown=x"}};
  EXPECT_EQ(status_of(world, {cookie}), RuleStatus::nothing_seen) << "not in the table";
  world.rule(base + "types: [], third_party_requests: false, cookies: all");
  EXPECT_EQ(status_of(world, {cookie}), RuleStatus::evidence);
}

TEST(Rule, AfterMarkerAndMissingMarker) {
  World world;
  use_text(world, {});
  world.rule(
      "kind: after-marker, marker: consent-rejected, types: [identifier], third_party_requests: false, cookies: none",
      "consent-rejected");
  const RuleResult without = result_of(world, {sent("identifier.device")});
  EXPECT_EQ(without.status, RuleStatus::not_testable);
  EXPECT_EQ(without.why.arguments.at(0).second, "consent-rejected");
  world.inputs.context.steps.push_back({"consent-rejected", at(30), ""});
  EXPECT_EQ(status_of(world, {sent("identifier.device", "chat.test", 60)}), RuleStatus::evidence);
  EXPECT_EQ(status_of(world, {sent("identifier.device", "chat.test", 10)}), RuleStatus::nothing_seen);
}

TEST(Rule, Draft) {
  World world;  // submit at 50 s
  use_text(world, {});
  world.rule("kind: draft");
  EXPECT_EQ(status_of(world, {sent("content.draft", "chat.test", 45)}), RuleStatus::evidence);
  EXPECT_EQ(status_of(world, {sent("content.draft", "chat.test", 55)}), RuleStatus::nothing_seen);
  world.inputs.context.steps.clear();
  EXPECT_EQ(status_of(world, {sent("content.draft", "chat.test", 45)}), RuleStatus::not_testable);
}

TEST(Rule, Gpc) {
  World world;
  use_text(world, {});
  world.rule("kind: gpc, categories: [advertising], types: [identifier]");
  EXPECT_EQ(result_of(world, {sent("identifier.device", "x.ads.test")}).why.id, "reason.no-signal");
  Request signal = sent("device.os");
  signal.headers = {{"Sec-GPC", "1"}};
  EXPECT_EQ(status_of(world, {signal, sent("identifier.device", "x.ads.test")}), RuleStatus::evidence);
  EXPECT_EQ(status_of(world, {signal, sent("identifier.device", "t.meter.test")}), RuleStatus::nothing_seen);
}

TEST(Rule, Document) {
  World world;
  use_text(world, {});
  world.rule("kind: document, reason: \"nothing in traffic\"");
  EXPECT_EQ(status_of(world, {sent("device.model")}), RuleStatus::document);
}

TEST(Rule, EgressCountsEveryPacket) {
  World world;
  world.rule(
      "kind: egress-allow-list, allow: [\"127.0.0.0/8\", \"203.0.113.8/29\", \"*.chat.test\", \"2001:db8::/32\"]");
  Request inside = sent("device.model"), named = sent("device.model", "a.chat.test"),
          out = sent("device.model", "who.test");
  named.server = "198.51.100.1";
  out.server = "198.51.100.2";
  EXPECT_EQ(status_of(world, {inside, named}), RuleStatus::nothing_seen);
  EXPECT_EQ(result_of(world, {inside, named, out}).hits.at(0).host, "who.test");

  FlowCollector collector(world.inputs);
  ConnectionInfo ntp;
  ntp.id = ntp.first_packet = 3;
  ntp.transport = Transport::udp;
  ntp.server = {IpAddress::parse("192.0.2.123"), 123};
  ntp.protocol = "ntp";
  ntp.overhead[0].add(Cause::unsupported, 48);
  collector.connection_closed(ntp);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  ASSERT_EQ(result.rules[0].hits.size(), 1u);
  EXPECT_EQ(result.rules[0].hits[0].note, "udp 192.0.2.123:123 ntp");
  EXPECT_EQ(result.rules[0].hits[0].evidence[0].packet, 3u);
}

TEST(Rule, PlantedSecretInAnyEncodingToAnyHost) {
  World world;
  world.rule("kind: planted-secret");
  EXPECT_EQ(result_of(world, {sent("device.model")}).why.id, "reason.no-canary");
  world.inputs.context.secrets = {{"c1", "Canary/9+tulip"}};
  struct Case {
    const char *value, *encoding;
  };
  for (const Case& each : {Case{"say Canary/9+tulip!", "plain"}, Case{"pilut+9/yranaC", "reversed"},
                           Case{"q=Canary%2f9%2Btulip", "percent"}, Case{"43616E6172792F392B74756C6970", "hex"},
                           Case{"Q2FuYXJ5LzkrdHVsaXA=", "base64"}, Case{"eENhbmFyeS85K3R1bGlw", "base64"},
                           Case{"eHhDYW5hcnkvOSt0dWxpcA==", "base64"}}) {
    Request request = sent("", "nobody.test");
    request.referer = "";
    request.values = {{"", each.value}};
    const RuleResult hit = result_of(world, {request});
    ASSERT_EQ(hit.status, RuleStatus::evidence) << each.value;
    EXPECT_EQ(hit.hits[0].note, std::string("c1 (") + each.encoding + ")");
    EXPECT_EQ(hit.hits[0].host, "nobody.test");
  }
  Request clean = sent("", "nobody.test");
  clean.values = {{"", "Canary/9+rose"}};
  EXPECT_EQ(status_of(world, {clean}), RuleStatus::nothing_seen);
}

TEST(RuleFiles, EveryShippedFileLoads) {
  for (const char* name :
       {"laws/gdpr.yaml", "laws/eprivacy.yaml", "laws/pipa.yaml", "laws/ccpa.yaml", "org/no-egress.yaml"}) {
    const std::string path = std::string(VITRINE_SOURCE_DIR) + "/policies/" + name;
    auto text = read_file(path);
    ASSERT_TRUE(text) << name;
    auto rules = parse_rules(*text, name, testing::taxonomy());
    EXPECT_TRUE(rules) << (rules ? "" : rules.error().to_string());
  }
}

TEST(RuleFiles, ErrorsNameFileLineAndKey) {
  World world;
  auto bad = parse_rules(
      "rules_file: 1\nid: x\ntitle: x\ndisclaimer: x\nrules:\n  - {id: r, reference: x, reference_date: 2020-01-01, "
      "applies_when: {user_countries: [any], services: [any]}, inference: indicator, evidence: x, "
      "test: {kind: verdict, verdicts: [guilty]}, needs: [], open_questions: [], message: {en: x, ko: x}}\n",
      "x.yaml", testing::taxonomy());
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().to_string().find("x.yaml:6"), std::string::npos) << bad.error().to_string();
  EXPECT_NE(bad.error().to_string().find("guilty"), std::string::npos);
}

// ---- cookies ----

const CookieRow& cookie_of(const AuditResult& result, const std::string& name) {
  for (const CookieRow& row : result.cookies) {
    if (row.name == name) return row;
  }
  throw std::runtime_error("no cookie " + name);
}

struct CookieCase {
  const char *name, *host, *set;
  std::vector<CookieIssue> issues;
};
class CookieTable : public ::testing::TestWithParam<CookieCase> {};

TEST_P(CookieTable, Compares) {
  World world;
  use_text(world, {},
           {kTable, kSession,
            "{name: \"widget-device-id-*\", domain: .chat.test, party: third, provider: meter, lifetime: \"9 months\", "
            "max_age: 24105600, purpose: x, category: necessary, quote: \"q\"}"});
  Request request = sent("device.os", GetParam().host, 60);
  request.response_headers = {{"set-cookie", GetParam().set}};
  const AuditResult result = world.run({request});
  ASSERT_EQ(result.cookies.size(), 1u);
  EXPECT_EQ(result.cookies[0].issues, GetParam().issues);
  uint64_t findings = 0;
  for (const Finding& finding : result.findings) findings += finding.kind == FindingKind::cookie;
  EXPECT_EQ(findings, GetParam().issues.size());
}

INSTANTIATE_TEST_SUITE_P(
    Table, CookieTable,
    ::testing::Values(
        CookieCase{"declared_session", "chat.test", "sid=1", {}},
        CookieCase{"wildcard", "www.chat.test", "track-abc=1; Domain=.chat.test; Max-Age=604800", {}},
        CookieCase{"wildcard_of_a_third_party_under_our_name",
                   "chat.test",
                   "widget-device-id-x9=1; Domain=chat.test; Max-Age=10",
                   {}},
        CookieCase{"undeclared", "chat.test", "other=1", {CookieIssue::undeclared}},
        CookieCase{"name_has_case", "chat.test", "SID=1", {CookieIssue::undeclared}},
        CookieCase{"same_name_elsewhere", "t.meter.test", "sid=1", {CookieIssue::undeclared}},
        CookieCase{"longer", "chat.test", "track-a=1; Max-Age=604900", {CookieIssue::longer_lifetime}},
        CookieCase{"session_that_stays", "chat.test", "sid=1; Max-Age=86400", {CookieIssue::longer_lifetime}},
        CookieCase{"deleted", "chat.test", "sid=; Max-Age=0", {}},
        CookieCase{"expires_counts",
                   "chat.test",
                   "track-a=1; Expires=Wed, 01 Apr 2026 10:00:00 GMT",
                   {CookieIssue::longer_lifetime}},
        CookieCase{
            "max_age_before_expires", "chat.test", "track-a=1; Expires=Wed, 01 Apr 2037 10:00:00 GMT; Max-Age=5", {}}),
    [](const auto& row) { return row.param.name; });

TEST(Cookies, EarlierThanConsentOnlyWhenTheTableSaysNonEssential) {
  World world;
  use_text(world, {}, {kTable, kSession});
  Request early = sent("device.os", "chat.test", 10);
  early.response_headers = {{"set-cookie", "track-a=1; Max-Age=5"}, {"set-cookie", "sid=1"}};
  AuditResult result = world.run({early});
  EXPECT_EQ(cookie_of(result, "track-a").issues, std::vector<CookieIssue>{CookieIssue::before_consent});
  EXPECT_TRUE(cookie_of(result, "sid").issues.empty());
  world.inputs.context.steps.clear();
  EXPECT_TRUE(cookie_of(world.run({early}), "track-a").issues.empty());
}

TEST(Cookies, WithoutATableNothingIsCompared) {
  World world;
  use_text(world, {});
  Request request = sent("device.os");
  request.headers = {{"cookie", "a=1; b=2"}};
  const AuditResult result = world.run({request});
  ASSERT_EQ(result.cookies.size(), 2u);
  EXPECT_EQ(cookie_of(result, "b").issues, std::vector<CookieIssue>{CookieIssue::no_table});
  EXPECT_TRUE(cookie_of(result, "a").sent);
  EXPECT_FALSE(cookie_of(result, "a").set);
}

TEST(Cookies, LifetimesAreReadAsBrowsersReadThem) {
  const Timestamp now = *parse_rfc3339("2026-10-21T07:27:00Z");
  for (const char* text :
       {"Wed, 21 Oct 2026 07:28:00 GMT", "Wednesday, 21-Oct-26 07:28:00 GMT", "21 oct 2026 07:28:00"}) {
    EXPECT_EQ(read_set_cookie("a=1; Expires=" + std::string(text), now).max_age, 60) << text;
  }
  for (const char* text : {"", "never", "99 Oct 2026 07:28:00", "21 Oct 2026 25:00:00", "21 Oct 1500 01:00:00"}) {
    EXPECT_FALSE(read_set_cookie("a=1; Expires=" + std::string(text), now).max_age) << text;
  }
  EXPECT_EQ(read_set_cookie("a=1; Max-Age=7; Expires=Wed, 21 Oct 2026 07:28:00 GMT", now).max_age, 7);
  EXPECT_EQ(read_set_cookie("a=1; Max-Age=-5", now).max_age, 0);
}

}  // namespace
}  // namespace vitrine
