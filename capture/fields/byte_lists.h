// Bytes written as a JSON list: [137,80,78,…], {"0":137,"1":80,…} (a typed array
// as JSON.stringify writes it), lists of 32-bit words, and one base64 or hex
// text cut into a list of strings. All pure, linear, and they stop at the first
// element that does not fit.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace vitrine {

// Fewer numbers than these cannot be told from measurements.
inline constexpr size_t kMinListedBytes = 32;
inline constexpr size_t kMinListedWords = 16;
inline constexpr size_t kMinListTexts = 2;

// `text` is the list with its brackets, and valid JSON. Appends one byte for
// each number when all lie in -128..255 and on one side of that (signed bytes
// or unsigned), or else four, big-endian, when all fit 32 bits. False: an element
// is none of these; what was appended is then without meaning.
bool byte_list_decode(std::string_view text, std::string& out);

// Are all elements texts in one of the alphabets of base64 or hex, none of them
// a blob by itself, and do they together hold at least 64 bytes? Appends them,
// joined.
bool text_list_join(std::string_view text, std::string& out);

// Can the bytes be encrypted or compressed ones? Their values, their last bits
// and their differences are spread evenly over all eight octants; measurements,
// counters, pixels and texts are not. Of random bytes 998 in 1,000 lists
// of 32 pass, and of gaps between keys fewer than 1 in 200 lists of 64.
bool looks_random(Bytes bytes);

// base64 of random bytes: digits and letters of both cases in their shares.
bool looks_like_random_base64(std::string_view text);

}  // namespace vitrine
