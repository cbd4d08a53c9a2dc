// UTF-8 and the few Unicode operations tokenizers need.
//
// Invalid UTF-8 is handled as Python's bytes.decode("utf-8", "replace") and the
// WHATWG Encoding Standard do: one U+FFFD for each maximal subpart of an
// ill-formed sequence (Unicode 15, 3.9, table 3-8). So what the tokenizer sees is
// what the reference tokenizers see when Python hands them the same bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// One step through UTF-8 text.
struct Utf8Step {
  enum class Kind : uint8_t {
    character,  // a whole one: `code` is valid
    invalid,    // `length` bytes (1-3) that can be no character, whatever follows
    cut,        // the text ends inside a character that is well formed so far
  };
  Kind kind = Kind::invalid;
  uint8_t length = 1;  // bytes to step over, never 0
  char32_t code = 0xFFFD;
};

// The step at text[position]. REQUIRES: position < text.size().
Utf8Step utf8_step(std::string_view text, size_t position);

void append_utf8(std::string& out, char32_t code);  // REQUIRES: a Unicode scalar value

// `text` with every ill-formed part replaced. Returns `text` itself when it is
// well formed; otherwise a view of `scratch`.
std::string_view well_formed(std::string_view text, std::string& scratch);

// Unicode Normalization Form C. Returns `text` itself when no character at or
// above U+0300 makes work necessary; otherwise a view of `scratch`; nothing when
// memory is short. REQUIRES: well-formed text.
std::optional<std::string_view> to_nfc(std::string_view text, std::string& scratch);

// Unicode White_Space.
bool is_unicode_space(char32_t code);

// GPT-2's byte alphabet: every byte as a printable character, so that a
// vocabulary file can hold arbitrary bytes. Printable Latin-1 stands for itself,
// the other 68 bytes are U+0100, U+0101 … in order.
char32_t byte_to_alphabet(uint8_t byte);
std::optional<uint8_t> alphabet_to_byte(char32_t code);

// The bytes that `token` spells in that alphabet; nothing when a character lies
// outside of it (added tokens are plain text).
std::optional<std::string> alphabet_bytes(std::string_view token);

}  // namespace vitrine
