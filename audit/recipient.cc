#include "audit/recipient.h"

#include <libpsl.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "audit/date_text.h"
#include "audit/regions.h"
#include "audit/yaml_reader.h"
#include "base/file.h"
#include "base/text.h"

namespace vitrine {
namespace {

// The entry of the longest domain that is `host` or a suffix of it after a dot.
template <class Index>
typename Index::const_iterator longest_suffix(const Index& index, const std::string& host) {
  for (size_t at = 0; at < host.size();) {
    if (auto found = index.find(host.substr(at)); found != index.end()) return found;
    const size_t dot = host.find('.', at);
    if (dot == std::string::npos) break;
    at = dot + 1;
  }
  return index.end();
}

}  // namespace

bool host_matches(std::string_view pattern, std::string_view host) {
  // Greedy with one point to return to: linear for one '*', quadratic at worst.
  size_t p = 0, h = 0, star = std::string_view::npos, mark = 0;
  while (h < host.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = h;
    } else if (p < pattern.size() && ascii_lower(pattern[p]) == ascii_lower(host[h])) {
      ++p;
      ++h;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      h = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string registrable_domain(std::string_view host) {
  if (host.empty() || host.size() > 255 || IpAddress::parse(host).family != 0) return {};
  std::string name = ascii_lower(host);
  while (!name.empty() && name.back() == '.') name.pop_back();
  const psl_ctx_t* list = psl_builtin();
  if (list == nullptr) return {};
  const char* domain = psl_registrable_domain(list, name.c_str());
  return domain == nullptr ? std::string{} : std::string(domain);
}

Status RecipientDirectory::add(std::string_view text, const std::string& file) {
  auto document = YamlDocument::parse(text, file);
  if (!document) return tl::unexpected(document.error());
  YamlMap map(document->root());
  if (map.integer("recipients") != 1) map.refuse("recipients", "expected recipients: 1");
  static constexpr std::string_view kKinds[] = {"first-party", "processor", "infrastructure", "vendor"};
  for (const YamlNode* node : map.sequence("entities")) {
    YamlMap row(*node);
    Entity entity;
    entity.id = row.text("id");
    entity.name = row.text("name");
    entity.country = row.text_or_null("country").value_or("");
    entity.domains = row.texts("domains");
    entity.hosts = row.optional_texts("hosts");
    entity.cnames = row.optional_texts("cnames");
    entity.parent = row.optional_text("parent").value_or("");
    entity.service = row.optional_text("service").value_or("");
    entity.categories = row.texts("categories");
    entity.kind = row.text("kind");
    entity.source = row.text("source");
    entity.date = row.text("date");
    entity.note = row.optional_text("note").value_or("");
    if (!row.failed()) {
      if (entity_index_.count(entity.id)) row.refuse("id", "duplicate id '" + entity.id + "'");
      if (!entity.country.empty() && !is_country_code(entity.country)) row.refuse("country", "expected a country code");
      if (entity.categories.empty()) row.refuse("categories", "at least one category is needed");
      if (std::find(std::begin(kKinds), std::end(kKinds), entity.kind) == std::end(kKinds)) {
        row.refuse("kind", "unknown value '" + entity.kind + "'");
      }
      if (!is_date_or_month(entity.date)) row.refuse("date", "expected YYYY-MM-DD or YYYY-MM");
    }
    const size_t index = entities_.size();
    for (const std::string& domain : entity.domains) {
      if (!domain_index_.emplace(ascii_lower(domain), index).second) {
        row.refuse("domains", "domain '" + domain + "' appears twice");
      }
    }
    for (const std::string& name : entity.cnames) cname_index_.emplace(ascii_lower(name), index);
    for (const std::string& glob : entity.hosts) host_globs_.emplace_back(ascii_lower(glob), index);
    if (auto done = row.finish(); !done) return done;
    entity_index_.emplace(entity.id, index);
    entities_.push_back(std::move(entity));
  }
  for (const YamlNode* node : map.optional_sequence("categories")) {
    YamlMap row(*node);
    Category category;
    category.id = row.text("id");
    category.broader = row.text_or_null("broader").value_or("");
    category.definition = row.text("definition");
    category.encrypted_profiles = row.boolean_or("encrypted_profiles", false);
    if (!row.failed() && !category_index_.emplace(category.id, categories_.size()).second) {
      row.refuse("id", "duplicate id '" + category.id + "'");
    }
    if (auto done = row.finish(); !done) return done;
    categories_.push_back(std::move(category));
  }
  return map.finish();
}

Status RecipientDirectory::check() const {
  for (const Category& each : categories_) {
    if (!each.broader.empty() && !category(each.broader)) {
      return fail(ErrorCode::malformed, "category '" + each.id + "': unknown broader category '" + each.broader + "'");
    }
    size_t steps = 0;
    for (const Category* at = &each; at && !at->broader.empty(); at = category(at->broader)) {
      if (++steps > categories_.size()) {
        return fail(ErrorCode::malformed, "category '" + each.id + "' is broader than itself");
      }
    }
  }
  for (const Entity& each : entities_) {
    for (const std::string& id : each.categories) {
      if (!category(id)) return fail(ErrorCode::malformed, "entity '" + each.id + "': unknown category '" + id + "'");
    }
    if (!each.parent.empty() && !entity(each.parent)) {
      return fail(ErrorCode::malformed, "entity '" + each.id + "': unknown parent '" + each.parent + "'");
    }
    if (category(each.id)) return fail(ErrorCode::malformed, "'" + each.id + "' is an entity and a category");
  }
  return {};
}

Result<RecipientDirectory> RecipientDirectory::load(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".yaml") files.push_back(at->path());
  }
  if (error) return fail(ErrorCode::unreadable, "cannot list the folder: " + error.message(), folder);
  std::sort(files.begin(), files.end());
  RecipientDirectory directory;
  for (const fs::path& file : files) {
    auto text = read_file(file.string());
    if (!text) return tl::unexpected(text.error());
    if (auto added = directory.add(*text, file.string()); !added) return tl::unexpected(added.error());
  }
  if (auto checked = directory.check(); !checked) return tl::unexpected(checked.error());
  return directory;
}

const Entity* RecipientDirectory::entity(std::string_view id) const {
  auto at = entity_index_.find(std::string(id));
  return at == entity_index_.end() ? nullptr : &entities_[at->second];
}

const Category* RecipientDirectory::category(std::string_view id) const {
  auto at = category_index_.find(std::string(id));
  return at == category_index_.end() ? nullptr : &categories_[at->second];
}

const Entity* RecipientDirectory::of_service(std::string_view service) const {
  for (const Entity& entity : entities_) {
    if (entity.kind == "first-party" && entity.service == service) return &entity;
  }
  return nullptr;
}

const Entity* RecipientDirectory::by_host(std::string_view host, std::string_view canonical) const {
  const std::string name = ascii_lower(host);
  for (const auto& [glob, index] : host_globs_) {
    if (host_matches(glob, name)) return &entities_[index];
  }
  if (auto at = longest_suffix(domain_index_, name); at != domain_index_.end()) return &entities_[at->second];
  return by_canonical_name(canonical);
}

const Entity* RecipientDirectory::by_canonical_name(std::string_view canonical) const {
  if (canonical.empty()) return nullptr;
  auto at = longest_suffix(cname_index_, ascii_lower(canonical));
  return at == cname_index_.end() ? nullptr : &entities_[at->second];
}

bool RecipientDirectory::category_within(std::string_view category_id, std::string_view broader) const {
  size_t steps = 0;
  for (const Category* at = category(category_id); at && steps <= categories_.size(); ++steps) {
    if (at->id == broader) return true;
    if (at->broader.empty()) break;
    at = category(at->broader);
  }
  return false;
}

bool RecipientDirectory::receives_encrypted_profiles(const Entity& entity) const {
  return std::any_of(categories_.begin(), categories_.end(), [&](const Category& each) {
    return each.encrypted_profiles && entity_in_category(entity, each.id);
  });
}

bool RecipientDirectory::entity_in_category(const Entity& entity, std::string_view category_id) const {
  return std::any_of(entity.categories.begin(), entity.categories.end(),
                     [&](const std::string& each) { return category_within(each, category_id); });
}

bool RecipientDirectory::entity_within_group(const Entity& of, std::string_view parent) const {
  const Entity* at = &of;
  for (size_t steps = 0; at && steps <= entities_.size(); ++steps) {
    if (at->id == parent) return true;
    if (at->parent.empty()) return false;
    at = entity(at->parent);
  }
  return false;
}

}  // namespace vitrine
