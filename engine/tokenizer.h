// Text <-> token ids, equal to Hugging Face's `tokenizers` for the models it
// covers (tests/peers/tokenizer_test.py compares them).
//
//   TokenizerData data = …;                       // tokenizer_json.h, tokenizer_gguf.h
//   auto tokenizer = Tokenizer::create(std::move(data));
//   auto ids = tokenizer->encode(prompt, {.added = AddedTokens::all});
//
// Thread-safe once created: encode() and decode() change nothing in it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/tokenizer_data.h"

namespace vitrine {

// Which added tokens are recognised in the text. A chat template's output needs
// `all`; text that somebody else wrote gets `none`, so that it cannot forge a turn.
enum class AddedTokens : uint8_t {
  none,         // every byte is text
  not_special,  // words that were added to the vocabulary, but no control tokens
  all,
};

// Bytes [begin, end) of the text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

struct EncodeOptions {
  AddedTokens added = AddedTokens::none;
  // Parts in which no added token is recognised although `added` allows it
  // (what a user wrote, within a rendered template): an added token that
  // overlaps one of them is text. Ascending, disjoint, within the text.
  std::span<const TextRange> literal = {};
  bool add_bos = false;  // the model's BOS in front, unless the text itself begins with it (see below)
};

class Tokenizer {
 public:
  // Bounds on what a file may ask for.
  static constexpr size_t kMaxTokens = 1u << 21;
  static constexpr size_t kMaxTokenBytes = 1u << 16;

  static Result<Tokenizer> create(TokenizerData data);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Ill-formed UTF-8 is read as U+FFFD (engine/unicode.h). Fails with `limit`
  // when a regular expression of the file needs too much work, and with
  // `unsupported` for a piece the vocabulary cannot spell.
  // add_bos: templates write BOS themselves, and BOS twice is a known way to
  // make models worse; so it is added only when the ids do not begin with it.
  Result<std::vector<TokenId>> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // Where `text` spells added tokens, or control tokens only, however they
  // overlap: ascending, disjoint; overlapping ones are one range. REQUIRES:
  // well-formed text.
  enum class Spelled : uint8_t { all, special };
  std::vector<TextRange> find_added(std::string_view text, Spelled which) const;

  // The text of `ids`: ill-formed bytes are U+FFFD. Ids out of range are skipped.
  std::string decode(std::span<const TokenId> ids, bool skip_special = false) const;

  size_t size() const;  // ids are 0 … size()-1
  // The bytes `id` stands for; may be part of a character. Empty for unknown ids.
  std::string_view bytes(TokenId id) const;
  bool is_special(TokenId id) const;  // control token
  bool is_byte(TokenId id) const;     // <0xNN>
  bool ends_generation(TokenId id) const;
  std::optional<TokenId> find(std::string_view text) const;  // an added token, or a token by its bytes

  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  bool add_bos() const;  // what the model wants for bare text
  bool strip_first_space() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

// The text of a growing sequence of tokens. What push() and finish() return, put
// together, equals Tokenizer::decode() of all ids; no piece ends inside a
// character. A character that may still be completed is held back.
class StreamingDetokenizer {
 public:
  // Borrows `tokenizer`.
  explicit StreamingDetokenizer(const Tokenizer& tokenizer, bool skip_special = true);

  std::string push(TokenId id);  // may be empty
  std::string finish();          // what was held back, as U+FFFD; then ready for a new sequence

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  bool at_start_ = true;
  std::string held_;
};

}  // namespace vitrine
