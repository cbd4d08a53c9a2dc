#include "audit/sentences.h"
#include "reports/json_parts.h"

namespace vitrine::report_json {

Json text_or_null(std::string_view text) { return text.empty() ? Json(nullptr) : Json(std::string(text)); }

Json time_of(Timestamp time) { return to_rfc3339(time); }

Json sentence_of(const Sentence& sentence) {
  if (sentence.id.empty()) return nullptr;
  Json arguments = Json::object();
  for (const auto& [name, value] : sentence.arguments) arguments[name] = value;
  return {{"id", sentence.id},
          {"arguments", std::move(arguments)},
          {"en", render(sentence, Language::en)},
          {"ko", render(sentence, Language::ko)}};
}

Json counts_of(const ByteCounts& counts) {
  Json by_cause = Json::object();
  for (size_t i = 0; i < kCauses; ++i) by_cause[std::string(to_string(static_cast<Cause>(i)))] = counts.by_cause[i];
  return {{"total", counts.total()}, {"by_cause", std::move(by_cause)}};
}

Json input_of(const InputFile& input) {
  return {{"name", input.name},
          {"sha256", input.sha256},
          {"format", input.format},
          {"bytes", input.bytes},
          {"packets", input.packets},
          {"simulated", input.simulated},
          {"first", input.first ? time_of(*input.first) : Json(nullptr)},
          {"last", input.last ? time_of(*input.last) : Json(nullptr)}};
}

Json context_of(const ContextView& context) {
  return {{"given", context.given},
          {"simulated", context.simulated},
          {"service", text_or_null(context.service)},
          {"client", text_or_null(context.client)},
          {"client_version", text_or_null(context.client_version)},
          {"platform", text_or_null(context.platform)},
          {"country", text_or_null(context.country)},
          {"account", text_or_null(context.account)},
          {"language", text_or_null(context.language)},
          {"operator", text_or_null(context.operator_name)},
          {"authorisation", text_or_null(context.authorisation)},
          {"environment", text_or_null(context.environment)},
          {"steps", list_of(context.steps,
                            [](const StepMarker& step) {
                              return Json{{"step", step.step},
                                          {"time", time_of(step.time)},
                                          {"note", text_or_null(step.note)},
                                          {"in_capture", step.in_capture}};
                            })},
          {"assumed", list_of(context.assumed, sentence_of)}};
}

Json policy_of(const PolicyUse& policy) {
  return {{"index", policy.policy},
          {"publisher", policy.publisher},
          {"publisher_name", text_or_null(policy.publisher_name)},
          {"kind", policy.kind},
          {"title", policy.title},
          {"language", policy.language},
          {"url", text_or_null(policy.url)},
          {"version_date", text_or_null(policy.version_date)},
          {"recorded", text_or_null(policy.recorded)},
          {"source", text_or_null(policy.source)},
          {"file", policy.file},
          {"text_sha256", text_or_null(policy.text_sha256)},
          {"status", to_string(policy.status)},
          {"status_sentence", sentence_of(policy.status_sentence)},
          {"complete", policy.complete},
          {"missing", list_of(policy.missing, [](const MissingDocument& missing) {
             return Json{{"document", missing.document}, {"regions", missing.regions}, {"data", missing.data}};
           })}};
}

Json recipient_of(const RecipientInfo& recipient) {
  return {{"key", recipient.key},
          {"entity", text_or_null(recipient.entity)},
          {"name", text_or_null(recipient.name)},
          {"parent", text_or_null(recipient.parent)},
          {"source", text_or_null(recipient.source)},
          {"source_date", text_or_null(recipient.source_date)},
          {"note", text_or_null(recipient.note)},
          {"domain", text_or_null(recipient.domain)},
          {"role", to_string(recipient.role)},
          {"categories", recipient.categories},
          {"hosts", recipient.hosts},
          {"addresses", recipient.addresses},
          {"countries", list_of(recipient.countries, [](const CountryInfo& info) {
             return Json{{"of", to_string(info.what)},
                         {"country", text_or_null(info.country)},
                         {"source", text_or_null(info.source)},
                         {"date", text_or_null(info.date)},
                         {"detail", text_or_null(info.detail)}};
           })}};
}

}  // namespace vitrine::report_json
