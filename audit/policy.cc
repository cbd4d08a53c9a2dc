#include "audit/policy.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "audit/date_text.h"
#include "audit/recipient.h"
#include "audit/regions.h"
#include "audit/yaml_reader.h"
#include "base/file.h"

namespace vitrine {
namespace {

template <class T>
using Words = std::pair<std::string_view, T>;

constexpr Words<Action> kActions[] = {{"collect", Action::collect},
                                      {"share", Action::share},
                                      {"store", Action::store},
                                      {"use", Action::use},
                                      {"deny-collect", Action::deny_collect},
                                      {"deny-share", Action::deny_share},
                                      {"deny-store", Action::deny_store},
                                      {"deny-use", Action::deny_use}};
constexpr Words<Channel> kChannels[] = {{"automatic", Channel::automatic},
                                        {"user-provided", Channel::user_provided},
                                        {"from-third-parties", Channel::from_third_parties},
                                        {"server-side", Channel::server_side}};
// Closed lists of words that stay text.
constexpr std::string_view kKinds[] = {"privacy", "cookies", "regional", "sdk-list", "terms"};
constexpr std::string_view kServices[] = {"web", "app", "api"};
constexpr std::string_view kAccounts[] = {"consumer", "business", "none"};
constexpr std::string_view kTriggers[] = {"always", "signup",  "login",   "typing", "submit", "upload",
                                          "voice",  "payment", "support", "crash",  "search", "delete"};
constexpr std::string_view kParties[] = {"first", "third"};
constexpr std::string_view kCategories[] = {"necessary", "preference", "analytics", "advertising", "other"};

template <size_t N>
void check_word(YamlMap& map, std::string_view key, const std::string& word, const std::string_view (&allowed)[N]) {
  if (map.failed() || std::find(std::begin(allowed), std::end(allowed), word) != std::end(allowed)) return;
  std::string list;
  for (std::string_view each : allowed) list.append(list.empty() ? "" : ", ").append(each);
  map.refuse(key, "unknown value '" + word + "'; allowed: " + list);
}
template <size_t N>
void check_words(YamlMap& map, std::string_view key, const std::vector<std::string>& words,
                 const std::string_view (&allowed)[N]) {
  for (const std::string& word : words) check_word(map, key, word, allowed);
}

void check_date(YamlMap& map, std::string_view key, const std::string& date) {
  if (!map.failed() && !date.empty() && !is_date(date)) map.refuse(key, "'" + date + "' is no date YYYY-MM-DD");
}

void check_countries(YamlMap& map, std::string_view key, const std::vector<std::string>& countries) {
  for (const std::string& country : countries) {
    if (!is_country_code(country)) map.refuse(key, "'" + country + "' is no ISO 3166-1 alpha-2 code in capitals");
  }
}

std::vector<TypeId> resolve(YamlMap& map, std::string_view key, const std::vector<std::string>& ids,
                            const Taxonomy& taxonomy) {
  std::vector<TypeId> types;
  for (const std::string& id : ids) {
    const TypeId type = taxonomy.find(id);
    if (type == 0) map.refuse(key, "'" + id + "' is not in the taxonomy");
    types.push_back(type);
  }
  return types;
}

Status read_publisher(const YamlNode& node, Policy& policy) {
  YamlMap map(node);
  policy.publisher = map.text("id");
  policy.publisher_name = map.text("name");
  for (const YamlNode* child : map.sequence("entities")) {
    YamlMap row(*child);
    PolicyEntity entity{row.text("id"), row.text("name"), row.text("country")};
    if (!row.failed()) check_countries(row, "country", {entity.country});
    if (!row.failed() && policy.has_entity(entity.id)) row.refuse("id", "duplicate id '" + entity.id + "'");
    if (auto done = row.finish(); !done) return done;
    policy.entities.push_back(std::move(entity));
  }
  return map.finish();
}

Status read_applies(const YamlNode& node, Policy& policy) {
  YamlMap map(node);
  policy.services = map.texts("services");
  check_words(map, "services", policy.services, kServices);
  policy.regions = map.texts("regions");
  policy.accounts = map.texts("accounts");
  check_words(map, "accounts", policy.accounts, kAccounts);
  if (const YamlNode* controllers = map.node("controller")) {
    YamlMap row(*controllers);
    policy.controller = row.text("default");
    for (const std::string& key : controllers->keys()) {
      if (key != "default") policy.controllers.emplace_back(key, row.text(key));
    }
    for (const auto& [region, entity] : policy.controllers) {
      if (!policy.has_entity(entity)) row.refuse(region, "'" + entity + "' is no entity of this publisher");
    }
    if (!row.failed() && !policy.has_entity(policy.controller)) {
      row.refuse("default", "'" + policy.controller + "' is no entity of this publisher");
    }
    if (auto done = row.finish(); !done) return done;
  }
  return map.finish();
}

Status read_dates(const YamlNode& node, Policy& policy) {
  YamlMap map(node);
  for (auto [key, into] : {std::pair{"updated", &policy.updated}, std::pair{"effective", &policy.effective},
                           std::pair{"first_seen", &policy.first_seen}, std::pair{"last_seen", &policy.last_seen}}) {
    *into = map.text_or_null(key).value_or("");
    check_date(map, key, *into);
  }
  return map.finish();
}

Status read_record(const YamlNode& node, Policy& policy) {
  YamlMap map(node);
  policy.record_source = map.text("source");
  policy.recorded = map.text("recorded");
  check_date(map, "recorded", policy.recorded);
  policy.record_file = map.text("file");
  policy.record_sha256 = map.text("sha256");
  const std::string& digest = policy.record_sha256;
  if (!map.failed() && (digest.size() != 64 || digest.find_first_not_of("0123456789abcdef") != std::string::npos)) {
    map.refuse("sha256", "expected 64 lower-case hex digits");
  }
  return map.finish();
}

Status read_statement(const YamlNode& node, const Taxonomy& taxonomy, std::set<std::string>& ids, Policy& policy) {
  YamlMap map(node);
  Statement s;
  s.line = node.line();
  s.id = map.text("id");
  if (!map.failed() && !ids.insert(s.id).second) map.refuse("id", "duplicate id '" + s.id + "'");
  s.action = map.choice<Action>("action", kActions);
  s.data = map.texts("data");
  if (!map.failed() && s.data.empty()) map.refuse("data", "at least one data type is needed");
  s.types = resolve(map, "data", s.data, taxonomy);
  s.recipient = map.text("recipient");
  s.channel = map.choice<Channel>("channel", kChannels);
  s.trigger = map.text("trigger");
  check_word(map, "trigger", s.trigger, kTriggers);
  s.countries = map.texts("countries");
  check_countries(map, "countries", s.countries);
  s.quote = map.text("quote");
  if (!map.failed() && normalise_space(s.quote).empty()) map.refuse("quote", "is empty");
  s.section = map.optional_text("section").value_or("");
  s.purpose = map.optional_text("purpose").value_or("");
  s.scope = map.optional_text("scope").value_or("");
  s.services = map.optional_texts("services");
  check_words(map, "services", s.services, kServices);
  s.regions = map.optional_texts("regions");
  s.accounts = map.optional_texts("accounts");
  check_words(map, "accounts", s.accounts, kAccounts);
  for (auto [key, into] : {std::pair{"from", &s.from}, std::pair{"until", &s.until}}) {
    *into = map.optional_text(key).value_or("");
    check_date(map, key, *into);
  }
  if (!map.failed() && !s.until.empty() && s.until <= s.from) map.refuse("until", "is not after 'from'");
  auto done = map.finish();
  if (done) policy.statements.push_back(std::move(s));
  return done;
}

Status read_cookie(const YamlNode& node, Policy& policy) {
  YamlMap map(node);
  DeclaredCookie cookie;
  cookie.name = map.text("name");
  cookie.domain = map.text("domain");
  cookie.party = map.text("party");
  check_word(map, "party", cookie.party, kParties);
  cookie.provider = map.text("provider");
  cookie.lifetime = map.text("lifetime");
  cookie.max_age = map.integer_or_null("max_age");
  if (cookie.max_age && *cookie.max_age < 0) map.refuse("max_age", "is negative");
  cookie.purpose = map.text("purpose");
  cookie.category = map.text("category");
  check_word(map, "category", cookie.category, kCategories);
  cookie.quote = map.text("quote");
  auto done = map.finish();
  if (done) policy.cookies.push_back(std::move(cookie));
  return done;
}

}  // namespace

std::string_view to_string(Action action) { return kActions[static_cast<size_t>(action)].first; }
std::string_view to_string(Channel channel) { return kChannels[static_cast<size_t>(channel)].first; }

const std::string& Policy::version_date() const {
  return !effective.empty() ? effective : !updated.empty() ? updated : first_seen;
}

bool Policy::has_entity(std::string_view id) const {
  return std::any_of(entities.begin(), entities.end(), [&](const PolicyEntity& entity) { return entity.id == id; });
}

std::string normalise_space(std::string_view text) {
  std::string out;
  bool space = false;
  for (char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      space = true;
      continue;
    }
    if (space && !out.empty()) out += ' ';
    space = false;
    out += c;
  }
  return out;
}

