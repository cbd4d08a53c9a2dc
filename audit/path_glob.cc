#include "audit/path_glob.h"

namespace vitrine {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool separator(char c) { return c == '/' || c == '|'; }

// Length of "[123]" at the front that ends a name; 0 when there is none.
size_t repetition(std::string_view s) {
  if (s.size() < 3 || s[0] != '[' || !digit(s[1])) return 0;
  size_t n = 1;
  while (n < s.size() && digit(s[n])) ++n;
  if (n >= s.size() || s[n] != ']') return 0;
  ++n;
  return n == s.size() || separator(s[n]) ? n : 0;
}

// '*' with one point to go back to: linear in practice, |glob|*|text| at most.
template <class MayPass>
bool star_match(std::string_view glob, std::string_view text, MayPass may_pass) {
  size_t g = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
    } else if (g < glob.size() && glob[g] == text[t]) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos && may_pass(text[resume])) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

// One segment of a path (between separators) against one of the glob.
bool segment_matches(std::string_view glob, std::string_view text) {
  const auto any = [](char) { return true; };
  if (star_match(glob, text, any)) return true;
  const size_t bracket = text.rfind('[');
  return bracket != std::string_view::npos && repetition(text.substr(bracket)) == text.size() - bracket &&
         star_match(glob, text.substr(0, bracket), any);
}

}  // namespace

FieldGlob::FieldGlob(std::string_view pattern) : text_(pattern) {
  if (pattern.ends_with("/**")) {
    tail_ = true;
    pattern.remove_suffix(3);
  }
  pattern_ = pattern;
  for (size_t i = 0; i < pattern.size();) {
    size_t end = i + 1;
    while (end < pattern.size() && !separator(pattern[end])) ++end;
    std::string_view segment = pattern.substr(i, end - i);
    bool index = segment.size() > 1 && segment[0] == '/';
    for (char c : segment.substr(1)) index = index && digit(c);
    indexed_ |= index;
    loose_.append(index ? std::string_view("/*") : segment);
    i = end;
  }
}

bool FieldGlob::match(std::string_view pattern, std::string_view path) const {
  for (;;) {
    size_t p = 0, t = 0;
    while (p < pattern.size() && !separator(pattern[p])) ++p;
    while (t < path.size() && !separator(path[t])) ++t;
    if (!segment_matches(pattern.substr(0, p), path.substr(0, t))) return false;
    pattern.remove_prefix(p);
    path.remove_prefix(t);
    if (pattern.empty()) return path.empty() || tail_;
    if (path.empty() || path[0] != pattern[0]) return false;
    pattern.remove_prefix(1);
    path.remove_prefix(1);
  }
}

bool host_glob_matches(std::string_view lower_glob, std::string_view host) {
  return star_match(lower_glob, host, [](char) { return true; });
}

bool url_glob_matches(std::string_view glob, std::string_view path) {
  // Split at the first '**': what stands before must match a prefix of the path.
  const size_t deep = glob.find("**");
  const auto within = [](char c) { return c != '/'; };
  if (deep == std::string_view::npos) return star_match(glob, path, within);
  const std::string_view head = glob.substr(0, deep), rest = glob.substr(deep + 2);
  for (size_t cut = 0; cut <= path.size(); ++cut) {
    if (!star_match(head, path.substr(0, cut), within)) continue;
    if (rest.empty()) return true;
    for (size_t tail = cut; tail <= path.size(); ++tail)
      if (url_glob_matches(rest, path.substr(tail))) return true;
    return false;
  }
  return false;
}

}  // namespace vitrine
