// The tool says "inconsistent with", "not found in", "evidence relevant to":
// never that something is against the law. This lint runs over every text a
// person can see.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "audit/rules.h"

namespace vitrine {

struct WordingProblem {
  std::string where;  // "FILE:12", "sentence finding.omitted (ko)"
  std::string word;   // the forbidden word as found
};

// Forbidden words in the text, in order. English words count as whole words
// and in any case ("illegal", "unlawful", "violation", "breach" with their
// forms); Korean ones anywhere (위반, 불법, 위법, 침해).
std::vector<std::string> forbidden_words(std::string_view text);

// Line by line: locale files, templates, pages.
std::vector<WordingProblem> lint_wording(std::string_view text, const std::string& file);

// The shipped sentences, and the messages, evidence, questions and titles of rule files.
std::vector<WordingProblem> lint_sentences();
std::vector<WordingProblem> lint_rules(const RuleFile& rules);

}  // namespace vitrine
