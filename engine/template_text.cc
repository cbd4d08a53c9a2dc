#include "engine/template_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "engine/template_lexer.h"
#include "engine/unicode.h"

namespace vitrine {

std::string change_case(std::string_view text, Letters how) {
  std::string out;
  out.reserve(text.size());
  bool first = true;  // of the text, or for title() of a word
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    at += step.length;
    const auto code = static_cast<utf8proc_int32_t>(step.code);
    const auto category = utf8proc_category(code);
    const bool cased =
        category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
    const bool raise = how == Letters::upper || (how != Letters::lower && first);
    first = how == Letters::title ? !cased : false;
    if (raise && code == 0xDF) {  // the one common letter whose capital is two
      out += how == Letters::upper ? "SS" : "Ss";
    } else {
      append_utf8(out, static_cast<char32_t>(how == Letters::upper ? utf8proc_toupper(code)
                                             : raise               ? utf8proc_totitle(code)
                                                                   : utf8proc_tolower(code)));
    }
  }
  return out;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> characters, bool left, bool right) {
  if (!characters) {
    if (left) text = python_lstrip(text);
    return right ? python_rstrip(text) : text;
  }
  // Whole characters, so that no part of one is taken for another.
  const auto listed = [&](std::string_view character) {
    for (size_t at = 0; at < characters->size();) {
      const size_t length = utf8_step(*characters, at).length;
      if (characters->substr(at, length) == character) return true;
      at += length;
    }
    return false;
  };
  while (left && !text.empty()) {
    const size_t length = utf8_step(text, 0).length;
    if (!listed(text.substr(0, length))) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
    if (!listed(text.substr(start))) break;
    text = text.substr(0, start);
  }
  return text;
}

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator, int64_t limit,
                                    bool from_right) {
  std::vector<std::string_view> parts;
  if (separator) {
    while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
      const size_t hit = from_right ? text.rfind(*separator) : text.find(*separator);
      if (hit == text.npos) break;
      parts.push_back(from_right ? text.substr(hit + separator->size()) : text.substr(0, hit));
      text = from_right ? text.substr(0, hit) : text.substr(hit + separator->size());
    }
    parts.push_back(text);
  } else {
    text = from_right ? python_rstrip(text) : python_lstrip(text);
    while (!text.empty()) {
      if (limit >= 0 && static_cast<int64_t>(parts.size()) >= limit) {
        parts.push_back(text);
        break;
      }
      size_t at = from_right ? text.size() : 0;
      while (from_right ? at > 0 : at < text.size()) {
        size_t start = at;
        if (from_right) {
          --start;
          while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
        }
        const Utf8Step step = utf8_step(text, start);
        if (is_python_space(step.code)) break;
        at = from_right ? start : start + step.length;
      }
      parts.push_back(from_right ? text.substr(at) : text.substr(0, at));
      text = from_right ? python_rstrip(text.substr(0, at)) : python_lstrip(text.substr(at));
    }
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const char32_t code = step.code;
    const bool breaks = (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
                        code == 0x2028 || code == 0x2029;
    if (!breaks) {
      at += step.length;
      continue;
    }
    lines.push_back(text.substr(begin, at - begin));
    at += step.length;
    if (code == 0x0D && at < text.size() && text[at] == '\n') ++at;
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::optional<std::string> replace(std::string_view text, std::string_view old, std::string_view by, int64_t limit,
                                   size_t bound) {
  std::string out;
  size_t at = 0;
  for (int64_t done = 0; limit < 0 || done < limit; ++done) {
    // An empty `old` stands before every character and at the end.
    if (old.empty() && done > 0) {
      if (at >= text.size()) return out;
      const size_t length = utf8_step(text, at).length;
      out.append(text.substr(at, length));
      at += length;
    }
    const size_t hit = old.empty() ? at : text.find(old, at);
    if (hit == text.npos) break;
    out.append(text.substr(at, hit - at)).append(by);
    at = hit + old.size();
    if (out.size() > bound) return std::nullopt;
  }
  return out.append(text.substr(at));
}

}  // namespace vitrine
