// Globs of the data files: over field paths, host names and URL paths.
#pragma once

#include <string>
#include <string_view>

namespace vitrine {

// Glob over a field path (policies/README.md, section 4). '*' stands for one
// pointer segment, or for part of a name, and never crosses '/' or '|'; '/**'
// at the end stands for any tail, the empty one included. A repetition suffix
// "[3]" of the path is passed over where the glob has none.
class FieldGlob {
 public:
  explicit FieldGlob(std::string_view pattern);

  bool matches(std::string_view path) const { return match(pattern_, path); }
  // Like matches(), with array indices of the glob taken for '*': whether some
  // path with other indices could match. Equal to matches() without indices.
  bool could_match(std::string_view path) const { return match(indexed_ ? loose_ : pattern_, path); }
  bool indexed() const { return indexed_; }  // holds a literal array index
  const std::string& text() const { return text_; }

 private:
  bool match(std::string_view pattern, std::string_view path) const;

  std::string text_, pattern_, loose_;
  bool tail_ = false, indexed_ = false;
};

// '*' any characters; case does not count. REQUIRES: `host` is lower case.
bool host_glob_matches(std::string_view lower_glob, std::string_view host);

// '*' within one path segment, '**' anything.
bool url_glob_matches(std::string_view glob, std::string_view path);

}  // namespace vitrine
