#include "capture/fields/sniff.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/json_tokenizer.h"
#include "base/json_writer.h"

namespace vitrine {
namespace {

constexpr std::array<uint16_t, 256> make_classes() {
  using C = CharClasses;
  std::array<uint16_t, 256> table{};
  for (size_t i = 0; i < 256; ++i) {
    const auto c = static_cast<unsigned char>(i);
    uint16_t v = C::kOther;
    if (c >= 0x80) v = C::kHigh;
    else if (c < 0x20 || c == 0x7f) v = C::kControl;
    else if (c >= '0' && c <= '9') v = C::kDigit;
    else if (c >= 'a' && c <= 'z') v = c <= 'f' ? C::kLower | C::kHexLetter : C::kLower;
    else if (c >= 'A' && c <= 'Z') v = c <= 'F' ? C::kUpper | C::kHexLetter : C::kUpper;
    else if (c == '+' || c == '/') v = C::kStd64;
    else if (c == '-' || c == '_') v = C::kUrl64;
    else if (c == '=') v = C::kPad;
    else if (c == '%') v = C::kPercent;
    else if (c == ' ') v = C::kSpace;
    else if (c == '&') v = C::kAmpersand;
    else if (c == '.') v = C::kDot;
    if (c == '\t' || c == '\n' || c == '\r') v = C::kSpace;
    table[i] = v;
  }
  return table;
}
constexpr auto kClasses = make_classes();
constexpr uint16_t kAllClasses = [] {
  uint16_t all = 0;
  for (const uint16_t c : kClasses) all |= c;
  return all;
}();

// Letters, digits, space and the punctuation of texts, URLs and identifiers.
constexpr std::array<uint8_t, 256> make_texture() {
  std::array<uint8_t, 256> table{};
  for (size_t c = 0; c < 256; ++c)
    table[c] = c >= 0x80 || (kClasses[c] & (CharClasses::kDigit | CharClasses::kLower | CharClasses::kUpper)) != 0;
  for (const char c : {' ', '.', ',', ':', '-', '_', '@', '/', '\n', '=', '&', '"', '\''})
    table[static_cast<size_t>(c)] = 1;
  return table;
}
constexpr auto kTexture = make_texture();

constexpr size_t kLongText = 24;

bool starts(Bytes bytes, std::string_view magic, size_t at = 0) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

constexpr uint64_t kHighs = 0x8080808080808080ull;

// No byte below 0x20 or at 0x7f and above, except tab, line feed, carriage return.
bool plain_ascii_block(const char* data) {
  uint64_t block;
  std::memcpy(&block, data, 8);
  if (block & kHighs) return false;
  const uint64_t low = block - 0x2020202020202020ull;  // borrows only from bytes below 0x20
  const uint64_t del = (block ^ 0x7f7f7f7f7f7f7f7full) - 0x0101010101010101ull;
  return ((low | del) & kHighs) == 0;
}

// Whether kControl and kHigh occur in the text; perhaps other classes that do.
uint16_t unprintable(std::string_view text) {
  constexpr uint16_t kBoth = CharClasses::kControl | CharClasses::kHigh;
  uint16_t seen = 0;
  size_t i = 0;
#if defined(__SSE2__)
  const __m128i space = _mm_set1_epi8(0x20), tab = _mm_set1_epi8('\t'), line = _mm_set1_epi8('\n'),
                carriage = _mm_set1_epi8('\r'), del = _mm_set1_epi8(0x7f);
  for (; text.size() - i >= 16 && (seen & kBoth) != kBoth; i += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i));
    const __m128i layout = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, tab), _mm_cmpeq_epi8(block, line)),
                                        _mm_cmpeq_epi8(block, carriage));
    // Signed: bytes above 0x7f are below 0x20 as well.
    const __m128i bad =
        _mm_or_si128(_mm_andnot_si128(layout, _mm_cmplt_epi8(block, space)), _mm_cmpeq_epi8(block, del));
    if (_mm_movemask_epi8(bad) == 0) continue;
    for (size_t k = i; k < i + 16; ++k) seen |= kClasses[static_cast<uint8_t>(text[k])];
  }
#endif
  for (; i < text.size() && (seen & kBoth) != kBoth; ++i) seen |= kClasses[static_cast<uint8_t>(text[i])];
  return seen;
}

}  // namespace

CharClasses char_classes(std::string_view text) {
  // Whole bodies come here: independent sums, and an end when nothing is new any more.
  constexpr size_t kStep = 512, kHead = 4096;
  uint16_t seen = 0;
  size_t at = 0;
  for (; text.size() - at >= kStep && seen != kAllClasses; at += kStep) {
    if (at >= kHead && (seen & CharClasses::kSpace) != 0)
      return {static_cast<uint16_t>(seen | unprintable(text.substr(at)))};
    const char* block = text.data() + at;
    uint16_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < kStep; i += 4) {
      a |= kClasses[static_cast<uint8_t>(block[i])];
      b |= kClasses[static_cast<uint8_t>(block[i + 1])];
      c |= kClasses[static_cast<uint8_t>(block[i + 2])];
      d |= kClasses[static_cast<uint8_t>(block[i + 3])];
    }
    seen |= a | b | c | d;
  }
  if (seen == kAllClasses) return {seen};
  for (const char c : text.substr(at)) seen |= kClasses[static_cast<uint8_t>(c)];
  return {seen};
}

