// Field rules per client (policies/clients/*.yaml, policies/README.md section 4).
//
// Which rule decides, for one field:
//   1. Tiers in this order: files whose `hosts` match the flow; generic files
//      (`hosts: null`) in the order of their names; "generic" last.
//   2. Inside one file: file order; the first rule that matches decides.
//   3. Where several files of the first tier decide the same field (the web and
//      the Android client of one service share hosts): `field` before `names`,
//      then the stronger observation, then the order of the file names.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audit/path_glob.h"
#include "audit/taxonomy.h"
#include "base/result.h"

namespace re2 {
class RE2;
}

namespace vitrine {

// Lower case, everything except a-z and 0-9 removed, a repetition suffix "[2]"
// too: "X-Device-Id" → "xdeviceid".
std::string normalised_name(std::string_view name);

struct FieldRule {
  std::string id;
  uint32_t file = 0;  // index of its ClientFile
  TypeId type = 0;    // 0: `none`, the field is settled and is no data type
  Observation observation = Observation::probable;
  std::string host, url, method;     // globs and method; empty = any
  std::optional<FieldGlob> field;    // either this
  std::vector<std::string> names;    // or these, normalised
  uint16_t locations = 0;            // bit per Location; only with names
  std::vector<std::string> parents;  // normalised; empty = any
  std::optional<ValueCheck> value_check;
  std::shared_ptr<const re2::RE2> value_pattern;
  std::string source, date, note;

  bool conditional() const { return value_check || value_pattern; }
  bool accepts(std::string_view value, ValueType type) const;  // its conditions on the value
};

struct ClientFile {
  std::string path;                    // as read
  std::string client;                  // id
  std::optional<std::string> service;  // publisher id; nothing for generic files
  std::string platform, versions;
  bool generic = false;                            // `hosts: null`
  std::vector<std::string> hosts;                  // lower-case globs
  bool matches_host(std::string_view host) const;  // never for generic files
};

// Immutable after loading; shared by all threads.
class ClientRules {
 public:
  struct Text {
    std::string file, text;
  };
  // Every *.yaml of the folders, by name within each folder.
  static Result<ClientRules> load(const std::vector<std::string>& folders, const Taxonomy& taxonomy);
  static Result<ClientRules> parse(const std::vector<Text>& texts, const Taxonomy& taxonomy);

  const std::vector<ClientFile>& files() const { return files_; }
  // All rules, grouped by file in the order of files(): client files by path,
  // then generic ones, "generic" last.
  const std::vector<FieldRule>& rules() const { return rules_; }

  // Indices into rules() of those with this normalised name, ascending; of
  // those with a field glob, ascending.
  std::span<const uint32_t> with_name(std::string_view normalised) const;
  std::span<const uint32_t> with_field() const { return with_field_; }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::vector<ClientFile> files_;
  std::vector<FieldRule> rules_;
  std::unordered_map<std::string, std::vector<uint32_t>, Hash, std::equal_to<>> by_name_;
  std::vector<uint32_t> with_field_;
};

// Finds the rules that can decide a field, with caches: per (method, host, URL
// path) the applicable rules, per (those, PatternId) the candidates. Owned and
// used by one thread. Memory is bounded: a cache that is full is emptied.
class RuleMatcher {
 public:
  explicit RuleMatcher(const ClientRules& rules) : rules_(rules) {}

  using RuleSet = uint32_t;
  RuleSet rule_set(std::string_view method, std::string_view host, std::string_view url_path);

  // A rule whose path or name fits. `exact_path`: it names an array index, so
  // it applies only where its glob matches the concrete path.
  struct Candidate {
    uint32_t rule = 0;
    bool exact_path = false;
  };
  // In the order of rules(). Valid until the next call.
  std::span<const Candidate> candidates(RuleSet set, const Field& field);

  // The rule that decides this field, or nullptr.
  const FieldRule* decide(RuleSet set, const Field& field);

 private:
  struct Range {
    uint32_t first = 0, count = 0;
  };
  void collect(const std::vector<bool>& applicable, const Field& field);

  const ClientRules& rules_;
  std::unordered_map<std::string, RuleSet> by_target_;
  std::vector<std::vector<bool>> sets_;  // bit per rule
  std::string key_;
  // Open addressing over (set, pattern); empty slots have key 0.
  std::vector<uint64_t> keys_;
  std::vector<Range> ranges_;
  size_t used_ = 0;
  std::vector<Candidate> pool_;
  std::vector<Candidate> scratch_;
  std::vector<std::string> parents_;
};

}  // namespace vitrine
