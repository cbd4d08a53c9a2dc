// Tokenizer and chat template out of a model's folder, as Hugging Face's tools write it.
#include "engine/model_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/engine/model_fixture.h"

namespace vitrine {
namespace {

using ::testing::HasSubstr;

// bytes.json: <|begin|> is 900, <|end|> 901, "<think>" 903, "<tail>" 906.
constexpr TokenId kBegin = 900, kEnd = 901, kUser = 902, kTail = 906;

class ModelFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "vitrine-folder-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    for (const char* file : {"config.json", "model.safetensors"}) {
      std::filesystem::copy(fixture_folder("qwen2") + "/" + file, folder_);
    }
    std::filesystem::copy(std::string(VITRINE_SOURCE_DIR) + "/tests/engine/data/bytes.json",
                          folder_ + "/tokenizer.json");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
  }
  Weights weights() const {
    auto weights = Weights::open(folder_);
    EXPECT_TRUE(weights) << weights.error().to_string();
    return std::move(*weights);
  }
  Tokenizer tokenizer() const {
    auto tokenizer = load_tokenizer(weights());
    EXPECT_TRUE(tokenizer) << tokenizer.error().to_string();
    return std::move(*tokenizer);
  }
  std::string error() const {
    const auto tokenizer = load_tokenizer(weights());
    return tokenizer ? "" : tokenizer.error().to_string();
  }

  std::string folder_;
};

TEST_F(ModelFolder, TokenizerJsonAlone) {
  const Tokenizer plain = tokenizer();
  const std::string text = "<|begin|>Ünïcode 한국어 1234 <think>";
  const auto ids = plain.encode(text, {.added = AddedTokens::all});
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->front(), kBegin);
  EXPECT_EQ(plain.decode(*ids), text);
  EXPECT_FALSE(plain.eos()) << "tokenizer.json does not say which token ends";
  EXPECT_EQ(*load_chat_template(weights()), "");
}

TEST_F(ModelFolder, ConfigurationsSayMore) {
  // Tokens as text, and as the object transformers 4 wrote.
  write(
      "tokenizer_config.json",
      R"({"bos_token": {"__type": "AddedToken", "content": "<|begin|>"}, "eos_token": "<|end|>", "add_bos_token": true,)"
      R"( "chat_template": "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"})");
  write("generation_config.json", R"({"eos_token_id": [901, 906], "temperature": 0.6})");
  const Tokenizer both = tokenizer();
  EXPECT_EQ(both.bos(), kBegin);
  EXPECT_EQ(both.eos(), kEnd);
  EXPECT_TRUE(both.add_bos());
  EXPECT_TRUE(both.ends_generation(kEnd));
  EXPECT_TRUE(both.ends_generation(kTail)) << "generation_config.json names two";
  EXPECT_FALSE(both.ends_generation(kUser));
  EXPECT_EQ(*load_chat_template(weights()), "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}");

  write("generation_config.json", R"({"eos_token_id": 906})");
  EXPECT_TRUE(tokenizer().ends_generation(kTail));
  write("tokenizer_config.json",
        R"({"eos_token": "<|end|>", "chat_template": [)"
        R"({"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(*load_chat_template(weights()), "plain");
  write("chat_template.jinja", "its own file");
  EXPECT_EQ(*load_chat_template(weights()), "its own file");
}

TEST_F(ModelFolder, ErrorsNameFileAndMember) {
  write("tokenizer_config.json", R"({"eos_token": "<|nowhere|>"})");
  EXPECT_THAT(error(), HasSubstr("'<|nowhere|>' is no token"));
  EXPECT_THAT(error(), HasSubstr(folder_ + ", tokenizer_config.json, eos_token"));
  write("tokenizer_config.json", R"({"chat_template": 7})");
  const auto wrong = load_chat_template(weights());
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().to_string(), HasSubstr("chat_template"));
  write("tokenizer_config.json", "{}");
  for (const char* ids : {"-1", "1.5", "\"901\"", "[901, null]", "99999999999"}) {
    write("generation_config.json", std::string(R"({"eos_token_id": )") + ids + "}");
    EXPECT_THAT(error(), HasSubstr("generation_config.json, eos_token_id")) << ids;
  }
  write("generation_config.json", "[");
  EXPECT_THAT(error(), HasSubstr("generation_config.json"));
  std::filesystem::remove(folder_ + "/generation_config.json");
  write("tokenizer.json", "{");
  EXPECT_THAT(error(), HasSubstr("tokenizer.json"));
  std::filesystem::remove(folder_ + "/tokenizer.json");
  EXPECT_THAT(error(), HasSubstr(folder_ + "/tokenizer.json"));
}

}  // namespace
}  // namespace vitrine
