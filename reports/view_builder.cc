#include "reports/view_builder.h"

#include <algorithm>

#include "reports/plain_text.h"
#include "reports/words.h"

namespace vitrine {

ViewBuilder::ViewBuilder(const AuditResult& result, const Locale& locale) : result_(result), locale_(locale) {
  for (const RecipientInfo& info : result.recipients) recipients_.emplace(info.key, &info);
  for (const auto* list : {&result.flows, &result.unattributed}) {
    for (const Flow& flow : *list) {
      flows_.emplace(flow.id, &flow);
      if (flow.evidence.empty()) continue;
      const Evidence& first = flow.evidence.front();
      samples_.emplace(std::tuple(first.origin.exchange, first.origin.node, std::string_view(first.path)), flow.sample);
    }
  }
}

const RecipientInfo* ViewBuilder::recipient(std::string_view key) const {
  auto at = recipients_.find(key);
  return at == recipients_.end() ? nullptr : at->second;
}

const Flow* ViewBuilder::flow(std::string_view id) const {
  auto at = flows_.find(id);
  return at == flows_.end() ? nullptr : at->second;
}

std::string ViewBuilder::country_label(std::string_view code) const {
  if (code.empty()) return t("country.unknown");
  const std::string name = locale_.word("country", code);
  return name == code ? name : name + " (" + printable(code) + ")";
}

std::string ViewBuilder::recipient_name(std::string_view key) const {
  const RecipientInfo* info = recipient(key);
  return printable(info != nullptr && !info->name.empty() ? std::string_view(info->name) : key);
}

std::string ViewBuilder::declared_recipient(std::string_view word) const {
  if (recipient(word) != nullptr) return recipient_name(word);
  return locale_.word("category", word);
}

std::string ViewBuilder::countries_line(const RecipientInfo* info) const {
  // In the order a reader asks: whose company, whose network, where the address is.
  std::vector<std::pair<std::string, std::vector<std::string>>> by_country;
  for (CountryOf what : {CountryOf::entity, CountryOf::network_owner, CountryOf::ip}) {
    if (info == nullptr) break;
    for (const CountryInfo& country : info->countries) {
      if (country.what != what || country.country.empty()) continue;
      auto at = std::find_if(by_country.begin(), by_country.end(),
                             [&](const auto& entry) { return entry.first == country.country; });
      if (at == by_country.end()) at = by_country.insert(at, {country.country, {}});
      const std::string of = t("country-of." + std::string(to_string(what)));
      if (std::find(at->second.begin(), at->second.end(), of) == at->second.end()) at->second.push_back(of);
    }
  }
  if (by_country.empty()) return t("country.unknown");
  if (by_country.size() == 1) return locale_.word("country", by_country.front().first);
  std::vector<std::string> parts;
  for (const auto& [country, of] : by_country) parts.push_back(joined(of, 3) + ": " + locale_.word("country", country));
  return joined(parts, 6);
}

std::string ViewBuilder::policy_name(size_t policy) const {
  for (const PolicyUse& use : result_.policies) {
    if (use.policy != policy) continue;
    return printable(use.title) + (use.version_date.empty() ? "" : ", " + printable(use.version_date));
  }
  return t("policy.unnamed");
}

std::string ViewBuilder::volume_text(uint64_t count, uint64_t distinct, bool at_least, Timestamp first,
                                     Timestamp last) const {
  const Locale::Arguments arguments = {{"count", group_digits(count)},
                                       {"distinct", (at_least ? "≥ " : "") + group_digits(distinct)},
                                       {"first", time_of_day_text(first)},
                                       {"last", time_of_day_text(last)}};
  if (count == 1) return fill("volume.one", arguments);
  return fill(time_of_day_text(first) == time_of_day_text(last) ? "volume.at" : "volume.between", arguments);
}

std::string ViewBuilder::transport_text(const TransportView& transport) const {
  std::vector<std::string> notes;
  if (transport.cleartext) notes.push_back(t("transport.cleartext"));
  if (transport.in_url) notes.push_back(t("transport.in-url"));
  if (transport.lowest_tls != 0 && transport.lowest_tls < 0x0303) {
    notes.push_back(fill("transport.old-tls", {{"version", std::string(tls_version_name(transport.lowest_tls))}}));
  }
  return joined(notes, notes.size());
}

std::string ViewBuilder::sentence(const Sentence& sentence) const {
  Sentence named = sentence;
  for (auto& [name, value] : named.arguments) {
    if (name == "recipient") value = declared_recipient(value);
  }
  return locale_.sentence(named);
}

std::string ViewBuilder::joined(const std::vector<std::string>& items, size_t at_most) const {
  std::string out;
  const size_t shown = std::min(items.size(), at_most);
  for (size_t i = 0; i < shown; ++i) out += (i == 0 ? "" : ", ") + printable(items[i]);
  if (shown < items.size()) out += " " + fill("list.more", {{"count", group_digits(items.size() - shown)}});
  return out;
}

EvidenceLink ViewBuilder::link(const Evidence& evidence, std::string_view type, std::string_view sample) {
  EvidenceLink link;
  link.origin = evidence.origin.to_string();
  link.label = fill("evidence.packet", {{"packet", group_digits(evidence.packet)}});
  const std::tuple key(evidence.origin.exchange, evidence.origin.node, std::string_view(evidence.path));
  auto at = evidence_.find(key);
  if (at != evidence_.end()) {
    EvidenceView& row = view_.evidence[at->second];
    link.anchor = row.anchor;
    const std::string label = type_label(type);
    if (!type.empty() && row.data.find(label) == std::string::npos) row.data += (row.data.empty() ? "" : ", ") + label;
    return link;
  }
  if (view_.evidence.size() >= kMaxEvidenceRows) {
    ++evidence_left_out_;
    return link;
  }
  if (sample.empty()) {
    auto known = samples_.find(key);
    if (known != samples_.end()) sample = known->second;
  }
  EvidenceView row;
  row.anchor = "e" + std::to_string(view_.evidence.size() + 1);
  row.origin = link.origin;
  row.packet = group_digits(evidence.packet);
  row.time = time_text(evidence.time);
  row.host = printable(evidence.host);
  row.request = printable(evidence.method);
  if (!evidence.url_path.empty()) row.request += (row.request.empty() ? "" : " ") + printable(evidence.url_path);
  row.path = printable(evidence.path);
  row.chain = printable(evidence.chain);
  row.sample = printable(sample);
  row.data = type.empty() ? std::string() : type_label(type);
  row.command = "vitrine origin " + row.origin;
  if (result_.inputs.size() == 1) row.command += " " + printable(result_.inputs.front().name);
  link.anchor = row.anchor;
  evidence_.emplace(key, view_.evidence.size());
  view_.evidence.push_back(std::move(row));
  return link;
}

std::vector<EvidenceLink> ViewBuilder::links(const std::vector<Evidence>& list, std::string_view type) {
  std::vector<EvidenceLink> out;
  for (const Evidence& evidence : list) out.push_back(link(evidence, type, {}));
  return out;
}

std::string_view verdict_symbol(Verdict verdict) {
  switch (verdict) {
    case Verdict::contradicted: return "✖";
    case Verdict::ambiguous: return "≠";
    case Verdict::omitted: return "○";
    case Verdict::vague: return "≈";
    case Verdict::declared_not_observed: return "∅";
    case Verdict::not_testable: return "?";
    case Verdict::clear: return "✓";
  }
  return "?";
}

std::string_view rule_symbol(RuleStatus status) {
  switch (status) {
    case RuleStatus::evidence: return "●";
    case RuleStatus::nothing_seen: return "○";
    case RuleStatus::not_testable: return "?";
    case RuleStatus::not_applicable: return "–";
    case RuleStatus::document: return "§";
  }
  return "?";
}

int type_weight(std::string_view type) {
  struct Weight {
    std::string_view prefix;
    int weight;
  };
  // The first prefix that fits counts.
  static constexpr Weight kWeights[] = {
      {"behaviour.keystroke-dynamics", 0},
      {"behaviour.typed-text", 0},
      {"behaviour.session-replay", 0},
      {"content", 0},
      {"location.precise", 0},
      {"account", 1},
      {"device.opaque-fingerprint", 2},
      {"identifier", 2},
      {"location", 3},
      {"behaviour", 3},
      {"network", 4},
      {"device", 4},
  };
  for (const Weight& entry : kWeights) {
    if (type.starts_with(entry.prefix)) return entry.weight;
  }
  return 5;
}

}  // namespace vitrine
