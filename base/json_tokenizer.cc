#include "base/json_tokenizer.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace vitrine {
namespace {

using Kind = JsonToken::Kind;

constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Reads four hex digits at `at`; -1 when they are not there.
int32_t read_u16(std::string_view raw, size_t at) {
  if (raw.size() < 4 || at > raw.size() - 4) return -1;
  int32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    const int digit = hex_value(raw[at + i]);
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto push = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xc0 | code >> 6);
    push(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    push(0xe0 | code >> 12);
    push(0x80 | (code >> 6 & 0x3f));
    push(0x80 | (code & 0x3f));
  } else {
    push(0xf0 | code >> 18);
    push(0x80 | (code >> 12 & 0x3f));
    push(0x80 | (code >> 6 & 0x3f));
    push(0x80 | (code & 0x3f));
  }
}

}  // namespace

uint64_t find_quote_or_backslash(const char* data, uint64_t from, uint64_t size) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  while (size - from >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + from));
    const __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash));
    if (const int mask = _mm_movemask_epi8(hits); mask != 0) {
      return from + static_cast<uint64_t>(__builtin_ctz(static_cast<unsigned>(mask)));
    }
    from += 16;
  }
#else
  // A byte equal to c makes a zero byte in block ^ cccc…; the usual zero-byte test finds it.
  constexpr uint64_t kOnes = 0x0101010101010101ull, kHighs = 0x8080808080808080ull;
  const auto has_zero = [](uint64_t x) { return (x - kOnes) & ~x & kHighs; };
  while (size - from >= 8) {
    uint64_t block;
    std::memcpy(&block, data + from, 8);
    if (has_zero(block ^ kOnes * '"') | has_zero(block ^ kOnes * '\\')) break;
    from += 8;
  }
#endif
  while (from < size && data[from] != '"' && data[from] != '\\') ++from;
  return from;
}

JsonTokenizer::JsonTokenizer(std::string_view input, uint32_t depth, uint64_t offset)
    : data_(input.data()),
      size_(input.size()),
      position_(std::min<uint64_t>(offset, input.size())),
      max_depth_(std::min(depth, kMaxDepth)) {
  if (position_ == 0 && input.substr(0, 3) == "\xef\xbb\xbf") position_ = 3;
}

inline void JsonTokenizer::skip_space() {
  while (position_ < size_ && is_space(data_[position_])) ++position_;
}

inline void JsonTokenizer::after_value() { expect_ = depth_ == 0 ? Expect::done : Expect::comma_or_end; }

bool JsonTokenizer::terminal(JsonToken& token, Kind kind, uint64_t offset) {
  expect_ = Expect::terminal;
  terminal_ = kind;
  terminal_offset_ = offset;
  token = JsonToken{};
  token.kind = kind;
  token.offset = offset;
  last_ = kind;
  return false;
}

bool JsonTokenizer::next(JsonToken& token) {
  if (expect_ == Expect::terminal) return terminal(token, terminal_, terminal_offset_);
  skip_space();
  if (expect_ == Expect::done) return terminal(token, Kind::end, position_);
  if (expect_ == Expect::comma_or_end && position_ < size_ && data_[position_] == ',') {
    ++position_;
    expect_ = in_object() ? Expect::key : Expect::value;
    skip_space();
  }
  if (position_ >= size_) return terminal(token, Kind::cut, size_);

  const char c = data_[position_];
  switch (expect_) {
    case Expect::key:
    case Expect::key_or_end:
      if (c == '"') return read_string(token, Kind::key);
      if (c == '}' && expect_ == Expect::key_or_end) return close(token, true);
      return terminal(token, Kind::malformed, position_);
    case Expect::comma_or_end:
      if (c == '}' && in_object()) return close(token, true);
      if (c == ']' && !in_object()) return close(token, false);
      return terminal(token, Kind::malformed, position_);
    default: break;
  }
  switch (c) {
    case '"': return read_string(token, Kind::string);
    case '{': return open(token, true);
    case '[': return open(token, false);
    case 't': return read_literal(token, "true", Kind::literal_true);
    case 'f': return read_literal(token, "false", Kind::literal_false);
    case 'n': return read_literal(token, "null", Kind::literal_null);
    case ']':
      if (expect_ == Expect::value_or_end) return close(token, false);
      return terminal(token, Kind::malformed, position_);
    default:
      if (c == '-' || is_digit(c)) return read_number(token);
      return terminal(token, Kind::malformed, position_);
  }
}

bool JsonTokenizer::open(JsonToken& token, bool object) {
  if (depth_ >= max_depth_) return terminal(token, Kind::too_deep, position_);
  const uint64_t bit = uint64_t{1} << (depth_ % 64);
  uint64_t& word = objects_[depth_ / 64];
  word = object ? word | bit : word & ~bit;
  ++depth_;
  expect_ = object ? Expect::key_or_end : Expect::value_or_end;
  token.kind = last_ = object ? Kind::begin_object : Kind::begin_array;
  token.escaped = token.cut = false;
  token.offset = position_;
  token.length = 1;
  token.raw = {data_ + position_, 1};
  ++position_;
  return true;
}

bool JsonTokenizer::close(JsonToken& token, bool object) {
  --depth_;
  after_value();
  token.kind = last_ = object ? Kind::end_object : Kind::end_array;
  token.escaped = token.cut = false;
  token.offset = position_;
  token.length = 1;
  token.raw = {data_ + position_, 1};
  ++position_;
  return true;
}

