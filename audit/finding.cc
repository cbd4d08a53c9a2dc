#include "audit/finding.h"

#include <algorithm>

namespace vitrine {

std::string_view to_string(Verdict verdict) {
  static constexpr std::string_view kNames[] = {"contradicted",          "ambiguous",    "omitted", "vague",
                                                "declared-not-observed", "not-testable", "clear"};
  return kNames[static_cast<size_t>(verdict)];
}
std::string_view to_string(Inference inference) {
  static constexpr std::string_view kNames[] = {"textual", "indicator", "document"};
  return kNames[static_cast<size_t>(inference)];
}
std::string_view to_string(FindingKind kind) {
  static constexpr std::string_view kNames[] = {"flow", "declared", "cookie"};
  return kNames[static_cast<size_t>(kind)];
}
std::string_view to_string(Vagueness vagueness) {
  static constexpr std::string_view kNames[] = {"none", "data", "recipient", "both"};
  return kNames[static_cast<size_t>(vagueness)];
}
std::string_view to_string(PolicyStatus status) {
  static constexpr std::string_view kNames[] = {"in-force", "latest-known", "chosen", "no-text"};
  return kNames[static_cast<size_t>(status)];
}
std::string_view to_string(RecipientRole role) {
  static constexpr std::string_view kNames[] = {"first-party", "processor", "third-party", "infrastructure", "local"};
  return kNames[static_cast<size_t>(role)];
}
std::string_view to_string(CountryOf what) {
  static constexpr std::string_view kNames[] = {"ip", "network-owner", "entity"};
  return kNames[static_cast<size_t>(what)];
}
std::string_view to_string(Leg leg) { return leg == Leg::direct ? "direct" : "through-edge"; }
std::string_view to_string(Attribution attribution) {
  static constexpr std::string_view kNames[] = {
      "unattributed", "client-process", "same-connection", "client-rule-host", "first-party-host",
      "context-host", "page",           "process"};
  return kNames[static_cast<size_t>(attribution)];
}
std::string_view to_string(CookieIssue issue) {
  static constexpr std::string_view kNames[] = {"undeclared", "other-party", "longer-lifetime", "before-consent",
                                                "no-table"};
  return kNames[static_cast<size_t>(issue)];
}
std::string_view to_string(RuleStatus status) {
  static constexpr std::string_view kNames[] = {"relevant-evidence", "nothing-seen", "not-testable", "not-applicable",
                                                "document"};
  return kNames[static_cast<size_t>(status)];
}

namespace {

template <class T, class Predicate>
const T* find_in(const std::vector<T>& list, Predicate predicate) {
  auto at = std::find_if(list.begin(), list.end(), predicate);
  return at == list.end() ? nullptr : &*at;
}

}  // namespace

const RecipientInfo* AuditResult::recipient(std::string_view key) const {
  return find_in(recipients, [&](const RecipientInfo& each) { return each.key == key; });
}
const Flow* AuditResult::flow(std::string_view id) const {
  auto same = [&](const Flow& each) { return each.id == id; };
  const Flow* found = find_in(flows, same);
  return found ? found : find_in(unattributed, same);
}
const Finding* AuditResult::finding(FindingKind kind, std::string_view type, std::string_view to) const {
  return find_in(findings,
                 [&](const Finding& each) { return each.kind == kind && each.type == type && each.recipient == to; });
}
const RuleResult* AuditResult::rule(std::string_view id) const {
  return find_in(rules, [&](const RuleResult& each) { return each.id == id; });
}

}  // namespace vitrine
