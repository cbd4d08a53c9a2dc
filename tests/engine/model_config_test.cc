// Hyper-parameters of published models (docs: the models' own config files), from
// both formats, and refusals.
#include "engine/model_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/gguf.h"
#include "engine/tensor_specs.h"
#include "tests/engine/gguf_bytes.h"

namespace vitrine {
namespace {

using nlohmann::json;

json hf(const std::string& name) {
  return json::parse(std::ifstream(VITRINE_SOURCE_DIR "/tests/golden/hf_config/" + name + ".json"));
}

ModelConfig read(const json& document) {
  const auto config = config_from_hugging_face(document.dump(), "config.json");
  EXPECT_TRUE(config.has_value()) << config.error().to_string();
  return config.value_or(ModelConfig{});
}

std::string refusal(const json& document) {
  const auto config = config_from_hugging_face(document.dump(), "config.json");
  return config ? "" : config.error().to_string();
}

// `changes` as a JSON merge patch: null removes.
std::string refusal_with(const std::string& name, const json& changes) {
  json document = hf(name);
  document.merge_patch(changes);
  return refusal(document);
}

// ---- the numbers of facts that others have published ----------------------

TEST(ModelConfig, DeepSeekV3) {
  const ModelConfig c = read(hf("deepseek-v3"));
  EXPECT_EQ(c.architecture, Architecture::deepseek2);
  ASSERT_TRUE(c.mla && c.moe);
  EXPECT_EQ(c.mla->q_lora_rank, 1536u);
  EXPECT_EQ(c.k_dim, 192u);
  EXPECT_EQ(c.mtp_layers, 1u);
  EXPECT_EQ(c.moe->scoring, Scoring::sigmoid);
  EXPECT_TRUE(c.moe->renormalize && c.moe->selection_bias);
  EXPECT_EQ(c.moe->groups, 8u);
  EXPECT_EQ(c.moe->groups_used, 4u);
  EXPECT_EQ(c.moe->group_top, 2u);
  EXPECT_EQ(c.moe->scale, 2.5);
  EXPECT_EQ(c.rope.style, RopeStyle::interleaved);
  EXPECT_EQ(c.rope.magnitude, 1);
  EXPECT_NEAR(c.attention_scale * std::sqrt(192.0), 1.87385, 1e-5);  // m²
  EXPECT_EQ(c.kv_bytes_per_token(Type::bf16), 70'272u);
  EXPECT_NEAR(parameters(c) / 1e9, 671.03, 0.005);
  EXPECT_NEAR(parameters_per_token(c) / 1e9, 36.63, 0.005);
}

TEST(ModelConfig, DeepSeekV2Lite) {
  const ModelConfig c = read(hf("deepseek-v2-lite"));
  EXPECT_EQ(c.mla->q_lora_rank, 0u);
  EXPECT_EQ(c.moe->scoring, Scoring::softmax);
  EXPECT_FALSE(c.moe->renormalize || c.moe->selection_bias);
  EXPECT_EQ(c.moe->groups, 1u);
  EXPECT_EQ(c.moe->shared_ffn(), 2816u);
  EXPECT_NEAR(c.attention_scale * std::sqrt(192.0), 1.58963, 1e-5);
  EXPECT_EQ(c.kv_bytes_per_token(Type::bf16), 31'104u);
  EXPECT_NEAR(parameters(c) / 1e9, 15.71, 0.005);
  EXPECT_NEAR(parameters_per_token(c) / 1e9, 2.451, 0.0005);
}

TEST(ModelConfig, DeepSeekV2GroupsScoreByTheirBest) {
  const ModelConfig c = read(hf("deepseek-v2"));
  EXPECT_EQ(c.moe->groups, 8u);
  EXPECT_EQ(c.moe->groups_used, 3u);
  EXPECT_EQ(c.moe->group_top, 1u);
  EXPECT_EQ(c.moe->scale, 16);
  EXPECT_FALSE(c.moe->selection_bias);
}

TEST(ModelConfig, Qwen3Moe) {
  for (const char* name : {"qwen3-30b-a3b", "qwen3-30b-a3b-v5"}) {
    const ModelConfig c = read(hf(name));
    EXPECT_EQ(c.architecture, Architecture::qwen3moe);
    EXPECT_TRUE(c.qk_norm && c.moe->renormalize);
    EXPECT_EQ(c.rope.style, RopeStyle::halves);
    EXPECT_EQ(c.rope.theta, 1e6);
    EXPECT_EQ(c.k_dim, 128u);
    EXPECT_EQ(c.moe->experts, 128u);
    EXPECT_EQ(c.kv_bytes_per_token(Type::bf16), 98'304u);
    EXPECT_NEAR(parameters(c) / 1e9, 30.53, 0.005);
  }
}

TEST(ModelConfig, DenseModels) {
  const ModelConfig llama = read(hf("llama-3.1-8b"));
  EXPECT_EQ(llama.rope.scaling, RopeConfig::Scaling::llama3);
  EXPECT_EQ(llama.rope.style, RopeStyle::halves);  // Hugging Face's rows are not permuted
  EXPECT_NEAR(parameters(llama) / 1e9, 8.03, 0.005);
  EXPECT_EQ(parameters_per_token(llama), parameters(llama) - 128256ull * 4096);
  const ModelConfig qwen = read(hf("qwen2-7b"));
  EXPECT_TRUE(qwen.qkv_bias);
  EXPECT_NEAR(parameters(qwen) / 1e9, 7.616, 0.0005);
  const ModelConfig mixtral = read(hf("mixtral-8x7b"));
  EXPECT_EQ(mixtral.architecture, Architecture::mixtral);
  EXPECT_TRUE(mixtral.moe->renormalize);
  EXPECT_NEAR(parameters(mixtral) / 1e9, 46.70, 0.005);
}

// ---- rope -----------------------------------------------------------------

TEST(Rope, YarnRampOfDeepSeek) {
  // Pairs up to 10 keep their frequency, from 23 on they turn 40 times slower.
  const RopeConfig rope = read(hf("deepseek-v3")).rope;
  const std::vector<float> f = rope_frequencies(rope);
  ASSERT_EQ(f.size(), 32u);
  const auto plain = [](int i) { return std::pow(10000.0, -2.0 * i / 64); };
  for (int i = 0; i <= 10; ++i) EXPECT_FLOAT_EQ(f[i], static_cast<float>(plain(i))) << i;
  for (int i = 23; i < 32; ++i) EXPECT_FLOAT_EQ(f[i], static_cast<float>(plain(i) / 40)) << i;
  EXPECT_FLOAT_EQ(f[16], static_cast<float>(plain(16) / 40 * (6 / 13.0) + plain(16) * (7 / 13.0)));
}

TEST(Rope, Llama3Factors) {
  const std::vector<float> f = rope_frequencies(read(hf("llama-3.1-8b")).rope);
  const auto plain = [](int i) { return std::pow(500000.0, -2.0 * i / 128); };
  ASSERT_EQ(f.size(), 64u);
  EXPECT_FLOAT_EQ(f[0], 1);
  EXPECT_FLOAT_EQ(f[63], static_cast<float>(plain(63) / 8));
  // Wavelengths between 2048 and 8192 are blended: pair 30 turns every 2955 tokens.
  const double smooth = (8192 / (2 * M_PI / plain(30)) - 1) / 3;
  ASSERT_TRUE(smooth > 0 && smooth < 1);
  EXPECT_FLOAT_EQ(f[30], static_cast<float>((1 - smooth) * plain(30) / 8 + smooth * plain(30)));
}

TEST(Rope, DivisorsOfTheFile) {
  RopeConfig rope{.dimensions = 4, .scaling = RopeConfig::Scaling::divisors};
  const float divisors[] = {1, 8};
  EXPECT_EQ(rope_frequencies(rope, divisors), (std::vector<float>{1, 0.01f / 8}));
  rope.scaling = RopeConfig::Scaling::linear;
  rope.factor = 4;
  EXPECT_EQ(rope_frequencies(rope), (std::vector<float>{0.25f, 0.0025f}));
}

TEST(Rope, YarnMagnitudes) {
  json document = hf("qwen2-7b");
  document["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 32768}};
  EXPECT_NEAR(read(document).rope.magnitude, 0.1 * std::log(4) + 1, 1e-12);
  EXPECT_NEAR(read(document).attention_scale, 1 / std::sqrt(128.0), 1e-12);  // m² is DeepSeek's
  document["rope_scaling"]["attention_factor"] = 1.5;
  EXPECT_EQ(read(document).rope.magnitude, 1.5);
}

// ---- refusals name the value ----------------------------------------------

TEST(ModelConfigRefusals, UnknownValuesAreNamed) {
  EXPECT_EQ(refusal_with("qwen2-7b", {{"model_type", "gemma"}})
                .rfind("config.json, key model_type: \"gemma\" is not supported", 0),
            0u);
  EXPECT_EQ(refusal_with("qwen2-7b", {{"hidden_act", "gelu"}}),
            "config.json, key hidden_act: \"gelu\" is not supported");
  EXPECT_EQ(refusal_with("qwen2-7b", {{"use_sliding_window", true}}),
            "config.json, key use_sliding_window: true is not supported");
  EXPECT_EQ(refusal_with("mixtral-8x7b", {{"sliding_window", 4096}}),
            "config.json, key sliding_window: sliding windows are not supported");
  EXPECT_EQ(refusal_with("llama-3.1-8b", {{"rope_scaling", {{"rope_type", "longrope"}}}}),
            "config.json, key rope_scaling/rope_type: \"longrope\" is not supported");
  EXPECT_EQ(refusal_with("llama-3.1-8b", {{"attention_bias", true}}),
            "config.json, key attention_bias: true is not supported");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"scoring_func", "tanh"}}),
            "config.json, key scoring_func: \"tanh\" is not supported");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"topk_method", "best"}}),
            "config.json, key topk_method: \"best\" is not supported");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"moe_layer_freq", 2}}),
            "config.json, key moe_layer_freq: other values than 1 are not supported");
  EXPECT_EQ(refusal_with("qwen3-30b-a3b", {{"mlp_only_layers", {1}}}),
            "config.json, key mlp_only_layers: dense layers among the others are not supported");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"quantization_config", {{"quant_method", "gptq"}}}}),
            "config.json, key quantization_config/quant_method: \"gptq\" is not supported; fp8 is");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"quantization_config", {{"weight_block_size", {64, 64}}}}}),
            "config.json, key quantization_config/weight_block_size: other blocks than [128, 128] are not supported");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"quantization_config", {{"fmt", "e5m2"}}}}),
            "config.json, key quantization_config/fmt: \"e5m2\" is not supported");
}

