// Every position of every architecture against logits computed elsewhere
// (tools/make_model_fixtures.py; each expected.safetensors names its reference).
#include <functional>

#include "base/file.h"
#include "tests/engine/gguf_from_weights.h"
#include "tests/engine/model_fixture.h"

namespace vitrine {
namespace {

// Of the largest logit. References and engine are float32 with sums in other orders: about 1e-6 is usual.
constexpr double kTolerance = 1e-4;

class Exactness : public testing::TestWithParam<std::string> {};

TEST_P(Exactness, SafetensorsMatchTheReference) {
  const Expected expected = Expected::read(GetParam());
  const auto weights = Weights::open(fixture_folder(GetParam()));
  ASSERT_TRUE(weights.has_value()) << weights.error().to_string();
  const auto ops = cpu();
  const auto model = runner(*weights, *ops);
  ASSERT_NE(model, nullptr);
  const double worst =
      worst_difference(all_logits(*model, expected.tokens), expected.logits, weights->config().vocabulary);
  EXPECT_LE(worst, kTolerance);
  RecordProperty("worst_difference", std::to_string(worst));
}

TEST_P(Exactness, GgufMatchesTheReference) {
  const Expected expected = Expected::read(GetParam());
  const auto source = Weights::open(fixture_folder(GetParam()));
  ASSERT_TRUE(source.has_value()) << source.error().to_string();
  const ModelConfig& config = source->config();
  if (config.mla && config.rope.magnitude != 1) GTEST_SKIP() << "GGUF has no key for mscale beside mscale_all_dim";
  for (const MlaLayout layout : {MlaLayout::combined, MlaLayout::split}) {
    if (layout == MlaLayout::split && !config.mla) continue;
    const std::string bytes = gguf_from_weights(*source, layout);
    auto file = GgufModel::from_bytes(as_bytes(bytes), "test.gguf");
    ASSERT_TRUE(file.has_value()) << file.error().to_string();
    auto read = config_from_gguf(*file);
    ASSERT_TRUE(read.has_value()) << read.error().to_string();
    const Weights weights = Weights::from(std::move(*file), *read);
    EXPECT_EQ(weights.mla_layout(), layout);
    const auto ops = cpu();
    const auto model = runner(weights, *ops);
    ASSERT_NE(model, nullptr);
    EXPECT_LE(worst_difference(all_logits(*model, expected.tokens), expected.logits, config.vocabulary), kTolerance)
        << (layout == MlaLayout::split ? "attn_k_b and attn_v_b" : "attn_kv_b");
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Exactness, testing::ValuesIn(fixture_names()),
                         [](const auto& test) { return test.param; });

// The fixtures see what implementations get wrong: each mistake moves the logits
// far beyond the tolerance.
struct Mistake {
  const char* fixture;
  const char* name;
  std::function<void(ModelConfig&)> make;
};

class Mistakes : public testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, Show) {
  const Expected expected = Expected::read(GetParam().fixture);
  const auto right = Weights::open(fixture_folder(GetParam().fixture));
  ASSERT_TRUE(right.has_value());
  ModelConfig config = right->config();
  GetParam().make(config);
  auto file = SafetensorsModel::open(fixture_folder(GetParam().fixture));
  ASSERT_TRUE(file.has_value());
  const Weights weights = Weights::from(std::move(*file), config);
  const auto ops = cpu();
  const auto model = runner(weights, *ops);
  ASSERT_NE(model, nullptr);
  EXPECT_GT(worst_difference(all_logits(*model, expected.tokens), expected.logits, config.vocabulary), 10 * kTolerance);
}

const Mistake kMistakes[] = {
    {"deepseek_v2_lite", "without_m_squared", [](ModelConfig& c) { c.attention_scale = 1 / std::sqrt(c.k_dim); }},
    {"deepseek_v2_lite", "without_yarn", [](ModelConfig& c) { c.rope.scaling = RopeConfig::Scaling::none; }},
    {"deepseek_v2_lite", "renormalized", [](ModelConfig& c) { c.moe->renormalize = true; }},
    {"deepseek_v2_lite", "pairs_of_halves", [](ModelConfig& c) { c.rope.style = RopeStyle::halves; }},
    {"deepseek_v2_groups", "without_groups", [](ModelConfig& c) { c.moe->groups = c.moe->groups_used = 1; }},
    {"deepseek_v2_groups", "group_score_of_two", [](ModelConfig& c) { c.moe->group_top = 2; }},
    {"deepseek_v2_groups", "unscaled", [](ModelConfig& c) { c.moe->scale = 1; }},
    {"deepseek_v3", "without_m_squared", [](ModelConfig& c) { c.attention_scale = 1 / std::sqrt(c.k_dim); }},
    {"deepseek_v3", "without_groups", [](ModelConfig& c) { c.moe->groups = c.moe->groups_used = 1; }},
    {"deepseek_v3", "group_score_of_one", [](ModelConfig& c) { c.moe->group_top = 1; }},
    {"deepseek_v3", "without_selection_bias", [](ModelConfig& c) { c.moe->selection_bias = false; }},
    {"deepseek_v3", "not_renormalized", [](ModelConfig& c) { c.moe->renormalize = false; }},
    {"deepseek_v3", "softmax", [](ModelConfig& c) { c.moe->scoring = Scoring::softmax; }},
    {"deepseek_v3", "original_context", [](ModelConfig& c) { c.rope.original_context *= 2; }},
    {"deepseek_v3_mscale", "magnitude_of_one", [](ModelConfig& c) { c.rope.magnitude = 1; }},
    {"llama3", "without_factors", [](ModelConfig& c) { c.rope.scaling = RopeConfig::Scaling::none; }},
    {"qwen2", "without_biases", [](ModelConfig& c) { c.qkv_bias = false; }},
    {"qwen3_moe", "without_head_norms", [](ModelConfig& c) { c.qk_norm = false; }},
};

INSTANTIATE_TEST_SUITE_P(Models, Mistakes, testing::ValuesIn(kMistakes),
                         [](const auto& test) { return std::string(test.param.fixture) + "_" + test.param.name; });

TEST(ModelLoading, NamesWhatTheDeviceCannotUse) {
  auto config = Weights::open(fixture_folder("llama3"))->config();
  config.embedding += 1;
  const Weights weights = Weights::from(std::move(*SafetensorsModel::open(fixture_folder("llama3"))), config);
  const auto ops = cpu();
  const auto model = load_model(weights, *ops);
  ASSERT_FALSE(model.has_value());
  EXPECT_NE(model.error().to_string().find("model.embed_tokens.weight"), std::string::npos)
      << model.error().to_string();
}

TEST(ModelLoading, CountsTensors) {
  const auto weights = Weights::open(fixture_folder("deepseek_v3"));
  const auto ops = cpu();
  uint64_t last = 0, total = 0;
  const auto model = load_model(*weights, *ops, [&](uint64_t done, uint64_t of) {
    EXPECT_GE(done, last);
    last = done;
    total = of;
  });
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(last, total);
}

}  // namespace
}  // namespace vitrine
