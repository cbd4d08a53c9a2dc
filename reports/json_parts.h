// The parts of report.json, one function each. Internal to reports/.
#pragma once

#include <nlohmann/json.hpp>

#include "audit/finding.h"

namespace vitrine::report_json {

using Json = nlohmann::ordered_json;

// The mapped list: `to` for each item.
template <class List, class To>
Json list_of(const List& items, To to) {
  Json list = Json::array();
  for (const auto& item : items) list.push_back(to(item));
  return list;
}

Json text_or_null(std::string_view text);
Json time_of(Timestamp time);
Json sentence_of(const Sentence& sentence);
Json counts_of(const ByteCounts& counts);

// What was found: json_findings.cc.
Json evidence_of(const Evidence& evidence);
Json statement_of(const StatementRef& statement);
Json flow_of(const Flow& flow);
Json finding_of(const Finding& finding);
Json cookie_of(const CookieRow& cookie);
Json rule_of(const RuleResult& rule);
Json out_of_reach_of(const OutOfReach& item);

// What was read and compared with: json_sources.cc.
Json input_of(const InputFile& input);
Json context_of(const ContextView& context);
Json policy_of(const PolicyUse& policy);
Json recipient_of(const RecipientInfo& recipient);

}  // namespace vitrine::report_json
