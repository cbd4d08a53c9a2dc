// Who stands behind a host name or an address: registrable domain (Public
// Suffix List, libpsl), entity lists (policies/README.md, section 5), and three
// countries, each with its source and date.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audit/finding.h"
#include "base/result.h"
#include "capture/types.h"

namespace vitrine {

struct Entity {
  std::string id, name, country;
  std::vector<std::string> domains, hosts, cnames, categories;
  std::string parent, service, kind;  // kind: first-party | processor | infrastructure | vendor
  std::string source, date, note;
};

struct Category {
  std::string id, broader, definition;  // broader empty for a root
  // Companies of this kind receive encrypted profiles: a single short value that
  // nothing opens may be one. Holds for narrower categories, too.
  bool encrypted_profiles = false;
};

// `*` in a pattern stands for any characters, dots included; case does not count.
bool host_matches(std::string_view pattern, std::string_view host);

// "chat.deepseek.com" → "deepseek.com"; addresses and public suffixes → empty.
std::string registrable_domain(std::string_view host);

class RecipientDirectory {
 public:
  // `add` each file, then `check`. `file` is printed in errors only.
  Status add(std::string_view text, const std::string& file);
  Status check() const;  // references resolve, no domain twice
  static Result<RecipientDirectory> load(const std::string& folder);

  const Entity* entity(std::string_view id) const;
  const Category* category(std::string_view id) const;
  // The first-party entity of a service; nothing when no list has one.
  const Entity* of_service(std::string_view service) const;
  // By `hosts` globs first, then the longest of `domains`, then `cnames` for the canonical name.
  const Entity* by_host(std::string_view host, std::string_view canonical = {}) const;
  // The entity whose `cnames` holds the canonical name: who carries the traffic.
  const Entity* by_canonical_name(std::string_view canonical) const;
  // Is `category` the category `broader`, or narrower?
  bool category_within(std::string_view category, std::string_view broader) const;
  bool entity_in_category(const Entity& entity, std::string_view category) const;
  bool receives_encrypted_profiles(const Entity& entity) const;
  bool entity_within_group(const Entity& entity, std::string_view parent) const;
  const std::vector<Entity>& entities() const { return entities_; }

 private:
  std::vector<Entity> entities_;
  std::vector<Category> categories_;
  std::unordered_map<std::string, size_t> entity_index_, category_index_, domain_index_, cname_index_;
  std::vector<std::pair<std::string, size_t>> host_globs_;
};

// A MaxMind database (libmaxminddb). Records of the shapes {country_code: XX}
// and {country: {iso_code: XX}} are read; owner names from
// autonomous_system_organization or as_name. Thread-safe for lookups.
class CountryDatabase {
 public:
  static Result<CountryDatabase> open(const std::string& path);
  ~CountryDatabase();
  CountryDatabase(CountryDatabase&&) noexcept;
  CountryDatabase& operator=(CountryDatabase&&) noexcept;

  struct Answer {
    std::string country;  // empty: the record has none
    std::string owner;
  };
  std::optional<Answer> lookup(const IpAddress& address) const;  // nothing: no record
  const std::string& type() const { return type_; }              // database_type of its metadata
  const std::string& build_date() const { return build_date_; }  // YYYY-MM-DD

 private:
  CountryDatabase();
  struct Handle;
  std::unique_ptr<Handle> handle_;
  std::string type_, build_date_;
};

}  // namespace vitrine
