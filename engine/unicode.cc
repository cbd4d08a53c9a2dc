#include "engine/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/json_writer.h"

namespace vitrine {

Utf8Step utf8_step(std::string_view text, size_t position) {
  using Kind = Utf8Step::Kind;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[position + i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {Kind::character, 1, lead};
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;  // bounds of the second byte (Unicode 15, table 3-7)
  char32_t code = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    code = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    code = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    code = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {Kind::invalid, 1, 0xFFFD};
  }
  for (size_t i = 1; i < length; ++i) {
    if (position + i >= text.size()) return {Kind::cut, static_cast<uint8_t>(i), 0xFFFD};
    if (byte(i) < low || byte(i) > high) return {Kind::invalid, static_cast<uint8_t>(i), 0xFFFD};
    code = code << 6 | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {Kind::character, static_cast<uint8_t>(length), code};
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&out](char32_t value) { out.push_back(static_cast<char>(value)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

std::string_view well_formed(std::string_view text, std::string& scratch) {
  if (is_valid_utf8(text)) return text;
  scratch.clear();
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (step.kind == Utf8Step::Kind::character) {
      scratch.append(text.substr(at, step.length));
    } else {
      scratch.append(kReplacement);
    }
    at += step.length;
  }
  return scratch;
}

std::optional<std::string_view> to_nfc(std::string_view text, std::string& scratch) {
  // Nothing below U+0300 changes under NFC or combines with what stands before
  // it. U+0300 begins with byte 0xCC.
  bool plain = true;
  for (const char c : text) plain = plain && static_cast<uint8_t>(c) < 0xCC;
  if (plain) return text;
  // Decompose, order marks by combining class, compose (UAX 15). utf8proc_map does
  // all three, but sorts by swapping neighbours: quadratic in a long run of marks.
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    at += step.length;
    utf8proc_int32_t parts[8];  // the longest canonical decomposition has 4
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.code), parts, 8,
                                static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
    if (count < 0 || count > 8) return std::nullopt;
    codes.insert(codes.end(), parts, parts + count);
  }
  const auto combining = [](utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; };
  for (size_t begin = 0; begin < codes.size();) {
    size_t end = begin;
    while (end < codes.size() && combining(codes[end]) != 0) ++end;
    std::stable_sort(codes.begin() + static_cast<ptrdiff_t>(begin), codes.begin() + static_cast<ptrdiff_t>(end),
                     [&](auto a, auto b) { return combining(a) < combining(b); });
    begin = end + 1;
  }
  const utf8proc_ssize_t length =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (length < 0) return std::nullopt;
  scratch.clear();
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    append_utf8(scratch, static_cast<char32_t>(codes[static_cast<size_t>(i)]));
  return scratch;
}

bool is_unicode_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

namespace {
constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<uint16_t, 256> forward{};
  std::array<int16_t, 0x144> backward{};
  constexpr Alphabet() {
    for (int16_t& value : backward) value = -1;
    uint16_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      forward[byte] = stands_for_itself(byte) ? static_cast<uint16_t>(byte) : next++;
      backward[forward[byte]] = static_cast<int16_t>(byte);
    }
  }
};
constexpr Alphabet kAlphabet;
}  // namespace

char32_t byte_to_alphabet(uint8_t byte) { return kAlphabet.forward[byte]; }

std::optional<uint8_t> alphabet_to_byte(char32_t code) {
  if (code >= kAlphabet.backward.size() || kAlphabet.backward[code] < 0) return std::nullopt;
  return static_cast<uint8_t>(kAlphabet.backward[code]);
}

std::optional<std::string> alphabet_bytes(std::string_view token) {
  std::string out;
  out.reserve(token.size());
  for (size_t at = 0; at < token.size();) {
    const Utf8Step step = utf8_step(token, at);
    if (step.kind != Utf8Step::Kind::character) return std::nullopt;
    const auto byte = alphabet_to_byte(step.code);
    if (!byte) return std::nullopt;
    out.push_back(static_cast<char>(*byte));
    at += step.length;
  }
  return out;
}

}  // namespace vitrine
