// Observed cookies against the cookie tables of the texts.
#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "audit/evaluation.h"

namespace vitrine {
namespace {

std::string_view without_dot(std::string_view domain) { return domain.starts_with('.') ? domain.substr(1) : domain; }

bool within(std::string_view host, std::string_view domain) {
  return host == domain ||
         (host.size() > domain.size() && host.ends_with(domain) && host[host.size() - domain.size() - 1] == '.');
}

// A table names the page a cookie is met on, or the domain it is set for; a
// cookie of either that lies in the other is the one meant.
bool same_place(const std::string& declared, const std::string& observed) {
  const std::string_view a = without_dot(declared), b = without_dot(observed);
  return within(a, b) || within(b, a);
}

// `*` in a table's name stands for any characters; cookie names have case.
bool name_matches(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  if (name.size() < star || pattern.substr(0, star) != name.substr(0, star)) return false;
  pattern.remove_prefix(star + 1);
  name.remove_prefix(star);
  for (size_t skip = 0; skip <= name.size(); ++skip) {
    if (name_matches(pattern, name.substr(skip))) return true;
    if (pattern.find('*') == std::string_view::npos) {  // what is left must be the end
      return name.size() >= pattern.size() && name.ends_with(pattern);
    }
  }
  return false;
}

struct TableRow {
  size_t policy = 0;
  const DeclaredCookie* cookie = nullptr;
};

// The row that names the cookie: without a wildcard before with one, the same
// place before any other.
const TableRow* find_row(const std::vector<TableRow>& table, const CookieRow& row) {
  const TableRow* best = nullptr;
  int best_rank = 0;
  for (const TableRow& each : table) {
    if (!name_matches(each.cookie->name, row.name) || !same_place(each.cookie->domain, row.domain)) continue;
    const int rank = each.cookie->name.find('*') == std::string::npos ? 2 : 1;
    if (rank > best_rank) {
      best = &each;
      best_rank = rank;
    }
  }
  return best;
}

std::vector<TableRow> table_of(const std::vector<SelectedPolicy>& selected) {
  std::vector<TableRow> table;
  for (size_t i = 0; i < selected.size(); ++i) {
    for (const DeclaredCookie& cookie : selected[i].policy->cookies) table.push_back({i, &cookie});
  }
  return table;
}

std::string lifetime_text(int64_t seconds) {
  constexpr int64_t kDay = 86400;
  return seconds >= 2 * kDay ? std::to_string(seconds / kDay) + " d" : std::to_string(seconds) + " s";
}

bool other_party(const DeclaredCookie& declared, const RecipientInfo& setter) {
  const bool first_party = setter.role == RecipientRole::first_party;
  if (declared.party == "first" || declared.provider == "self") return !first_party;
  // A third party may set its cookie under the first party's name.
  return !first_party && setter.entity != declared.provider;
}

void compare(CookieRow& row, const TableRow* declared, const RecipientInfo& setter, std::optional<Timestamp> consent) {
  if (declared == nullptr) {
    row.issues.push_back(CookieIssue::undeclared);
    return;
  }
  const DeclaredCookie& cookie = *declared->cookie;
  row.table_policy = declared->policy;
  row.table_name = cookie.name;
  row.table_lifetime = cookie.lifetime;
  row.table_party = cookie.party;
  row.table_provider = cookie.provider;
  row.table_category = cookie.category;
  row.table_max_age = cookie.max_age;
  row.quote = cookie.quote;
  if (other_party(cookie, setter)) row.issues.push_back(CookieIssue::other_party);
  // Expires is compared with the packet's time: a minute of difference is no finding.
  constexpr int64_t kSlack = 60;
  if (row.max_age && *row.max_age > 0 && *row.max_age - kSlack > cookie.max_age.value_or(0)) {
    row.issues.push_back(CookieIssue::longer_lifetime);
  }
  if (consent && row.first < *consent && cookie.category != "necessary") {
    row.issues.push_back(CookieIssue::before_consent);
  }
}

// What a table says becomes a finding; consent is a rule's matter.
// `declared_in`: countries whose editions name a cookie that the others do not.
void publish_findings(const CookieRow& row, const std::string& recipient_name, const std::string& declared_in,
                      Evaluation& e) {
  const std::vector<std::string> missing = e.missing_texts(e.taxonomy().find("identifier.cookie"));
  for (CookieIssue issue : row.issues) {
    if (issue == CookieIssue::before_consent) continue;
    Finding finding;
    finding.kind = FindingKind::cookie;
    finding.type = "identifier.cookie";
    finding.recipient = row.recipient;
    finding.id = stable_id({"cookie", to_string(issue), row.name, row.domain, row.recipient});
    finding.verdict = issue == CookieIssue::undeclared ? Verdict::omitted
                      : issue == CookieIssue::no_table ? Verdict::not_testable
                                                       : Verdict::contradicted;
    finding.observation = Observation::certain;
    finding.inference = issue == CookieIssue::no_table      ? Inference::document
                        : issue == CookieIssue::other_party ? Inference::indicator  // entity lists are leads
                                                            : Inference::textual;
    finding.evidence = row.evidence;
    finding.coverage = e.coverage_of(row.hosts);
    if (row.table_policy) {
      StatementRef ref;
      ref.policy = *row.table_policy;
      ref.id = row.table_name;
      ref.action = "cookie";
      ref.recipient = row.table_provider;
      ref.quote = row.quote;
      ref.data = "identifier.cookie";
      finding.positives.push_back(std::move(ref));
    }
    finding.explanation = {"finding.cookie." + std::string(to_string(issue)),
                           {{"name", row.name},
                            {"recipient", recipient_name},
                            {"observed", row.max_age ? lifetime_text(*row.max_age) : std::string{}},
                            {"declared", issue == CookieIssue::other_party ? row.table_provider : row.table_lifetime}}};
    if (issue == CookieIssue::undeclared && !missing.empty()) {  // it may stand in a table that is not held
      finding.verdict = Verdict::not_testable;
      finding.inference = Inference::document;
      finding.missing = missing;
      std::string documents;
      for (const std::string& name : missing) documents.append(documents.empty() ? "" : "; ").append(name);
      finding.reasons.push_back({"reason.texts-missing", {{"documents", documents}}});
    }
    if (issue == CookieIssue::undeclared && !declared_in.empty()) {
      finding.verdict = Verdict::not_testable;
      finding.inference = Inference::document;
      finding.reasons.push_back({"reason.country", {{"regions", declared_in}}});
    }
    if (issue == CookieIssue::no_table) finding.reasons.push_back({"finding.cookie.no-table", {{"name", row.name}}});
    e.result.findings.push_back(std::move(finding));
  }
}

}  // namespace

void build_cookies(Evaluation& e) {
  struct Sum {
    CookieSight sight;
    std::set<std::string> hosts;
  };
  std::map<std::tuple<bool, std::string, std::string, std::string>, Sum> sums;  // unattributed, domain, name, recipient
  // A cookie that was only sent shows no Domain: it joins the one that was set for its host.
  std::set<std::pair<std::string, std::string>> set_for;  // name, domain
  for (const auto& [key, sight] : e.flows.cookies()) {
    if (sight.set != 0) set_for.emplace(key.name, key.domain);
  }
  for (const auto& [key, sight] : e.flows.cookies()) {
    std::string domain = key.domain;
    if (sight.set == 0 && !set_for.count({key.name, domain})) {
      for (const auto& [name, wide] : set_for) {
        if (name == key.name && wide.starts_with('.') && within(key.context.host, without_dot(wide))) domain = wide;
      }
    }
    const bool attributed = e.attributor->of(key.context) != Attribution::unattributed;
    const std::string& recipient = e.recipients->resolve(key.context.host, key.context.server);
    Sum& sum = sums[{!attributed, domain, key.name, recipient}];
    CookieSight copy = sight;
    sum.sight.merge(std::move(copy));
    sum.hosts.insert(key.context.host);
  }

  const std::vector<TableRow> table = table_of(e.selected);
  // Where the user's country is not known: the tables of other editions.
  std::vector<std::pair<std::string, std::vector<TableRow>>> elsewhere;
  for (const CountryCase& one : e.cases) elsewhere.emplace_back(one.name, table_of(one.selected));
  const std::optional<Timestamp> consent = e.marker("consent-accepted");
  for (auto& [key, sum] : sums) {
    const auto& [unattributed, domain, name, recipient] = key;
    const RecipientInfo& setter = e.recipients->at(recipient);
    CookieRow row;
    row.name = name;
    row.domain = domain;
    row.recipient = recipient;
    row.hosts.assign(sum.hosts.begin(), sum.hosts.end());
    row.attributed = !unattributed;
    row.set = sum.sight.set != 0;
    row.sent = sum.sight.sent != 0;
    row.max_age = sum.sight.max_age;
    row.secure = sum.sight.secure;
    row.http_only = sum.sight.http_only;
    row.same_site = sum.sight.same_site;
    row.third_party_context = setter.role != RecipientRole::first_party;
    row.first = sum.sight.first.value_or(Timestamp{});
    row.last = sum.sight.last.value_or(Timestamp{});
    row.evidence = sum.sight.evidence;
    if (sum.sight.last_evidence) add_evidence(row.evidence, {*sum.sight.last_evidence}, 6);
    // A lifetime of nothing removes a cookie: that is no use of it.
    const bool only_removed = !row.sent && row.max_age && *row.max_age == 0;
    if (row.attributed && !only_removed) {
      if (table.empty()) row.issues.push_back(CookieIssue::no_table);
      else compare(row, find_row(table, row), setter, consent);
      std::sort(row.issues.begin(), row.issues.end());
      std::string declared_in;
      for (const auto& one : elsewhere) {
        if (find_row(one.second, row) != nullptr) declared_in += (declared_in.empty() ? "" : "; ") + one.first;
      }
      publish_findings(row, setter.name.empty() ? setter.key : setter.name, declared_in, e);
    }
    e.result.cookies.push_back(std::move(row));
  }
}

}  // namespace vitrine
