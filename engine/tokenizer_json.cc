#include "engine/tokenizer_json.h"

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/json_tokenizer.h"
#include "base/text.h"
#include "engine/pre_tokenizer.h"
#include "engine/tokenizer.h"

namespace vitrine {
namespace {

using Kind = JsonToken::Kind;
using Json = nlohmann::json;

constexpr size_t kMaxFile = size_t{256} << 20;
constexpr size_t kMaxPart = size_t{8} << 20;
constexpr uint32_t kMaxDepth = 64;
constexpr size_t kMaxMerges = 1u << 22;

tl::unexpected<Error> bad(std::string_view member, std::string message, ErrorCode code = ErrorCode::malformed) {
  return fail(code, std::move(message), "tokenizer.json, " + std::string(member));
}
tl::unexpected<Error> unsupported(std::string_view member, std::string message) {
  return bad(member, std::move(message), ErrorCode::unsupported);
}

// Members of foreign JSON, with the type asked for or a fallback.
std::string text_of(const Json& object, const char* name) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}
bool flag_of(const Json& object, const char* name, bool otherwise = false) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it != object.end() && it->is_boolean() ? it->get<bool>() : otherwise;
}
std::optional<TokenId> id_of(const Json& object, const char* name) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  if (it == object.end() || !it->is_number_unsigned()) return std::nullopt;
  const auto value = it->get<uint64_t>();
  return value < Tokenizer::kMaxTokens ? std::optional<TokenId>(static_cast<TokenId>(value)) : std::nullopt;
}
const Json* list_of(const Json& object, const char* name) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it != object.end() && it->is_array() ? &*it : nullptr;
}

// The value behind a key that was just read, as a document. Its nesting was
// bounded by `reader` and its size is checked here, so nlohmann may build it.
Result<Json> part(JsonTokenizer& reader, std::string_view text, std::string_view member) {
  const uint64_t begin = reader.offset();
  JsonToken last;
  if (!reader.next(last) || !reader.skip(last)) return bad(member, "broken JSON");
  const std::string_view lexeme = text.substr(begin, reader.offset() - begin);
  if (lexeme.size() > kMaxPart) return bad(member, "larger than 8 MiB", ErrorCode::limit);
  const size_t start = lexeme.find_first_not_of(": \t\r\n");
  Json json = Json::parse(lexeme.substr(std::min(start, lexeme.size())), nullptr, false);
  if (json.is_discarded()) return bad(member, "broken JSON");
  return json;
}