bool JsonTokenizer::read_string(JsonToken& token, Kind kind) {
  const uint64_t start = position_;
  token.kind = last_ = kind;
  token.escaped = token.cut = false;
  token.offset = start;
  uint64_t at = start + 1;
  for (;;) {
    at = find_quote_or_backslash(data_, at, size_);
    if (at >= size_ || data_[at] == '"') break;
    token.escaped = true;
    // The byte behind a backslash never ends the string. \uXXXX has no quote in it.
    if (size_ - at < 2) {
      at = size_;
      break;
    }
    at += 2;
  }
  token.raw = {data_ + start + 1, static_cast<size_t>(at - start - 1)};
  if (at >= size_) {
    token.cut = true;
    token.length = size_ - start;
    position_ = size_;
    // A cut key has no value: its prefix is not a token of its own.
    if (kind == Kind::key) return terminal(token, Kind::cut, size_);
    after_value();
    return true;
  }
  position_ = at + 1;
  token.length = position_ - start;
  if (kind == Kind::string) {
    after_value();
    return true;
  }
  if (position_ < size_ && data_[position_] == ':') {
    ++position_;
    expect_ = Expect::value;
    return true;
  }
  skip_space();
  if (position_ >= size_) return terminal(token, Kind::cut, size_);
  if (data_[position_] != ':') return terminal(token, Kind::malformed, position_);
  ++position_;
  expect_ = Expect::value;
  return true;
}

bool JsonTokenizer::read_number(JsonToken& token) {
  const uint64_t start = position_;
  uint64_t at = start;
  const auto digits = [&] {
    const uint64_t first = at;
    while (at < size_ && is_digit(data_[at])) ++at;
    return at != first;
  };
  if (data_[at] == '-') ++at;
  bool valid = true;
  if (at < size_ && data_[at] == '0') {
    ++at;
  } else {
    valid = digits();
  }
  if (valid && at < size_ && data_[at] == '.') {
    ++at;
    valid = digits();
  }
  if (valid && at < size_ && (data_[at] == 'e' || data_[at] == 'E')) {
    ++at;
    if (at < size_ && (data_[at] == '+' || data_[at] == '-')) ++at;
    valid = digits();
  }
  if (!valid) return terminal(token, at >= size_ ? Kind::cut : Kind::malformed, at);
  token.kind = last_ = Kind::number;
  token.escaped = false;
  // At the very end more digits may have followed, except at top level, where
  // a number is a whole document.
  token.cut = at >= size_ && depth_ > 0;
  token.offset = start;
  token.length = at - start;
  token.raw = {data_ + start, static_cast<size_t>(at - start)};
  position_ = at;
  after_value();
  return true;
}

bool JsonTokenizer::read_literal(JsonToken& token, std::string_view word, Kind kind) {
  const uint64_t left = size_ - position_;
  const uint64_t have = std::min<uint64_t>(left, word.size());
  if (std::memcmp(data_ + position_, word.data(), have) != 0) return terminal(token, Kind::malformed, position_);
  if (have < word.size()) return terminal(token, Kind::cut, size_);
  token.kind = last_ = kind;
  token.escaped = token.cut = false;
  token.offset = position_;
  token.length = word.size();
  token.raw = {data_ + position_, word.size()};
  position_ += word.size();
  after_value();
  return true;
}

bool JsonTokenizer::skip(JsonToken& last) {
  if (last_ == Kind::key) {
    if (!next(last)) return false;
    if (last.is_scalar()) return true;
  }
  if (last_ != Kind::begin_object && last_ != Kind::begin_array) return expect_ != Expect::terminal;
  const uint32_t outside = depth_ - 1;
  while (depth_ > outside) {
    if (!next(last)) return false;
  }
  return true;
}

std::string_view json_unescape(std::string_view raw, std::string& scratch) {
  scratch.clear();
  size_t i = 0;
  while (i < raw.size()) {
    size_t slash = raw.find('\\', i);
    if (slash == std::string_view::npos) slash = raw.size();
    scratch.append(raw.data() + i, slash - i);
    i = slash;
    if (i >= raw.size()) break;
    if (raw.size() - i < 2) {  // a cut escape
      scratch.push_back('\\');
      break;
    }
    const char c = raw[i + 1];
    char plain = 0;
    switch (c) {
      case '"':
      case '\\':
      case '/': plain = c; break;
      case 'b': plain = '\b'; break;
      case 'f': plain = '\f'; break;
      case 'n': plain = '\n'; break;
      case 'r': plain = '\r'; break;
      case 't': plain = '\t'; break;
      default: break;
    }
    if (plain != 0) {
      scratch.push_back(plain);
      i += 2;
      continue;
    }
    const int32_t unit = c == 'u' ? read_u16(raw, i + 2) : -1;
    if (unit < 0) {
      scratch.push_back('\\');
      scratch.push_back(c);
      i += 2;
      continue;
    }
    i += 6;
    auto code = static_cast<uint32_t>(unit);
    if (code >= 0xd800 && code <= 0xdfff) {
      const bool pair = code <= 0xdbff && raw.size() - i >= 6 && raw[i] == '\\' && raw[i + 1] == 'u';
      const int32_t low = pair ? read_u16(raw, i + 2) : -1;
      if (low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (static_cast<uint32_t>(low) - 0xdc00);
        i += 6;
      } else {
        code = 0xfffd;
      }
    }
    append_utf8(scratch, code);
  }
  return scratch;
}

std::string_view unescaped(const JsonToken& token, std::string& scratch) {
  return token.escaped ? json_unescape(token.raw, scratch) : token.raw;
}

}  // namespace vitrine
