#include "audit/regions.h"

#include <algorithm>
#include <set>

#include "audit/date_text.h"
#include "audit/yaml_reader.h"

namespace vitrine {

bool is_country_code(std::string_view text) {
  return text.size() == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z';
}

Result<Regions> Regions::parse(std::string_view text, const std::string& file) {
  auto document = YamlDocument::parse(text, file);
  if (!document) return tl::unexpected(document.error());
  Regions regions;
  YamlMap map(document->root());
  if (map.integer("regions") != 1) map.refuse("regions", "expected regions: 1");
  std::set<std::string> ids;
  for (const YamlNode* node : map.sequence("lists")) {
    YamlMap row(*node);
    Region region;
    region.id = row.text("id");
    region.title = row.text("title");
    region.members = row.texts("members");
    region.reference = row.text("reference");
    region.reference_date = row.text("reference_date");
    if (!row.failed() && !ids.insert(region.id).second) row.refuse("id", "duplicate id '" + region.id + "'");
    for (const std::string& member : region.members) {
      if (!is_country_code(member)) row.refuse("members", "'" + member + "' is no country code");
    }
    if (!row.failed() && !is_date(region.reference_date)) row.refuse("reference_date", "expected YYYY-MM-DD");
    if (auto done = row.finish(); !done) return tl::unexpected(done.error());
    regions.regions_.push_back(std::move(region));
  }
  ids.clear();
  for (const YamlNode* node : map.sequence("adequacy")) {
    YamlMap row(*node);
    AdequacyList list;
    list.id = row.text("id");
    list.title = row.text("title");
    list.reference_date = row.text("reference_date");
    if (!row.failed() && !ids.insert(list.id).second) row.refuse("id", "duplicate id '" + list.id + "'");
    for (const YamlNode* child : row.sequence("countries")) {
      YamlMap line(*child);
      AdequacyCountry country;
      country.country = line.text("country");
      country.scope = line.text("scope");
      country.reference = line.text("reference");
      country.since = line.text("since");
      country.until = line.text_or_null("until").value_or("");
      if (!line.failed() && !is_country_code(country.country)) line.refuse("country", "expected a country code");
      if (!line.failed() && !is_date(country.since)) line.refuse("since", "expected YYYY-MM-DD");
      if (!country.until.empty() && !is_date(country.until)) line.refuse("until", "expected YYYY-MM-DD");
      if (auto done = line.finish(); !done) return tl::unexpected(done.error());
      list.countries.push_back(std::move(country));
    }
    if (auto done = row.finish(); !done) return tl::unexpected(done.error());
    regions.adequacy_.push_back(std::move(list));
  }
  if (auto done = map.finish(); !done) return tl::unexpected(done.error());
  return regions;
}

bool Regions::known(std::string_view name) const {
  return name == "world" || name == "any" || is_country_code(name) ||
         std::any_of(regions_.begin(), regions_.end(), [&](const Region& region) { return region.id == name; });
}

int Regions::specificity(std::string_view name, std::string_view country) const {
  if (name == "world" || name == "any") return 1;
  if (country.empty()) return 0;
  if (name == country) return 3;
  for (const Region& region : regions_) {
    if (region.id != name) continue;
    return std::find(region.members.begin(), region.members.end(), country) != region.members.end() ? 2 : 0;
  }
  return 0;
}

bool Regions::contains(std::string_view name, std::string_view country) const { return specificity(name, country) > 0; }

const AdequacyList* Regions::adequacy(std::string_view id) const {
  auto at = std::find_if(adequacy_.begin(), adequacy_.end(), [&](const AdequacyList& list) { return list.id == id; });
  return at == adequacy_.end() ? nullptr : &*at;
}

}  // namespace vitrine
