#include "audit/context.h"

#include <algorithm>
#include <set>

#include "audit/date_text.h"
#include "audit/regions.h"
#include "audit/yaml_reader.h"

namespace vitrine {
namespace {

using Word = std::pair<std::string_view, std::string_view>;
constexpr Word kPlatforms[] = {{"web", "web"}, {"app", "app"}, {"api", "api"}};
constexpr Word kAccounts[] = {{"consumer", "consumer"}, {"business", "business"}, {"none", "none"}};

std::string choice_or_empty(YamlMap& map, std::string_view key, std::span<const Word> words) {
  const YamlNode* found = map.optional_node(key);
  return found ? std::string(map.choose(*found, words)) : std::string{};
}

}  // namespace

const std::vector<std::string>& step_names() {
  static const std::vector<std::string> names = {
      "launch",       "login",  "signup", "consent-shown", "consent-accepted", "consent-rejected",
      "typing-start", "submit", "upload", "voice",         "payment",          "support",
      "crash",        "search", "delete", "logout"};
  return names;
}

std::string_view step_for_trigger(std::string_view trigger) {
  if (trigger == "always") return "launch";
  if (trigger == "typing") return "typing-start";
  return trigger;
}

std::optional<Timestamp> Context::first_step(std::string_view name) const {
  for (const Step& step : steps) {
    if (step.step == name) return step.time;
  }
  return std::nullopt;
}

Result<Context> parse_context(std::string_view text, const std::string& file) {
  auto document = YamlDocument::parse(text, file, YamlLimits{.bytes = 1u << 20, .depth = 8, .nodes = 50'000});
  if (!document) return tl::unexpected(document.error());
  Context context;
  context.given = true;
  YamlMap map(document->root());
  if (map.integer("context") != 1) map.refuse("context", "expected context: 1");
  context.simulated = map.boolean_or("simulated", false);
  if (const YamlNode* node = map.node("subject"); node && node->is_map()) {
    YamlMap subject(*node);
    context.service = subject.text("service");
    context.client = subject.optional_text("client").value_or("");
    context.version = subject.optional_text("version").value_or("");
    context.platform = choice_or_empty(subject, "platform", kPlatforms);
    context.processes = subject.optional_texts("processes");
    context.hosts = subject.optional_texts("hosts");
    context.stand_ins = subject.optional_texts("stand_in");
    if (auto done = subject.finish(); !done) return tl::unexpected(done.error());
  } else {
    map.refuse("subject", "expected a map with at least 'service'");
  }
  if (const YamlNode* node = map.optional_node("user")) {
    YamlMap user(*node);
    context.country = user.optional_text("country").value_or("");
    context.account = choice_or_empty(user, "account", kAccounts);
    context.language = user.optional_text("language").value_or("");
    if (!context.country.empty() && !is_country_code(context.country)) {
      user.refuse("country", "'" + context.country + "' is no ISO 3166-1 alpha-2 code in capitals");
    }
    if (auto done = user.finish(); !done) return tl::unexpected(done.error());
  }
  context.operator_name = map.optional_text("operator").value_or("");
  context.authorisation = map.optional_text("authorisation").value_or("");
  context.environment = map.optional_text("environment").value_or("");
  for (const YamlNode* node : map.optional_sequence("steps")) {
    YamlMap row(*node);
    Step step;
    step.step = row.text("step");
    const auto& names = step_names();
    if (!row.failed() && std::find(names.begin(), names.end(), step.step) == names.end()) {
      row.refuse("step", "unknown step '" + step.step + "'");
    }
    const std::string time = row.text("time");
    if (auto parsed = parse_rfc3339(time)) step.time = *parsed;
    else if (!row.failed()) row.refuse("time", "'" + time + "' is no RFC 3339 time");
    step.note = row.optional_text("note").value_or("");
    if (auto done = row.finish(); !done) return tl::unexpected(done.error());
    context.steps.push_back(std::move(step));
  }
  std::stable_sort(context.steps.begin(), context.steps.end(),
                   [](const Step& a, const Step& b) { return a.time < b.time; });
  std::set<std::string> ids;
  for (const YamlNode* node : map.optional_sequence("secrets")) {
    YamlMap row(*node);
    Canary canary{row.text("id"), row.text("value")};
    if (!row.failed() && !ids.insert(canary.id).second) row.refuse("id", "duplicate id '" + canary.id + "'");
    if (!row.failed() && (canary.value.size() < 8 || canary.value.size() > 256)) {
      row.refuse("value", "a planted secret has 8 to 256 bytes: a shorter one would be met by chance");
    }
    if (auto done = row.finish(); !done) return tl::unexpected(done.error());
    context.secrets.push_back(std::move(canary));
  }
  context.policy_date = map.optional_text("policy_date");
  if (context.policy_date && !is_date(*context.policy_date)) map.refuse("policy_date", "expected YYYY-MM-DD");
  if (auto done = map.finish(); !done) return tl::unexpected(done.error());
  return context;
}

}  // namespace vitrine