TEST(ModelConfigRefusals, ValuesThatCannotBe) {
  EXPECT_EQ(refusal_with("qwen2-7b", {{"hidden_size", nullptr}}), "config.json, key hidden_size: is missing");
  for (const json& bad : {json(0), json(-1), json(1.5), json("3584"), json(1u << 30), json(true), json::array({1})}) {
    EXPECT_EQ(refusal_with("qwen2-7b", {{"hidden_size", bad}}),
              "config.json, key hidden_size: must be a whole number from 1 to 131072")
        << bad;
  }
  EXPECT_EQ(refusal_with("qwen2-7b", {{"rms_norm_eps", 0}}), "config.json, key rms_norm_eps: must be greater than 0");
  EXPECT_EQ(refusal_with("qwen2-7b", {{"rope_theta", 1}}), "config.json, key rope_theta: must be greater than 1");
  EXPECT_EQ(refusal_with("qwen2-7b", {{"num_key_value_heads", 5}}),
            "config.json, key num_key_value_heads: must divide the number of heads");
  EXPECT_EQ(refusal_with("qwen3-30b-a3b", {{"head_dim", 127}}),
            "config.json, key head_dim: 127 rotated elements: must be even and at most 127");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"num_experts_per_tok", 300}}),
            "config.json, key num_experts_per_tok: is more than there are experts");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"n_group", 7}}),
            "config.json, key n_group: must divide the number of experts");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"topk_group", 9}}),
            "config.json, key topk_group: is more than there are groups");
  EXPECT_EQ(refusal_with("deepseek-v3", {{"n_group", 64}, {"topk_group", 1}}),
            "config.json, key num_experts_per_tok: is more than the chosen groups hold");
  EXPECT_EQ(refusal_with("mixtral-8x7b", {{"rope_theta", nullptr}}), "config.json, key rope_theta: is missing");
}

