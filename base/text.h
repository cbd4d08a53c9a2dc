// Small steps on text that protocols take in ASCII, whatever the locale.
#pragma once

#include <string>
#include <string_view>

namespace vitrine {

constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
std::string ascii_lower(std::string_view text);

inline bool equals_ignoring_case(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    if (ascii_lower(left[i]) != ascii_lower(right[i])) return false;
  }
  return true;
}

inline bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

// Without SP, HTAB, CR and LF at both ends.
constexpr std::string_view trim(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

// UTF-8 whose characters are all below U+0100 → one byte each (ISO 8859-1).
// False, and `out` empty, for any other character or text that is not UTF-8.
bool latin1_bytes(std::string_view utf8, std::string& out);

// Base64 as files and headers carry it: either alphabet (RFC 4648 sections 4
// and 5), padded or not, white space skipped. Ends at the first '='; on any
// other character returns false, with what came before it in `out`.
bool decode_base64_lenient(std::string_view text, std::string& out);

// Foreign text for a message on one line: control characters, quotes, backslashes
// and bytes beyond ASCII as \xNN, cut after `limit` bytes with "…".
std::string printable(std::string_view text, size_t limit = 80);
// The same between single quotes, for a name in a sentence.
std::string quoted_name(std::string_view text);

}  // namespace vitrine
