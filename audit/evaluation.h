// What the steps of evaluate() share. Internal to audit/.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/attribution.h"
#include "audit/country_cases.h"
#include "audit/evaluate.h"
#include "audit/finding.h"
#include "audit/flow.h"
#include "audit/policy_select.h"
#include "audit/recipient_table.h"
#include "audit/verdict.h"

namespace vitrine {

struct Evaluation {
  const AuditInputs& inputs;
  const FlowCollector& flows;
  AuditResult result = {};

  std::string service = {}, platform = {}, date = {};  // date: YYYY-MM-DD for which texts were chosen
  std::optional<Timestamp> first = {}, last = {};      // of the capture, when known
  SelectionQuery query = {};
  std::vector<SelectedPolicy> selected = {};         // same indices as result.policies
  std::vector<ApplicableStatement> statements = {};  // of the selected texts, for this user
  // When the user's country is not known: the texts of each country they name,
  // and the statements of the selected texts that hold in some of them only.
  std::vector<CountryCase> cases = {};
  std::vector<ApplicableStatement> elsewhere = {};
  std::unique_ptr<Attributor> attributor = {};
  std::unique_ptr<RecipientTable> recipients = {};
  std::map<std::string, UnreadValues> unread = {};  // short unreadable values, by recipient, whoever sent them

  const Taxonomy& taxonomy() const { return *inputs.taxonomy; }
  const RecipientDirectory& directory() const { return inputs.recipients; }
  RecipientView view(const std::string& recipient_key) const {
    const RecipientInfo& info = recipients->at(recipient_key);
    return {info.role == RecipientRole::first_party, info.entity.empty() ? nullptr : directory().entity(info.entity)};
  }
  // Client → server bytes of these hosts, from the ledger.
  CoverageView coverage_of(std::vector<std::string> hosts) const;
  // Names of the missing texts that could speak about the type; empty = complete.
  std::vector<std::string> missing_texts(TypeId type) const;
  // Countries and regions in which the verdict would be another one.
  std::vector<std::string> told_otherwise_in(TypeId type, const RecipientView& to, Verdict verdict) const;
  std::optional<Timestamp> marker(std::string_view step) const;
};

void build_flows(Evaluation& evaluation);              // flows, unattributed, recipients, ledger, timeline
void build_flow_findings(Evaluation& evaluation);      // kind flow
void build_declared_findings(Evaluation& evaluation);  // kind declared, out_of_reach
void build_cookies(Evaluation& evaluation);            // cookies, findings of kind cookie
void build_rules(Evaluation& evaluation);

// Places that were decoded or named but not looked at: bounds of fields and sums.
uint64_t not_looked_at(const AuditResult& result);
// A stable id: the first 12 hex digits of SHA-256 over the parts.
std::string stable_id(std::initializer_list<std::string_view> parts);
// Up to `bound` smallest of both.
void add_evidence(std::vector<Evidence>& into, const std::vector<Evidence>& from, size_t bound = 5);

}  // namespace vitrine
