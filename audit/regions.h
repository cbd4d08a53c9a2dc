// Lists of countries and adequacy decisions (policies/laws/regions.yaml).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vitrine {

struct Region {
  std::string id, title, reference, reference_date;
  std::vector<std::string> members;  // ISO 3166-1 alpha-2
};

struct AdequacyCountry {
  std::string country, scope /* "full", or words that limit it */, reference, since, until /* empty = open */;
};

struct AdequacyList {
  std::string id, title, reference_date;
  std::vector<AdequacyCountry> countries;
};

class Regions {
 public:
  // `file` is printed in errors only.
  static Result<Regions> parse(std::string_view text, const std::string& file);

  bool known(std::string_view name) const;  // "world", "any", a region id, or a country code by its form
  // Is `country` in `name`, a region id, a country or "world"/"any"? An empty
  // country is only in "world" and "any".
  bool contains(std::string_view name, std::string_view country) const;
  // 3 = names the country itself, 2 = a region with it, 1 = world; 0 = not in it.
  int specificity(std::string_view name, std::string_view country) const;
  const AdequacyList* adequacy(std::string_view id) const;
  const std::vector<Region>& regions() const { return regions_; }

 private:
  std::vector<Region> regions_;
  std::vector<AdequacyList> adequacy_;
};

bool is_country_code(std::string_view text);  // two upper-case letters

}  // namespace vitrine
