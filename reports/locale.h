// The words of a report in one language: locale/<language>.json, flat, by id.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audit/sentences.h"

namespace vitrine {

class Locale {
 public:
  using Arguments = std::vector<std::pair<std::string, std::string>>;

  // "en", "ko", also with a region ("ko-KR"); anything else is English.
  static Locale of(std::string_view language);

  const std::string& tag() const { return tag_; }  // "en", "ko"
  Language language() const { return language_; }

  // An id that is in no file prints as "⟦id⟧", which tests look for.
  std::string text(std::string_view id) const;
  std::string fill(std::string_view id, const Arguments& arguments) const;
  bool has(std::string_view id) const { return texts_.find(id) != texts_.end(); }
  // "PREFIX.word", or the word itself where the list is open (types, countries, categories).
  std::string word(std::string_view prefix, std::string_view word) const;

  // A sentence of audit/ with its arguments in words of this language.
  std::string sentence(const Sentence& sentence) const;

  const std::map<std::string, std::string, std::less<>>& texts() const { return texts_; }

 private:
  std::string tag_;
  Language language_ = Language::en;
  std::map<std::string, std::string, std::less<>> texts_;
};

}  // namespace vitrine
