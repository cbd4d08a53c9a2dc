#include <algorithm>
#include <tuple>

#include "reports/plain_text.h"
#include "reports/view_builder.h"

namespace vitrine {

QuoteView ViewBuilder::quote_view(const StatementRef& statement, bool with_breadth) {
  QuoteView view;
  view.denial = statement.action.starts_with("deny");
  view.says = t("says." + statement.action);
  view.document = policy_name(statement.policy);
  view.section = printable(statement.section);
  view.quote = printable(statement.quote);
  view.data = type_label(statement.data);
  view.recipient = declared_recipient(statement.recipient);
  if (statement.excepted) {
    view.note = t("quote.excepted");
  } else if (with_breadth) {
    std::vector<std::string> notes;
    if (!statement.exact_data) notes.push_back(fill("quote.broader-data", {{"data", view.data}}));
    if (!statement.exact_recipient) notes.push_back(fill("quote.broader-recipient", {{"recipient", view.recipient}}));
    view.note = joined(notes, notes.size());
  }
  return view;
}

FindingView ViewBuilder::finding_view(const Finding& finding) {
  FindingView view;
  const std::string verdict(to_string(finding.verdict));
  view.id = printable(finding.id);
  view.key = verdict;
  view.symbol = verdict_symbol(finding.verdict);
  view.verdict = t("verdict." + verdict);
  view.printed = t("printed." + verdict);
  if (finding.verdict == Verdict::vague && finding.vagueness != Vagueness::none) {
    view.printed = t("printed.vague-" + std::string(to_string(finding.vagueness)));
  } else if (finding.verdict == Verdict::not_testable && !finding.missing.empty()) {
    view.printed = fill("printed.texts-missing", {{"documents", joined(finding.missing, 3)}});
  }
  view.kind = t("kind." + std::string(to_string(finding.kind)));
  view.type = type_label(finding.type);
  view.type_id = printable(finding.type);

  const RecipientInfo* info = recipient(finding.recipient);
  if (info != nullptr) {
    view.recipient = recipient_name(finding.recipient);
    view.recipient_note = t("role." + std::string(to_string(info->role)));
    view.countries = countries_line(info);
  } else {
    view.recipient = declared_recipient(finding.recipient);
    view.recipient_note = finding.kind == FindingKind::declared ? t("recipient.as-declared") : "";
  }

  view.observation_key = to_string(finding.observation);
  if (finding.observation != Observation::none) view.observation = t("observation." + view.observation_key);
  view.inference = t("inference." + std::string(to_string(finding.inference)));
  if (finding.is_proof()) view.proof = t("proof");
  if (finding.is_lead()) view.lead = t("lead");
  view.explanation = sentence(finding.explanation);
  for (const Sentence& reason : finding.reasons) view.reasons.push_back(sentence(reason));
  const bool breadth = finding.kind == FindingKind::flow;
  for (const StatementRef& statement : finding.denials) view.quotes.push_back(quote_view(statement, breadth));
  for (const StatementRef& statement : finding.positives) view.quotes.push_back(quote_view(statement, breadth));

  const uint64_t unread = finding.coverage.undecoded_bytes();
  const uint64_t total = finding.coverage.decoded + unread;
  if (total == 0) {
    view.coverage = t("coverage.no-bytes");
  } else if (unread == 0) {
    view.coverage = fill("coverage.all-read", {{"bytes", bytes_text(total)}});
  } else {
    std::vector<std::string> causes;
    for (const auto& [cause, bytes] : finding.coverage.undecoded) {
      causes.push_back(bytes_text(bytes) + " (" + t("cause." + std::string(to_string(cause))) + ")");
    }
    view.coverage = fill("coverage.some-read", {{"percent", percent_text(finding.coverage.decoded, total)},
                                                {"causes", joined(causes, causes.size())}});
  }

  uint64_t count = 0, distinct = 0;
  bool at_least = false;
  std::optional<Timestamp> first, last;
  std::vector<std::string> hosts, ties;
  TransportView transport;
  for (const std::string& id : finding.flows) {
    const Flow* part = flow(id);
    if (part == nullptr) continue;
    count += part->count;
    distinct = std::max(distinct, part->distinct_values);
    at_least = at_least || part->distinct_at_least || finding.flows.size() > 1;
    first = first ? std::min(*first, part->first) : part->first;
    last = last ? std::max(*last, part->last) : part->last;
    hosts.insert(hosts.end(), part->hosts.begin(), part->hosts.end());
    transport.cleartext = transport.cleartext || part->transport.cleartext;
    transport.in_url = transport.in_url || part->transport.in_url;
    if (part->transport.lowest_tls != 0) {
      transport.lowest_tls = transport.lowest_tls == 0 ? part->transport.lowest_tls
                                                       : std::min(transport.lowest_tls, part->transport.lowest_tls);
    }
    if (view.sample.empty() && part->observation == finding.observation) view.sample = printable(part->sample);
    for (Attribution by : part->attributed_by) {
      const std::string tie = t("attribution." + std::string(to_string(by)));
      if (std::find(ties.begin(), ties.end(), tie) == ties.end()) ties.push_back(tie);
    }
  }
  if (!ties.empty()) view.attribution = fill("attribution.by", {{"ties", joined(ties, ties.size())}});
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  view.hosts = joined(hosts, 4);
  if (first) view.volume = volume_text(count, distinct, at_least, *first, *last);
  view.transport = transport_text(transport);
  view.evidence = links(finding.evidence, finding.type);
  return view;
}

// By verdict, leads behind the rest; then what tells most of a person, others
// before the service itself, the surer before the less sure.
std::vector<const Finding*> ViewBuilder::in_order() const {
  std::vector<std::pair<std::tuple<Verdict, bool, int, int, int>, const Finding*>> order;
  for (const Finding& finding : result_.findings) {
    const RecipientInfo* info = recipient(finding.recipient);
    const bool first_party = info != nullptr && info->role == RecipientRole::first_party;
    order.push_back({{finding.verdict, finding.is_lead(), type_weight(finding.type), first_party ? 1 : 0,
                      -static_cast<int>(finding.observation)},
                     &finding});
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const Finding*> out;
  for (const auto& [key, finding] : order) out.push_back(finding);
  return out;
}

void ViewBuilder::add_findings() {
  size_t left_out = 0;
  for (const Finding* finding : in_order()) {
    std::vector<FindingView>& list = finding->kind == FindingKind::flow       ? view_.findings
                                     : finding->kind == FindingKind::declared ? view_.declared
                                                                              : view_.cookie_findings;
    if (list.size() >= kMaxFindingRows) {
      ++left_out;
      continue;
    }
    FindingView row = finding_view(*finding);
    const char prefix = finding->kind == FindingKind::flow ? 'f' : finding->kind == FindingKind::declared ? 'd' : 'c';
    row.number = std::to_string(list.size() + 1);
    row.anchor = prefix + row.number;
    if (list.empty() || list.back().key != row.key) row.group = row.symbol + " " + t("printed." + row.key);
    finding_anchors_.emplace(finding->id, row.anchor);
    list.push_back(std::move(row));
  }
  if (!view_.cookie_findings.empty()) {
    view_.cookie_note = fill("cookie.note", {{"count", group_digits(view_.cookie_findings.size())}});
  }
  if (left_out != 0) view_.more_findings = fill("more.findings", {{"count", group_digits(left_out)}});
}

// Only what asks something of a reader; the first of the list, which is in order.
void ViewBuilder::choose_worst() {
  const auto asks = [](const FindingView& row) {
    return row.lead.empty() &&
           (row.key == to_string(Verdict::contradicted) || row.key == to_string(Verdict::ambiguous) ||
            row.key == to_string(Verdict::omitted) || row.key == to_string(Verdict::vague));
  };
  for (size_t i = 0; i < view_.findings.size() && view_.worst.size() < 5; ++i) {
    if (asks(view_.findings[i])) view_.worst.push_back(i);
  }
  for (const FindingView& row : view_.cookie_findings) {
    if (asks(row) && view_.worst_cookies.size() < 3) view_.worst_cookies.push_back(row.explanation);
  }
}

void ViewBuilder::add_out_of_reach() {
  for (const OutOfReach& item : result_.out_of_reach) {
    if (view_.out_of_reach.size() >= kMaxFindingRows) break;
    DeclaredView row;
    row.quote = quote_view(item.statement, false);
    row.data = row.quote.data;
    row.recipient = row.quote.recipient;
    row.why = sentence(item.why);
    view_.out_of_reach.push_back(std::move(row));
  }
}

}  // namespace vitrine
