// Synthetic files are files of their model: the reader finds the configuration
// they were made from, every tensor, and weights of the intended size.
#include "tests/synthetic/synthetic_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "engine/weights.h"
#include "kernels/quant.h"
#include "tests/synthetic/narrowed.h"

namespace vitrine {
namespace {

std::string make(const ModelConfig& config, const SyntheticOptions& options) {
  std::string out;
  const Status status = write_synthetic_model(config, options, append_to(out));
  EXPECT_TRUE(status.has_value()) << status.error().to_string();
  return out;
}

class SyntheticModel : public testing::TestWithParam<const char*> {};

TEST_P(SyntheticModel, ReadsAsItsConfiguration) {
  const ModelConfig config = narrowed(GetParam());
  for (const MlaLayout layout : {MlaLayout::split, MlaLayout::combined}) {
    const std::string bytes = make(config, {.type = Type::q8_0, .mla_layout = layout});
    auto model = GgufModel::from_bytes(as_bytes(bytes), "synthetic.gguf");
    ASSERT_TRUE(model.has_value()) << model.error().to_string();
    const auto read = config_from_gguf(*model);
    ASSERT_TRUE(read.has_value()) << read.error().to_string();
    EXPECT_EQ(read->architecture, config.architecture);
    EXPECT_EQ(parameters(*read), parameters(config));
    EXPECT_EQ(parameters_per_token(*read), parameters_per_token(config));
    EXPECT_NEAR(read->attention_scale, config.attention_scale, 1e-7);
    EXPECT_EQ(rope_frequencies(read->rope), rope_frequencies(config.rope));
    EXPECT_EQ(read->kv_elements(), config.kv_elements());
    if (config.moe) {
      EXPECT_EQ(read->moe->groups, config.moe->groups);
      EXPECT_EQ(read->moe->group_top, config.moe->group_top);
      EXPECT_EQ(read->moe->scoring, config.moe->scoring);
      EXPECT_EQ(read->moe->renormalize, config.moe->renormalize);
      EXPECT_EQ(read->moe->selection_bias, config.moe->selection_bias);
    }
    const Weights weights = Weights::from(std::move(*model), *read);
    EXPECT_TRUE(weights.check().has_value()) << weights.check().error().to_string();
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SyntheticModel,
                         testing::Values("deepseek-v3", "deepseek-v2", "deepseek-v2-lite", "qwen3-30b-a3b",
                                         "qwen2.5-7b", "llama-3.1-8b", "mixtral-8x7b", "smollm2-135m"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
                           return name;
                         });

TEST(SyntheticModelTypes, WeightsHaveTheIntendedSize) {
  const ModelConfig config = narrowed("smollm2-135m");
  for (int i = 0; i < kTypeCount; ++i) {
    const Type type = static_cast<Type>(i);
    if (type == Type::f8_e4m3 || type == Type::i32) continue;  // no types of GGUF matrices
    const std::string bytes = make(config, {.type = type});
    const Weights weights = Weights::from(*GgufModel::from_bytes(as_bytes(bytes), "s"), config);
    const auto view = weights.get("blk.1.ffn_down.weight", {512, 256});
    ASSERT_TRUE(view.has_value()) << view.error().to_string();
    EXPECT_EQ(view->type, type);
    double sum = 0, squares = 0;
    std::vector<float> row(512);
    for (uint64_t r = 0; r < 256; ++r) {
      dequantize_row(*view, 0, r, row.data());
      for (const float value : row) {
        sum += value;
        squares += static_cast<double>(value) * value;
      }
    }
    const double n = 512 * 256, deviation = std::sqrt(squares / n) * std::sqrt(512.0);
    // Nibbles are 0 … 15 around 8: a mean of -0.5 / 4.6 deviations is theirs.
    EXPECT_NEAR(sum / n * std::sqrt(512.0), 0, 0.15) << type_name(type);
    EXPECT_GT(deviation, 0.6) << type_name(type);
    EXPECT_LT(deviation, 1.6) << type_name(type);
  }
}

TEST(StoredType, RowsThatFitNoBlockFallBack) {
  const auto stored = [](Type wanted, uint64_t n_in, TensorRole role = TensorRole::attention) {
    return stored_type({"w", {n_in, 8, 1}, role}, wanted);
  };
  EXPECT_EQ(stored(Type::q4_k, 1408), Type::q5_0);  // DeepSeek-V2-Lite's expert width
  EXPECT_EQ(stored(Type::q6_k, 1408), Type::q8_0);
  EXPECT_EQ(stored(Type::q4_k, 2048), Type::q4_k);
  EXPECT_EQ(stored(Type::q4_0, 1408), Type::q4_0);
  EXPECT_EQ(stored(Type::q4_0, 100), Type::f16);
  EXPECT_EQ(stored(Type::bf16, 100), Type::bf16);
  EXPECT_EQ(stored(Type::q4_k, 2048, TensorRole::router), Type::f32);
  EXPECT_EQ(stored(Type::f8_e4m3, 2048, TensorRole::router), Type::bf16);
  EXPECT_EQ(stored(Type::f8_e4m3, 2048, TensorRole::output), Type::bf16);
  EXPECT_EQ(stored(Type::bf16, 2048, TensorRole::norm), Type::f32);
}

TEST(SyntheticModelTypes, SameSeedSameBytes) {
  const ModelConfig config = narrowed("smollm2-135m");
  EXPECT_EQ(make(config, {.seed = 3}), make(config, {.seed = 3}));
  EXPECT_NE(make(config, {.seed = 3}), make(config, {.seed = 4}));
}

TEST(KnownModels, EqualTheirConfigFiles) {
  const std::pair<const char*, const char*> files[] = {
      {"deepseek-v3", "deepseek-v3"},     {"deepseek-v2", "deepseek-v2"}, {"deepseek-v2-lite", "deepseek-v2-lite"},
      {"qwen3-30b-a3b", "qwen3-30b-a3b"}, {"qwen2.5-7b", "qwen2-7b"},     {"llama-3.1-8b", "llama-3.1-8b"},
      {"mixtral-8x7b", "mixtral-8x7b"}};
  for (const auto& [name, file] : files) {
    std::ifstream in(VITRINE_SOURCE_DIR "/tests/golden/hf_config/" + std::string(file) + ".json");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto read = config_from_hugging_face(text, file);
    ASSERT_TRUE(read.has_value()) << file;
    const ModelConfig known = *known_model(name);
    EXPECT_EQ(known.architecture, read->architecture) << name;
    EXPECT_EQ(parameters(known), parameters(*read)) << name;
    EXPECT_EQ(parameters_per_token(known), parameters_per_token(*read)) << name;
    EXPECT_EQ(known.kv_elements(), read->kv_elements()) << name;
    EXPECT_EQ(known.context, read->context) << name;
    EXPECT_DOUBLE_EQ(known.attention_scale, read->attention_scale) << name;
    EXPECT_DOUBLE_EQ(known.rms_eps, read->rms_eps) << name;
    EXPECT_EQ(rope_frequencies(known.rope), rope_frequencies(read->rope)) << name;
    EXPECT_EQ(known.rope.style, read->rope.style) << name;
  }
  EXPECT_FALSE(known_model("gpt-9").has_value());
}

}  // namespace
}  // namespace vitrine
