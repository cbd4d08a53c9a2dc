#include "reports/json.h"

#include "reports/json_parts.h"

namespace vitrine {
namespace {

using namespace report_json;

Json by_verdict(const std::array<uint64_t, kVerdicts>& counts) {
  Json out = Json::object();
  for (size_t i = 0; i < kVerdicts; ++i) out[std::string(to_string(static_cast<Verdict>(i)))] = counts[i];
  return out;
}

Json summary_of(const AuditResult& result) {
  return {{"findings", result.findings.size()},
          {"verdicts", by_verdict(result.verdict_counts)},
          {"leads", by_verdict(result.lead_counts)},
          {"flows", result.flows.size()},
          {"unattributed_flows", result.unattributed.size()},
          {"recipients", result.recipients.size()},
          {"cookies", result.cookies.size()}};
}

Json coverage_of(const AuditResult& result) {
  Json totals = Json::object();
  for (Direction direction : {Direction::client_to_server, Direction::server_to_client}) {
    totals[std::string(to_string(direction))] = counts_of(result.ledger_totals[static_cast<size_t>(direction)]);
  }
  return {{"totals", std::move(totals)},
          {"hosts", list_of(result.ledger,
                            [](const LedgerRow& row) {
                              return Json{{"host", row.host},
                                          {"recipient", text_or_null(row.recipient)},
                                          {"direction", to_string(row.direction)},
                                          {"attributed", row.attributed},
                                          {"bytes", counts_of(row.bytes)}};
                            })},
          {"issues", list_of(result.issues, [](const IssueCount& issue) {
             return Json{
                 {"cause", to_string(issue.first.cause)},
                 {"what", issue.first.what},
                 {"count", issue.count},
                 {"first_packet", issue.first.packet == 0 ? Json(nullptr) : Json(issue.first.packet)},
                 {"first_connection", issue.first.connection == 0 ? Json(nullptr) : Json(issue.first.connection)}};
           })}};
}

Json timeline_of(const AuditResult& result) {
  return {{"bin_seconds", result.timeline_bin_seconds},
          {"bins", list_of(result.timeline,
                           [](const TimelineBin& bin) {
                             return Json{{"start", time_of(bin.start)},
                                         {"recipient", bin.recipient},
                                         {"attributed", bin.attributed},
                                         {"requests", bin.requests},
                                         {"values", bin.values}};
                           })},
          {"events", list_of(result.events, [](const TimelineEvent& event) {
             return Json{{"time", time_of(event.time)},
                         {"kind", event.kind},
                         {"label", event.label},
                         {"recipient", text_or_null(event.recipient)}};
           })}};
}

}  // namespace

std::string render_json(const AuditResult& result) {
  Json report = {
      {"report", kReportVersion},
      {"program", {{"name", "vitrine"}, {"version", VITRINE_VERSION}}},
      {"simulated", result.simulated},
      {"marking", result.simulated ? Json("SIMULATED") : Json(nullptr)},
      {"subject", {{"publisher", text_or_null(result.publisher)}, {"name", text_or_null(result.publisher_name)}}},
      {"summary", summary_of(result)},
      {"inputs", list_of(result.inputs, input_of)},
      {"context", context_of(result.context)},
      {"text_status", sentence_of(result.text_status)},
      {"policies", list_of(result.policies, policy_of)},
      {"findings", list_of(result.findings, finding_of)},
      {"out_of_reach", list_of(result.out_of_reach, out_of_reach_of)},
      {"recipients", list_of(result.recipients, recipient_of)},
      {"flows", list_of(result.flows, flow_of)},
      {"unattributed", list_of(result.unattributed, flow_of)},
      {"cookies", list_of(result.cookies, cookie_of)},
      {"rules", list_of(result.rules, rule_of)},
      {"coverage", coverage_of(result)},
      {"timeline", timeline_of(result)},
      {"limits", list_of(result.limits, sentence_of)}};
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vitrine
