#include <algorithm>
#include <array>

#include "reports/plain_text.h"
#include "reports/view_builder.h"
#include "reports/words.h"

namespace vitrine {
namespace {

// A row of a cookie table is quoted without the bars at its ends.
std::string_view without_outer_bars(std::string_view quote) {
  const auto edge = [](char c) { return c == '|' || c == ' '; };
  while (!quote.empty() && edge(quote.front())) quote.remove_prefix(1);
  while (!quote.empty() && edge(quote.back())) quote.remove_suffix(1);
  return quote;
}

}  // namespace

// Rule files name a kind of data by its id; a reader knows its label.
std::string ViewBuilder::named(std::string message, std::string_view type) const {
  if (type.empty() || !message.starts_with(type)) return message;
  return type_label(type) + message.substr(type.size());
}

void ViewBuilder::add_cookies() {
  for (const CookieRow& cookie : result_.cookies) {
    if (view_.cookies.size() >= kMaxCookieRows) break;
    CookieView row;
    row.name = printable(cookie.name);
    row.domain = printable(cookie.domain);
    row.recipient = recipient_name(cookie.recipient);
    row.attributed = cookie.attributed;
    row.direction = t(cookie.set && cookie.sent ? "cookie.set-and-sent" : cookie.set ? "cookie.set" : "cookie.sent");
    // A lifetime of nothing removes a cookie; one that was also sent had lived until then.
    const bool removed = cookie.max_age && *cookie.max_age == 0;
    row.lifetime = cookie.max_age && !removed ? duration_text(*cookie.max_age)
                   : removed && !cookie.sent  ? t("cookie.removed")
                                              : t(cookie.set ? "cookie.session" : "cookie.lifetime-unknown");
    std::vector<std::string> attributes;
    if (cookie.set) {
      attributes.push_back(t(cookie.secure ? "cookie.secure" : "cookie.not-secure"));
      if (cookie.http_only) attributes.push_back("HttpOnly");
      if (!cookie.same_site.empty()) attributes.push_back("SameSite=" + cookie.same_site);
    }
    if (cookie.third_party_context) attributes.push_back(t("cookie.third-party"));
    row.attributes = joined(attributes, attributes.size());
    row.first = time_text(cookie.first);
    for (CookieIssue issue : cookie.issues) {
      row.issues.push_back(
          fill("cookie-issue." + std::string(to_string(issue)),
               {{"declared", printable(cookie.table_lifetime)}, {"party", printable(cookie.table_party)}}));
    }
    if (cookie.table_policy) {
      std::vector<std::string> table = {cookie.table_name};
      if (!cookie.table_lifetime.empty()) table.push_back(cookie.table_lifetime);
      if (!cookie.table_provider.empty()) table.push_back(cookie.table_provider);
      if (!cookie.table_category.empty()) table.push_back(cookie.table_category);
      row.table = policy_name(*cookie.table_policy) + ": " + joined(table, table.size());
      row.quote = printable(without_outer_bars(cookie.quote));
    }
    row.as_declared = cookie.attributed && cookie.issues.empty() && cookie.table_policy.has_value();
    row.evidence = links(cookie.evidence, {});
    if (row.evidence.size() > 2) row.evidence.resize(2);
    view_.cookies.push_back(std::move(row));
  }
  if (result_.cookies.size() > view_.cookies.size()) {
    view_.more_cookies = fill("more.cookies", {{"count", group_digits(result_.cookies.size() - view_.cookies.size())}});
  }
}

void ViewBuilder::add_rules() {
  const bool korean = locale_.language() == Language::ko;
  std::array<size_t, 5> by_status{};
  std::string_view file;
  const auto close_file = [&] {
    if (view_.rules.empty()) return;
    view_.rules.back().summary =
        fill("rules.summary", {{"evidence", group_digits(by_status[static_cast<size_t>(RuleStatus::evidence)])},
                               {"nothing", group_digits(by_status[static_cast<size_t>(RuleStatus::nothing_seen)])},
                               {"untestable", group_digits(by_status[static_cast<size_t>(RuleStatus::not_testable)])},
                               {"other", group_digits(by_status[static_cast<size_t>(RuleStatus::not_applicable)] +
                                                      by_status[static_cast<size_t>(RuleStatus::document)])}});
    by_status = {};
  };
  for (const RuleResult& rule : result_.rules) {
    if (view_.rules.empty() || rule.file != file) {
      close_file();
      file = rule.file;
      view_.rules.push_back(
          {printable(rule.file_title.empty() ? rule.file : rule.file_title), printable(rule.disclaimer), "", {}});
    }
    ++by_status[static_cast<size_t>(rule.status)];
    RuleView row;
    row.id = printable(rule.id);
    row.reference = printable(rule.reference);
    row.reference_date = printable(rule.reference_date);
    row.key = to_string(rule.status);
    row.symbol = rule_symbol(rule.status);
    row.status = t("rule-status." + row.key);
    row.inference = t("inference." + std::string(to_string(rule.inference)));
    row.sentence = printable(rule.evidence_sentence);
    row.why = sentence(rule.why);
    row.count = group_digits(rule.hits_total);
    for (const RuleHit& hit : rule.hits) {
      if (row.hits.size() >= kMaxHitRows) break;
      HitView shown;
      shown.message = named(printable(korean ? hit.message_ko : hit.message_en), hit.type);
      shown.note = printable(hit.note);
      auto at = finding_anchors_.find(hit.finding);
      if (at != finding_anchors_.end()) shown.finding_anchor = at->second;
      if (!hit.evidence.empty()) shown.evidence.push_back(link(hit.evidence.front(), hit.type, {}));
      row.hits.push_back(std::move(shown));
    }
    if (rule.hits_total > row.hits.size()) {
      row.more = fill("more.hits", {{"count", group_digits(rule.hits_total - row.hits.size())}});
    }
    if (rule.leads != 0) {
      row.more += (row.more.empty() ? "" : " ") + fill("rules.leads", {{"count", group_digits(rule.leads)}});
    }
    for (const std::string& question : rule.open_questions) row.questions.push_back(printable(question));
    view_.rules.back().rules.push_back(std::move(row));
  }
  close_file();
  // What speaks about this recording first; files whose rules all lie aside last.
  const auto rank = [](const RuleFileView& read) {
    const auto has = [&](RuleStatus status) {
      return std::any_of(read.rules.begin(), read.rules.end(),
                         [&](const RuleView& rule) { return rule.key == to_string(status); });
    };
    return has(RuleStatus::evidence) ? 0 : has(RuleStatus::not_testable) || has(RuleStatus::nothing_seen) ? 1 : 2;
  };
  std::stable_sort(view_.rules.begin(), view_.rules.end(),
                   [&](const RuleFileView& a, const RuleFileView& b) { return rank(a) < rank(b); });
}

}  // namespace vitrine
