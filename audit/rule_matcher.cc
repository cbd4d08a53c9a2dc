// RuleMatcher (client_rules.h): the caches between a field and its rule.
#include <algorithm>

#include "audit/client_rules.h"

namespace vitrine {
namespace {

constexpr size_t kMaxTargets = 16384;   // (method, host, url) remembered
constexpr size_t kMaxSets = 4096;       // different sets of applicable rules
constexpr size_t kMaxSlots = 1u << 19;  // (set, pattern) remembered, 8 MB
constexpr size_t kMaxPool = 1u << 20;   // candidates remembered, 8 MB

// Normalised names of the objects that enclose the field's last name: every
// pointer segment and name of the path but array indices and the last one.
void enclosing_names(std::string_view path, std::vector<std::string>& out) {
  out.clear();
  size_t at = std::min(path.find_first_of(":|/"), path.size());  // the location word
  while (at < path.size()) {
    const char mark = path[at];
    size_t end = path.find_first_of("|/", at + 1);
    if (end == std::string_view::npos) end = path.size();
    const std::string_view word = path.substr(at + 1, end - at - 1);
    at = end;
    if (mark == '|') continue;  // a decoder's name
    if (!word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (out.size() < 64) out.push_back(normalised_name(word));
  }
  if (!out.empty()) out.pop_back();
}

}  // namespace

RuleMatcher::RuleSet RuleMatcher::rule_set(std::string_view method, std::string_view host, std::string_view url_path) {
  key_.assign(method);
  key_.push_back('\n');
  key_.append(host);
  key_.push_back('\n');
  key_.append(url_path.substr(0, 512));
  if (const auto found = by_target_.find(key_); found != by_target_.end()) return found->second;

  const auto& rules = rules_.rules();
  std::vector<bool> file_applies(rules_.files().size());
  for (size_t i = 0; i < file_applies.size(); ++i)
    file_applies[i] = rules_.files()[i].generic || rules_.files()[i].matches_host(host);
  std::vector<bool> applies(rules.size());
  for (size_t i = 0; i < rules.size(); ++i) {
    const FieldRule& rule = rules[i];
    applies[i] = file_applies[rule.file] && (rule.method.empty() || rule.method == method) &&
                 (rule.host.empty() || host_glob_matches(rule.host, host)) &&
                 (rule.url.empty() || url_glob_matches(rule.url, url_path));
  }
  if (by_target_.size() >= kMaxTargets) by_target_.clear();
  const auto known = std::find(sets_.begin(), sets_.end(), applies);
  auto set = static_cast<RuleSet>(known - sets_.begin());
  if (known == sets_.end()) {
    if (sets_.size() >= kMaxSets) {
      sets_.clear();
      by_target_.clear();
      std::fill(keys_.begin(), keys_.end(), 0);
      used_ = 0;
      pool_.clear();
      set = 0;
    }
    sets_.push_back(std::move(applies));
  }
  by_target_.emplace(key_, set);
  return set;
}

void RuleMatcher::collect(const std::vector<bool>& applicable, const Field& field) {
  scratch_.clear();
  const auto& rules = rules_.rules();
  for (uint32_t index : rules_.with_field()) {
    if (!applicable[index]) continue;
    const FieldGlob& glob = *rules[index].field;
    if (glob.could_match(field.path)) scratch_.push_back({index, glob.indexed()});
  }
  const auto named = rules_.with_name(normalised_name(field.name));
  bool parents_known = false;
  for (uint32_t index : named) {
    const FieldRule& rule = rules[index];
    if (!applicable[index] || (rule.locations >> static_cast<unsigned>(field.location) & 1u) == 0) continue;
    if (!rule.parents.empty()) {
      if (!parents_known) enclosing_names(field.path, parents_);
      parents_known = true;
      const bool inside = std::any_of(parents_.begin(), parents_.end(), [&](const std::string& name) {
        return std::find(rule.parents.begin(), rule.parents.end(), name) != rule.parents.end();
      });
      if (!inside) continue;
    }
    scratch_.push_back({index, false});
  }
  std::sort(scratch_.begin(), scratch_.end(), [](const Candidate& a, const Candidate& b) { return a.rule < b.rule; });
}

std::span<const RuleMatcher::Candidate> RuleMatcher::candidates(RuleSet set, const Field& field) {
  // Segments of a URL path share one pattern whatever their names are.
  if (field.pattern == 0 || field.location == Location::path) {
    collect(sets_[set], field);
    return scratch_;
  }
  if (keys_.empty()) {
    keys_.assign(kMaxSlots, 0);
    ranges_.assign(kMaxSlots, {});
  }
  const uint64_t key = (uint64_t{set} + 1) << 32 | field.pattern;
  size_t slot = static_cast<size_t>((key * 0x9e3779b97f4a7c15ull) >> 45) & (kMaxSlots - 1);
  while (keys_[slot] != 0 && keys_[slot] != key) slot = (slot + 1) & (kMaxSlots - 1);
  if (keys_[slot] == key) return {pool_.data() + ranges_[slot].first, ranges_[slot].count};

  collect(sets_[set], field);
  if (used_ >= kMaxSlots / 4 * 3 || pool_.size() + scratch_.size() > kMaxPool) {
    std::fill(keys_.begin(), keys_.end(), 0);
    pool_.clear();
    used_ = 0;
    slot = static_cast<size_t>((key * 0x9e3779b97f4a7c15ull) >> 45) & (kMaxSlots - 1);
  }
  keys_[slot] = key;
  ranges_[slot] = {static_cast<uint32_t>(pool_.size()), static_cast<uint32_t>(scratch_.size())};
  ++used_;
  pool_.insert(pool_.end(), scratch_.begin(), scratch_.end());
  return scratch_;
}

const FieldRule* RuleMatcher::decide(RuleSet set, const Field& field) {
  const auto list = candidates(set, field);
  if (list.empty()) return nullptr;
  const auto& rules = rules_.rules();
  const FieldRule* best = nullptr;
  uint32_t settled = UINT32_MAX;  // file that has already spoken
  for (const Candidate& candidate : list) {
    const FieldRule& rule = rules[candidate.rule];
    if (rule.file == settled) continue;
    // A client file has decided: generic ones are not asked.
    if (best && rules_.files()[rule.file].generic) break;
    if (candidate.exact_path && !rule.field->matches(field.path)) continue;
    if (rule.conditional() && (field.withheld || !rule.accepts(field.value, field.value_type))) continue;
    settled = rule.file;
    const bool better = !best || (rule.field.has_value() && !best->field.has_value()) ||
                        (rule.field.has_value() == best->field.has_value() && rule.observation > best->observation);
    if (better) best = &rule;
  }
  return best;
}

}  // namespace vitrine
