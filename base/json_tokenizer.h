// JSON as it was sent (RFC 8259): a pull tokenizer that keeps what evidence
// needs and document parsers drop: the byte span of every token, duplicate keys,
// raw number lexemes, and the valid prefix of a document that was cut.
//
//   JsonTokenizer json(text);
//   while (json.next(token)) { switch (token.kind) … }
//   // token.kind is now end, cut, malformed or too_deep
//
// One pass, no recursion, no allocation: strings are views of the input;
// unescaped() fills the caller's scratch only when there are escapes.
// Lenient where senders are: a UTF-8 byte order mark is skipped, control
// characters and invalid UTF-8 inside strings are kept as they are.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine {

struct JsonToken {
  enum class Kind : uint8_t {
    begin_object,
    end_object,
    begin_array,
    end_array,
    key,
    string,
    number,
    literal_true,
    literal_false,
    literal_null,
    // Terminal: next() returned false.
    end,        // one whole value was read; offset = first byte after it and the white space behind it
    cut,        // the input ended inside the document; all tokens before are valid
    malformed,  // offset = the byte that cannot be here; all tokens before are valid
    too_deep,   // nesting beyond the bound; offset = the bracket
  };
  Kind kind = Kind::end;
  bool escaped = false;  // key, string: `raw` holds backslash escapes
  bool cut = false;      // string, number: the input ended inside it; `raw` is what came
  uint64_t offset = 0;   // of the token in the input, quotes included
  uint64_t length = 0;   // quotes included; containers: 1 (the bracket)
  std::string_view raw;  // key, string: between the quotes; number, literal: its lexeme

  bool is_terminal() const { return kind >= Kind::end; }
  bool is_scalar() const { return kind >= Kind::string && kind <= Kind::literal_null; }
};

class JsonTokenizer {
 public:
  static constexpr uint32_t kMaxDepth = 4096;

  // Borrows `input`. Reading starts at `offset` (for JSON lines: the offset of
  // the last `end` token); token offsets count from the start of `input`.
  // Larger `depth` than kMaxDepth counts as kMaxDepth.
  explicit JsonTokenizer(std::string_view input, uint32_t depth = 512, uint64_t offset = 0);

  // The next token; false when it is a terminal one (and for ever after).
  bool next(JsonToken& token);

  // After begin_object, begin_array: reads past the matching end. After key:
  // past its value. After anything else: nothing. False on a terminal token,
  // which `last` then holds; otherwise `last` is the last token of what was skipped.
  bool skip(JsonToken& last);

  uint32_t depth() const { return depth_; }      // open containers
  uint64_t offset() const { return position_; }  // first byte not yet read

 private:
  enum class Expect : uint8_t { value, value_or_end, key, key_or_end, comma_or_end, done, terminal };

  bool terminal(JsonToken& token, JsonToken::Kind kind, uint64_t offset);
  bool read_string(JsonToken& token, JsonToken::Kind kind);
  bool read_number(JsonToken& token);
  bool read_literal(JsonToken& token, std::string_view word, JsonToken::Kind kind);
  bool open(JsonToken& token, bool object);
  bool close(JsonToken& token, bool object);
  void after_value();
  void skip_space();
  bool in_object() const { return (objects_[(depth_ - 1) / 64] >> ((depth_ - 1) % 64)) & 1; }

  const char* data_;
  uint64_t size_;
  uint64_t position_;
  uint32_t depth_ = 0;
  uint32_t max_depth_;
  Expect expect_ = Expect::value;
  JsonToken::Kind last_ = JsonToken::Kind::end;
  JsonToken::Kind terminal_ = JsonToken::Kind::end;
  uint64_t terminal_offset_ = 0;
  std::array<uint64_t, kMaxDepth / 64> objects_;  // bit per open container: is it an object
};

// The text of a key or string token: `raw` itself without escapes, else the
// unescaped bytes in `scratch` (cleared first). Lone surrogates become their
// three-byte form in U+FFFD; an unknown or cut escape is kept as it stands.
std::string_view unescaped(const JsonToken& token, std::string& scratch);
std::string_view json_unescape(std::string_view raw, std::string& scratch);

// Position of the first '"' or '\\' in [from, size), or size. Exposed for tests.
uint64_t find_quote_or_backslash(const char* data, uint64_t from, uint64_t size);

}  // namespace vitrine
