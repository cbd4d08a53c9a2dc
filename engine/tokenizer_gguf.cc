#include "engine/tokenizer_gguf.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "engine/tokenizer.h"

namespace vitrine {
namespace {

// tokenizer.ggml.token_type (ggml's numbers).
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Control tokens that end an answer, whichever of them a file names as its eos:
// converters write one id, models were trained with several.
constexpr std::array<std::string_view, 9> kEndings = {"<|eot_id|>",      "<|eom_id|>",    "<|im_end|>",
                                                      "<|end_of_text|>", "<|endoftext|>", "<|return|>",
                                                      "<|call|>",        "</s>",          "<｜end▁of▁sentence｜>"};

class Keys {
 public:
  explicit Keys(const GgufModel& model) : model_(model) {}

  static std::string full(std::string_view name) { return "tokenizer.ggml." + std::string(name); }
  tl::unexpected<Error> bad(std::string_view name, std::string message, ErrorCode code = ErrorCode::malformed) const {
    return fail(code, std::move(message), model_.path() + ", key " + full(name));
  }
  const GgufValue* find(std::string_view name) const { return model_.find(full(name)); }

  Result<std::vector<std::string_view>> strings(std::string_view name) const {
    const GgufValue* const value = find(name);
    auto list = value != nullptr ? value->as_strings() : std::nullopt;
    if (!list) return bad(name, value == nullptr ? "missing" : "not a list of strings");
    return std::move(*list);
  }

  // A token id, checked against `count`. Files write "no such token" as an id out of range.
  Result<std::optional<TokenId>> id(std::string_view name, size_t count) const {
    const GgufValue* const value = find(name);
    if (value == nullptr) return std::optional<TokenId>();
    const auto number = value->as_integer();
    if (!number) return bad(name, "not an integer");
    if (*number == -1 || *number == 0xFFFFFFFF) return std::optional<TokenId>();
    if (*number < 0 || static_cast<uint64_t>(*number) >= count) {
      return bad(name, "token " + std::to_string(*number) + " does not exist");
    }
    return std::optional<TokenId>(static_cast<TokenId>(*number));
  }

  Result<bool> flag(std::string_view name, bool otherwise) const {
    const GgufValue* const value = find(name);
    if (value == nullptr) return otherwise;
    const auto flag = value->as_bool();
    if (!flag) return bad(name, "not a boolean");
    return *flag;
  }