size_t trim_utf8(std::string_view text) {
  // Looks back at most three bytes for a lead byte whose sequence is not complete.
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto c = static_cast<uint8_t>(text[text.size() - back]);
    if (c < 0x80) break;
    if (c >= 0xc0) {
      const size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
      if (need > back) return text.size() - back;
      break;
    }
  }
  return text.size();
}

bool is_printable_text(std::string_view text, bool cut) {
  if (cut) text = text.substr(0, trim_utf8(text));
  bool high = false;
  size_t i = 0;
  while (i < text.size()) {
    if (text.size() - i >= 8 && plain_ascii_block(text.data() + i)) {
      i += 8;
      continue;
    }
    const size_t end = std::min(text.size(), i + 8);
    for (; i < end; ++i) {
      const uint16_t c = kClasses[static_cast<uint8_t>(text[i])];
      if (c & CharClasses::kControl) return false;
      high |= (c & CharClasses::kHigh) != 0;
    }
  }
  return !high || is_valid_utf8(text);
}

bool reads_like_text(std::string_view text) {
  if (text.empty() || !is_printable_text(text)) return false;
  if (text.size() >= kLongText) return true;  // so many printable bytes are no accident
  size_t texture = 0;
  for (const char c : text) texture += kTexture[static_cast<uint8_t>(c)];
  return texture * 100 >= text.size() * 85;
}

float byte_entropy(Bytes bytes) {
  bytes = bytes.first(std::min<size_t>(bytes.size(), 64 * 1024));
  if (bytes.empty()) return 0;
  std::array<uint32_t, 256> counts{};
  for (const uint8_t b : bytes) ++counts[b];
  const auto total = static_cast<double>(bytes.size());
  double sum = 0;
  for (const uint32_t count : counts) {
    if (count != 0) sum += count * std::log2(static_cast<double>(count));
  }
  return static_cast<float>(std::max(0.0, std::log2(total) - sum / total));
}

std::string_view media_type(Bytes b) {
  using namespace std::literals;
  struct Magic {
    std::string_view bytes;
    std::string_view type;
  };
  static constexpr Magic kMagics[] = {
      {"\x89PNG\r\n\x1a\n"sv, "image/png"},
      {"\xff\xd8\xff"sv, "image/jpeg"},
      {"GIF87a"sv, "image/gif"},
      {"GIF89a"sv, "image/gif"},
      {"\0\0\1\0"sv, "image/x-icon"},
      {"OggS\0"sv, "audio/ogg"},
      {"ID3"sv, "audio/mpeg"},
      {"\xff\xfb"sv, "audio/mpeg"},
      {"\xff\xf3"sv, "audio/mpeg"},
      {"fLaC\0"sv, "audio/flac"},
      {"\x1a\x45\xdf\xa3"sv, "video/webm"},
      {"%PDF-"sv, "application/pdf"},
      {"PK\3\4"sv, "application/zip"},
      {"PK\5\6"sv, "application/zip"},
      {"wOFF"sv, "font/woff"},
      {"wOF2"sv, "font/woff2"},
      {"\0asm\1\0\0\0"sv, "application/wasm"},
      {"II*\0"sv, "image/tiff"},
      {"MM\0*"sv, "image/tiff"},
  };
  if (b.size() < 8) return {};
  for (const Magic& magic : kMagics) {
    if (starts(b, magic.bytes)) return magic.type;
  }
  if (starts(b, "RIFF") && starts(b, "WEBP", 8)) return "image/webp";
  if (starts(b, "RIFF") && starts(b, "WAVE", 8)) return "audio/wav";
  if (starts(b, "ftypavif", 4)) return "image/avif";
  if (starts(b, "ftyp", 4)) return "video/mp4";
  if (starts(b, "BM") && starts(b, "\0\0\0\0"sv, 6)) return "image/bmp";
  return {};
}

bool is_gzip(Bytes b) { return b.size() >= 18 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8 && (b[3] & 0xe0) == 0; }

bool is_zlib(Bytes b) {
  return b.size() >= 8 && (b[0] & 0x0f) == 8 && b[0] >> 4 <= 7 && (b[0] << 8 | b[1]) % 31 == 0 && (b[1] & 0x20) == 0;
}

bool is_zstd(Bytes b) { return b.size() >= 9 && starts(b, "\x28\xb5\x2f\xfd"); }

bool is_form(std::string_view text) {
  if (text.find('&') == std::string_view::npos) return false;
  size_t pairs = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals > 128) return false;
    const CharClasses name = char_classes(pair.substr(0, equals));
    using C = CharClasses;
    if (name.any(C::kSpace | C::kControl | C::kHigh | C::kStd64)) return false;
    if (name.any(C::kOther)) {
      for (const char c : pair.substr(0, equals)) {
        if ((kClasses[static_cast<uint8_t>(c)] & C::kOther) != 0 && c != '[' && c != ']' && c != '$' && c != ':')
          return false;
      }
    }
    if (char_classes(pair.substr(equals + 1)).any(C::kSpace | C::kControl)) return false;
    ++pairs;
  }
  return pairs >= 2;
}

bool is_json_container(std::string_view text, uint32_t depth, bool cut) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || (text[first] != '{' && text[first] != '[')) return false;
  JsonTokenizer json(text, depth);
  JsonToken token;
  bool worth = false;
  size_t scalars = 0;
  while (json.next(token)) {
    worth |= token.kind == JsonToken::Kind::key || token.kind == JsonToken::Kind::string;
    scalars += token.is_scalar();
  }
  if (!worth && scalars < 2) return false;
  if (token.kind == JsonToken::Kind::end) return token.offset == text.size();
  return cut && token.kind == JsonToken::Kind::cut;
}

}  // namespace vitrine
