#include "engine/template_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "engine/unicode.h"

namespace vitrine {

tl::unexpected<Error> template_error(uint32_t line, ErrorCode code, std::string message) {
  return fail(code, std::move(message), "chat template, line " + std::to_string(line));
}

bool is_python_space(char32_t code) { return is_unicode_space(code) || (code >= 0x1C && code <= 0x1F); }

std::string_view python_rstrip(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
    if (!is_python_space(utf8_step(text, start).code)) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

std::string_view python_lstrip(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text, 0);
    if (!is_python_space(step.code)) break;
    text.remove_prefix(step.length);
  }
  return text;
}

namespace {

using Kind = TemplateToken::Kind;

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<TemplateToken>> run() {
    while (at_ < source_.size()) {
      if (Status done = text_and_tag(); !done) return tl::unexpected(done.error());
    }
    push(Kind::end);
    return std::move(tokens_);
  }

 private:
  tl::unexpected<Error> bad(std::string message) const {
    return template_error(line_, ErrorCode::malformed, std::move(message));
  }

  void push(Kind kind, std::string text = {}) {
    TemplateToken token;
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  // Moves to `position`, counting lines. The line starts there when the last
  // character passed is a newline.
  void advance(size_t position) {
    line_ += static_cast<uint32_t>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                              source_.begin() + static_cast<ptrdiff_t>(position), '\n'));
    if (position > at_) line_starting_ = source_[position - 1] == '\n';
    at_ = position;
  }

  size_t find_tag(size_t from) const {
    for (size_t i = from; (i = source_.find('{', i)) != source_.npos; ++i) {
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    }
    return source_.npos;
  }

  // The text in front of a tag, as its mark and lstrip_blocks leave it.
  std::string_view trimmed(std::string_view text, char mark, bool output) const {
    if (mark == '-') return python_rstrip(text);
    if (mark == '+' || output) return text;
    const size_t newline = text.rfind('\n');
    if (newline == text.npos && !line_starting_) return text;
    const size_t start = newline == text.npos ? 0 : newline + 1;
    return python_lstrip(text.substr(start)).empty() ? text.substr(0, start) : text;
  }

  size_t skip_space(size_t from) const { return source_.size() - python_lstrip(source_.substr(from)).size(); }

  Status text_and_tag() {
    const size_t tag = find_tag(at_);
    if (tag == source_.npos) {
      push(Kind::text, std::string(source_.substr(at_)));
      advance(source_.size());
      return {};
    }
    const char kind = source_[tag + 1];
    size_t inside = tag + 2;
    const char mark =
        inside < source_.size() && (source_[inside] == '-' || source_[inside] == '+') ? source_[inside] : ' ';
    if (mark != ' ') ++inside;
    const std::string_view text = trimmed(source_.substr(at_, tag - at_), mark, kind == '{');
    if (!text.empty()) push(Kind::text, std::string(text));
    advance(inside);
    if (kind == '#') return comment();
    if (kind == '%' && is_raw()) return raw();
    push(kind == '%' ? Kind::block_begin : Kind::output_begin);
    return expression(kind == '%');
  }

  // Behind the end of a tag: `-` takes all white space, a block or comment takes one newline.
  void after_tag(size_t end, char mark, bool output) {
    if (mark == '-') {
      end = skip_space(end);
    } else if (!output && mark != '+' && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    advance(end);
  }

  Status comment() {
    const size_t end = source_.find("#}", at_);
    if (end == source_.npos) return bad("a comment without end");
    const char mark = end > at_ ? source_[end - 1] : ' ';
    after_tag(end + 2, mark == '-' || mark == '+' ? mark : ' ', false);
    return {};
  }

  // {% raw %}: the tag is at at_.
  bool is_raw() const {
    const std::string_view rest = python_lstrip(source_.substr(at_));
    if (rest.substr(0, 3) != "raw") return false;
    const std::string_view behind = python_lstrip(rest.substr(3));
    return behind.substr(0, 2) == "%}" || behind.substr(0, 3) == "-%}";
  }

  Status raw() {
    const size_t close = source_.find("%}", at_);  // there is one: is_raw()
    const bool strip = source_[close - 1] == '-';
    size_t begin = close + 2;
    if (strip) begin = skip_space(begin);  // trim_blocks does not reach here
    advance(begin);
    for (size_t tag = begin; (tag = source_.find("{%", tag)) != source_.npos; tag += 2) {
      size_t inside = tag + 2;
      const char mark = inside < source_.size() ? source_[inside] : ' ';
      if (mark == '-' || mark == '+') ++inside;
      inside = skip_space(inside);
      if (source_.substr(inside, 6) != "endraw") continue;
      inside = skip_space(inside + 6);
      const char end_mark = inside < source_.size() ? source_[inside] : ' ';
      if (end_mark == '-' || end_mark == '+') ++inside;
      if (source_.substr(inside, 2) != "%}") continue;
      const std::string_view text = trimmed(source_.substr(begin, tag - begin), mark, false);
      if (!text.empty()) push(Kind::text, std::string(text));
      after_tag(inside + 2, end_mark, false);
      return {};
    }
    return bad("raw without endraw");
  }

  Status expression(bool block) {
    const std::string_view close = block ? "%}" : "}}";
    std::string brackets;  // open ones: "}}" ends an output only outside of them
    while (true) {
      advance(skip_space(at_));
      if (at_ >= source_.size()) return bad("a tag without end");
      const std::string_view rest = source_.substr(at_);
      const char c = rest[0];
      if (brackets.empty()) {
        const bool marked = (c == '-' || (c == '+' && block)) && rest.substr(1, 2) == close;
        if (marked || rest.substr(0, 2) == close) {
          push(block ? Kind::block_end : Kind::output_end);
          after_tag(at_ + (marked ? 3 : 2), marked ? c : ' ', !block);
          return {};
        }
      }
      if (is_name_start(c)) {
        size_t end = 1;
        while (end < rest.size() && (is_name_start(rest[end]) || is_digit(rest[end]))) ++end;
        push(Kind::name, std::string(rest.substr(0, end)));
        advance(at_ + end);
      } else if (is_digit(c)) {
        if (Status done = number(rest); !done) return done;
      } else if (c == '"' || c == '\'') {
        if (Status done = string(rest); !done) return done;
      } else {
        constexpr std::array<std::string_view, 24> kSymbols = {"**", "//", "==", "!=", "<=", ">=", "+", "-",
                                                               "*",  "/",  "%",  "~",  "<",  ">",  "=", "(",
                                                               ")",  "[",  "]",  "{",  "}",  ",",  ":", "."};
        std::string_view symbol = rest.substr(0, 1) == "|" ? rest.substr(0, 1) : std::string_view();
        for (const std::string_view candidate : kSymbols) {
          if (symbol.empty() && rest.substr(0, candidate.size()) == candidate) symbol = candidate;
        }
        if (symbol.empty())
          return bad(quoted_name(std::string(rest.substr(0, utf8_step(rest, 0).length))) + " cannot be here");
        if (symbol == "(" || symbol == "[" || symbol == "{") brackets.append(symbol);
        if (symbol == ")" || symbol == "]" || symbol == "}") {
          const char open = symbol == ")" ? '(' : symbol == "]" ? '[' : '{';
          if (brackets.empty() || brackets.back() != open)
            return bad(quoted_name(std::string(symbol)) + " without its opening");
          brackets.pop_back();
        }
        push(Kind::symbol, std::string(symbol));
        advance(at_ + symbol.size());
      }
    }
  }

  Status number(std::string_view rest) {
    size_t end = 0;
    std::string digits;
    bool real = false;
    const auto take = [&] {
      while (end < rest.size() &&
             (is_digit(rest[end]) || (rest[end] == '_' && end + 1 < rest.size() && is_digit(rest[end + 1])))) {
        if (rest[end] != '_') digits.push_back(rest[end]);
        ++end;
      }
    };
    take();
    if (end + 1 < rest.size() && rest[end] == '.' && is_digit(rest[end + 1])) {
      real = true;
      digits.push_back('.');
      ++end;
      take();
    }
    if (end < rest.size() && (rest[end] == 'e' || rest[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < rest.size() && (rest[exponent] == '+' || rest[exponent] == '-')) ++exponent;
      if (exponent < rest.size() && is_digit(rest[exponent])) {
        real = true;
        digits.append(rest.substr(end, exponent - end));
        end = exponent;
        take();
      }
    }
    push(real ? Kind::real : Kind::integer);
    const char* const last = digits.data() + digits.size();
    const auto read = real ? std::from_chars(digits.data(), last, tokens_.back().real)
                           : std::from_chars(digits.data(), last, tokens_.back().integer);
    if (read.ec != std::errc() || read.ptr != last) return bad("the number " + digits + " is out of range");
    advance(at_ + end);
    return {};
  }

  Status string(std::string_view rest) {
    const char quote = rest[0];
    std::string text;
    size_t i = 1;
    for (;; ++i) {
      if (i >= rest.size()) return bad("a string without end");
      if (rest[i] == quote) break;
      if (rest[i] != '\\') {
        text.push_back(rest[i]);
        continue;
      }
      if (++i >= rest.size()) return bad("a string without end");
      if (!escape(rest, i, text)) return bad("an escape in a string is not valid");
    }
    push(Kind::string, std::move(text));
    advance(at_ + i + 1);
    return {};
  }

  // Python's escapes; rest[i] is the character behind the backslash, and the last one used on return.
  static bool escape(std::string_view rest, size_t& i, std::string& out) {
    const char c = rest[i];
    constexpr std::string_view kFrom = "nrtabfv\\'\"", kTo = "\n\r\t\a\b\f\v\\'\"";
    if (const size_t known = kFrom.find(c); known != kFrom.npos) {
      out.push_back(kTo[known]);
      return true;
    }
    if (c == '\n') return true;  // the line goes on
    if (c == 'N') return false;  // \N{name} would need the names of all characters
    const auto digits = [&](size_t count, int base, size_t from) -> std::optional<char32_t> {
      uint32_t value = 0;
      if (from + count > rest.size()) return std::nullopt;
      const char* const end = rest.data() + from + count;
      const auto read = std::from_chars(rest.data() + from, end, value, base);
      if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
      if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return std::nullopt;
      i = from + count - 1;
      return value;
    };
    std::optional<char32_t> code;
    if (c >= '0' && c <= '7') {
      size_t count = 1;
      while (count < 3 && i + count < rest.size() && rest[i + count] >= '0' && rest[i + count] <= '7') ++count;
      code = digits(count, 8, i);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      code = digits(c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, i + 1);
    } else {
      out.push_back('\\');
      out.push_back(c);
      return true;
    }
    if (!code) return false;
    append_utf8(out, *code);
    return true;
  }

  std::string_view source_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  bool line_starting_ = true;
  std::vector<TemplateToken> tokens_;
};

}  // namespace

Result<std::vector<TemplateToken>> tokenize_template(std::string_view source) {
  // Jinja reads every kind of newline as \n and drops one at the end.
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text.push_back(source[i]);
      continue;
    }
    text.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return Lexer(text).run();
}

}  // namespace vitrine