TEST(ModelConfigRefusals, Documents) {
  const auto error = [](const std::string& text) {
    const auto config = config_from_hugging_face(text, "config.json");
    return config ? std::string() : config.error().to_string();
  };
  EXPECT_EQ(error(""), "config.json: is no well-formed JSON");
  EXPECT_EQ(error("[]"), "config.json: is no JSON object");
  EXPECT_EQ(error("{} x"), "config.json: is no well-formed JSON");
  EXPECT_EQ(error(R"({"a":{"b":1,"b":2}})"), "config.json: key b comes twice");
  EXPECT_EQ(error(std::string(5000, '[')), "config.json: is nested too deeply");
  EXPECT_EQ(error("{}"), "config.json, key model_type: is missing");
}

// ---- GGUF keys ------------------------------------------------------------

struct Keys {
  std::string architecture = "deepseek2";
  std::vector<std::string> all;

  void text(const std::string& key, const std::string& value) { all.push_back(gguf_string(name(key), value)); }
  void u32(const std::string& key, uint32_t value) { all.push_back(gguf_u32(name(key), value)); }
  void f32(const std::string& key, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    all.push_back(gguf_key(name(key), 6, le(bits, 4)));
  }
  void flag(const std::string& key, bool value) { all.push_back(gguf_key(name(key), 7, le(value, 1))); }
  std::string name(const std::string& key) const {
    return key.find("general.") == 0 || key.find("tokenizer.") == 0 ? key : architecture + "." + key;
  }
};

