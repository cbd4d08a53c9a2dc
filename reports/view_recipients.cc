#include <algorithm>
#include <map>
#include <set>

#include "reports/plain_text.h"
#include "reports/view_builder.h"

namespace vitrine {

void ViewBuilder::add_recipients() {
  std::map<std::string_view, std::set<std::string_view>> types;
  for (const Flow& flow : result_.flows) types[flow.recipient].insert(flow.type);

  // Those that received something of the subject first, then the rest by key.
  std::vector<const RecipientInfo*> order;
  for (const RecipientInfo& info : result_.recipients) order.push_back(&info);
  std::stable_sort(order.begin(), order.end(), [&](const RecipientInfo* a, const RecipientInfo* b) {
    const bool left = types.contains(a->key), right = types.contains(b->key);
    return left != right ? left : left && a->role < b->role;
  });
  for (const RecipientInfo* info : order) {
    const bool received = types.contains(info->key);
    std::vector<RecipientView>& list = received ? view_.recipients : view_.other_recipients;
    if (list.size() >= kMaxRecipientRows) continue;
    RecipientView row;
    row.name = recipient_name(info->key);
    row.key = printable(info->key);
    row.role = t("role." + std::string(to_string(info->role)));
    std::vector<std::string> categories;
    for (const std::string& category : info->categories) categories.push_back(locale_.word("category", category));
    // "the service itself" is both a role and a category.
    std::erase(categories, row.role);
    row.categories = joined(categories, 6);
    row.hosts = joined(info->hosts, 6);
    row.note = printable(info->note);
    row.source = printable(info->source) + (info->source_date.empty() ? "" : ", " + printable(info->source_date));
    row.types = group_digits(received ? types[info->key].size() : 0);
    for (CountryOf what : {CountryOf::ip, CountryOf::network_owner, CountryOf::entity}) {
      CountryView cell;
      cell.of = t("country-of." + std::string(to_string(what)));
      std::vector<std::string> names, sources;
      for (const CountryInfo& country : info->countries) {
        if (country.what != what) continue;
        std::string name = country_label(country.country);
        if (!country.detail.empty()) name += " – " + printable(country.detail);
        names.push_back(std::move(name));
        const std::string source =
            printable(country.source) + (country.date.empty() ? "" : ", " + printable(country.date));
        if (!source.empty() && std::find(sources.begin(), sources.end(), source) == sources.end())
          sources.push_back(source);
      }
      cell.country = names.empty() ? t("country.unknown") : joined(names, 6);
      cell.source = joined(sources, 3);
      row.countries.push_back(std::move(cell));
    }
    list.push_back(std::move(row));
  }
}

void ViewBuilder::add_country_picture() {
  constexpr int kNameWidth = 260, kColumn = 96, kHead = 46, kRow = 34, kMark = 22;
  std::set<std::string_view> receiving;
  for (const Flow& flow : result_.flows) receiving.insert(flow.recipient);
  std::set<std::string_view> codes;
  for (const RecipientInfo& info : result_.recipients) {
    if (!receiving.contains(info.key)) continue;
    for (const CountryInfo& country : info.countries) {
      if (!country.country.empty()) codes.insert(country.country);
    }
  }
  if (codes.empty()) return;
  CountryPicture& picture = view_.country_picture;
  std::map<std::string_view, int> column_of;
  for (std::string_view code : codes) {
    if (picture.columns.size() >= 24) break;
    const int x = kNameWidth + static_cast<int>(picture.columns.size()) * kColumn + kColumn / 2;
    column_of[code] = x;
    picture.columns.push_back({printable(code), cut_to_width(locale_.word("country", code), 14), x});
  }
  std::vector<const RecipientInfo*> rows;
  for (const RecipientInfo& info : result_.recipients) {
    if (receiving.contains(info.key)) rows.push_back(&info);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const RecipientInfo* a, const RecipientInfo* b) { return a->role < b->role; });
  for (const RecipientInfo* info : rows) {
    if (picture.rows.size() >= 40) break;
    CountryRow row;
    row.name = cut_to_width(recipient_name(info->key), 34);
    row.title = recipient_name(info->key);
    row.y = kHead + static_cast<int>(picture.rows.size()) * kRow + kRow / 2;
    std::set<std::pair<CountryOf, std::string_view>> drawn;
    for (const CountryInfo& country : info->countries) {
      auto at = column_of.find(country.country);
      if (at == column_of.end() || !drawn.emplace(country.what, country.country).second) continue;
      const int slot = country.what == CountryOf::ip ? -1 : country.what == CountryOf::network_owner ? 0 : 1;
      row.marks.push_back({std::string(to_string(country.what)),
                           fill("picture.mark", {{"recipient", row.title},
                                                 {"of", t("country-of." + std::string(to_string(country.what)))},
                                                 {"country", country_label(country.country)}}),
                           at->second + slot * kMark, row.y});
    }
    picture.rows.push_back(std::move(row));
  }
  picture.width = kNameWidth + static_cast<int>(picture.columns.size()) * kColumn + 10;
  picture.height = kHead + static_cast<int>(picture.rows.size()) * kRow + 10;
}

void ViewBuilder::add_unattributed() {
  for (const Flow& flow : result_.unattributed) {
    if (view_.unattributed.size() >= kMaxFlowRows) break;
    FlowView row;
    row.type = type_label(flow.type);
    row.type_id = printable(flow.type);
    row.recipient = recipient_name(flow.recipient);
    row.hosts = joined(flow.hosts, 4);
    row.volume = volume_text(flow.count, flow.distinct_values, flow.distinct_at_least, flow.first, flow.last);
    row.sample = printable(flow.sample);
    row.observation = t("observation." + std::string(to_string(flow.observation)));
    if (!flow.evidence.empty()) row.evidence.push_back(link(flow.evidence.front(), flow.type, flow.sample));
    view_.unattributed.push_back(std::move(row));
  }
  if (result_.unattributed.size() > view_.unattributed.size()) {
    view_.more_unattributed =
        fill("more.flows", {{"count", group_digits(result_.unattributed.size() - view_.unattributed.size())}});
  }
}

}  // namespace vitrine