 private:
  const GgufModel& model_;
};

Status read_merges(const Keys& keys, TokenizerData& data) {
  const auto merges = keys.strings("merges");
  if (!merges) return tl::unexpected(merges.error());
  data.merges.reserve(merges->size());
  for (const std::string_view merge : *merges) {
    const size_t space = merge.find(' ', 1);  // a token never begins a merge with nothing before the space
    if (space == merge.npos || space + 1 == merge.size()) {
      return keys.bad("merges", quoted_name(merge) + " is not two tokens");
    }
    data.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return {};
}

Status read_pieces(const Keys& keys, TokenizerData& data) {
  const GgufValue* const value = keys.find("scores");
  const auto scores = value != nullptr ? value->as_reals() : std::nullopt;
  if (!scores) return keys.bad("scores", value == nullptr ? "missing" : "not a list of numbers");
  data.scores.assign(scores->begin(), scores->end());
  data.model = TokenizerData::Model::sentencepiece;
  data.byte_level = false;
  data.byte_fallback = true;
  data.fuse_unknown = true;
  // What SentencePiece's own normalizers would do is done by none of these files' models.
  const auto squeeze = keys.flag("remove_extra_whitespaces", false);
  if (!squeeze) return tl::unexpected(squeeze.error());
  if (*squeeze) return keys.bad("remove_extra_whitespaces", "not supported", ErrorCode::unsupported);
  if (keys.find("precompiled_charsmap") != nullptr) {
    return keys.bad("precompiled_charsmap", "not supported", ErrorCode::unsupported);
  }
  const auto prefix = keys.flag("add_space_prefix", true);
  if (!prefix) return tl::unexpected(prefix.error());
  if (*prefix) data.normalizer.push_back({NormalizerStep::Kind::prepend, {}, "\xE2\x96\x81"});
  data.normalizer.push_back({NormalizerStep::Kind::replace, " ", "\xE2\x96\x81"});
  data.strip_first_space = *prefix;
  return {};
}

}  // namespace

Result<TokenizerData> read_tokenizer_gguf(const GgufModel& model) {
  const Keys keys(model);
  const auto text = [&](std::string_view name) -> std::string_view {
    const GgufValue* const value = keys.find(name);
    return value != nullptr ? value->as_string().value_or("") : "";
  };
  TokenizerData data;
  const std::string_view kind = text("model");
  if (kind != "gpt2" && kind != "llama") {
    return keys.bad("model", quoted_name(kind) + " is not supported; gpt2 and llama are", ErrorCode::unsupported);
  }
  const auto tokens = keys.strings("tokens");
  if (!tokens) return tl::unexpected(tokens.error());
  if (tokens->size() > Tokenizer::kMaxTokens) return keys.bad("tokens", "more than 2097152 tokens", ErrorCode::limit);
  data.tokens.assign(tokens->begin(), tokens->end());
  const size_t count = data.tokens.size();

  if (kind == "gpt2") {
    const std::string_view pre = text("pre");
    if (pre.empty()) {
      return keys.bad("pre",
                      "missing: how the model splits text is not known; convert the model again with a newer converter",
                      ErrorCode::unsupported);
    }
    if (const Status known = apply_named_pre_tokenizer(pre, data); !known) {
      return keys.bad("pre", known.error().message, known.error().code);
    }
    if (const Status read = read_merges(keys, data); !read) return tl::unexpected(read.error());
  } else if (const Status read = read_pieces(keys, data); !read) {
    return tl::unexpected(read.error());
  }

  if (const GgufValue* const value = keys.find("token_type")) {
    const auto types = value->as_integers();
    if (!types || types->size() != count) return keys.bad("token_type", "not one integer per token");
    for (size_t id = 0; id < count; ++id) {
      const int64_t type = (*types)[id];
      if (type < kNormal || type > kByte) return keys.bad("token_type", "unknown type " + std::to_string(type));
      if (data.tokens[id].empty()) continue;
      AddedToken token{static_cast<TokenId>(id), data.tokens[id]};
      token.special = type == kControl || type == kUnknown;
      if (type == kControl && std::find(kEndings.begin(), kEndings.end(), token.text) != kEndings.end()) {
        data.end_of_generation.push_back(token.id);
      }
      if (token.special || type == kUserDefined) data.added.push_back(std::move(token));
      if (type == kUnknown && kind == "llama") data.unknown = static_cast<TokenId>(id);
    }
  }

  for (const auto& [name, slot] : {std::pair{"bos_token_id", &data.bos},
                                   {"eos_token_id", &data.eos},
                                   {"padding_token_id", &data.padding},
                                   {"unknown_token_id", kind == "llama" ? &data.unknown : nullptr}}) {
    if (slot == nullptr) continue;
    const auto id = keys.id(name, count);
    if (!id) return tl::unexpected(id.error());
    if (*id) *slot = *id;
  }
  for (const char* const name : {"eot_token_id", "eom_token_id"}) {
    const auto id = keys.id(name, count);
    if (!id) return tl::unexpected(id.error());
    if (*id) data.end_of_generation.push_back(**id);
  }
  const auto add_bos = keys.flag("add_bos_token", kind == "llama"), add_eos = keys.flag("add_eos_token", false);
  if (!add_bos || !add_eos) return tl::unexpected(!add_bos ? add_bos.error() : add_eos.error());
  data.add_bos = *add_bos;
  data.add_eos = *add_eos;
  return data;
}

std::string gguf_chat_template(const GgufModel& model) {
  const GgufValue* const value = model.find("tokenizer.chat_template");
  return std::string(value != nullptr ? value->as_string().value_or("") : "");
}

}  // namespace vitrine