Result<ModelConfig> read(const Keys& keys, const std::vector<std::string>& tensors = {}) {
  GgufBytes file;
  file.keys = keys.all;
  for (const std::string& name : tensors) file.tensors.push_back(gguf_tensor(name, {1}, 0, file.tensors.size() * 32));
  file.data.assign(tensors.size() * 32, '\0');
  static std::string bytes;  // outlives the model below
  bytes = file.bytes();
  const auto model = GgufModel::from_bytes(as_bytes(bytes), "m.gguf");
  EXPECT_TRUE(model.has_value());
  return config_from_gguf(*model);
}

// DeepSeek-V3 as converters wrote it: without group keys and with per-head sizes
// (older), or with the sizes of absorbed attention.
Keys v3(bool absorbed) {
  Keys k;
  k.text("general.architecture", "deepseek2");
  k.u32("context_length", 163840);
  k.u32("embedding_length", 7168);
  k.u32("block_count", 61);
  k.u32("leading_dense_block_count", 3);
  k.u32("feed_forward_length", 18432);
  k.u32("expert_feed_forward_length", 2048);
  k.u32("expert_count", 256);
  k.u32("expert_used_count", 8);
  k.u32("expert_shared_count", 1);
  k.f32("expert_weights_scale", 2.5f);
  k.flag("expert_weights_norm", true);
  k.u32("expert_gating_func", 2);
  k.u32("attention.head_count", 128);
  k.u32("attention.head_count_kv", absorbed ? 1 : 128);
  k.u32("attention.key_length", absorbed ? 576 : 192);
  k.u32("attention.value_length", absorbed ? 512 : 128);
  if (absorbed) {
    k.u32("attention.key_length_mla", 192);
    k.u32("attention.value_length_mla", 128);
  }
  k.u32("attention.q_lora_rank", 1536);
  k.u32("attention.kv_lora_rank", 512);
  k.f32("attention.layer_norm_rms_epsilon", 1e-6f);
  k.u32("rope.dimension_count", 64);
  k.f32("rope.freq_base", 10000);
  k.text("rope.scaling.type", "yarn");
  k.f32("rope.scaling.factor", 40);
  k.u32("rope.scaling.original_context_length", 4096);
  k.f32("rope.scaling.yarn_log_multiplier", 0.1f);
  k.u32("vocab_size", 129280);
  return k;
}

