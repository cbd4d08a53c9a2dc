#include "sample_results.h"

#include <algorithm>
#include <utility>

namespace vitrine::testing_reports {
namespace {

Timestamp at(int seconds, int milliseconds = 0) {
  return Timestamp{1'764'000'000'000'000'000 + seconds * 1'000'000'000LL + milliseconds * 1'000'000LL};
}

Evidence evidence(uint64_t packet, uint32_t ordinal, OriginId node, std::string host, std::string method,
                  std::string url_path, std::string path, std::string chain = "tls 1.3 > HTTP/2") {
  return {{{12, ordinal}, node},
          packet,
          at(static_cast<int>(packet) / 10),
          std::move(host),
          std::move(method),
          std::move(url_path),
          std::move(path),
          std::move(chain)};
}

StatementRef statement(std::string id, std::string action, std::string recipient, std::string data, std::string quote,
                       bool exact_data = true, bool exact_recipient = true) {
  StatementRef ref;
  ref.policy = 0;
  ref.id = std::move(id);
  ref.action = std::move(action);
  ref.recipient = std::move(recipient);
  ref.channel = "automatic";
  ref.trigger = "always";
  ref.section = "What your device tells us by itself";
  ref.quote = std::move(quote);
  ref.data = std::move(data);
  ref.exact_data = exact_data;
  ref.exact_recipient = exact_recipient;
  return ref;
}

Flow flow(std::string id, std::string type, std::string recipient, RecipientRole role, uint64_t count,
          Observation observation, std::string sample, Evidence first) {
  Flow flow;
  flow.id = std::move(id);
  flow.type = std::move(type);
  flow.recipient = std::move(recipient);
  flow.role = role;
  flow.attributed_by = {role == RecipientRole::first_party ? Attribution::first_party_host : Attribution::page};
  flow.hosts = {first.host};
  flow.count = count;
  flow.count_by_observation[static_cast<size_t>(observation)] = count;
  flow.first = first.time;
  flow.last = Timestamp{first.time.ns + 9'000'000'000LL};
  flow.distinct_values = std::min<uint64_t>(count, 40);
  flow.sample = std::move(sample);
  flow.sample_digest = "00112233445566aa";
  flow.observation = observation;
  flow.decided_by = {"aster-web:example-rule"};
  flow.transport.lowest_tls = 0x0304;
  flow.evidence = {std::move(first)};
  return flow;
}

Finding finding(const Flow& flow, Verdict verdict, std::string sentence) {
  Finding finding;
  finding.id = "find-" + flow.id;
  finding.verdict = verdict;
  finding.type = flow.type;
  finding.recipient = flow.recipient;
  finding.observation = flow.observation;
  finding.coverage.decoded = 48'211;
  finding.coverage.hosts = flow.hosts;
  finding.flows = {flow.id};
  finding.evidence = flow.evidence;
  finding.explanation = {std::move(sentence), {{"type", flow.type}, {"recipient", flow.recipient}}};
  return finding;
}

RecipientInfo entity(std::string id, std::string name) {
  RecipientInfo info;
  info.key = info.entity = std::move(id);
  info.name = std::move(name);
  return info;
}

void add_people(AuditResult& r) {
  const auto country = [](CountryOf what, std::string code, std::string source, std::string detail) {
    return CountryInfo{what, std::move(code), std::move(source), "2026-11-01", std::move(detail)};
  };
  RecipientInfo aster = entity("aster-intelligence", "Aster Intelligence Co., Ltd. (SIMULATED)");
  aster.source = "Written for this example";
  aster.source_date = "2026-11-01";
  aster.domain = "aster.test";
  aster.role = RecipientRole::first_party;
  aster.categories = {"first-party"};
  aster.hosts = {"api.aster.test", "chat.aster.test"};
  aster.addresses = {"203.0.113.10", "203.0.113.20"};
  aster.countries = {country(CountryOf::ip, "CN", "Aster-Test-Country", "203.0.113.10"),
                     country(CountryOf::entity, "CN", "Written for this example", "Aster Intelligence Co., Ltd.")};
  RecipientInfo helpdesk = entity("helpdesk-widgets", "Helpdesk Widgets Inc. (SIMULATED)");
  helpdesk.role = RecipientRole::processor;
  helpdesk.categories = {"customer-support"};
  helpdesk.hosts = {"widget.helpdesk.test"};
  helpdesk.addresses = {"198.51.100.50"};
  helpdesk.countries = {country(CountryOf::ip, "US", "Aster-Test-Country", "198.51.100.50"),
                        country(CountryOf::network_owner, "NL", "Aster-Test-ASN", "Example Hosting"),
                        country(CountryOf::entity, "US", "Written for this example", "Helpdesk Widgets Inc.")};
  RecipientInfo metrica = entity("metrica", "Metrica Pte. Ltd. (SIMULATED)");
  metrica.categories = {"analytics"};
  metrica.hosts = {"telemetry.metrica.test"};
  metrica.addresses = {"2001:db8:30::30"};
  metrica.countries = {country(CountryOf::ip, "DE", "Aster-Test-Country", "2001:db8:30::30"),
                       country(CountryOf::entity, "SG", "Written for this example", "Metrica Pte. Ltd.")};
  RecipientInfo shield;
  shield.key = "shieldprint.test";
  shield.domain = "shieldprint.test";
  shield.hosts = {"fp.shieldprint.test"};
  shield.addresses = {"198.51.100.40"};
  shield.countries = {{CountryOf::ip, "", "no record", "", "198.51.100.40"}};
  r.recipients = {aster, helpdesk, metrica, shield};
}

void add_findings(AuditResult& r) {
  const auto first = RecipientRole::first_party;
  const auto third = RecipientRole::third_party;
  r.flows = {
      flow("a1", "content.prompt", "aster-intelligence", first, 1, Observation::certain, "(45 characters)",
           evidence(410, 7, 3, "chat.aster.test", "POST", "/api/v0/chat/completion", "body|json/prompt")),
      flow("a2", "behaviour.keystroke-dynamics", "aster-intelligence", first, 89, Observation::certain, "12…97",
           evidence(420, 8, 19, "chat.aster.test", "POST", "/api/v0/events",
                    "body|json/events/0/payload/bio|base64|json/dwell/0")),
      flow("a3", "device.timezone", "aster-intelligence", first, 6, Observation::certain, "Europe/Berlin",
           evidence(300, 3, 5, "chat.aster.test", "POST", "/api/v0/feedback", "body|form/payload|json/meta|json/tz")),
      flow("a4", "consent.state", "aster-intelligence", first, 2, Observation::probable, "accepted",
           evidence(301, 3, 9, "chat.aster.test", "POST", "/api/v0/consent", "body|json/state")),
      flow("m1", "content.chat-url", "metrica", third, 4, Observation::certain, "(58 characters)",
           evidence(500, 2, 4, "telemetry.metrica.test", "GET", "/collect/v1/hit", "query:dl")),
      flow("m2", "behaviour.keystroke-dynamics", "metrica", third, 90, Observation::certain, "down",
           evidence(520, 4, 77, "telemetry.metrica.test", "POST", "/service/2/app_log",
                    "body|json/events/3/params/kd/0/t", "tls 1.3 > HTTP/2 > gzip")),
      flow("m3", "device.locale", "metrica", third, 3, Observation::probable, "de_DE",
           evidence(521, 4, 80, "telemetry.metrica.test", "POST", "/service/2/app_log", "body|json/header/locale")),
      flow("s1", "device.opaque-fingerprint", "shieldprint.test", third, 1, Observation::unconfirmed,
           "(402 characters)",
           evidence(88, 1, 2, "fp.shieldprint.test", "POST", "/deviceprofile/v4", "body|json/data", "HTTP/1.1")),
  };
  r.flows[4].transport.in_url = true;
  r.flows[7].transport.cleartext = true;
  r.flows[7].transport.lowest_tls = 0;
  r.flows[4].transport.in_url_use = {2, Observation::certain, r.flows[4].evidence};
  r.flows[7].transport.cleartext_use = {1, Observation::unconfirmed, r.flows[7].evidence};
  r.flows[5].weaker = {
      {Observation::probable, 4, r.flows[5].first, r.flows[5].last, r.flows[5].evidence, std::nullopt}};

  Finding contradicted = finding(r.flows[4], Verdict::contradicted, "finding.contradicted");
  contradicted.denials = {
      statement("no-chats", "deny-share", "analytics", "content",
                "We do not give what you write, nor addresses that lead to it, to analytics companies.", false, false)};
  Finding ambiguous = finding(r.flows[2], Verdict::ambiguous, "finding.ambiguous");
  ambiguous.positives = {statement("device", "collect", "self", "device",
                                   "Our systems take in technical details about your device.", false)};
  ambiguous.denials = {
      statement("no-zone", "deny-collect", "self", "device.timezone", "We do not ask for your time zone.")};
  Finding omitted = finding(r.flows[5], Verdict::omitted, "finding.omitted");
  Finding omitted2 = finding(r.flows[1], Verdict::omitted, "finding.omitted");
  omitted2.coverage.undecoded = {{Cause::opaque, 480}};
  Finding vague = finding(r.flows[6], Verdict::vague, "finding.vague.both");
  vague.vagueness = Vagueness::both;
  vague.positives = {statement("partners", "share", "analytics", "device",
                               "We share device details with partners who measure use.", false, false)};
  Finding untested = finding(r.flows[7], Verdict::not_testable, "finding.not-testable.flow");
  untested.missing = {"List of embedded kits"};
  untested.explanation.arguments.emplace_back("documents", "List of embedded kits");
  untested.reasons = {{"reason.texts-missing", {{"documents", "List of embedded kits"}}}};
  untested.coverage = {0, {{Cause::opaque, 402}, {Cause::no_key, 12'000}}, {"fp.shieldprint.test"}};
  Finding clear = finding(r.flows[0], Verdict::clear, "finding.clear");
  clear.positives = {statement("messages", "collect", "self", "content.prompt",
                               "We receive the prompts that you submit and the files that you attach to them.")};

  Finding declared;
  declared.id = "find-d1";
  declared.kind = FindingKind::declared;
  declared.verdict = Verdict::declared_not_observed;
  declared.type = "device.battery";
  declared.recipient = "self";
  declared.coverage.decoded = 48'211;
  declared.positives = {
      statement("battery", "collect", "self", "device.battery", "This includes the state of your battery.")};
  declared.explanation = {"finding.declared-not-observed", {{"type", "device.battery"}, {"recipient", "self"}}};
  Finding crash = declared;
  crash.id = "find-d2";
  crash.verdict = Verdict::not_testable;
  crash.type = "behaviour.crash";
  crash.positives = {statement("crashes", "collect", "service-provider", "behaviour.crash",
                               "When the app fails, we receive a report.")};
  crash.explanation = {"finding.not-testable.declared", {{"type", "behaviour.crash"}, {"recipient", "self"}}};
  crash.reasons = {{"reason.step-not-taken", {{"step", "crash"}}}};
  Finding cookie;
  cookie.id = "find-c1";
  cookie.kind = FindingKind::cookie;
  cookie.verdict = Verdict::omitted;
  cookie.type = "identifier.cookie";
  cookie.recipient = "aster-intelligence";
  cookie.observation = Observation::certain;
  cookie.explanation = {"finding.cookie.undeclared", {{"name", "bucket_ab"}}};
  cookie.evidence = {evidence(301, 3, 1, "chat.aster.test", "POST", "/api/v0/consent", "cookie:bucket_ab")};

  r.findings = {contradicted, ambiguous, omitted2, omitted, cookie, vague, declared, untested, crash, clear};
  for (const Finding& each : r.findings) {
    ++(each.is_lead() ? r.lead_counts : r.verdict_counts)[static_cast<size_t>(each.verdict)];
  }
  r.out_of_reach = {
      {statement("retention", "store", "self", "content", "We keep conversations for as long as the account exists."),
       {"reach.server-side", {}}}};

  Flow update = flow("u1", "network.ip-public", "browser-maker.test", third, 3, Observation::certain, "192.0.2.0/24",
                     evidence(5, 9, 1, "updates.browser.test", "GET", "/generate_204", "connection:client-ip", "tcp"));
  update.attributed_by = {Attribution::unattributed};
  r.unattributed = {update};
}

void add_cookies(AuditResult& r) {
  CookieRow plain;
  plain.name = "aster_session";
  plain.domain = ".aster.test";
  plain.recipient = "aster-intelligence";
  plain.hosts = {"chat.aster.test"};
  plain.set = plain.sent = plain.secure = plain.http_only = true;
  plain.same_site = "lax";
  plain.first = at(2);
  plain.table_policy = 1;
  plain.table_name = "aster_session";
  plain.table_lifetime = "session";
  plain.table_party = "first";
  plain.quote = "aster_session keeps you logged in until you close the browser.";
  CookieRow undeclared = plain;
  undeclared.name = "bucket_ab";
  undeclared.table_policy.reset();
  undeclared.table_name = undeclared.table_lifetime = undeclared.table_party = undeclared.quote = "";
  undeclared.max_age = 31'536'000;
  undeclared.secure = undeclared.http_only = false;
  undeclared.issues = {CookieIssue::undeclared};
  CookieRow longer = plain;
  longer.name = "mtk_id";
  longer.domain = ".metrica.test";
  longer.recipient = "metrica";
  longer.hosts = {"telemetry.metrica.test"};
  longer.third_party_context = true;
  longer.max_age = 63'072'000;
  longer.table_name = "mtk_id";
  longer.table_lifetime = "13 months";
  longer.table_max_age = 34'164'000;
  longer.table_provider = "Metrica";
  longer.table_category = "analytics";
  longer.issues = {CookieIssue::longer_lifetime, CookieIssue::before_consent};
  longer.evidence = {evidence(501, 2, 6, "telemetry.metrica.test", "GET", "/collect/v1/hit", "cookie:mtk_id")};
  CookieRow foreign;
  foreign.name = "tidings_reader";
  foreign.domain = "news.tidings.test";
  foreign.recipient = "tidings.test";
  foreign.attributed = false;
  foreign.sent = true;
  foreign.first = at(1);
  r.cookies = {plain, undeclared, longer, foreign};
}

void add_rules(AuditResult& r) {
  RuleResult evidence_rule;
  evidence_rule.file = "gdpr";
  evidence_rule.file_title = "General Data Protection Regulation";
  evidence_rule.disclaimer = "Our own reading; to be checked by a lawyer before anyone relies on it.";
  evidence_rule.id = "gdpr-transparency";
  evidence_rule.reference = "GDPR 5(1)(a), 12, 13, 14";
  evidence_rule.reference_date = "2018-05-25";
  evidence_rule.evidence_sentence = "A type of personal data was sent, and the texts examined do not name it.";
  evidence_rule.status = RuleStatus::evidence;
  RuleHit hit;
  hit.type = "behaviour.keystroke-dynamics";
  hit.recipient = "metrica";
  hit.finding = "find-m2";
  hit.count = 90;
  hit.observation = Observation::certain;
  hit.message_en = "Keystroke timing was sent to Metrica; this is evidence relevant to the duty to inform.";
  hit.message_ko = "키 입력 타이밍이 Metrica(으)로 전송되었습니다. 고지 의무와 관련된 증거입니다.";
  hit.evidence = r.flows[5].evidence;
  RuleHit abroad = hit;
  abroad.finding.clear();
  abroad.country = "SG";
  abroad.country_of = CountryOf::entity;
  abroad.note = "commercial organisations only";
  evidence_rule.hits = {hit, abroad};
  evidence_rule.hits_total = 2;
  evidence_rule.open_questions = {"How far a notice must name each type is a matter of transparency and fairness."};
  evidence_rule.message_en = "{type} was sent to {recipient}.";
  evidence_rule.message_ko = "{type} 항목이 {recipient}(으)로 전송되었습니다.";
  r.rules = {evidence_rule};
  for (RuleStatus status :
       {RuleStatus::nothing_seen, RuleStatus::not_testable, RuleStatus::not_applicable, RuleStatus::document}) {
    RuleResult rule = evidence_rule;
    rule.file = status == RuleStatus::document ? "pipa" : "gdpr";
    rule.file_title = status == RuleStatus::document ? "Personal Information Protection Act (Korea)" : rule.file_title;
    rule.id = "rule-" + std::string(to_string(status));
    rule.status = status;
    rule.hits.clear();
    rule.hits_total = 0;
    if (status == RuleStatus::not_testable) rule.why = {"reason.no-marker", {{"marker", "consent-rejected"}}};
    r.rules.push_back(rule);
  }
}

void add_coverage(AuditResult& r) {
  const auto row = [&](std::string host, std::string recipient, Direction direction, bool attributed,
                       std::vector<std::pair<Cause, uint64_t>> bytes) {
    LedgerRow ledger{std::move(host), std::move(recipient), direction, {}, attributed};
    for (const auto& [cause, count] : bytes) ledger.bytes.add(cause, count);
    r.ledger_totals[static_cast<size_t>(direction)] += ledger.bytes;
    r.ledger.push_back(std::move(ledger));
  };
  const auto up = Direction::client_to_server, down = Direction::server_to_client;
  row("chat.aster.test", "aster-intelligence", up, true, {{Cause::decoded, 48'211}, {Cause::opaque, 480}});
  row("chat.aster.test", "aster-intelligence", down, true, {{Cause::decoded, 210'004}});
  row("fp.shieldprint.test", "shieldprint.test", up, true,
      {{Cause::decoded, 620}, {Cause::opaque, 402}, {Cause::no_key, 12'000}});
  row("telemetry.metrica.test", "metrica", up, true, {{Cause::decoded, 9'120}});
  row("updates.browser.test", "", up, false, {{Cause::no_key, 5'000}, {Cause::gap, 1'460}});
  r.issues = {{{Cause::gap, "tcp: bytes not in the capture", 1204, 9}, 3},
              {{Cause::malformed, "http1: header line without a colon", 0, 0}, 1}};
}

}  // namespace

AuditResult sample_result() {
  AuditResult r;
  r.simulated = true;
  r.inputs = {{"aster-sample.pcapng", std::string(64, 'a'), "pcapng", 612'344, 1'204, true, at(0), at(72, 512)}};
  r.context.given = r.context.simulated = true;
  r.context.service = "aster";
  r.context.client = "aster-web";
  r.context.client_version = "1.4.2";
  r.context.platform = "web";
  r.context.country = "DE";
  r.context.account = "consumer";
  r.context.operator_name = "the lab of the example";
  r.context.authorisation = "own systems only";
  r.context.environment = "two network namespaces";
  r.context.steps = {{"launch", at(1), "", true},           {"consent-shown", at(3), "", true},
                     {"consent-accepted", at(9), "", true}, {"typing-start", at(30), "45 keys", true},
                     {"submit", at(41), "", true},          {"logout", at(500), "after the end", false}};
  r.context.assumed = {{"context.assumed.account", {}}};
  r.publisher = "aster";
  r.publisher_name = "Aster Chat (SIMULATED)";
  r.text_status = {"policy.held", {{"count", "2"}, {"publisher", "Aster Chat"}}};
  PolicyUse privacy;
  privacy.policy = 0;
  privacy.publisher = "aster";
  privacy.publisher_name = "Aster Chat (SIMULATED)";
  privacy.kind = "privacy";
  privacy.title = "Aster Chat Privacy Notice";
  privacy.language = "en";
  privacy.version_date = "2025-02-10";
  privacy.recorded = "2025-02-10";
  privacy.source = "Written for this example (SIMULATED)";
  privacy.file = "aster/2025-02.yaml";
  privacy.text_sha256 = std::string(64, 'b');
  privacy.status = PolicyStatus::in_force;
  privacy.status_sentence = {"policy.in-force",
                             {{"title", privacy.title}, {"version", privacy.version_date}, {"date", "2025-11-24"}}};
  privacy.complete = true;
  PolicyUse cookies = privacy;
  cookies.policy = 1;
  cookies.kind = "cookies";
  cookies.title = "Aster Chat Cookie Notice";
  cookies.file = "aster/cookies.yaml";
  cookies.url = "https://chat.aster.test/cookies";
  cookies.status = PolicyStatus::latest_known;
  cookies.status_sentence = {"policy.latest-known",
                             {{"title", cookies.title}, {"version", "2025-02-10"}, {"recorded", "2025-02-10"}}};
  cookies.complete = false;
  cookies.missing = {{"List of embedded kits", {"world"}, {"device"}}};
  r.policies = {privacy, cookies};
  add_people(r);
  add_findings(r);
  add_cookies(r);
  add_rules(r);
  add_coverage(r);
  r.timeline_bin_seconds = 4;
  for (int i = 0; i < 18; ++i) {
    r.timeline.push_back({at(i * 4), "aster-intelligence", true, 2u + static_cast<uint64_t>(i % 3),
                          static_cast<uint64_t>(10 + (i * 37) % 90)});
    if (i % 3 == 1) r.timeline.push_back({at(i * 4), "metrica", true, 1, static_cast<uint64_t>(5 + i * 4)});
    if (i == 2) r.timeline.push_back({at(i * 4), "shieldprint.test", true, 1, 1});
    if (i % 8 == 0) r.timeline.push_back({at(i * 4), "browser-maker.test", false, 1, 0});
  }
  r.events = {{at(1), "step", "launch", ""},
              {at(8), "first-flow", "device.opaque-fingerprint", "shieldprint.test"},
              {at(42), "first-flow", "behaviour.keystroke-dynamics", "metrica"}};
  r.limits = {{"limits.undecoded", {{"bytes", "18882"}}}, {"limits.purpose", {}}, {"limits.server-side", {}}};
  return r;
}

AuditResult large_result(size_t flows) {
  AuditResult r = sample_result();
  const Flow base = r.flows[5];
  const Finding finding = r.findings[3];
  r.flows.clear();
  r.findings.clear();
  for (size_t i = 0; i < flows; ++i) {
    Flow each = base;
    each.id = "big-" + std::to_string(i);
    each.recipient = "recipient-" + std::to_string(i % 700) + ".example";
    each.evidence[0].origin.exchange.ordinal = static_cast<uint32_t>(i);
    Finding verdict = finding;
    verdict.id = "find-" + each.id;
    verdict.recipient = each.recipient;
    verdict.flows = {each.id};
    verdict.evidence = each.evidence;
    r.flows.push_back(std::move(each));
    r.findings.push_back(std::move(verdict));
  }
  r.verdict_counts = {};
  r.verdict_counts[static_cast<size_t>(Verdict::omitted)] = flows;
  return r;
}

AuditResult hostile_result(const std::string& poison) {
  AuditResult r = sample_result();
  const auto spoil = [&](std::string& text) { text = poison + text + poison; };
  const auto spoil_evidence = [&](Evidence& each) {
    for (std::string* text : {&each.host, &each.method, &each.url_path, &each.path, &each.chain}) spoil(*text);
  };
  for (RecipientInfo& info : r.recipients) {
    for (std::string* text : {&info.name, &info.note, &info.source, &info.domain}) spoil(*text);
    for (auto* list : {&info.hosts, &info.addresses, &info.categories}) {
      for (std::string& text : *list) spoil(text);
    }
    for (CountryInfo& country : info.countries) {
      for (std::string* text : {&country.country, &country.source, &country.detail}) spoil(*text);
    }
  }
  for (auto* flows : {&r.flows, &r.unattributed}) {
    for (Flow& each : *flows) {
      spoil(each.sample);
      for (std::string& host : each.hosts) spoil(host);
      for (Evidence& evidence : each.evidence) spoil_evidence(evidence);
    }
  }
  for (Finding& each : r.findings) {
    for (auto* list : {&each.positives, &each.denials}) {
      for (StatementRef& ref : *list) {
        for (std::string* text : {&ref.quote, &ref.section, &ref.recipient, &ref.data}) spoil(*text);
      }
    }
    for (std::string& text : each.missing) spoil(text);
    for (auto& [name, value] : each.explanation.arguments) spoil(value);
    for (Evidence& evidence : each.evidence) spoil_evidence(evidence);
  }
  for (CookieRow& cookie : r.cookies) {
    for (std::string* text :
         {&cookie.name, &cookie.domain, &cookie.same_site, &cookie.table_name, &cookie.table_party, &cookie.quote}) {
      spoil(*text);
    }
  }
  for (RuleResult& rule : r.rules) {
    for (std::string* text : {&rule.file_title, &rule.reference, &rule.evidence_sentence}) spoil(*text);
    for (RuleHit& hit : rule.hits) spoil(hit.message_en);
  }
  for (LedgerRow& row : r.ledger) spoil(row.host);
  for (IssueCount& issue : r.issues) spoil(issue.first.what);
  for (InputFile& input : r.inputs) spoil(input.name);
  for (PolicyUse& policy : r.policies) {
    for (std::string* text : {&policy.title, &policy.file, &policy.url, &policy.source}) spoil(*text);
  }
  for (StepMarker& step : r.context.steps) spoil(step.note);
  for (std::string* text : {&r.publisher_name, &r.context.client, &r.context.operator_name, &r.context.environment})
    spoil(*text);
  return r;
}

}  // namespace vitrine::testing_reports
