// What kind of bytes a value is: the tests a decoder must pass before its
// result is believed. All pure, all linear in what they look at.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace vitrine {

// Which characters occur in a value, as a set of classes.
struct CharClasses {
  static constexpr uint16_t kDigit = 1, kHexLetter = 2, kLower = 4, kUpper = 8, kStd64 = 16 /* + / */,
                            kUrl64 = 32 /* - _ */, kPad = 64 /* = */, kPercent = 128, kSpace = 256, kAmpersand = 512,
                            kOther = 1024, kControl = 2048, kHigh = 4096, kDot = 8192;
  uint16_t seen = 0;
  bool any(int classes) const { return (seen & classes) != 0; }
  bool only(int classes) const { return (seen & ~classes) == 0; }
};
// kHexLetter is a-f and A-F; it comes together with kLower or kUpper. Once a
// space was met in the first 4 KiB, only kControl and kHigh are looked for in
// the rest: no decoder takes a text with spaces for its own by another class.
CharClasses char_classes(std::string_view text);

// Valid UTF-8 without control characters other than tab, line feed, carriage
// return. `cut` allows the last character to be incomplete.
bool is_printable_text(std::string_view text, bool cut = false);

// Printable, and, when shorter than 24 bytes, made of the characters that texts
// and identifiers are made of to at least 85 %: what a decoder's result must be
// when nothing else vouches for it. 12 random bytes pass about once in 10^6.
bool reads_like_text(std::string_view text);

// Length of `text` without an incomplete UTF-8 character at its end.
size_t trim_utf8(std::string_view text);

// Shannon entropy of the bytes, bits per byte; of at most the first 64 KiB.
float byte_entropy(Bytes bytes);

// PNG, JPEG, GIF, WebP, AVIF, ICO, BMP, WAV, OGG, MP3, FLAC, AAC, MP4, WebM,
// PDF, ZIP, WOFF, WASM: "image/png" …, or empty.
std::string_view media_type(Bytes bytes);

bool is_gzip(Bytes bytes);  // RFC 1952
bool is_zlib(Bytes bytes);  // RFC 1950 header with its check bits
bool is_zstd(Bytes bytes);  // RFC 8878

// "a=1&b=2" with at least two pairs, every name made of name characters.
bool is_form(std::string_view text);

// A whole JSON text (or, with `cut`, the beginning of one) that is worth
// opening: an object with a member, or an array with more than one scalar in it.
bool is_json_container(std::string_view text, uint32_t depth, bool cut);

}  // namespace vitrine
