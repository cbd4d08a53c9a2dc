// What a model file says about its tokenizer, independent of the file format.
// Filled by tokenizer_json.h (Hugging Face) and tokenizer_gguf.h; plain data,
// not yet checked: Tokenizer::create() checks all of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vitrine {

using TokenId = int32_t;

// A token that is cut out of the text before anything else looks at it.
struct AddedToken {
  TokenId id = 0;
  std::string text;
  bool special = false;     // control token; others are ordinary words the model's maker added
  bool normalized = false;  // looked for after normalization instead of before
  bool lstrip = false;      // takes the white space before it
  bool rstrip = false;      // takes the white space behind it
};

struct NormalizerStep {
  enum class Kind : uint8_t {
    nfc,      // Unicode Normalization Form C
    prepend,  // `text` before every piece that is not empty
    replace,  // every `pattern` by `text`
  };
  Kind kind = Kind::nfc;
  std::string pattern;
  std::string text;
};

struct PreTokenizerStep {
  enum class Kind : uint8_t {
    split,      // matches of regular expression `pattern` are pieces of their own, and so is what lies between
    keep,       // matches are pieces; what lies between is dropped
    metaspace,  // ' ' becomes `pattern`; see prepend, split_words
  };
  enum class Prepend : uint8_t { never, first, always };
  Kind kind = Kind::split;
  std::string pattern;
  Prepend prepend = Prepend::never;  // metaspace: `pattern` before the first piece of the text, or before all
  bool split_words = false;          // metaspace: a piece begins at every `pattern`
};

struct TokenizerData {
  enum class Model : uint8_t {
    bpe,            // merges by rank (`merges`)
    sentencepiece,  // merges by the score of the piece they make (`scores`)
  };
  Model model = Model::bpe;
  // id -> text as the file spells it (byte_level: in GPT-2's byte alphabet). An
  // empty text is an id without a token.
  std::vector<std::string> tokens;
  std::vector<float> scores;                                // sentencepiece: one per token
  std::vector<std::pair<std::string, std::string>> merges;  // bpe: in rank order
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;

  bool byte_level = true;          // pieces are spelled in the byte alphabet; else characters
  bool byte_fallback = false;      // a character without a token becomes <0xNN> tokens
  bool fuse_unknown = false;       // neighbouring unknown characters are one unknown token
  bool ignore_merges = false;      // a piece that is a token needs no merges
  bool strip_first_space = false;  // decoding drops one space at the front (it was added when encoding)

  std::optional<TokenId> unknown, bos, eos, padding;
  std::vector<TokenId> end_of_generation;  // eos, eot, eom: any of them ends an answer
  bool add_bos = false;
  bool add_eos = false;
};

// Fills normalizer, pre_tokenizer and ignore_merges for a name as GGUF files use
// them in tokenizer.ggml.pre. unsupported, naming it, for any other name: a wrong
// split gives plausible nonsense, so there is no default.
Status apply_named_pre_tokenizer(std::string_view name, TokenizerData& data);

}  // namespace vitrine
