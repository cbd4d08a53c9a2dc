// The tests of the rule files over the result. Flows that nothing ties to the
// subject enter only the organisation's tests (egress, planted secrets).
#include <algorithm>
#include <set>
#include <tuple>

#include "audit/context.h"
#include "audit/rule_tester.h"
#include "audit/sentences.h"

namespace vitrine {

std::string join_words(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out.append(out.empty() ? "" : ", ").append(part);
  return out;
}

RuleTester::RuleTester(Evaluation& e, const RuleFile& file, const Rule& rule) : e_(e), rule_(rule), test_(rule.test) {
  out_.file = file.id;
  out_.file_title = file.title;
  out_.disclaimer = file.disclaimer;
  out_.id = rule.id;
  out_.reference = rule.reference;
  out_.reference_date = rule.reference_date;
  out_.evidence_sentence = rule.evidence;
  out_.inference = rule.inference;
  out_.open_questions = rule.open_questions;
  out_.message_en = rule.message_en;
  out_.message_ko = rule.message_ko;
}

bool RuleTester::in(const std::vector<TypeId>& types, TypeId type) const {
  return std::any_of(types.begin(), types.end(), [&](TypeId each) { return e_.taxonomy().covers(each, type); });
}

bool RuleTester::in_categories(const std::string& key) const {
  const Entity* entity = e_.view(key).entity;
  return entity != nullptr &&
         std::any_of(test_.categories.begin(), test_.categories.end(),
                     [&](const std::string& each) { return e_.directory().entity_in_category(*entity, each); });
}

RuleHit RuleTester::hit_of(const Flow& flow) const {
  RuleHit hit;
  hit.type = flow.type;
  hit.recipient = flow.recipient;
  // The host that the evidence shows: a recipient has several.
  if (!flow.evidence.empty()) hit.host = flow.evidence.front().host;
  hit.count = flow.count;
  hit.observation = flow.observation;
  hit.evidence = flow.evidence;
  return hit;
}

void RuleTester::add(RuleHit hit) {
  if (hit.observation == Observation::unconfirmed) ++out_.leads;
  else hits_.push_back(std::move(hit));
}

RuleResult RuleTester::run() {
  if (!applies()) return std::move(out_);
  if (test_.kind == TestKind::document) {
    out_.why = {};
    out_.status = RuleStatus::document;
    out_.why = {"reason.document", {{"reason", test_.reason}}};
    return std::move(out_);
  }
  if (!testable()) return std::move(out_);
  out_.status = RuleStatus::nothing_seen;
  evaluate_test();
  if (!hits_.empty()) publish();
  else if (out_.leads != 0)
    refuse(RuleStatus::not_testable, {"reason.only-leads", {{"count", std::to_string(out_.leads)}}});
  else if (out_.status == RuleStatus::nothing_seen) look_again();
  return std::move(out_);
}

// ---- does it apply, can it be tested ----
bool RuleTester::applies() {
  const auto& countries = rule_.user_countries;
  const std::string& country = e_.query.country;
  const bool anywhere = std::find(countries.begin(), countries.end(), "any") != countries.end();
  if (!anywhere && country.empty()) return refuse(RuleStatus::not_testable, {"reason.no-country", {}});
  if (!anywhere && std::none_of(countries.begin(), countries.end(),
                                [&](const std::string& each) { return e_.inputs.regions.contains(each, country); })) {
    return refuse(RuleStatus::not_applicable,
                  {"reason.other-country", {{"countries", join_words(countries)}, {"country", country}}});
  }
  const auto& services = rule_.services;
  const bool any_service = std::find(services.begin(), services.end(), "any") != services.end();
  if (!any_service && !e_.platform.empty() &&
      std::find(services.begin(), services.end(), e_.platform) == services.end()) {
    return refuse(RuleStatus::not_applicable, {"reason.other-service", {{"services", join_words(services)}}});
  }
  return true;
}

bool RuleTester::testable() {
  std::set<std::string> needs(rule_.needs.begin(), rule_.needs.end());
  if (!test_.marker.empty()) needs.insert(test_.marker);
  if (test_.kind == TestKind::draft) needs.insert("submit");
  for (const std::string& step : needs) {
    if (!e_.marker(step)) return refuse(RuleStatus::not_testable, {"reason.no-marker", {{"marker", step}}});
  }
  const bool of_subject = test_.kind != TestKind::egress_allow_list && test_.kind != TestKind::planted_secret;
  if (of_subject && e_.service.empty() && e_.inputs.context.processes.empty() && e_.inputs.context.hosts.empty()) {
    return refuse(RuleStatus::not_testable, {"reason.no-service", {}});
  }
  switch (test_.kind) {
    case TestKind::declared_not_observed:
    case TestKind::recipient_undeclared:
    case TestKind::transfer_notice:
    case TestKind::transfer_recipient:
      if (e_.selected.empty()) return refuse(RuleStatus::not_testable, {"reason.no-text", {}});
      break;
    case TestKind::planted_secret:
      if (e_.inputs.context.secrets.empty()) return refuse(RuleStatus::not_testable, {"reason.no-canary", {}});
      break;
    default: break;
  }
  return true;
}

bool RuleTester::refuse(RuleStatus status, Sentence why) {
  out_.status = status;
  out_.why = std::move(why);
  return false;
}

void RuleTester::evaluate_test() {
  switch (test_.kind) {
    case TestKind::verdict: return verdict(test_.verdicts);
    case TestKind::declared_not_observed: return verdict({Verdict::declared_not_observed});
    case TestKind::recipient_undeclared: return recipient_undeclared();
    case TestKind::transfer:
    case TestKind::transfer_notice:
    case TestKind::transfer_recipient: return transfer();
    case TestKind::minimisation: return minimisation();
    case TestKind::transport: return transport();
    case TestKind::type_beside: return type_beside();
    case TestKind::before_marker:
    case TestKind::after_marker: return marker();
    case TestKind::draft: return draft();
    case TestKind::gpc: return gpc();
    case TestKind::egress_allow_list: return egress();
    case TestKind::planted_secret: return secret();
    case TestKind::document: return;
  }
}

// Nothing was seen: was everything looked at?
void RuleTester::look_again() {
  const bool of_flows = test_.kind == TestKind::verdict;
  if (of_flows || test_.kind == TestKind::declared_not_observed) {
    for (const Finding& finding : e_.result.findings) {
      if (finding.verdict != Verdict::not_testable || finding.reasons.empty()) continue;
      if (finding.kind != (of_flows ? FindingKind::flow : FindingKind::declared)) continue;
      const TypeId type = e_.taxonomy().find(finding.type);
      if ((!test_.types.empty() && !in(test_.types, type)) || in(test_.except, type) || !personal(type)) continue;
      refuse(RuleStatus::not_testable, finding.reasons.front());
      return;
    }
  }
  // Where packets went and what the texts declare needs no bytes that were not read.
  if (test_.kind == TestKind::egress_allow_list || test_.kind == TestKind::declared_not_observed) return;
  std::set<std::string> spoken_to;  // beyond neighbour discovery and pings
  for (const auto& [key, sight] : e_.flows.endpoints()) {
    if (key.transport != Transport::other_ip) spoken_to.insert(key.server.ip.to_string());
  }
  uint64_t unread = 0;
  for (const LedgerRow& row : e_.result.ledger) {
    if (row.direction != Direction::client_to_server) continue;
    if (IpAddress::parse(row.host).family != 0 && !spoken_to.count(row.host)) continue;
    unread += row.bytes.undecoded();
  }
  if (const uint64_t places = not_looked_at(e_.result); places != 0) {
    refuse(RuleStatus::not_testable, {"reason.bounds", {{"count", std::to_string(places)}}});
  }
  if (unread != 0) {
    refuse(RuleStatus::not_testable, {"reason.nothing-in-the-rest", {{"bytes", std::to_string(unread)}}});
  }
}

void RuleTester::publish() {
  out_.status = RuleStatus::evidence;
  out_.why = {};
  std::stable_sort(hits_.begin(), hits_.end(), [](const RuleHit& a, const RuleHit& b) {
    return std::tie(a.type, a.recipient, a.host, a.country_of, a.country, a.note) <
           std::tie(b.type, b.recipient, b.host, b.country_of, b.country, b.note);
  });
  out_.hits_total = hits_.size();
  if (hits_.size() > kMaxRuleHits) hits_.resize(kMaxRuleHits);
  for (RuleHit& hit : hits_) {
    hit.marker = test_.marker;
    const RecipientInfo* to =
        hit.recipient.empty() || !e_.recipients->all().count(hit.recipient) ? nullptr : &info(hit.recipient);
    const std::string name = to && !to->name.empty() ? to->name : !hit.recipient.empty() ? hit.recipient : hit.host;
    const std::vector<std::pair<std::string, std::string>> arguments = {{"type", hit.type},
                                                                        {"recipient", name},
                                                                        {"country", hit.country},
                                                                        {"host", hit.host},
                                                                        {"quote", hit.quote},
                                                                        {"marker", hit.marker},
                                                                        {"count", std::to_string(hit.count)}};
    hit.message_en = fill_in(rule_.message_en, arguments);
    hit.message_ko = fill_in(rule_.message_ko, arguments);
  }
  out_.hits = std::move(hits_);
}

void build_rules(Evaluation& e) {
  for (const RuleFile& file : e.inputs.rules) {
    for (const Rule& rule : file.rules) e.result.rules.push_back(RuleTester(e, file, rule).run());
  }
}

}  // namespace vitrine
