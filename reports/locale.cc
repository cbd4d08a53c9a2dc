#include "reports/locale.h"

#include <nlohmann/json.hpp>

#include "reports/embedded.h"
#include "reports/plain_text.h"

namespace vitrine {

Locale Locale::of(std::string_view language) {
  Locale locale;
  const bool korean = language == "ko" || language.starts_with("ko-") || language.starts_with("ko_");
  locale.tag_ = korean ? "ko" : "en";
  locale.language_ = korean ? Language::ko : Language::en;
  for (const EmbeddedFile& file : report_files()) {
    if (file.name != "locale/" + locale.tag_ + ".json") continue;
    const auto texts = nlohmann::json::parse(file.content);
    for (const auto& [id, text] : texts.items()) {
      locale.texts_.emplace(id, text.get<std::string>());
    }
  }
  return locale;
}

std::string Locale::text(std::string_view id) const {
  auto at = texts_.find(id);
  return at == texts_.end() ? "⟦" + std::string(id) + "⟧" : at->second;
}

std::string Locale::fill(std::string_view id, const Arguments& arguments) const { return fill_in(text(id), arguments); }

std::string Locale::word(std::string_view prefix, std::string_view word) const {
  auto at = texts_.find(std::string(prefix) + "." + std::string(word));
  return at == texts_.end() ? printable(word) : at->second;
}

std::string Locale::sentence(const Sentence& sentence) const {
  if (sentence.id.empty()) return {};
  Sentence words = sentence;
  for (auto& [name, value] : words.arguments) {
    if (name == "type" || name == "data") {
      value = word("type", value);
    } else if (name == "cause") {
      value = word("cause", value);
    } else if (name == "step" || name == "marker") {
      value = word("step", value);
    } else if (name == "country") {
      value = word("country", value);
    } else if (name == "recipient" || name == "declared") {
      value = word("category", value);
    } else if ((name == "bytes" || name == "count") && !value.empty() && value.size() < 20 &&
               value.find_first_not_of("0123456789") == std::string::npos) {
      value = group_digits(std::stoull(value));
    } else {
      value = printable(value);
    }
  }
  return render(words, language_);
}

}  // namespace vitrine
