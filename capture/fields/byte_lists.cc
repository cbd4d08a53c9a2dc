#include "capture/fields/byte_lists.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "capture/fields/sniff.h"

namespace vitrine {
namespace {

constexpr size_t kBlobBytes = 64;                 // from here on a value alone is a blob (nested_values.cc)
constexpr size_t kBlobText = kBlobBytes * 4 / 3;  // the same in base64

void skip_space(std::string_view text, size_t& at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')) ++at;
}

// Calls `use` with each number of a list, or of an object whose keys count up
// from 0. False: something else stands there, or `use` said no.
template <class Use>
bool each_integer(std::string_view text, Use use) {
  const bool object = text.starts_with('{');
  size_t at = 1;
  for (size_t index = 0;; ++index) {
    skip_space(text, at);
    if (object) {
      size_t key = 0;
      if (at >= text.size() || text[at] != '"') return false;
      const auto [end, error] = std::from_chars(text.data() + at + 1, text.data() + text.size(), key);
      if (error != std::errc{} || key != index) return false;
      at = static_cast<size_t>(end - text.data());
      if (at >= text.size() || text[at] != '"') return false;
      skip_space(text, ++at);
      if (at >= text.size() || text[at] != ':') return false;
      skip_space(text, ++at);
    }
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), number);
    if (error != std::errc{} || !use(number)) return false;
    at = static_cast<size_t>(end - text.data());
    skip_space(text, at);
    if (at >= text.size()) return false;
    if (text[at] == (object ? '}' : ']')) return true;
    if (text[at] != ',') return false;  // 1.5, 2e3
    ++at;
  }
}

// Pearson's statistic of eight equally likely classes; 30 is exceeded by chance
// in 1 of 10,000 cases (seven degrees of freedom).
bool even(const std::array<uint32_t, 8>& counts, size_t total) {
  const double expected = static_cast<double>(total) / 8;
  double sum = 0;
  for (uint32_t count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum <= 30;
}

// Lengths of digests and ids in hex: a list of those is a list, not one blob.
bool digest_length(size_t length) {
  constexpr size_t kLengths[] = {16, 24, 32, 40, 48, 56, 64, 96, 128};
  return std::find(std::begin(kLengths), std::end(kLengths), length) != std::end(kLengths);
}

}  // namespace

bool byte_list_decode(std::string_view text, std::string& out) {
  const size_t start = out.size();
  bool negative = false, high = false;
  const bool bytes = each_integer(text, [&](int64_t number) {
    negative |= number < 0;
    high |= number > 127;
    if (number < -128 || number > 255 || (negative && high)) return false;
    out.push_back(static_cast<char>(number));
    return true;
  });
  if (bytes) return true;
  out.resize(start);
  return each_integer(text, [&](int64_t number) {
    if (number < INT32_MIN || number > UINT32_MAX) return false;
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(number >> shift & 0xff));
    return true;
  });
}

bool text_list_join(std::string_view text, std::string& out) {
  const size_t start = out.size();
  CharClasses classes;
  bool all_digests = true;
  size_t at = 1;
  for (;;) {
    skip_space(text, at);
    if (at >= text.size() || text[at] != '"') return false;
    const size_t end = text.find('"', ++at);
    if (end == std::string_view::npos || end - at >= kBlobText) return false;
    const size_t before = out.size();
    for (size_t i = at; i < end; ++i) {
      if (text[i] == '\\' && text[i + 1] == '/') continue;  // as some encoders write it
      out.push_back(text[i]);
    }
    const std::string_view piece = std::string_view(out).substr(before);
    classes.seen |= char_classes(piece).seen;
    using C = CharClasses;
    if (!classes.only(C::kDigit | C::kLower | C::kUpper | C::kHexLetter | C::kStd64 | C::kUrl64 | C::kPad))
      return false;
    all_digests &= digest_length(piece.size());
    at = end + 1;
    skip_space(text, at);
    if (at >= text.size()) return false;
    if (text[at] == ']') break;
    if (text[at++] != ',') return false;
  }
  const std::string_view joined = std::string_view(out).substr(start);
  const bool hex = joined.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  return hex ? joined.size() >= kBlobBytes * 2 && !all_digests : joined.size() >= kBlobText;
}

bool looks_random(Bytes bytes) {
  std::array<uint32_t, 8> high{}, low{}, steps{};
  uint8_t least = 255, most = 0, before = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t byte = bytes[i];
    ++high[byte >> 5];
    ++low[byte & 7];
    if (i != 0) ++steps[static_cast<uint8_t>(byte - before) >> 5];
    before = byte;
    least = std::min(least, byte);
    most = std::max(most, byte);
  }
  return bytes.size() >= kMinListedBytes && least < 48 && most >= 208 && even(high, bytes.size()) &&
         even(low, bytes.size()) && even(steps, bytes.size() - 1);
}

bool looks_like_random_base64(std::string_view text) {
  size_t digits = 0, lower = 0, upper = 0;
  for (const char c : text) {
    digits += c >= '0' && c <= '9';
    lower += c >= 'a' && c <= 'z';
    upper += c >= 'A' && c <= 'Z';
  }
  // Expected shares: 16 %, 41 % and 41 %. Names of extensions and functions have few digits.
  const size_t all = text.size();
  return digits * 100 >= all * 6 && lower * 100 >= all * 20 && upper * 100 >= all * 20 &&
         byte_entropy(as_bytes(text)) >= 5.2F;
}

}  // namespace vitrine
