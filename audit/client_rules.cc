#include "audit/client_rules.h"

#include <re2/re2.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "audit/yaml_reader.h"
#include "base/file.h"
#include "base/text.h"

namespace vitrine {
namespace {

constexpr std::pair<std::string_view, Observation> kObservations[] = {
    {"certain", Observation::certain}, {"probable", Observation::probable}, {"unconfirmed", Observation::unconfirmed}};
constexpr std::pair<std::string_view, Location> kLocations[] = {
    {"header", Location::header}, {"cookie", Location::cookie}, {"query", Location::query},
    {"path", Location::path},     {"body", Location::body},     {"frame", Location::frame}};
constexpr std::pair<std::string_view, int> kPlatforms[] = {{"web", 0},     {"android", 0}, {"ios", 0},
                                                           {"desktop", 0}, {"cli", 0},     {"any", 0}};
constexpr std::string_view kFieldLocations[] = {"connection", "tls",  "header", "cookie", "query",
                                                "path",       "body", "frame",  "dns"};

uint16_t bit(Location location) { return static_cast<uint16_t>(1u << static_cast<unsigned>(location)); }

// "2026-11" or "2026-11-23".
bool is_date(std::string_view s) {
  if (s.size() != 7 && s.size() != 10) return false;
  for (size_t i = 0; i < s.size(); ++i)
    if (i == 4 || i == 7 ? s[i] != '-' : (s[i] < '0' || s[i] > '9')) return false;
  return true;
}

void read_names(YamlMap& map, std::string_view key, std::vector<std::string>& out) {
  out = map.optional_texts(key);
  for (const std::string& name : out)
    if (name.empty() || normalised_name(name) != name)
      map.refuse(key, "'" + name + "' is not a normalised name (a-z and 0-9 only)");
}

Result<FieldRule> read_rule(const YamlNode& node, const Taxonomy& taxonomy) {
  YamlMap map(node);
  FieldRule rule;
  rule.id = map.text("id");
  rule.host = ascii_lower(map.optional_text("host").value_or(""));
  rule.url = map.optional_text("url").value_or("");
  rule.method = map.optional_text("method").value_or("");
  if (rule.method != "" &&
      std::any_of(rule.method.begin(), rule.method.end(), [](char c) { return c < 'A' || c > 'Z'; }))
    map.refuse("method", "a method is written in upper case");
  if (auto field = map.optional_text("field")) {
    rule.field.emplace(*field);
    const std::string_view location = std::string_view(*field).substr(0, field->find_first_of(":|*/"));
    if (std::find(std::begin(kFieldLocations), std::end(kFieldLocations), location) == std::end(kFieldLocations))
      map.refuse("field", "'" + std::string(location) + "' is not a location");
    if (const size_t deep = field->find("**"); deep != std::string::npos && deep + 2 != field->size())
      map.refuse("field", "'**' is allowed only as '/**' at the end");
  }
  read_names(map, "names", rule.names);
  read_names(map, "parents", rule.parents);
  for (const YamlNode* item : map.optional_sequence("locations"))
    rule.locations |= bit(map.choose<Location>(*item, kLocations));
  if (rule.field.has_value() == map.has("names")) map.refuse(node, "exactly one of 'field' and 'names' is needed");
  if (map.has("names") && rule.names.empty()) map.refuse("names", "the list is empty");
  if (rule.field && (map.has("locations") || map.has("parents")))
    map.refuse("field", "'locations' and 'parents' belong to 'names'");
  if (rule.names.size() && rule.locations == 0)
    for (const auto& [word, location] : kLocations) rule.locations |= bit(location);
  if (map.has("value_check")) rule.value_check = map.choice<ValueCheck>("value_check", value_check_names());
  if (auto pattern = map.optional_text("value_pattern")) {
    RE2::Options options;
    options.set_case_sensitive(false);
    options.set_log_errors(false);
    options.set_max_mem(1 << 20);
    // Field values may be any bytes; Latin-1 keeps one byte one character.
    options.set_encoding(RE2::Options::EncodingUTF8);
    auto compiled = std::make_shared<RE2>(*pattern, options);
    if (!compiled->ok()) map.refuse("value_pattern", "not an RE2 expression: " + compiled->error());
    rule.value_pattern = std::move(compiled);
  }
  if (const std::string type = map.text("type"); type != "none") {
    rule.type = taxonomy.find(type);
    if (rule.type == 0) map.refuse("type", "there is no type '" + type + "' in the taxonomy");
  }
  rule.observation = map.choice<Observation>("observation", kObservations);
  rule.source = map.text("source");
  rule.date = map.text("date");
  if (!is_date(rule.date)) map.refuse("date", "a date is written YYYY-MM or YYYY-MM-DD");
  rule.note = map.optional_text("note").value_or("");
  if (auto done = map.finish(); !done) return tl::unexpected(done.error());
  return rule;
}

struct Loaded {
  ClientFile file;
  std::vector<FieldRule> rules;
  std::vector<std::string> places;  // of the rules, for errors
};

Result<Loaded> read_file_text(const ClientRules::Text& text, const Taxonomy& taxonomy) {
  auto document = YamlDocument::parse(text.text, text.file);
  if (!document) return tl::unexpected(document.error());
  Loaded loaded;
  loaded.file.path = text.file;
  YamlMap map(document->root());
  loaded.file.client = map.text("client");
  loaded.file.service = map.text_or_null("service");
  map.choice<int>("platform", kPlatforms);
  loaded.file.platform = map.text("platform");
  loaded.file.versions = map.text("versions");
  if (map.has("hosts") && map.optional_node("hosts") == nullptr) {
    loaded.file.generic = true;
  } else {
    for (std::string& host : map.texts("hosts")) loaded.file.hosts.push_back(ascii_lower(host));
    if (!map.failed() && loaded.file.hosts.empty()) map.refuse("hosts", "the list is empty; null marks a generic file");
  }
  for (const YamlNode* item : map.sequence("rules")) {
    auto rule = read_rule(*item, taxonomy);
    if (!rule) return tl::unexpected(rule.error());
    loaded.rules.push_back(*std::move(rule));
    loaded.places.push_back(item->where());
  }
  if (auto done = map.finish(); !done) return tl::unexpected(done.error());
  return loaded;
}

}  // namespace

std::string normalised_name(std::string_view name) {
  if (name.ends_with(']')) {
    const size_t bracket = name.rfind('[');
    bool digits = bracket != std::string_view::npos && bracket + 2 < name.size();
    for (size_t i = bracket + 1; digits && i + 1 < name.size(); ++i) digits = name[i] >= '0' && name[i] <= '9';
    if (digits) name = name.substr(0, bracket);
  }
  std::string out;
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out.push_back(c);
  }
  return out;
}