std::optional<uint64_t> unsigned_of(const JsonToken& token) {
  if (token.kind != Kind::number || token.raw.empty() || token.raw.size() > 10) return std::nullopt;
  uint64_t value = 0;
  for (const char c : token.raw) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// Tokens as the file lists them, in any order.
using Entries = std::vector<std::pair<uint64_t, std::string>>;

// Puts them at their ids. Ids may leave gaps, but not many: a small file must
// not ask for a large vocabulary.
Status place(Entries&& entries, TokenizerData& data) {
  const uint64_t bound = std::min<uint64_t>(Tokenizer::kMaxTokens, 2 * entries.size() + 4096);
  for (auto& [id, text] : entries) {
    if (id >= bound) return bad("model.vocab", "token id " + std::to_string(id) + " is out of range", ErrorCode::limit);
    if (data.tokens.size() <= id) data.tokens.resize(id + 1);
    std::string& slot = data.tokens[id];
    if (!slot.empty() && slot != text) return bad("model.vocab", "two texts for token id " + std::to_string(id));
    slot = std::move(text);
  }
  return {};
}

// Reads an object's members through `reader`: member(name, reader) must consume the value.
template <class Member>
Status object(JsonTokenizer& reader, std::string_view where, Member member) {
  JsonToken token;
  if (!reader.next(token) || token.kind != Kind::begin_object) return bad(where, "an object is missing");
  std::string scratch;
  while (reader.next(token)) {
    if (token.kind == Kind::end_object) return {};
    const std::string name(unescaped(token, scratch));
    Status done = member(name, reader);
    if (!done) return done;
  }
  return bad(where, "broken JSON");
}

Status read_vocab(JsonTokenizer& reader, Entries& entries) {
  return object(reader, "model.vocab", [&](const std::string& text, JsonTokenizer& values) -> Status {
    JsonToken token;
    values.next(token);
    const auto id = unsigned_of(token);
    if (!id) return bad("model.vocab", "the id of " + quoted_name(text) + " is no number");
    if (entries.size() >= Tokenizer::kMaxTokens)
      return bad("model.vocab", "more than 2097152 tokens", ErrorCode::limit);
    entries.emplace_back(*id, text);
    return {};
  });
}

// "a b" or ["a", "b"].
Status read_merges(JsonTokenizer& reader, TokenizerData& data) {
  JsonToken token;
  std::string scratch;
  if (!reader.next(token) || token.kind != Kind::begin_array) return bad("model.merges", "an array is missing");
  while (reader.next(token) && token.kind != Kind::end_array) {
    if (data.merges.size() >= kMaxMerges) return bad("model.merges", "more than 4194304 merges", ErrorCode::limit);
    if (token.kind == Kind::string) {
      const std::string_view both = unescaped(token, scratch);
      const size_t space = both.find(' ');
      if (space == both.npos || both.find(' ', space + 1) != both.npos) {
        return bad("model.merges", quoted_name(std::string(both)) + " is not two tokens");
      }
      data.merges.emplace_back(both.substr(0, space), both.substr(space + 1));
      continue;
    }
    if (token.kind != Kind::begin_array) return bad("model.merges", "neither a string nor a pair");
    std::pair<std::string, std::string> pair;
    JsonToken left, right, end;
    if (!reader.next(left) || left.kind != Kind::string) return bad("model.merges", "a pair is not two strings");
    pair.first = unescaped(left, scratch);
    if (!reader.next(right) || right.kind != Kind::string) return bad("model.merges", "a pair is not two strings");
    pair.second = unescaped(right, scratch);
    if (!reader.next(end) || end.kind != Kind::end_array) return bad("model.merges", "a pair is not two strings");
    data.merges.push_back(std::move(pair));
  }
  if (token.kind != Kind::end_array) return bad("model.merges", "broken JSON");
  return {};
}

Status read_model(JsonTokenizer& reader, std::string_view text, TokenizerData& data, Entries& entries,
                  std::string& unknown) {
  bool has_merges = false;
  std::string type = "BPE";  // files made before the member existed
  Status done = object(reader, "model", [&](const std::string& name, JsonTokenizer& values) -> Status {
    if (name == "vocab") {
      // Unigram has a list here; say what the model is rather than what the list is.
      return type == "BPE" ? read_vocab(values, entries)
                           : unsupported("model.type", quoted_name(type) + " is not supported, only BPE");
    }
    if (name == "merges") {
      has_merges = true;
      return read_merges(values, data);
    }
    const auto value = part(values, text, "model." + name);
    if (!value) return tl::unexpected(value.error());
    if (name == "type" && value->is_string()) {
      type = value->get<std::string>();
      if (type != "BPE") return unsupported("model.type", quoted_name(type) + " is not supported, only BPE");
    }
    if (name == "unk_token" && value->is_string()) unknown = value->get<std::string>();
    if (name == "byte_fallback" && value->is_boolean()) data.byte_fallback = value->get<bool>();
    if (name == "fuse_unk" && value->is_boolean()) data.fuse_unknown = value->get<bool>();
    if (name == "ignore_merges" && value->is_boolean()) data.ignore_merges = value->get<bool>();
    if (name == "dropout" && !value->is_null() && *value != 0.0) {
      return unsupported("model.dropout", "tokens would depend on chance");
    }
    if ((name == "continuing_subword_prefix" || name == "end_of_word_suffix") && value->is_string() && *value != "") {
      return unsupported("model." + name, "not supported");
    }
    return {};
  });
  if (!done) return done;
  if (!has_merges) return bad("model.merges", "missing");
  return {};
}

Status read_added(const Json& list, TokenizerData& data) {
  if (!list.is_array()) return bad("added_tokens", "not an array");
  for (const Json& entry : list) {
    const auto id = id_of(entry, "id");
    if (!id) return bad("added_tokens", "an entry without a usable id");
    AddedToken token;
    token.id = *id;
    token.text = text_of(entry, "content");
    token.special = flag_of(entry, "special");
    token.normalized = flag_of(entry, "normalized", !token.special);
    token.lstrip = flag_of(entry, "lstrip");
    token.rstrip = flag_of(entry, "rstrip");
    if (flag_of(entry, "single_word"))
      return unsupported("added_tokens", "single_word of " + quoted_name(token.text) + " is not supported");
    data.added.push_back(std::move(token));
  }
  return {};
}

// {"String": s} or {"Regex": r}; escaped so that both are expressions.
std::optional<std::string> pattern_of(const Json& step, bool& literal) {
  const auto it = step.find("pattern");
  if (it == step.end() || !it->is_object()) return std::nullopt;
  literal = it->contains("String");
  std::string text = text_of(*it, literal ? "String" : "Regex");
  if (text.empty()) return std::nullopt;
  return text;
}

std::string escaped_literal(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

Status read_normalizer(const Json& json, TokenizerData& data) {
  if (json.is_null()) return {};
  const std::string type = text_of(json, "type");
  if (type == "Sequence") {
    const Json* const list = list_of(json, "normalizers");
    if (list == nullptr) return bad("normalizer", "a Sequence without normalizers");
    for (const Json& step : *list) {
      if (Status done = read_normalizer(step, data); !done) return done;
    }
    return {};
  }
  NormalizerStep step;
  if (type == "NFC") {
    step.kind = NormalizerStep::Kind::nfc;
  } else if (type == "Prepend") {
    step.kind = NormalizerStep::Kind::prepend;
    step.text = text_of(json, "prepend");
  } else if (type == "Replace") {
    bool literal = false;
    const auto pattern = pattern_of(json, literal);
    if (!pattern || !literal) return unsupported("normalizer", "Replace of an expression is not supported");
    step.kind = NormalizerStep::Kind::replace;
    step.pattern = *pattern;
    step.text = text_of(json, "content");
  } else {
    return unsupported("normalizer", quoted_name(type) + " is not supported");
  }
  if (data.normalizer.size() >= 16) return bad("normalizer", "more than 16 steps", ErrorCode::limit);
  data.normalizer.push_back(std::move(step));
  return {};
}

Status read_pre_tokenizer(const Json& json, TokenizerData& data, bool& byte_level) {
  if (json.is_null()) return {};
  const std::string type = text_of(json, "type");
  PreTokenizerStep step;
  if (type == "Sequence") {
    const Json* const list = list_of(json, "pretokenizers");
    if (list == nullptr) return bad("pre_tokenizer", "a Sequence without pretokenizers");
    for (const Json& inner : *list) {
      if (Status done = read_pre_tokenizer(inner, data, byte_level); !done) return done;
    }
    return {};
  }
  if (byte_level) return unsupported("pre_tokenizer", quoted_name(type) + " behind ByteLevel is not supported");
  if (type == "ByteLevel") {
    byte_level = true;
    if (flag_of(json, "add_prefix_space", true))
      return unsupported("pre_tokenizer", "ByteLevel with add_prefix_space is not supported");
    if (!flag_of(json, "use_regex", true)) return {};
    step.pattern = std::string(kGpt2Pattern);  // what it splits with unless told otherwise
  } else if (type == "Digits") {
    step.pattern = flag_of(json, "individual_digits") ? "\\p{N}" : "\\p{N}+";
  } else if (type == "Split") {
    bool literal = false;
    const auto pattern = pattern_of(json, literal);
    if (!pattern) return bad("pre_tokenizer", "a Split without pattern");
    const std::string behavior = text_of(json, "behavior");
    const bool invert = flag_of(json, "invert");
    if (behavior == "Removed" && invert) {
      step.kind = PreTokenizerStep::Kind::keep;
    } else if (behavior != "Isolated") {  // inverting makes no difference to Isolated
      return unsupported("pre_tokenizer",
                         "Split behavior " + quoted_name(behavior) + (invert ? " inverted" : "") + " is not supported");
    }
    step.pattern = literal ? escaped_literal(*pattern) : *pattern;
  } else if (type == "Metaspace") {
    step.kind = PreTokenizerStep::Kind::metaspace;
    step.pattern = text_of(json, "replacement");
    std::string scheme = text_of(json, "prepend_scheme");
    if (scheme.empty()) scheme = flag_of(json, "add_prefix_space", true) ? "always" : "never";
    if (scheme == "always") {
      step.prepend = PreTokenizerStep::Prepend::always;
    } else if (scheme == "first") {
      step.prepend = PreTokenizerStep::Prepend::first;
    } else if (scheme != "never") {
      return unsupported("pre_tokenizer", "Metaspace prepend_scheme " + quoted_name(scheme) + " is not supported");
    }
    step.split_words = flag_of(json, "split", true);
  } else {
    return unsupported("pre_tokenizer", quoted_name(type) + " is not supported");
  }
  data.pre_tokenizer.push_back(std::move(step));
  return {};
}

// Only what it adds in front or behind matters here.
Status read_post_processor(const Json& json, TokenizerData& data) {
  if (json.is_null()) return {};
  const std::string type = text_of(json, "type");
  if (type == "ByteLevel") return {};  // offsets only
  if (type == "Sequence") {
    const Json* const list = list_of(json, "processors");
    if (list == nullptr) return bad("post_processor", "a Sequence without processors");
    for (const Json& inner : *list) {
      if (Status done = read_post_processor(inner, data); !done) return done;
    }
    return {};
  }
  if (type != "TemplateProcessing") return unsupported("post_processor", quoted_name(type) + " is not supported");
  const Json* const single = list_of(json, "single");
  if (single == nullptr) return bad("post_processor", "TemplateProcessing without single");
  bool behind = false;
  for (const Json& piece : *single) {
    if (piece.contains("Sequence")) {
      behind = true;
      continue;
    }
    const auto special = piece.find("SpecialToken");
    if (special == piece.end()) return bad("post_processor", "neither Sequence nor SpecialToken");
    const std::string name = text_of(*special, "id");
    std::optional<TokenId> id;
    if (const auto all = json.find("special_tokens"); all != json.end() && all->is_object()) {
      if (const auto entry = all->find(name); entry != all->end()) {
        const Json* const ids = list_of(*entry, "ids");
        if (ids != nullptr && ids->size() == 1 && (*ids)[0].is_number_unsigned()) {
          const auto value = (*ids)[0].get<uint64_t>();
          if (value < Tokenizer::kMaxTokens) id = static_cast<TokenId>(value);
        }
      }
    }
    if (!id) return bad("post_processor", quoted_name(name) + " is not one token");
    (behind ? data.add_eos : data.add_bos) = true;
    (behind ? data.eos : data.bos) = id;
  }
  return {};
}

// Decoding follows from the model; the file's decoder is checked for what would differ.
Status read_decoder(const Json& json, TokenizerData& data) {
  if (json.is_null()) return {};
  const std::string type = text_of(json, "type");
  if (type == "Sequence") {
    const Json* const list = list_of(json, "decoders");
    if (list == nullptr) return bad("decoder", "a Sequence without decoders");
    for (const Json& inner : *list) {
      if (Status done = read_decoder(inner, data); !done) return done;
    }
    return {};
  }
  if (type == "ByteLevel" || type == "ByteFallback" || type == "Fuse" || type == "Replace") return {};
  if (type == "Strip") {
    data.strip_first_space = text_of(json, "content") == " " && json.contains("start") && json["start"] == 1;
    return {};
  }
  if (type == "Metaspace") {
    data.strip_first_space = text_of(json, "prepend_scheme") != "never";
    return {};
  }
  return unsupported("decoder", quoted_name(type) + " is not supported");
}

// "text" or {"content": "text"}.
std::optional<std::string> token_text(const Json& config, const char* name) {
  const auto it = config.find(name);
  if (it == config.end()) return std::nullopt;
  if (it->is_string()) return it->get<std::string>();
  const std::string content = text_of(*it, "content");
  return content.empty() ? std::nullopt : std::optional<std::string>(content);
}

Result<Json> parse_config(std::string_view text) {
  if (text.size() > 2 * kMaxPart) return fail(ErrorCode::limit, "larger than 16 MiB", "tokenizer_config.json");
  JsonTokenizer check(text, kMaxDepth);
  JsonToken token;
  while (check.next(token)) {
  }
  Json json = token.kind == Kind::end ? Json::parse(text, nullptr, false) : Json(Json::value_t::discarded);
  if (!json.is_object()) return fail(ErrorCode::malformed, "not a JSON object", "tokenizer_config.json");
  return json;
}

}  // namespace

Result<TokenizerData> read_tokenizer_json(std::string_view text) {
  if (text.size() > kMaxFile) return bad("the file", "larger than 256 MiB", ErrorCode::limit);
  TokenizerData data;
  std::string unknown;
  bool byte_level = false, has_model = false;
  Json added = Json::array();
  Entries entries;
  JsonTokenizer reader(text, kMaxDepth);
  Status done = object(reader, "the file", [&](const std::string& name, JsonTokenizer& values) -> Status {
    if (name == "model") {
      has_model = true;
      return read_model(values, text, data, entries, unknown);
    }
    auto value = part(values, text, name);
    if (!value) return tl::unexpected(value.error());
    if (name == "added_tokens") {
      added = std::move(*value);
      return {};
    }
    if (name == "normalizer") return read_normalizer(*value, data);
    if (name == "pre_tokenizer") return read_pre_tokenizer(*value, data, byte_level);
    if (name == "post_processor") return read_post_processor(*value, data);
    if (name == "decoder") return read_decoder(*value, data);
    // Truncation and padding belong to training; versions carry no meaning for us.
    return {};
  });
  if (!done) return tl::unexpected(done.error());
  if (!has_model) return bad("model", "missing");
  data.byte_level = byte_level;
  if (Status read = read_added(added, data); !read) return tl::unexpected(read.error());
  for (const AddedToken& token : data.added) entries.emplace_back(static_cast<uint64_t>(token.id), token.text);
  if (Status placed = place(std::move(entries), data); !placed) return tl::unexpected(placed.error());
  if (!unknown.empty()) {
    for (size_t id = 0; id < data.tokens.size(); ++id) {
      if (data.tokens[id] == unknown) data.unknown = static_cast<TokenId>(id);
    }
    if (!data.unknown) return bad("model.unk_token", quoted_name(unknown) + " is no token");
  }
  return data;
}

Status apply_tokenizer_config(std::string_view text, TokenizerData& data) {
  const auto config = parse_config(text);
  if (!config) return tl::unexpected(config.error());
  const auto apply = [&](const char* name, std::optional<TokenId>& slot) -> Status {
    const auto wanted = token_text(*config, name);
    if (!wanted) return {};
    for (size_t id = 0; id < data.tokens.size(); ++id) {
      if (data.tokens[id] != *wanted) continue;
      slot = static_cast<TokenId>(id);
      return {};
    }
    return fail(ErrorCode::malformed, quoted_name(*wanted) + " is no token",
                std::string("tokenizer_config.json, ") + name);
  };
  for (const auto& [name, slot] :
       {std::pair{"bos_token", &data.bos}, {"eos_token", &data.eos}, {"pad_token", &data.padding}}) {
    if (Status done = apply(name, *slot); !done) return done;
  }
  data.add_bos = flag_of(*config, "add_bos_token", data.add_bos);
  data.add_eos = flag_of(*config, "add_eos_token", data.add_eos);
  return {};
}

Result<std::string> config_chat_template(std::string_view text, bool tools) {
  const auto config = parse_config(text);
  if (!config) return tl::unexpected(config.error());
  const auto it = config->find("chat_template");
  if (it == config->end() || it->is_null()) return std::string();
  if (it->is_string()) return it->get<std::string>();
  std::string fallback;
  if (it->is_array()) {
    for (const Json& entry : *it) {
      const std::string name = text_of(entry, "name");
      if (tools && name == "tool_use") return text_of(entry, "template");
      if (name == "default") fallback = text_of(entry, "template");
    }
    if (!fallback.empty()) return fallback;
  }
  return fail(ErrorCode::malformed, "neither a string nor a list with a default",
              "tokenizer_config.json, chat_template");
}

}  // namespace vitrine
