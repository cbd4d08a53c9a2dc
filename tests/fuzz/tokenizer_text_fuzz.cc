// Any text through every pre-tokenizer: nothing is lost, no piece of the stream
// ends inside a character, and no control token comes from a literal range.
// Input: which pre-tokenizer, which added tokens, two bytes of a range, the text.
#include <array>
#include <cstdlib>
#include <optional>

#include "engine/tokenizer.h"
#include "engine/unicode.h"

namespace {

using namespace vitrine;

void require(bool condition) {
  if (!condition) std::abort();
}

constexpr std::array kNames = {"gpt-2",       "llama-bpe", "deepseek-r1-qwen", "deepseek-llm",
                               "deepseek-v3", "smollm",    "gpt-4o",           "qwen2"};

Tokenizer make(const char* name) {
  TokenizerData data;
  const auto spell = [](std::string_view bytes) {
    std::string out;
    for (const char c : bytes) append_utf8(out, byte_to_alphabet(static_cast<uint8_t>(c)));
    return out;
  };
  for (int byte = 0; byte < 256; ++byte) data.tokens.push_back(spell(std::string(1, static_cast<char>(byte))));
  constexpr std::array<std::pair<const char*, const char*>, 12> kMerges = {{{"a", "b"},
                                                                            {" ", "a"},
                                                                            {" ", " "},
                                                                            {"  ", "  "},
                                                                            {"\xEA", "\xB0"},
                                                                            {"\xEA\xB0", "\x80"},
                                                                            {"1", "2"},
                                                                            {"ab", "ab"},
                                                                            {"\n", "\n"},
                                                                            {"<", "s"},
                                                                            {"<s", ">"},
                                                                            {"e", "\xCC"}}};
  for (const auto& [left, right] : kMerges) {
    data.tokens.push_back(spell(std::string(left) + right));
    data.merges.emplace_back(spell(left), spell(right));
  }
  const auto add = [&](std::string text, bool special, bool normalized, bool lstrip, bool rstrip) {
    data.added.push_back({static_cast<TokenId>(data.tokens.size()), text, special, normalized, lstrip, rstrip});
    data.tokens.push_back(std::move(text));
  };
  add("<|s|>", true, false, false, false);
  add("<|s|>>", true, false, false, false);
  add("<t>", false, true, false, false);
  require(apply_named_pre_tokenizer(name, data).has_value());
  auto tokenizer = Tokenizer::create(std::move(data));
  require(tokenizer.has_value());
  return std::move(*tokenizer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::array<std::optional<Tokenizer>, kNames.size()> tokenizers;
  if (size < 4) return 0;
  const size_t which = data[0] % kNames.size();
  if (!tokenizers[which]) tokenizers[which].emplace(make(kNames[which]));
  const Tokenizer& tokenizer = *tokenizers[which];
  const std::string_view text(reinterpret_cast<const char*>(data) + 4, size - 4);
  EncodeOptions options;
  options.added = static_cast<AddedTokens>(data[1] % 3);
  const TextRange range{std::min<size_t>(data[2], text.size()),
                        std::min<size_t>(size_t{data[2]} + data[3], text.size())};
  if (range.begin < range.end) options.literal = {&range, 1};
  const auto ids = tokenizer.encode(text, options);
  require(ids.has_value());
  std::string scratch, joined;
  StreamingDetokenizer stream(tokenizer, false);
  size_t specials = 0;
  for (const TokenId id : *ids) {
    const std::string part = stream.push(id);
    require(well_formed(part, scratch).data() == part.data());
    joined += part;
    if (tokenizer.is_special(id)) ++specials;
  }
  joined += stream.finish();
  require(joined == tokenizer.decode(*ids));
  const std::string_view expected = well_formed(text, scratch);
  if (std::string_view(kNames[which]) != "qwen2") require(joined == expected);  // its normalizer changes text
  if (options.added != AddedTokens::all) require(specials == 0);
  if (range.begin == 0 && range.end == text.size()) require(specials == 0);
  return 0;
}
