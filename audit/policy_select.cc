#include "audit/policy_select.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace vitrine {
namespace {

bool holds(const std::vector<std::string>& list, const std::string& value) {
  return value.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

int best_specificity(const std::vector<std::string>& names, const Regions& regions, const std::string& country) {
  int best = 0;
  for (const std::string& name : names) best = std::max(best, regions.specificity(name, country));
  return best;
}

// Documents of these kinds come in pieces that stand beside each other.
bool in_pieces(const std::string& kind) { return kind == "regional" || kind == "sdk-list" || kind == "terms"; }

const std::string& last_day(const Policy& policy) {
  return !policy.last_seen.empty() ? policy.last_seen : policy.recorded;
}

}  // namespace

std::vector<SelectedPolicy> select_policies(const std::vector<Policy>& held, const Regions& regions,
                                            const SelectionQuery& query) {
  using Group = std::pair<std::string, std::string>;
  std::map<Group, std::vector<const Policy*>> groups;
  for (const Policy& policy : held) {
    if (policy.publisher != query.publisher || !holds(policy.services, query.platform) ||
        !holds(policy.accounts, query.account) || best_specificity(policy.regions, regions, query.country) == 0) {
      continue;
    }
    groups[{policy.kind, in_pieces(policy.kind) ? policy.title : std::string{}}].push_back(&policy);
  }

  std::vector<SelectedPolicy> selected;
  for (auto& [group, candidates] : groups) {
    // Editions: the closest region, then the user's language if any has it. An
    // edition or translation that was made later takes nobody's place before.
    const auto begun = [&](const Policy* each) { return each->version_date() <= query.date; };
    if (std::none_of(candidates.begin(), candidates.end(), begun)) continue;  // only texts of later days are held
    int closest = 0;
    for (const Policy* each : candidates) {
      if (begun(each)) closest = std::max(closest, best_specificity(each->regions, regions, query.country));
    }
    std::erase_if(candidates, [&](const Policy* each) {
      return best_specificity(each->regions, regions, query.country) != closest;
    });
    // Without the user's language: English where held, else the first by name. Never two at once.
    std::set<std::string> languages;
    for (const Policy* each : candidates) {
      if (begun(each)) languages.insert(each->language);
    }
    std::string language = *languages.begin();
    if (languages.count("en")) language = "en";
    if (!query.language.empty() && languages.count(query.language)) language = query.language;
    std::erase_if(candidates, [&](const Policy* each) { return each->language != language; });

    std::stable_sort(candidates.begin(), candidates.end(), [](const Policy* a, const Policy* b) {
      return std::tie(a->version_date(), a->first_seen, a->file) < std::tie(b->version_date(), b->first_seen, b->file);
    });
    const Policy* current = nullptr;
    const Policy* next = nullptr;
    for (const Policy* each : candidates) {
      if (each->version_date() <= query.date) current = each;
      else if (next == nullptr) next = each;
    }
    SelectedPolicy use{current, PolicyStatus::latest_known, {}};
    if (next != nullptr || query.date <= last_day(*current)) {
      use.status = PolicyStatus::in_force;
      use.sentence = {"policy.in-force",
                      {{"title", current->title}, {"version", current->version_date()}, {"date", query.date}}};
    } else {
      use.sentence = {
          "policy.latest-known",
          {{"title", current->title}, {"version", current->version_date()}, {"recorded", last_day(*current)}}};
    }
    selected.push_back(std::move(use));
  }
  return selected;
}

std::vector<SelectedPolicy> choose_policies(const std::vector<Policy>& held, const std::vector<std::string>& files) {
  std::vector<SelectedPolicy> chosen;
  for (const std::string& file : files) {
    auto at = std::find_if(held.begin(), held.end(), [&](const Policy& policy) { return policy.file == file; });
    if (at == held.end()) continue;
    chosen.push_back(
        {&*at,
         PolicyStatus::chosen,
         {"policy.chosen", {{"title", at->title}, {"version", at->version_date()}, {"recorded", last_day(*at)}}}});
  }
  return chosen;
}

bool statement_stood(const Statement& statement, const std::string& date) {
  return (statement.from.empty() || statement.from <= date) && (statement.until.empty() || date < statement.until);
}

bool statement_applies(const Policy& policy, const Statement& statement, const Regions& regions,
                       const SelectionQuery& query) {
  if (!statement.scope.empty() || !statement_stood(statement, query.date)) return false;
  const auto& services = statement.services.empty() ? policy.services : statement.services;
  const auto& accounts = statement.accounts.empty() ? policy.accounts : statement.accounts;
  // Not knowing the client, a text that denies something of the app (or of one
  // kind of account) only must not be held against it.
  if (is_denial(statement.action) && ((query.platform.empty() && !statement.services.empty()) ||
                                      (query.account.empty() && !statement.accounts.empty()))) {
    return false;
  }
  const auto& where = statement.regions.empty() ? policy.regions : statement.regions;
  return holds(services, query.platform) && holds(accounts, query.account) &&
         best_specificity(where, regions, query.country) > 0;
}

bool texts_missing(const Policy& policy, TypeId type, const Taxonomy& taxonomy, const Regions& regions,
                   const std::string& country, std::vector<std::string>& names) {
  bool found = false;
  for (const PolicyMissing& missing : policy.missing) {
    const bool here =
        missing.regions.empty() || country.empty() || best_specificity(missing.regions, regions, country) > 0;
    const bool about = missing.types.empty() || std::any_of(missing.types.begin(), missing.types.end(),
                                                            [&](TypeId each) { return taxonomy.covers(each, type); });
    if (!here || !about) continue;
    found = true;
    if (std::find(names.begin(), names.end(), missing.document) == names.end()) names.push_back(missing.document);
  }
  return found;
}

}  // namespace vitrine
