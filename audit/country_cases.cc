#include "audit/country_cases.h"

#include <algorithm>
#include <set>

namespace vitrine {
namespace {

// A country that stands for the name: the region's first member that is not
// named by itself.
std::string example_of(const std::string& name, const std::set<std::string>& names, const Regions& regions) {
  for (const Region& region : regions.regions()) {
    if (region.id != name) continue;
    for (const std::string& member : region.members) {
      if (!names.count(member)) return member;
    }
    return region.members.empty() ? std::string{} : region.members.front();
  }
  return name;
}

}  // namespace

std::vector<SelectedPolicy> texts_for(const AuditInputs& inputs, const SelectionQuery& query) {
  if (!inputs.chosen_policies.empty()) return choose_policies(inputs.policies, inputs.chosen_policies);
  if (query.publisher.empty()) return {};
  return select_policies(inputs.policies, inputs.regions, query);
}

SelectionQuery query_for(const AuditInputs& inputs, const SelectedPolicy& use, SelectionQuery query) {
  if (use.status == PolicyStatus::chosen && !inputs.context.policy_date) query.date = use.policy->recorded;
  return query;
}

std::vector<CountryCase> country_cases(const AuditInputs& inputs, const SelectionQuery& query) {
  std::vector<CountryCase> cases;
  if (!query.country.empty()) return cases;
  std::set<std::string> names;
  for (const Policy& policy : inputs.policies) {
    const bool chosen = std::find(inputs.chosen_policies.begin(), inputs.chosen_policies.end(), policy.file) !=
                        inputs.chosen_policies.end();
    if (inputs.chosen_policies.empty() ? policy.publisher != query.publisher : !chosen) continue;
    names.insert(policy.regions.begin(), policy.regions.end());
    for (const Statement& statement : policy.statements) {
      names.insert(statement.regions.begin(), statement.regions.end());
    }
  }
  names.erase("world");
  names.erase("any");
  for (const std::string& name : names) {
    CountryCase one;
    one.name = name;
    one.query = query;
    one.query.country = example_of(name, names, inputs.regions);
    one.selected = texts_for(inputs, one.query);
    for (size_t i = 0; i < one.selected.size(); ++i) {
      const Policy& policy = *one.selected[i].policy;
      const SelectionQuery asked = query_for(inputs, one.selected[i], one.query);
      for (const Statement& statement : policy.statements) {
        if (statement_applies(policy, statement, inputs.regions, asked))
          one.statements.push_back({i, &policy, &statement});
      }
    }
    cases.push_back(std::move(one));
  }
  return cases;
}

std::vector<std::string> missing_texts(const AuditInputs& inputs, const std::vector<SelectedPolicy>& selected,
                                       const std::string& country, TypeId type) {
  std::vector<std::string> names;
  bool main_text = false;
  for (const SelectedPolicy& use : selected) {
    texts_missing(*use.policy, type, *inputs.taxonomy, inputs.regions, country, names);
    main_text |= use.policy->kind == "privacy" || use.policy->kind == "regional";
  }
  if (!main_text && !selected.empty()) names.push_back("privacy policy");
  return names;
}

}  // namespace vitrine
