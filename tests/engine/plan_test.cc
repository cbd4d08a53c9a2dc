// Predictions against the numbers of the models' publishers and of measurements
// (docs/engine.md): bytes read per token, cache per token, ideal rates.
#include "engine/plan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/known_models.h"
#include "tests/synthetic/synthetic_model.h"

namespace vitrine {
namespace {

double gigabytes_per_token(const char* model, Type type) {
  const ModelConfig config = *known_model(model);
  return WeightBytes::of(config, type).read_per_step(config, 1) / 1e9;
}

TEST(Plan, BytesReadPerToken) {
  EXPECT_NEAR(gigabytes_per_token("deepseek-v3", Type::f8_e4m3), 37.7, 0.1);
  EXPECT_NEAR(gigabytes_per_token("deepseek-v2-lite", Type::bf16), 4.90, 0.01);
  EXPECT_NEAR(gigabytes_per_token("deepseek-v2-lite", Type::q8_0), 2.60, 0.02);
  EXPECT_NEAR(gigabytes_per_token("deepseek-v2-lite", Type::q4_0), 1.38, 0.02);
  EXPECT_NEAR(gigabytes_per_token("qwen3-30b-a3b", Type::bf16), 6.08, 0.01);
  EXPECT_NEAR(gigabytes_per_token("qwen3-30b-a3b", Type::q8_0), 3.23, 0.05);
  // 20.6 with every weight at 4.5 bits; routers are F32 in files.
  EXPECT_NEAR(gigabytes_per_token("deepseek-v3", Type::q4_k), 20.6, 0.5);
}

TEST(Plan, IdealRatesOfOneH200) {
  const Hardware h200 = *known_hardware("h200");
  const auto rate = [&](const char* model, Type type) {
    const ModelConfig config = *known_model(model);
    return *plan(config, WeightBytes::of(config, type), {.context = 1}, h200).decode_rate;
  };
  EXPECT_NEAR(rate("deepseek-v2-lite", Type::bf16), 877, 5);
  EXPECT_NEAR(rate("deepseek-v2-lite", Type::q8_0), 1651, 15);
  EXPECT_NEAR(rate("deepseek-v2-lite", Type::q4_0), 3118, 45);
  EXPECT_NEAR(rate("qwen3-30b-a3b", Type::bf16), 707, 5);
  EXPECT_NEAR(rate("qwen3-30b-a3b", Type::q8_0), 1331, 20);
}

TEST(Plan, DeepSeekV3OnEightH200) {
  const ModelConfig config = *known_model("deepseek-v3");
  const WeightBytes weights = WeightBytes::of(config, Type::f8_e4m3);
  EXPECT_NEAR(static_cast<double>(weights.total) / 1e9, 673, 2);  // 671.03 B, embedding, head and routers in BF16
  const PlanResult p = plan(config, weights, {.context = 32768, .batch = 8}, *known_hardware("8xh200"));
  EXPECT_TRUE(p.fits);
  EXPECT_EQ(p.cache_per_token, 70'272u);
  EXPECT_EQ(p.cache, 70'272ull * 32768 * 8);
  EXPECT_EQ(p.layers_on_device, 61u);
  EXPECT_GT(*p.longest_context, 163839u);  // the model's own limit
  // Eight tokens touch 1 - (1 - 8/256)^8 of the experts.
  EXPECT_NEAR(p.weight_bytes_read,
              static_cast<double>(weights.always) +
                  static_cast<double>(weights.routed_experts) * (1 - std::pow(248 / 256.0, 8)),
              1);
  EXPECT_DOUBLE_EQ(*p.read_time, (p.weight_bytes_read + p.cache_bytes_read) / (8 * 4.3e12));
  EXPECT_DOUBLE_EQ(*p.decode_rate, 8 / std::max(*p.read_time, *p.compute_time));
}

TEST(Plan, WhatWouldFitWhenItDoesNot) {
  const ModelConfig config = *known_model("deepseek-v3");
  const WeightBytes weights = WeightBytes::of(config, Type::f8_e4m3);
  PlanResult p = plan(config, weights, {}, *known_hardware("h200"));
  EXPECT_FALSE(p.fits);
  EXPECT_FALSE(p.best_type.has_value());  // not even Q2_K: 671 B at 2.6 bits are 220 GB
  EXPECT_FALSE(p.longest_context.has_value());
  EXPECT_GT(p.layers_on_device, 5u);
  EXPECT_LT(p.layers_on_device, 15u);

  const Hardware four = {.name = "four", .devices = 4, .memory = 141e9, .bandwidth = 4.3e12, .flops = 790e12};
  p = plan(config, weights, {}, four);
  EXPECT_FALSE(p.fits);
  ASSERT_TRUE(p.best_type.has_value());
  EXPECT_EQ(p.best_type->type, Type::q5_k);  // 462 GB of 535.8; Q6_K would take 551
  EXPECT_LT(static_cast<double>(p.best_type->weights), p.usable);

  // Weights fit, the cache does not: a shorter context does.
  const ModelConfig lite = *known_model("deepseek-v2-lite");
  const Hardware gpu = {.name = "24 GB", .memory = 24e9, .bandwidth = 1e12, .flops = 160e12};
  p = plan(lite, WeightBytes::of(lite, Type::q8_0), {.context = 163840, .batch = 4}, gpu);
  EXPECT_FALSE(p.fits);
  ASSERT_TRUE(p.longest_context.has_value());
  const Workload shorter = {.context = *p.longest_context, .batch = 4};
  EXPECT_TRUE(plan(lite, WeightBytes::of(lite, Type::q8_0), shorter, gpu).fits);
  const Workload longer = {.context = *p.longest_context + 1, .batch = 4};
  EXPECT_FALSE(plan(lite, WeightBytes::of(lite, Type::q8_0), longer, gpu).fits);
}

// What a message says would fit does, and nothing less.
TEST(Plan, SharedWithTheHost) {
  const Hardware gpu = {.name = "80 GB", .memory = 80e9};
  for (const char* name : {"deepseek-v3", "deepseek-v2-lite", "qwen3-30b-a3b"}) {
    SCOPED_TRACE(name);
    ModelConfig config = *known_model(name);
    const Type type = config.layers == 61 ? Type::f8_e4m3 : Type::bf16;
    const WeightBytes weights = WeightBytes::of(config, type);
    const Workload workload = {.context = 8192, .batch = config.layers == 61 ? 1u : 8u};
    const Hardware small = {.name = "small", .memory = static_cast<double>(weights.total) * 0.6};
    const PlanResult p = plan(config, weights, workload, config.layers == 61 ? gpu : small);
    ASSERT_FALSE(p.fits);
    EXPECT_EQ(p.device_weights, p.weights);
    const Hardware& hardware = config.layers == 61 ? gpu : small;
    const auto fits = [&](uint32_t layers, uint32_t experts) {
      return plan(config, weights, workload, hardware, {nullptr, layers, experts}).fits;
    };
    ASSERT_GT(p.layers_on_device, 0u);
    EXPECT_TRUE(fits(config.layers - p.layers_on_device, 0));
    EXPECT_FALSE(fits(config.layers - p.layers_on_device - 1, 0));
    ASSERT_TRUE(p.host_experts.has_value());
    EXPECT_TRUE(fits(0, *p.host_experts));
    EXPECT_FALSE(fits(0, *p.host_experts - 1));
  }
}

TEST(Plan, WhatTheDeviceHoldsOfAModel) {
  ModelConfig config = *known_model("deepseek-v2-lite");
  const WeightBytes weights = WeightBytes::of(config, Type::q8_0);
  uint64_t layers = 0, routed = 0;
  for (const WeightBytes::Layer& layer : weights.layers) {
    layers += layer.always + layer.routed_experts;
    routed += layer.routed_experts;
  }
  EXPECT_EQ(weights.embedding + weights.head + layers, weights.total);
  EXPECT_EQ(routed, weights.routed_experts);
  EXPECT_EQ(weights.on_device(config, {}), weights.total);
  // Layer 0 has no experts: the first two that have some are 1 and 2.
  EXPECT_EQ(weights.on_device(config, {nullptr, 0, 2}),
            weights.total - weights.layers[1].routed_experts - weights.layers[2].routed_experts);
  EXPECT_EQ(weights.on_device(config, {nullptr, 0, config.layers}), weights.total - routed);
  EXPECT_EQ(weights.on_device(config, {nullptr, 3, 0}),
            weights.total - weights.embedding - weights.layers[0].always - weights.layers[1].always -
                weights.layers[2].always - weights.layers[1].routed_experts - weights.layers[2].routed_experts);
  const PlanResult p = plan(config, weights, {.context = 1024}, {.name = "?", .memory = 80e9}, {nullptr, 9, 0});
  EXPECT_EQ(p.device_cache, p.cache / 27 * 18);
  // A tied head needs the embedding on both sides.
  config.tied_output = true;
  EXPECT_EQ(weights.on_device(config, {nullptr, 1, 0}), weights.total - weights.layers[0].always);
}

TEST(Plan, UnknownSpeedsPredictNothing) {
  const ModelConfig config = *known_model("smollm2-135m");
  const PlanResult p = plan(config, WeightBytes::of(config, Type::bf16), {}, {.name = "?", .memory = 8e9});
  EXPECT_TRUE(p.fits);
  EXPECT_FALSE(p.decode_rate || p.read_time || p.compute_time || p.prompt_time);
}

TEST(Plan, OperationsOfAPrompt) {
  // 512 tokens of V2-Lite with 6 layers are about 0.8 T operations, most of them in matrices.
  ModelConfig config = *known_model("deepseek-v2-lite");
  config.layers = 6;
  const double operations = operations_of_prompt(config, 512);
  EXPECT_GT(operations, 0.7e12);
  EXPECT_LT(operations, 0.95e12);
  EXPECT_DOUBLE_EQ(operations_of_prompt(config, 1), operations_per_token(config, 1));
}

TEST(Plan, TiedHeadIsReadOnce) {
  const ModelConfig config = *known_model("smollm2-135m");
  const WeightBytes weights = WeightBytes::of(config, Type::bf16);
  EXPECT_EQ(weights.always, weights.total);
  EXPECT_EQ(weights.read_per_step(config, 64), static_cast<double>(weights.total));
}

TEST(Plan, BytesOfAFileAreThoseItHolds) {
  ModelConfig config = *known_model("deepseek-v2-lite");
  config.layers = 2;
  config.embedding = 256;
  config.vocabulary = 512;
  config.ffn = 512;
  config.heads = config.kv_heads = 2;
  config.moe->expert_ffn = 256;
  std::string bytes;
  ASSERT_TRUE(write_synthetic_model(config, {.type = Type::q4_k}, append_to(bytes)).has_value());
  auto model = GgufModel::from_bytes(as_bytes(bytes), "m.gguf");
  ASSERT_TRUE(model.has_value());
  uint64_t total = 0, experts = 0;
  for (const GgufTensor& tensor : model->tensors()) {
    total += tensor.bytes;
    if (tensor.name.find("_exps") != std::string_view::npos) experts += tensor.bytes;
  }
  const auto weights = WeightBytes::of(Weights::from(std::move(*model), config));
  ASSERT_TRUE(weights.has_value()) << weights.error().to_string();
  EXPECT_EQ(weights->total, total);
  EXPECT_EQ(weights->routed_experts, experts);
}

TEST(Hardware, ThisMachineReadsMemory) {
  const Hardware here = measure_this_machine(0.05);
  EXPECT_GT(here.memory, 1e8);
  EXPECT_GT(here.bandwidth, 1e8);
  EXPECT_LT(here.bandwidth, 1e13);
  EXPECT_FALSE(known_hardware("abacus").has_value());
}

}  // namespace
}  // namespace vitrine