const std::vector<std::string> kV3Tensors = {"output.weight", "blk.3.exp_probs_b.bias"};

TEST(GgufConfig, BothMlaLayoutsEqualHuggingFace) {
  const ModelConfig hf_config = read(hf("deepseek-v3"));
  for (const bool absorbed : {false, true}) {
    const auto read_config = read(v3(absorbed), kV3Tensors);
    ASSERT_TRUE(read_config.has_value()) << read_config.error().to_string();
    const ModelConfig& c = *read_config;
    EXPECT_EQ(c.k_dim, 192u);
    EXPECT_EQ(c.v_dim, 128u);
    EXPECT_EQ(c.kv_heads, 128u);
    EXPECT_EQ(c.mla->qk_nope, 128u);
    EXPECT_EQ(c.moe->scoring, Scoring::sigmoid);
    EXPECT_TRUE(c.moe->selection_bias && c.moe->renormalize);
    EXPECT_EQ(c.moe->groups, 8u);  // the keys are missing: by 256 experts and 61 layers
    EXPECT_EQ(c.moe->groups_used, 4u);
    EXPECT_EQ(c.moe->group_top, 2u);
    EXPECT_NEAR(c.attention_scale, hf_config.attention_scale, 1e-7);
    EXPECT_EQ(rope_frequencies(c.rope), rope_frequencies(hf_config.rope));
    EXPECT_EQ(c.rope.magnitude, 1);
    EXPECT_EQ(parameters(c), parameters(hf_config));
    EXPECT_EQ(c.kv_bytes_per_token(Type::bf16), 70'272u);
  }
}

TEST(GgufConfig, GroupKeysWinOverTheRuleForMissingOnes) {
  Keys k = v3(true);
  k.u32("expert_group_count", 4);
  k.u32("expert_group_used_count", 2);
  const auto c = read(k, kV3Tensors);
  ASSERT_TRUE(c.has_value());
  EXPECT_EQ(c->moe->groups, 4u);
  EXPECT_EQ(c->moe->groups_used, 2u);
}

std::string without(const std::string& key, const std::vector<std::string>& tensors = kV3Tensors) {
  Keys k = v3(true);
  std::erase_if(k.all, [&](const std::string& one) { return one.find(gguf_text("deepseek2." + key)) == 0; });
  const auto c = read(k, tensors);
  return c ? "" : c.error().to_string();
}

TEST(GgufConfig, MissingKeys) {
  for (const char* key : {"embedding_length", "block_count", "attention.head_count", "attention.kv_lora_rank",
                          "attention.value_length_mla", "rope.dimension_count", "expert_count", "expert_used_count",
                          "expert_feed_forward_length", "attention.layer_norm_rms_epsilon", "context_length",
                          "rope.scaling.original_context_length"}) {
    EXPECT_EQ(without(key), "m.gguf, key deepseek2." + std::string(key) + ": is missing");
  }
  EXPECT_EQ(without("vocab_size"),
            "m.gguf, key deepseek2.vocab_size: is missing, and tokenizer.ggml.tokens does not tell it either");
  EXPECT_EQ(without("attention.head_count_kv"), "");
}

TEST(GgufConfig, MissingGatingFunctionIsSoftmax) {
  Keys k = v3(true);
  std::erase_if(k.all, [](const std::string& one) { return one.find("expert_gating_func") != std::string::npos; });
  const auto c = read(k, kV3Tensors);
  ASSERT_TRUE(c.has_value());
  EXPECT_EQ(c->moe->scoring, Scoring::softmax);
}

TEST(GgufConfig, Refusals) {
  const auto with = [](const auto& change) {
    Keys k = v3(true);
    change(k);
    const auto c = read(k, kV3Tensors);
    return c ? std::string() : c.error().to_string();
  };
  EXPECT_EQ(with([](Keys& k) { k.u32("attention.sliding_window", 4096); }),
            "m.gguf, key deepseek2.attention.sliding_window: sliding windows are not supported");
  EXPECT_EQ(with([](Keys& k) { k.u32("nextn_predict_layers", 61); }),
            "m.gguf, key deepseek2.nextn_predict_layers: must be less than block_count");
  EXPECT_EQ(with([](Keys& k) {
              std::erase_if(k.all, [](const std::string& one) { return one.find("gating_func") != std::string::npos; });
              k.u32("expert_gating_func", 9);
            }),
            "m.gguf, key deepseek2.expert_gating_func: 9 is not supported; 1 (softmax) and 2 (sigmoid) are");
  Keys other;
  other.text("general.architecture", "gemma3");
  EXPECT_EQ(read(other).error().to_string().rfind("m.gguf, key general.architecture: \"gemma3\" is not supported", 0),
            0u);
  EXPECT_EQ(read(Keys{}).error().to_string(), "m.gguf, key general.architecture: is missing or no text");
}

Keys llama() {
  Keys k;
  k.architecture = "llama";
  k.text("general.architecture", "llama");
  k.u32("context_length", 8192);
  k.u32("embedding_length", 576);
  k.u32("block_count", 30);
  k.u32("feed_forward_length", 1536);
  k.u32("attention.head_count", 9);
  k.u32("attention.head_count_kv", 3);
  k.f32("attention.layer_norm_rms_epsilon", 1e-5f);
  k.f32("rope.freq_base", 100000);
  k.all.push_back(gguf_key("tokenizer.ggml.tokens", 9, le(8, 4) + le(2, 8) + gguf_text("a") + gguf_text("b")));
  return k;
}

TEST(GgufConfig, Llama) {
  auto c = read(llama(), {});
  ASSERT_TRUE(c.has_value()) << c.error().to_string();
  EXPECT_EQ(c->architecture, Architecture::llama);
  EXPECT_EQ(c->vocabulary, 2u);  // counted
  EXPECT_EQ(c->k_dim, 64u);
  EXPECT_TRUE(c->tied_output);
  EXPECT_EQ(c->rope.style, RopeStyle::interleaved);  // converters permute the rows
  EXPECT_EQ(c->rope.scaling, RopeConfig::Scaling::none);
  c = read(llama(), {"rope_freqs.weight", "output.weight"});
  EXPECT_EQ(c->rope.scaling, RopeConfig::Scaling::divisors);
  EXPECT_FALSE(c->tied_output);
}

TEST(GgufConfig, LlamaWithExpertsIsMixtral) {
  Keys k = llama();
  k.u32("expert_count", 8);
  k.u32("expert_used_count", 2);
  const auto c = read(k);
  ASSERT_TRUE(c.has_value()) << c.error().to_string();
  EXPECT_EQ(c->architecture, Architecture::mixtral);
  EXPECT_EQ(c->moe->expert_ffn, 1536u);
  EXPECT_EQ(c->ffn, 0u);
  EXPECT_TRUE(c->moe->renormalize);
}

}  // namespace
}  // namespace vitrine
