#include "audit/taxonomy.h"

#include <limits>

#include "audit/yaml_reader.h"
#include "base/file.h"

namespace vitrine {
namespace {

constexpr std::pair<std::string_view, Sensitivity> kSensitivities[] = {{"plain", Sensitivity::plain},
                                                                       {"id", Sensitivity::id},
                                                                       {"secret", Sensitivity::secret},
                                                                       {"content", Sensitivity::content},
                                                                       {"ip", Sensitivity::ip}};
constexpr std::pair<std::string_view, Observation> kObservations[] = {
    {"certain", Observation::certain}, {"probable", Observation::probable}, {"unconfirmed", Observation::unconfirmed}};

bool is_id(std::string_view id) {
  const auto word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (id.empty() || !word(id.front())) return false;
  for (char c : id)
    if (!word(c) && c != '.' && c != '-') return false;
  return true;
}

struct PendingNode {
  std::optional<std::string> broader;
  const YamlNode* at = nullptr;
};

}  // namespace

std::string_view to_string(Sensitivity sensitivity) {
  for (const auto& [word, value] : kSensitivities)
    if (value == sensitivity) return word;
  return "?";
}

Result<Taxonomy> Taxonomy::load(const std::string& path) {
  auto text = read_file(path, YamlLimits{}.bytes);
  if (!text) return tl::unexpected(text.error());
  return parse(*text, path);
}

Result<Taxonomy> Taxonomy::parse(std::string_view text, const std::string& file) {
  auto document = YamlDocument::parse(text, file);
  if (!document) return tl::unexpected(document.error());
  YamlMap top(document->root());
  if (top.integer("taxonomy") != 1) top.refuse("taxonomy", "only version 1 is known");
  const auto items = top.sequence("nodes");
  if (auto done = top.finish(); !done) return tl::unexpected(done.error());
  if (items.size() >= std::numeric_limits<TypeId>::max())
    return fail(ErrorCode::limit, "more nodes than a type number can hold", file);

  Taxonomy taxonomy;
  std::map<std::string, int> trackhar;
  std::vector<PendingNode> pending;
  for (const YamlNode* item : items) {
    YamlMap map(*item);
    TaxonomyNode node;
    node.line = item->line();
    node.id = map.text("id");
    if (!is_id(node.id)) map.refuse("id", "an id is made of a-z, 0-9, '.' and '-'");
    pending.push_back({map.text_or_null("broader"), item});
    node.definition = map.text("definition");
    node.positive = map.text("positive");
    node.negative = map.text("negative");
    node.dpv = map.text_or_null("dpv");
    node.fideslang = map.text_or_null("fideslang");
    node.personal = map.boolean("personal");
    node.sensitivity = map.choice<Sensitivity>("sensitivity", kSensitivities);
    node.trackhar = map.optional_texts("trackhar");
    for (const std::string& property : node.trackhar)
      if (!trackhar.emplace(property, node.line).second)
        map.refuse("trackhar", "property '" + property + "' appears twice");
    const auto type = static_cast<TypeId>(taxonomy.nodes_.size() + 1);
    for (const YamlNode* binding : map.optional_sequence("value_checks")) {
      YamlMap entry(*binding);
      const ValueCheck check = entry.choice<ValueCheck>("check", value_check_names());
      const Observation observation = entry.choice<Observation>("observation", kObservations);
      if (auto done = entry.finish(); !done) return tl::unexpected(done.error());
      CheckBinding& bound = taxonomy.bindings_[static_cast<size_t>(check)];
      // One form cannot stand for two types: the file must say which.
      if (bound.type != 0) map.refuse(*binding, "check '" + std::string(to_string(check)) + "' is bound twice");
      bound = {type, observation};
    }
    if (auto done = map.finish(); !done) return tl::unexpected(done.error());
    if (!taxonomy.by_id_.emplace(node.id, type).second)
      return tl::unexpected(item->error("id '" + node.id + "' stands twice"));
    taxonomy.nodes_.push_back(std::move(node));
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    if (!pending[i].broader) continue;
    const TypeId broader = taxonomy.find(*pending[i].broader);
    if (broader == 0)
      return tl::unexpected(pending[i].at->find("broader")->error("there is no node '" + *pending[i].broader + "'"));
    taxonomy.nodes_[i].broader = broader;
  }
  if (auto numbered = taxonomy.number_the_tree(file); !numbered) return tl::unexpected(numbered.error());
  return taxonomy;
}

Status Taxonomy::number_the_tree(const std::string& file) {
  const size_t count = nodes_.size();
  std::vector<std::vector<size_t>> narrower(count + 1);  // [0] = roots, [t] = children of type t
  for (size_t i = 0; i < count; ++i) narrower[nodes_[i].broader].push_back(i);
  spans_.assign(count, {});
  uint32_t next = 0;
  std::vector<std::pair<size_t, size_t>> walk;  // (list in `narrower`, position in it)
  walk.emplace_back(0, 0);
  while (!walk.empty()) {
    auto& [list, position] = walk.back();
    if (position == narrower[list].size()) {
      if (list != 0) spans_[list - 1].end = next;
      walk.pop_back();
      continue;
    }
    const size_t child = narrower[list][position++];
    spans_[child].first = next++;
    walk.emplace_back(child + 1, 0);
  }
  if (next == count) return {};
  for (size_t i = 0; i < count; ++i)
    if (spans_[i].end == 0)
      return fail(ErrorCode::malformed, "'" + nodes_[i].id + "' is broader than itself through 'broader'",
                  file + ":" + std::to_string(nodes_[i].line));
  return {};
}

TypeId Taxonomy::find(std::string_view id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? TypeId{0} : found->second;
}

std::string_view Taxonomy::id(TypeId type) const {
  return type == 0 || type > nodes_.size() ? std::string_view{} : std::string_view{nodes_[type - 1u].id};
}

}  // namespace vitrine