Result<Policy> parse_policy(std::string_view text, const std::string& file, const Taxonomy& taxonomy) {
  auto document = YamlDocument::parse(text, file);
  if (!document) return tl::unexpected(document.error());
  Policy policy;
  policy.file = file;
  YamlMap map(document->root());
  if (map.integer("policy") != 1) map.refuse("policy", "expected policy: 1");
  using Reader = Status (*)(const YamlNode&, Policy&);
  auto part = [&](const char* key, Reader reader) -> Status {
    const YamlNode* node = map.node(key);
    return node ? reader(*node, policy) : map.finish();
  };
  if (auto done = part("publisher", read_publisher); !done) return tl::unexpected(done.error());
  if (const YamlNode* node = map.node("document")) {
    YamlMap row(*node);
    policy.kind = row.text("kind");
    check_word(row, "kind", policy.kind, kKinds);
    policy.title = row.text("title");
    policy.language = row.text("language");
    policy.url = row.text_or_null("url").value_or("");
    if (auto done = row.finish(); !done) return tl::unexpected(done.error());
  }
  if (auto done = part("applies", read_applies); !done) return tl::unexpected(done.error());
  if (auto done = part("dates", read_dates); !done) return tl::unexpected(done.error());
  if (auto done = part("record", read_record); !done) return tl::unexpected(done.error());
  policy.complete = map.boolean("complete");
  for (const YamlNode* node : map.sequence("missing")) {
    YamlMap row(*node);
    PolicyMissing missing;
    missing.document = row.text("document");
    missing.regions = row.texts("regions");
    missing.data = row.texts("data");
    missing.types = resolve(row, "data", missing.data, taxonomy);
    if (auto done = row.finish(); !done) return tl::unexpected(done.error());
    policy.missing.push_back(std::move(missing));
  }
  if (!map.failed() && policy.complete != policy.missing.empty()) {
    map.refuse("complete", "'complete' is true exactly when 'missing' is empty");
  }
  std::set<std::string> ids;
  for (const YamlNode* node : map.sequence("statements")) {
    if (auto done = read_statement(*node, taxonomy, ids, policy); !done) return tl::unexpected(done.error());
  }
  for (const YamlNode* node : map.sequence("cookies")) {
    if (auto done = read_cookie(*node, policy); !done) return tl::unexpected(done.error());
  }
  if (auto done = map.finish(); !done) return tl::unexpected(done.error());
  return policy;
}

