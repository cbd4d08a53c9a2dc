#include "reports/view.h"

#include <algorithm>
#include <set>

#include "reports/plain_text.h"
#include "reports/view_builder.h"

namespace vitrine {

ReportView make_view(const AuditResult& result, const Locale& locale) { return ViewBuilder(result, locale).build(); }

ReportView ViewBuilder::build() {
  add_header();
  add_findings();  // first: numbers the evidence in the order of the findings
  choose_worst();
  add_out_of_reach();
  add_recipients();
  add_country_picture();
  add_timeline();
  add_cookies();
  add_rules();
  add_coverage();
  add_unattributed();
  add_summary();
  add_context();
  add_sources();
  add_glossary();
  add_next_steps();
  if (evidence_left_out_ != 0)
    view_.more_evidence = fill("more.evidence", {{"count", group_digits(evidence_left_out_)}});
  return std::move(view_);
}

void ViewBuilder::add_header() {
  view_.language = locale_.tag();
  view_.simulated = result_.simulated;
  if (result_.simulated) {
    view_.simulated_mark = "SIMULATED";
    view_.simulated_text = t("simulated.text");
  }
  const std::string publisher = printable(result_.publisher_name.empty() ? result_.publisher : result_.publisher_name);
  view_.title = publisher.empty() ? t("title.unknown") : fill("title", {{"service", publisher}});

  std::vector<std::string> parts;
  const ContextView& context = result_.context;
  if (!context.client.empty()) {
    parts.push_back(context.client + (context.client_version.empty() ? "" : " " + context.client_version));
  }
  if (!context.platform.empty()) parts.push_back(locale_.word("platform", context.platform));
  if (!context.account.empty()) parts.push_back(locale_.word("account", context.account));
  if (!context.country.empty()) parts.push_back(fill("context.user-in", {{"country", country_label(context.country)}}));
  view_.subtitle = joined(parts, parts.size());
}

void ViewBuilder::add_summary() {
  std::set<std::string_view> types, recipients, countries;
  std::array<uint64_t, 4> by_observation{};
  for (const Flow& flow : result_.flows) {
    types.insert(flow.type);
    recipients.insert(flow.recipient);
    ++by_observation[static_cast<size_t>(flow.observation)];
  }
  for (std::string_view key : recipients) {
    const RecipientInfo* info = recipient(key);
    if (info == nullptr) continue;
    for (const CountryInfo& country : info->countries) {
      if (!country.country.empty()) countries.insert(country.country);
    }
  }
  if (result_.flows.empty()) {
    view_.summary.push_back(t("summary.nothing"));
  } else {
    view_.summary.push_back(fill("summary.sent", {{"types", group_digits(types.size())},
                                                  {"recipients", group_digits(recipients.size())},
                                                  {"countries", group_digits(countries.size())}}));
  }
  const auto count = [&](Verdict verdict) { return result_.verdict_counts[static_cast<size_t>(verdict)]; };
  if (!result_.findings.empty()) {
    uint64_t total = 0;  // leads are counted apart
    for (uint64_t each : result_.verdict_counts) total += each;
    view_.summary.push_back(fill("summary.verdicts", {{"contradicted", group_digits(count(Verdict::contradicted))},
                                                      {"ambiguous", group_digits(count(Verdict::ambiguous))},
                                                      {"total", group_digits(total)},
                                                      {"omitted", group_digits(count(Verdict::omitted))},
                                                      {"vague", group_digits(count(Verdict::vague))},
                                                      {"clear", group_digits(count(Verdict::clear))}}));
  }
  uint64_t leads = 0;
  for (uint64_t each : result_.lead_counts) leads += each;
  if (leads != 0) {
    view_.leads = fill("summary.leads", {{"count", group_digits(leads)}});
    view_.summary.push_back(view_.leads);
  }
  for (size_t i = 0; i < kVerdicts; ++i) {
    const auto verdict = static_cast<Verdict>(i);
    const std::string key(to_string(verdict));
    view_.tiles.push_back({key, std::string(verdict_symbol(verdict)), t("printed." + key), t("meaning." + key),
                           group_digits(result_.verdict_counts[i]), result_.verdict_counts[i] == 0});
  }
  for (Observation observation : {Observation::certain, Observation::probable, Observation::unconfirmed}) {
    view_.confidence.push_back({t("observation." + std::string(to_string(observation))),
                                group_digits(by_observation[static_cast<size_t>(observation)])});
  }
  for (const Sentence& limit : result_.limits) view_.limits.push_back(sentence(limit));
  view_.limits.push_back(t("limits.no-conclusion"));
}

void ViewBuilder::add_context() {
  const ContextView& context = result_.context;
  const auto add = [&](std::string_view id, std::string value) {
    if (!value.empty()) view_.context.push_back({t(id), std::move(value)});
  };
  const std::string publisher = printable(result_.publisher_name.empty() ? context.service : result_.publisher_name);
  add("context.service", publisher);
  add("context.client",
      printable(context.client) + (context.client_version.empty() ? "" : " " + printable(context.client_version)));
  if (!context.platform.empty()) add("context.platform", locale_.word("platform", context.platform));
  if (!context.country.empty()) add("context.country", country_label(context.country));
  if (!context.account.empty()) add("context.account", locale_.word("account", context.account));
  add("context.language", printable(context.language));
  add("context.operator", printable(context.operator_name));
  add("context.authorisation", printable(context.authorisation));
  add("context.environment", printable(context.environment));
  if (!context.given) view_.assumed.push_back(t("context.none-given"));
  for (const Sentence& assumed : context.assumed) view_.assumed.push_back(sentence(assumed));
}

void ViewBuilder::add_sources() {
  view_.text_status = sentence(result_.text_status);
  for (const PolicyUse& use : result_.policies) {
    PolicyView row;
    row.title = printable(use.title);
    row.kind = locale_.word("document", use.kind);
    row.version = printable(use.version_date);
    row.status = t("status." + std::string(to_string(use.status)));
    row.status_sentence = sentence(use.status_sentence);
    row.source = printable(use.source);
    row.file = printable(use.file);
    row.sha256 = printable(use.text_sha256);
    row.url = printable(use.url);
    row.complete = t(use.complete ? "policy.complete" : "policy.incomplete");
    for (const MissingDocument& missing : use.missing) row.missing.push_back(printable(missing.document));
    view_.policies.push_back(std::move(row));
  }
  for (const InputFile& input : result_.inputs) {
    InputView row;
    row.name = printable(input.name);
    row.format = printable(input.format);
    row.size = bytes_text(input.bytes);
    row.packets = group_digits(input.packets);
    if (input.first && input.last) {
      row.time = fill("input.times", {{"first", time_text(*input.first)}, {"last", time_text(*input.last)}});
    }
    row.sha256 = printable(input.sha256);
    row.simulated = input.simulated;
    view_.inputs.push_back(std::move(row));
  }
  view_.method.push_back({t("method.program"), "vitrine " VITRINE_VERSION});
  std::set<std::pair<std::string, std::string>> sources;  // of countries and companies
  for (const RecipientInfo& info : result_.recipients) {
    if (!info.source.empty())
      sources.emplace(t("method.entities"), info.source + (info.source_date.empty() ? "" : ", " + info.source_date));
    for (const CountryInfo& country : info.countries) {
      if (country.what == CountryOf::entity || country.source.empty() || country.country.empty()) continue;
      sources.emplace(t("method.country-" + std::string(to_string(country.what))),
                      country.source + (country.date.empty() ? "" : ", " + country.date));
    }
  }
  for (const auto& [name, value] : sources) view_.method.push_back({name, printable(value)});
  for (const RuleFileView& file : view_.rules) view_.method.push_back({t("method.rules"), file.title});
}

void ViewBuilder::add_glossary() {
  static constexpr std::string_view kTerms[] = {
      "flow",           "recipient",       "verdict", "observation", "certain",      "probable",    "unconfirmed",
      "inference",      "coverage",        "opaque",  "no-key",      "unattributed", "first-party", "third-party",
      "infrastructure", "three-countries", "origin",  "masked",      "keystroke",    "draft",       "tls-fingerprint",
  };
  for (std::string_view term : kTerms) {
    const std::string id(term);
    view_.glossary.push_back({t("glossary." + id), t("glossary." + id + ".text")});
  }
}

void ViewBuilder::add_next_steps() {
  std::string input;
  for (const InputFile& file : result_.inputs) input += " " + printable(file.name);
  if (!view_.worst.empty()) {
    const FindingView& finding = view_.findings[view_.worst.front()];
    if (!finding.evidence.empty())
      view_.next_steps.push_back("vitrine origin " + finding.evidence.front().origin + input);
  }
  if (!input.empty()) {
    view_.next_steps.push_back("vitrine audit" + input + " --html report.html --json report.json");
    view_.next_steps.push_back("vitrine fields" + input);
  }
  if (!result_.publisher.empty()) view_.next_steps.push_back("vitrine policy show " + printable(result_.publisher));
}

}  // namespace vitrine
