// What changed between two versions of a text, for people and for machines.
#pragma once

#include <string>
#include <string_view>

#include "audit/policy_diff.h"

namespace vitrine {

// Data named anew and no longer named, per action and recipient, with the
// sentences of both versions; then sentences and cookies that changed.
// `locale`, `colour`, `width` as in reports/terminal.h.
std::string render_policy_diff(const PolicyDiff& diff, std::string_view locale, bool colour, int width);

// The whole difference; key order fixed, one line feed at the end.
std::string render_policy_diff_json(const PolicyDiff& diff);

}  // namespace vitrine
