#include "reports/json_parts.h"
#include "reports/words.h"

namespace vitrine::report_json {
namespace {

Json coverage_of(const CoverageView& coverage) {
  Json undecoded = Json::object();
  for (const auto& [cause, bytes] : coverage.undecoded) undecoded[std::string(to_string(cause))] = bytes;
  return {{"decoded", coverage.decoded},
          {"undecoded", coverage.undecoded_bytes()},
          {"by_cause", std::move(undecoded)},
          {"hosts", coverage.hosts}};
}

Json hit_of(const RuleHit& hit) {
  return {{"type", text_or_null(hit.type)},
          {"recipient", text_or_null(hit.recipient)},
          {"host", text_or_null(hit.host)},
          {"country", text_or_null(hit.country)},
          {"country_of", hit.country.empty() ? Json(nullptr) : Json(to_string(hit.country_of))},
          {"quote", text_or_null(hit.quote)},
          {"marker", text_or_null(hit.marker)},
          {"note", text_or_null(hit.note)},
          {"finding", text_or_null(hit.finding)},
          {"count", hit.count},
          {"observation", to_string(hit.observation)},
          {"message", {{"en", hit.message_en}, {"ko", hit.message_ko}}},
          {"evidence", list_of(hit.evidence, evidence_of)}};
}

}  // namespace

Json evidence_of(const Evidence& evidence) {
  return {{"origin", evidence.origin.to_string()},
          {"packet", evidence.packet},
          {"time", time_of(evidence.time)},
          {"host", evidence.host},
          {"method", text_or_null(evidence.method)},
          {"url_path", text_or_null(evidence.url_path)},
          {"path", evidence.path},
          {"chain", text_or_null(evidence.chain)}};
}

Json statement_of(const StatementRef& statement) {
  return {{"policy", statement.policy},
          {"id", statement.id},
          {"action", statement.action},
          {"data", statement.data},
          {"recipient", statement.recipient},
          {"channel", statement.channel},
          {"trigger", text_or_null(statement.trigger)},
          {"section", text_or_null(statement.section)},
          {"quote", statement.quote},
          {"purpose", text_or_null(statement.purpose)},
          {"exact_data", statement.exact_data},
          {"exact_recipient", statement.exact_recipient},
          {"excepted", statement.excepted}};
}

namespace {

Json weaker_of(const WeakerValues& values) {
  return {{"observation", to_string(values.observation)},
          {"count", values.count},
          {"first", time_of(values.first)},
          {"last", time_of(values.last)},
          {"evidence", list_of(values.evidence, evidence_of)}};
}

Json use_of(bool seen, const TransportUse& use) {
  if (!seen) return nullptr;
  return {{"count", use.count},
          {"observation", to_string(use.observation)},
          {"evidence", list_of(use.evidence, evidence_of)}};
}

}  // namespace

Json flow_of(const Flow& flow) {
  Json by_observation = Json::object();
  for (Observation observation : {Observation::certain, Observation::probable, Observation::unconfirmed}) {
    by_observation[std::string(to_string(observation))] = flow.count_by_observation[static_cast<size_t>(observation)];
  }
  return {{"id", flow.id},
          {"type", flow.type},
          {"recipient", flow.recipient},
          {"leg", to_string(flow.leg)},
          {"role", to_string(flow.role)},
          {"attributed_by", list_of(flow.attributed_by, [](Attribution by) { return Json(to_string(by)); })},
          {"hosts", flow.hosts},
          {"count", flow.count},
          {"count_by_observation", std::move(by_observation)},
          {"first", time_of(flow.first)},
          {"last", time_of(flow.last)},
          {"distinct_values", flow.distinct_values},
          {"distinct_at_least", flow.distinct_at_least},
          {"sample", text_or_null(flow.sample)},
          {"sample_digest", text_or_null(flow.sample_digest)},
          {"observation", to_string(flow.observation)},
          {"decided_by", flow.decided_by},
          {"cleartext", flow.transport.cleartext},
          {"in_url", flow.transport.in_url},
          {"lowest_tls", text_or_null(tls_version_name(flow.transport.lowest_tls))},
          {"cleartext_use", use_of(flow.transport.cleartext, flow.transport.cleartext_use)},
          {"in_url_use", use_of(flow.transport.in_url, flow.transport.in_url_use)},
          {"lowest_tls_use", use_of(flow.transport.lowest_tls != 0, flow.transport.lowest_tls_use)},
          {"weaker", list_of(flow.weaker, weaker_of)},
          {"evidence", list_of(flow.evidence, evidence_of)},
          {"last_evidence", flow.last_evidence ? evidence_of(*flow.last_evidence) : Json(nullptr)}};
}

Json finding_of(const Finding& finding) {
  return {{"id", finding.id},
          {"kind", to_string(finding.kind)},
          {"verdict", to_string(finding.verdict)},
          {"vagueness", to_string(finding.vagueness)},
          {"type", finding.type},
          {"recipient", finding.recipient},
          {"observation", to_string(finding.observation)},
          {"inference", to_string(finding.inference)},
          {"proof", finding.is_proof()},
          {"lead", finding.is_lead()},
          {"explanation", sentence_of(finding.explanation)},
          {"reasons", list_of(finding.reasons, sentence_of)},
          {"missing", finding.missing},
          {"positives", list_of(finding.positives, statement_of)},
          {"denials", list_of(finding.denials, statement_of)},
          {"coverage", coverage_of(finding.coverage)},
          {"flows", finding.flows},
          {"evidence", list_of(finding.evidence, evidence_of)}};
}

Json cookie_of(const CookieRow& cookie) {
  Json table = nullptr;
  if (cookie.table_policy) {
    table = {{"policy", *cookie.table_policy},
             {"name", cookie.table_name},
             {"lifetime", text_or_null(cookie.table_lifetime)},
             {"max_age", cookie.table_max_age ? Json(*cookie.table_max_age) : Json(nullptr)},
             {"party", text_or_null(cookie.table_party)},
             {"provider", text_or_null(cookie.table_provider)},
             {"category", text_or_null(cookie.table_category)},
             {"quote", text_or_null(cookie.quote)}};
  }
  return {{"name", cookie.name},
          {"domain", cookie.domain},
          {"recipient", cookie.recipient},
          {"hosts", cookie.hosts},
          {"attributed", cookie.attributed},
          {"set", cookie.set},
          {"sent", cookie.sent},
          {"max_age", cookie.max_age ? Json(*cookie.max_age) : Json(nullptr)},
          {"secure", cookie.secure},
          {"http_only", cookie.http_only},
          {"same_site", text_or_null(cookie.same_site)},
          {"third_party_context", cookie.third_party_context},
          {"first", time_of(cookie.first)},
          {"table", std::move(table)},
          {"issues", list_of(cookie.issues, [](CookieIssue issue) { return Json(to_string(issue)); })},
          {"evidence", list_of(cookie.evidence, evidence_of)}};
}

Json rule_of(const RuleResult& rule) {
  return {{"file", rule.file},
          {"file_title", rule.file_title},
          {"disclaimer", text_or_null(rule.disclaimer)},
          {"id", rule.id},
          {"reference", rule.reference},
          {"reference_date", text_or_null(rule.reference_date)},
          {"evidence_sentence", rule.evidence_sentence},
          {"inference", to_string(rule.inference)},
          {"status", to_string(rule.status)},
          {"why", sentence_of(rule.why)},
          {"hits", list_of(rule.hits, hit_of)},
          {"hits_total", rule.hits_total},
          {"leads", rule.leads},
          {"open_questions", rule.open_questions},
          {"message", {{"en", rule.message_en}, {"ko", rule.message_ko}}}};
}

Json out_of_reach_of(const OutOfReach& item) {
  return {{"statement", statement_of(item.statement)}, {"why", sentence_of(item.why)}};
}

}  // namespace vitrine::report_json
