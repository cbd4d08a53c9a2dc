// What one version of a vendor's text says, as data (policies/README.md,
// section 2), and its lint.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/taxonomy.h"
#include "base/result.h"

namespace vitrine {

class Regions;
class RecipientDirectory;

enum class Action : uint8_t {
  collect,
  share,
  store,
  use,
  deny_collect,
  deny_share,
  deny_store,
  deny_use,
};
std::string_view to_string(Action action);  // "deny-collect"
inline bool is_positive(Action a) { return a == Action::collect || a == Action::share; }
inline bool is_denial(Action a) { return a == Action::deny_collect || a == Action::deny_share; }

enum class Channel : uint8_t { automatic, user_provided, from_third_parties, server_side };
std::string_view to_string(Channel channel);

struct Statement {
  std::string id;
  Action action = Action::collect;
  std::vector<std::string> data;  // taxonomy ids
  std::vector<TypeId> types;      // the same, resolved
  std::string recipient;          // self | any | entity id | category id
  Channel channel = Channel::automatic;
  std::string trigger;
  std::vector<std::string> countries;
  std::string quote, section, purpose, scope;            // optional ones empty
  std::vector<std::string> services, regions, accounts;  // empty = as `applies`
  // The clause was added to, or taken out of, a text that kept its version: it
  // counts on days from ≤ day < until. YYYY-MM-DD or empty.
  std::string from, until;
  int line = 0;
};

struct DeclaredCookie {
  std::string name, domain, party, provider, lifetime, purpose, category, quote;
  std::optional<int64_t> max_age;  // seconds; none = end of the session
};

struct PolicyEntity {
  std::string id, name, country;
};

struct PolicyMissing {
  std::string document;
  std::vector<std::string> regions, data;
  std::vector<TypeId> types;
};

struct Policy {
  std::string file;  // as given to parse_policy
  std::string publisher, publisher_name;
  std::vector<PolicyEntity> entities;
  std::string kind, title, language, url;
  std::vector<std::string> services, regions, accounts;
  std::string controller;                                        // default entity id
  std::vector<std::pair<std::string, std::string>> controllers;  // region or country → entity id
  std::string updated, effective, first_seen, last_seen;         // YYYY-MM-DD or empty
  std::string record_source, recorded, record_file, record_sha256;
  bool complete = false;
  std::vector<PolicyMissing> missing;
  std::vector<Statement> statements;
  std::vector<DeclaredCookie> cookies;

  // effective, else updated, else first_seen: the day from which the text counts.
  const std::string& version_date() const;
  bool has_entity(std::string_view id) const;
};

// Strict: an unknown key or value, a type that is not in the taxonomy and a
// duplicate id are errors with file, line and key. Never throws.
Result<Policy> parse_policy(std::string_view text, const std::string& file, const Taxonomy& taxonomy);

// Every *.yaml below `folder`, in the order of their paths; Policy::file is the
// path below `folder`. The first bad file is the error.
Result<std::vector<Policy>> load_policies(const std::string& folder, const Taxonomy& taxonomy);

struct LintProblem {
  std::string where;  // "FILE, statement ID"
  std::string message;
};

// What the grammar cannot see: recipients that exist nowhere, unknown regions,
// dates out of order, `complete` against `missing`. `text` is the document the
// quotes were taken from, or empty when it is not at hand: then quotes are not
// checked. A quote must be a substring once white space is normalised.
std::vector<LintProblem> lint_policy(const Policy& policy, const RecipientDirectory& recipients, const Regions& regions,
                                     std::string_view text = {});

std::string normalise_space(std::string_view text);

}  // namespace vitrine
