// The tokenizer keys of GGUF files: what they mean, and that what is missing or
// unknown is refused by name. tests/peers/tokenizer_test.py compares whole vocabularies.
#include "engine/tokenizer_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "engine/gguf_writer.h"
#include "engine/tokenizer.h"
#include "engine/unicode.h"

namespace vitrine {
namespace {

using ::testing::HasSubstr;

struct Keys {
  std::string model = "gpt2", pre = "gpt-2";
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  std::vector<float> scores;
  std::vector<std::pair<std::string, uint32_t>> ids;
  std::vector<std::pair<std::string, bool>> flags;
};

Result<TokenizerData> read(const Keys& keys) {
  std::string bytes;
  GgufWriter writer(append_to(bytes));
  writer.add("general.architecture", "llama");
  if (!keys.model.empty()) writer.add("tokenizer.ggml.model", keys.model);
  if (!keys.pre.empty()) writer.add("tokenizer.ggml.pre", keys.pre);
  if (!keys.tokens.empty()) writer.add("tokenizer.ggml.tokens", std::span<const std::string>(keys.tokens));
  if (!keys.merges.empty()) writer.add("tokenizer.ggml.merges", std::span<const std::string>(keys.merges));
  if (!keys.types.empty()) writer.add("tokenizer.ggml.token_type", std::span<const int32_t>(keys.types));
  if (!keys.scores.empty()) writer.add("tokenizer.ggml.scores", std::span<const float>(keys.scores));
  for (const auto& [name, id] : keys.ids) writer.add("tokenizer.ggml." + name, id);
  for (const auto& [name, flag] : keys.flags) writer.add("tokenizer.ggml." + name, flag);
  writer.add("tokenizer.chat_template", "{{ messages }}");
  EXPECT_TRUE(writer.begin_data());
  EXPECT_TRUE(writer.finish());
  const std::string path =
      (std::filesystem::temp_directory_path() / ("vitrine-tokenizer-" + std::to_string(getpid()) + ".gguf")).string();
  EXPECT_TRUE(write_file(path, bytes));
  const auto model = GgufModel::open(path);
  std::remove(path.c_str());
  if (!model) return tl::unexpected(model.error());
  EXPECT_EQ(gguf_chat_template(*model), "{{ messages }}");
  return read_tokenizer_gguf(*model);
}

Keys byte_level() {
  Keys keys;
  for (int byte = 0; byte < 256; ++byte) {
    std::string text;
    append_utf8(text, byte_to_alphabet(static_cast<uint8_t>(byte)));
    keys.tokens.push_back(text);
  }
  for (const char* more : {"ab", "Ġa", "<|im_end|>", "<think>", "<unused>"}) keys.tokens.emplace_back(more);
  keys.merges = {"a b", "Ġ a"};
  keys.types.assign(258, 1);
  keys.types.insert(keys.types.end(), {3, 4, 5});
  keys.ids = {{"bos_token_id", 0}, {"eos_token_id", 1}, {"eot_token_id", 2}, {"padding_token_id", 0xFFFFFFFF}};
  return keys;
}

Keys pieces() {
  Keys keys;
  keys.model = "llama";
  keys.pre.clear();
  keys.tokens = {"<unk>", "<s>", "</s>"};
  keys.types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    keys.tokens.emplace_back(name);
    keys.types.push_back(6);
  }
  for (const char* piece : {"▁a", "ab", "▁", "a", "b"}) {
    keys.tokens.emplace_back(piece);
    keys.types.push_back(1);
  }
  keys.scores.assign(keys.tokens.size(), -1000);
  keys.scores[259] = -1;
  keys.scores[260] = -2;
  keys.ids = {{"bos_token_id", 1}, {"eos_token_id", 2}, {"unknown_token_id", 0}};
  return keys;
}

std::vector<TokenId> encode(const Keys& keys, std::string_view text, AddedTokens added = AddedTokens::none) {
  auto data = read(keys);
  EXPECT_TRUE(data) << data.error().to_string();
  const auto tokenizer = Tokenizer::create(std::move(*data));
  EXPECT_TRUE(tokenizer) << tokenizer.error().to_string();
  return *tokenizer->encode(text, {.added = added});
}

TEST(TokenizerGguf, ByteLevel) {
  const auto data = read(byte_level());
  ASSERT_TRUE(data) << data.error().to_string();
  EXPECT_EQ(data->bos, 0);
  EXPECT_FALSE(data->padding) << "written as no token";
  EXPECT_FALSE(data->add_bos);
  EXPECT_EQ(encode(byte_level(), " ab a"), (std::vector<TokenId>{' ', 256, 257})) << "ab has the lower rank";
  EXPECT_EQ(encode(byte_level(), "ab"), (std::vector<TokenId>{256}));
  EXPECT_EQ(encode(byte_level(), "<|im_end|><think>", AddedTokens::all), (std::vector<TokenId>{258, 259}));
  EXPECT_EQ(encode(byte_level(), "<think>", AddedTokens::not_special), (std::vector<TokenId>{259}));
  const auto tokenizer = Tokenizer::create(*data);
  EXPECT_TRUE(tokenizer->ends_generation(1) && tokenizer->ends_generation(2));
  EXPECT_TRUE(tokenizer->ends_generation(258)) << "a known end that the file names nowhere";
  EXPECT_FALSE(tokenizer->ends_generation(0) || tokenizer->ends_generation(259) || tokenizer->ends_generation(-1));
}

TEST(TokenizerGguf, SentencePiece) {
  const auto data = read(pieces());
  ASSERT_TRUE(data) << data.error().to_string();
  EXPECT_TRUE(data->add_bos) << "SentencePiece models want it unless the file says otherwise";
  // "▁ab": "▁a" has the better score than "ab".
  EXPECT_EQ(encode(pieces(), "ab"), (std::vector<TokenId>{259, 263}));
  EXPECT_EQ(encode(pieces(), "é"), (std::vector<TokenId>{261, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(encode(pieces(), "<s>a", AddedTokens::all), (std::vector<TokenId>{1, 259}));
  Keys bare = pieces();
  bare.flags = {{"add_space_prefix", false}, {"add_bos_token", false}};
  EXPECT_EQ(encode(bare, "ab"), (std::vector<TokenId>{260}));
  EXPECT_FALSE(read(bare)->add_bos);
  const auto tokenizer = Tokenizer::create(*data);
  EXPECT_EQ(tokenizer->decode(encode(pieces(), "ab é\n")), "ab é\n");
  EXPECT_TRUE(tokenizer->is_byte(3));
}

TEST(TokenizerGguf, RefusesByName) {
  const auto refusal = [](Keys keys, void (*change)(Keys&)) {
    change(keys);
    const auto data = read(keys);
    return data ? std::string("accepted") : data.error().to_string();
  };
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.model = "rwkv"; }), HasSubstr("key tokenizer.ggml.model: 'rwkv'"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.model.clear(); }), HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.pre = "poro-chat"; }), HasSubstr("'poro-chat' is not known"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.pre.clear(); }), HasSubstr("tokenizer.ggml.pre: missing"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.merges.clear(); }), HasSubstr("tokenizer.ggml.merges: missing"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.merges = {"ab"}; }), HasSubstr("'ab' is not two tokens"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.tokens.clear(); }), HasSubstr("tokenizer.ggml.tokens: missing"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.types.pop_back(); }), HasSubstr("tokenizer.ggml.token_type"));
  EXPECT_THAT(refusal(byte_level(), [](Keys& k) { k.types[0] = 9; }), HasSubstr("unknown type 9"));
  EXPECT_THAT(refusal(byte_level(),
                      [](Keys& k) {
                        k.ids = {{"eos_token_id", 261}};
                      }),
              HasSubstr("eos_token_id: token 261"));
  EXPECT_THAT(refusal(pieces(), [](Keys& k) { k.scores.clear(); }), HasSubstr("tokenizer.ggml.scores: missing"));
  EXPECT_THAT(refusal(pieces(),
                      [](Keys& k) {
                        k.flags = {{"remove_extra_whitespaces", true}};
                      }),
              HasSubstr("remove_extra_whitespaces: not supported"));
  // Files that contradict themselves are refused when the tokenizer is made.
  Keys keys = byte_level();
  keys.merges.emplace_back("a zz");
  EXPECT_FALSE(Tokenizer::create(*read(keys)));
  keys = pieces();
  keys.scores.pop_back();
  EXPECT_FALSE(Tokenizer::create(*read(keys)));
  keys = pieces();
  keys.scores[259] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(Tokenizer::create(*read(keys)));
}

}  // namespace
}  // namespace vitrine