Result<std::vector<Policy>> load_policies(const std::string& folder, const Taxonomy& taxonomy) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<std::string> files;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".yaml") files.push_back(at->path().lexically_relative(folder).generic_string());
  }
  if (error) return fail(ErrorCode::unreadable, "cannot list the folder: " + error.message(), folder);
  std::sort(files.begin(), files.end());
  std::vector<Policy> policies;
  for (const std::string& file : files) {
    auto text = read_file((fs::path(folder) / file).string());
    if (!text) return tl::unexpected(text.error());
    auto policy = parse_policy(*text, file, taxonomy);
    if (!policy) return tl::unexpected(policy.error());
    policies.push_back(std::move(*policy));
  }
  return policies;
}

std::vector<LintProblem> lint_policy(const Policy& policy, const RecipientDirectory& recipients, const Regions& regions,
                                     std::string_view text) {
  std::vector<LintProblem> problems;
  auto report = [&](const std::string& where, std::string message) {
    problems.push_back({policy.file + (where.empty() ? "" : ", " + where), std::move(message)});
  };
  auto check_regions = [&](const std::string& where, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (!regions.known(name)) report(where, "unknown region '" + name + "'");
    }
  };
  const std::string whole = normalise_space(text);
  auto check_quote = [&](const std::string& where, const std::string& quote) {
    if (!whole.empty() && whole.find(normalise_space(quote)) == std::string::npos) {
      report(where, "the quote is not in the text");
    }
  };

  if (policy.version_date().empty()) report("dates", "none of effective, updated and first_seen is given");
  if (!policy.first_seen.empty() && !policy.last_seen.empty() && policy.last_seen < policy.first_seen) {
    report("dates", "last_seen is before first_seen");
  }
  check_regions("applies", policy.regions);
  for (const auto& [region, entity] : policy.controllers) check_regions("applies.controller", {region});
  for (const PolicyMissing& missing : policy.missing) check_regions("missing", missing.regions);
  for (const Statement& s : policy.statements) {
    const std::string where = "line " + std::to_string(s.line) + ", statement " + s.id;
    const bool known = s.recipient == "self" || s.recipient == "any" || policy.has_entity(s.recipient) ||
                       recipients.entity(s.recipient) || recipients.category(s.recipient);
    if (!known) report(where, "unknown recipient '" + s.recipient + "'");
    check_regions(where, s.regions);
    check_quote(where, s.quote);
    if (std::set<std::string>(s.data.begin(), s.data.end()).size() != s.data.size()) {
      report(where, "a data type stands there twice");
    }
  }
  for (const DeclaredCookie& cookie : policy.cookies) {
    const std::string where = "cookie " + cookie.name;
    if (cookie.provider != "self" && !policy.has_entity(cookie.provider) && !recipients.entity(cookie.provider)) {
      report(where, "unknown provider '" + cookie.provider + "'");
    }
    check_quote(where, cookie.quote);
  }
  return problems;
}

}  // namespace vitrine
