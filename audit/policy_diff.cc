#include "audit/policy_diff.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace vitrine {
namespace {

struct Named {
  std::set<std::string> quotes, statements;  // that name the type for this action and recipient
};
using Key = std::tuple<std::string, std::string, std::string>;  // action, recipient, type

std::map<Key, Named> named_data(const Policy& policy) {
  std::map<Key, Named> all;
  for (const Statement& s : policy.statements) {
    if (!s.scope.empty()) continue;
    for (const std::string& type : s.data) {
      Named& named = all[{std::string(to_string(s.action)), s.recipient, type}];
      named.quotes.insert(normalise_space(s.quote));
      named.statements.insert(s.id);
    }
  }
  return all;
}

std::vector<std::string> list(const std::set<std::string>& set) { return {set.begin(), set.end()}; }

// Sentences of the statements with these ids: what became of the clause.
std::set<std::string> quotes_of(const Policy& policy, const std::set<std::string>& ids) {
  std::set<std::string> quotes;
  for (const Statement& s : policy.statements) {
    if (ids.count(s.id)) quotes.insert(normalise_space(s.quote));
  }
  return quotes;
}

bool covered_broadly(const Policy& policy, const Key& key, const Taxonomy& taxonomy) {
  const auto& [action, recipient, type] = key;
  const TypeId wanted = taxonomy.find(type);
  for (const Statement& s : policy.statements) {
    if (!s.scope.empty() || to_string(s.action) != action || s.recipient != recipient) continue;
    for (TypeId each : s.types) {
      if (each != wanted && taxonomy.covers(each, wanted)) return true;
    }
  }
  return false;
}

}  // namespace

PolicyDiff diff_policies(const Policy& older, const Policy& newer, const Taxonomy& taxonomy) {
  PolicyDiff diff;
  diff.old_file = older.file;
  diff.new_file = newer.file;
  diff.old_date = older.version_date();
  diff.new_date = newer.version_date();

  const auto before = named_data(older), after = named_data(newer);
  for (auto kind : {DataChange::Kind::added, DataChange::Kind::removed}) {
    const bool added = kind == DataChange::Kind::added;
    for (const auto& [key, named] : added ? after : before) {
      if ((added ? before : after).count(key)) continue;
      DataChange change;
      change.kind = kind;
      std::tie(change.action, change.recipient, change.type) = key;
      (added ? change.new_quotes : change.old_quotes) = list(named.quotes);
      (added ? change.old_quotes : change.new_quotes) = list(quotes_of(added ? older : newer, named.statements));
      change.still_broadly = !added && covered_broadly(newer, key, taxonomy);
      diff.data.push_back(std::move(change));
    }
  }

  std::map<std::string, std::string> old_quotes, new_quotes;
  for (const Statement& s : older.statements) old_quotes[s.id] = normalise_space(s.quote);
  for (const Statement& s : newer.statements) new_quotes[s.id] = normalise_space(s.quote);
  for (const auto& [id, quote] : new_quotes) {
    auto at = old_quotes.find(id);
    if (at == old_quotes.end()) diff.statements.push_back({StatementChange::Kind::added, id, {}, quote});
    else if (at->second != quote) diff.statements.push_back({StatementChange::Kind::reworded, id, at->second, quote});
  }
  for (const auto& [id, quote] : old_quotes) {
    if (!new_quotes.count(id)) diff.statements.push_back({StatementChange::Kind::removed, id, quote, {}});
  }
  std::stable_sort(diff.statements.begin(), diff.statements.end(),
                   [](const auto& a, const auto& b) { return std::tie(a.kind, a.id) < std::tie(b.kind, b.id); });

  std::map<std::pair<std::string, std::string>, std::string> old_cookies, new_cookies;
  for (const DeclaredCookie& cookie : older.cookies) old_cookies[{cookie.name, cookie.domain}] = cookie.lifetime;
  for (const DeclaredCookie& cookie : newer.cookies) new_cookies[{cookie.name, cookie.domain}] = cookie.lifetime;
  for (const auto& [key, lifetime] : new_cookies) {
    auto at = old_cookies.find(key);
    if (at == old_cookies.end()) {
      diff.cookies.push_back({CookieChange::Kind::added, key.first, key.second, {}, lifetime});
    } else if (at->second != lifetime) {
      diff.cookies.push_back({CookieChange::Kind::changed, key.first, key.second, at->second, lifetime});
    }
  }
  for (const auto& [key, lifetime] : old_cookies) {
    if (!new_cookies.count(key))
      diff.cookies.push_back({CookieChange::Kind::removed, key.first, key.second, lifetime, {}});
  }
  std::stable_sort(diff.cookies.begin(), diff.cookies.end(), [](const auto& a, const auto& b) {
    return std::tie(a.kind, a.name, a.domain) < std::tie(b.kind, b.name, b.domain);
  });
  return diff;
}

}  // namespace vitrine
