#include "audit/wording.h"

#include <algorithm>
#include <iterator>

#include "audit/sentences.h"
#include "base/text.h"

namespace vitrine {
namespace {

constexpr std::string_view kEnglish[] = {
    "illegal",   "illegally", "illegality", "unlawful", "unlawfully",    "violation",   "violations", "violate",
    "violates",  "violated",  "violating",  "breach",   "breaches",      "breached",    "breaching",  "infringement",
    "infringes", "infringe",  "infringed",  "guilty",   "non-compliant", "noncompliant"};
constexpr std::string_view kKorean[] = {"위반", "불법", "위법", "침해"};

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

void append(std::vector<WordingProblem>& problems, const std::string& where, std::string_view text) {
  for (std::string& word : forbidden_words(text)) problems.push_back({where, std::move(word)});
}

}  // namespace

std::vector<std::string> forbidden_words(std::string_view text) {
  std::string folded(text);
  std::transform(folded.begin(), folded.end(), folded.begin(), [](char c) { return ascii_lower(c); });
  std::vector<std::pair<size_t, std::string>> found;
  auto search = [&](std::string_view word, bool whole) {
    for (size_t at = folded.find(word); at != std::string::npos; at = folded.find(word, at + word.size())) {
      const bool starts = at == 0 || !letter(folded[at - 1]);
      const size_t end = at + word.size();
      const bool ends = end == folded.size() || !letter(folded[end]);
      if (!whole || (starts && ends)) found.emplace_back(at, std::string(word));
    }
  };
  for (std::string_view word : kEnglish) search(word, true);
  for (std::string_view word : kKorean) search(word, false);
  std::sort(found.begin(), found.end());
  std::vector<std::string> words;
  for (auto& [at, word] : found) words.push_back(std::move(word));
  return words;
}

std::vector<WordingProblem> lint_wording(std::string_view text, const std::string& file) {
  std::vector<WordingProblem> problems;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n');
    append(problems, file + ":" + std::to_string(line), text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return problems;
}

std::vector<WordingProblem> lint_sentences() {
  std::vector<WordingProblem> problems;
  for (const SentenceText& each : sentence_catalogue()) {
    append(problems, "sentence " + std::string(each.id) + " (en)", each.en);
    append(problems, "sentence " + std::string(each.id) + " (ko)", each.ko);
  }
  return problems;
}

std::vector<WordingProblem> lint_rules(const RuleFile& rules) {
  std::vector<WordingProblem> problems;
  append(problems, rules.file + ", title", rules.title);
  append(problems, rules.file + ", disclaimer", rules.disclaimer);
  for (const Rule& rule : rules.rules) {
    const std::string where = rules.file + ", rule " + rule.id;
    append(problems, where + ", evidence", rule.evidence);
    append(problems, where + ", message.en", rule.message_en);
    append(problems, where + ", message.ko", rule.message_ko);
    append(problems, where + ", test.reason", rule.test.reason);
    for (const std::string& question : rule.open_questions) append(problems, where + ", open_questions", question);
  }
  return problems;
}

}  // namespace vitrine
