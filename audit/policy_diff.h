// What changed between two versions of a text: which data appear and vanish,
// per action and recipient, with the sentences of both; which statements are
// new, gone or reworded; which cookies changed.
#pragma once

#include <string>
#include <vector>

#include "audit/policy.h"

namespace vitrine {

struct DataChange {
  enum class Kind : uint8_t { added, removed } kind = Kind::added;
  std::string action, recipient, type;
  // Statements of the older and the newer text for this action and recipient
  // that name the type or, where the type is gone, share its statement id.
  std::vector<std::string> old_quotes, new_quotes;
  bool still_broadly = false;  // removed by name, but a broader word of the newer text covers it
};

struct StatementChange {
  enum class Kind : uint8_t { added, removed, reworded } kind = Kind::added;
  std::string id, old_quote, new_quote;
};

struct CookieChange {
  enum class Kind : uint8_t { added, removed, changed } kind = Kind::added;
  std::string name, domain, old_lifetime, new_lifetime;
};

struct PolicyDiff {
  std::string old_file, new_file, old_date, new_date;
  std::vector<DataChange> data;             // by (kind, action, recipient, type)
  std::vector<StatementChange> statements;  // by (kind, id)
  std::vector<CookieChange> cookies;        // by (kind, name, domain)
};

// Statements with a `scope` are left out: they speak about other cases.
PolicyDiff diff_policies(const Policy& older, const Policy& newer, const Taxonomy& taxonomy);

}  // namespace vitrine
