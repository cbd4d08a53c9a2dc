// Rules about what the texts say: verdicts, recipients, countries.
#include <algorithm>
#include <set>

#include "audit/date_text.h"
#include "audit/rule_tester.h"

namespace vitrine {

void RuleTester::verdict(const std::vector<Verdict>& verdicts) {
  for (const Finding& finding : e_.result.findings) {
    if (std::find(verdicts.begin(), verdicts.end(), finding.verdict) == verdicts.end()) continue;
    if (finding.kind == FindingKind::cookie) continue;
    // Not testable and clear are said of a type that was sent.
    if (finding.kind == FindingKind::declared && finding.verdict != Verdict::declared_not_observed) continue;
    const TypeId type = e_.taxonomy().find(finding.type);
    if ((!test_.types.empty() && !in(test_.types, type)) || in(test_.except, type) || !personal(type)) continue;
    RuleHit hit;
    hit.type = finding.type;
    hit.recipient = finding.recipient;
    hit.finding = finding.id;
    hit.observation = finding.observation;
    hit.evidence = finding.evidence;
    for (const std::string& id : finding.flows) {
      const Flow* flow = e_.result.flow(id);
      hit.count += flow ? flow->count : 0;
    }
    if (!finding.evidence.empty()) hit.host = finding.evidence.front().host;
    if (!finding.denials.empty()) hit.quote = finding.denials.front().quote;
    else if (!finding.positives.empty()) hit.quote = finding.positives.front().quote;
    add(std::move(hit));
  }
}

void RuleTester::recipient_undeclared() {
  bool unknown = false;
  each_flow([&](const Flow& flow, TypeId type) {
    if (first_party(flow.recipient) || info(flow.recipient).role == RecipientRole::local) return;
    const RecipientView view = e_.view(flow.recipient);
    const bool named = std::any_of(e_.statements.begin(), e_.statements.end(), [&](const ApplicableStatement& each) {
      return is_positive(each.statement->action) && each.statement->recipient != "any" &&
             each.statement->channel != Channel::from_third_parties &&
             match_recipient(each, view, e_.directory()) != Match::none;
    });
    if (named) return;
    if (!e_.missing_texts(type).empty()) {
      unknown = true;
      return;
    }
    add(hit_of(flow));
  });
  if (unknown && hits_.empty())
    refuse(RuleStatus::not_testable, {"reason.texts-missing", {{"documents", missing_names()}}});
}

std::string RuleTester::missing_names() const {
  std::set<std::string> names;
  for (const Flow& flow : e_.result.flows) {
    for (const std::string& name : e_.missing_texts(e_.taxonomy().find(flow.type))) names.insert(name);
  }
  return join_words({names.begin(), names.end()});
}

// Adequacy on the day of the capture: 0 none, 1 limited (words in `note`), 2 full.
int RuleTester::adequacy(const std::string& country, std::string& note) const {
  // The user may have chosen texts of another day; decisions are those of the capture's.
  const std::string day = e_.first ? date_of(*e_.first) : e_.date;
  const AdequacyList* list = test_.adequacy.empty() ? nullptr : e_.inputs.regions.adequacy(test_.adequacy);
  if (list == nullptr) return 0;
  for (const AdequacyCountry& each : list->countries) {
    if (each.country != country || each.since > day || (!each.until.empty() && each.until <= day)) continue;
    if (each.scope == "full") return 2;
    note = each.scope;
    return 1;
  }
  return 0;
}

void RuleTester::transfer() {
  std::set<std::string> without_country;
  bool unknown_text = false;
  each_flow([&](const Flow& flow, TypeId type) {
    const RecipientInfo& to = info(flow.recipient);
    std::set<std::pair<CountryOf, std::string>> told;
    bool known = false;
    for (const CountryInfo& country : to.countries) {
      if (country.country.empty()) continue;
      known = true;
      if (test_.kind == TestKind::transfer_recipient && country.what != CountryOf::entity) continue;
      if (e_.inputs.regions.contains(test_.outside, country.country)) continue;
      std::string note;
      if (test_.kind == TestKind::transfer && adequacy(country.country, note) == 2) continue;
      if (test_.kind == TestKind::transfer_notice && country_named(country.country)) continue;
      if (test_.kind == TestKind::transfer_recipient && entity_named(flow.recipient)) continue;
      if (test_.kind != TestKind::transfer && !e_.missing_texts(type).empty()) {
        unknown_text = true;
        continue;
      }
      if (!told.emplace(country.what, country.country).second) continue;
      RuleHit hit = hit_of(flow);
      hit.country = country.country;
      hit.country_of = country.what;
      hit.note = note;
      add(std::move(hit));
    }
    if (!known) without_country.insert(flow.recipient);
  });
  if (!hits_.empty()) return;
  if (unknown_text) {
    refuse(RuleStatus::not_testable, {"reason.texts-missing", {{"documents", missing_names()}}});
  } else if (!without_country.empty()) {
    refuse(RuleStatus::not_testable, {"reason.no-ip-country", {{"count", std::to_string(without_country.size())}}});
  }
}

bool RuleTester::country_named(const std::string& country) const {
  return std::any_of(e_.statements.begin(), e_.statements.end(), [&](const ApplicableStatement& each) {
    const auto& named = each.statement->countries;
    return std::find(named.begin(), named.end(), country) != named.end();
  });
}
bool RuleTester::entity_named(const std::string& recipient) const {
  const RecipientView view = e_.view(recipient);
  return std::any_of(e_.statements.begin(), e_.statements.end(), [&](const ApplicableStatement& each) {
    return is_positive(each.statement->action) && each.statement->recipient != "self" &&
           match_recipient(each, view, e_.directory()) == Match::exact;
  });
}

}  // namespace vitrine
