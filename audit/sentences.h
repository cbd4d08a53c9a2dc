// The sentences of an audit in English and Korean, by id. What a
// sentence may say is checked by audit/wording.h.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "audit/finding.h"

namespace vitrine {

enum class Language : uint8_t { en, ko };

struct SentenceText {
  std::string_view id, en, ko;  // placeholders: {name}
};
std::span<const SentenceText> sentence_catalogue();  // by id

// The sentence with its arguments. An unknown id is printed as such; a
// placeholder without an argument is left out.
std::string render(const Sentence& message, Language language);

// Fills {name} from the arguments; names without a value are left out.
std::string fill_in(std::string_view text, const std::vector<std::pair<std::string, std::string>>& arguments);

}  // namespace vitrine