bool FieldRule::accepts(std::string_view value, ValueType value_type) const {
  if (value_check && !holds(*value_check, value, value_type)) return false;
  return !value_pattern || RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *value_pattern);
}

bool ClientFile::matches_host(std::string_view host) const {
  return std::any_of(hosts.begin(), hosts.end(),
                     [&](const std::string& glob) { return host_glob_matches(glob, host); });
}

Result<ClientRules> ClientRules::load(const std::vector<std::string>& folders, const Taxonomy& taxonomy) {
  namespace fs = std::filesystem;
  std::vector<Text> texts;
  for (const std::string& folder : folders) {
    std::error_code error;
    std::vector<std::string> paths;
    fs::directory_iterator entries(folder, error);
    if (error)
      return fail(ErrorCode::unreadable, "the folder of client rules cannot be read: " + error.message(), folder);
    for (; entries != fs::directory_iterator(); entries.increment(error)) {
      if (error)
        return fail(ErrorCode::unreadable, "the folder of client rules cannot be read: " + error.message(), folder);
      if (entries->path().extension() == ".yaml") paths.push_back(entries->path().string());
    }
    std::sort(paths.begin(), paths.end());
    for (const std::string& path : paths) {
      auto text = read_file(path, YamlLimits{}.bytes);
      if (!text) return tl::unexpected(text.error());
      texts.push_back({path, *std::move(text)});
    }
  }
  return parse(texts, taxonomy);
}

Result<ClientRules> ClientRules::parse(const std::vector<Text>& texts, const Taxonomy& taxonomy) {
  std::vector<Loaded> loaded;
  for (const Text& text : texts) {
    auto file = read_file_text(text, taxonomy);
    if (!file) return tl::unexpected(file.error());
    loaded.push_back(*std::move(file));
  }
  const auto tier = [](const Loaded& l) { return !l.file.generic ? 0 : l.file.client != "generic" ? 1 : 2; };
  std::stable_sort(loaded.begin(), loaded.end(), [&](const Loaded& a, const Loaded& b) { return tier(a) < tier(b); });

  ClientRules out;
  std::map<std::string, std::string> ids, clients;
  for (Loaded& l : loaded) {
    if (auto [at, fresh] = clients.emplace(l.file.client, l.file.path); !fresh)
      return fail(ErrorCode::malformed, "client '" + l.file.client + "' already stands in " + at->second, l.file.path);
    for (size_t i = 0; i < l.rules.size(); ++i) {
      FieldRule& rule = l.rules[i];
      if (auto [at, fresh] = ids.emplace(rule.id, l.places[i]); !fresh)
        return fail(ErrorCode::malformed, "id '" + rule.id + "' already stands at " + at->second, l.places[i]);
      rule.file = static_cast<uint32_t>(out.files_.size());
      const auto index = static_cast<uint32_t>(out.rules_.size());
      for (const std::string& name : rule.names) {
        auto& list = out.by_name_[name];
        if (list.empty() || list.back() != index) list.push_back(index);
      }
      if (rule.field) out.with_field_.push_back(index);
      out.rules_.push_back(std::move(rule));
    }
    out.files_.push_back(std::move(l.file));
  }
  return out;
}

std::span<const uint32_t> ClientRules::with_name(std::string_view normalised) const {
  const auto found = by_name_.find(normalised);
  return found == by_name_.end() ? std::span<const uint32_t>{} : std::span<const uint32_t>{found->second};
}

}  // namespace vitrine
