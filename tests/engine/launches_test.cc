// Kernels that one more layer costs a step of decoding: each is about 2 µs on a GPU
// (docs/gpu.md), which is what small models are bound by. The numbers stand in that page.
#include <gtest/gtest.h>

#include "kernels/cuda/emulated/emulated_ops.h"
#include "tests/engine/model_fixture.h"
#include "tests/synthetic/narrowed.h"
#include "tests/synthetic/synthetic_model.h"

namespace vitrine {
namespace {

// All layers have experts, as wide as the real ones by the warps they take.
ModelConfig with_experts(const std::string& name, uint32_t layers) {
  ModelConfig c = narrowed(name, layers);
  if (c.moe) {
    c.moe->expert_ffn = 1024;
    c.moe->leading_dense = 0;
    c.moe->experts = 16;
  }
  return c;
}

// Launches of a step that decodes one token of each of `sequences`, with a page or more behind it.
uint64_t launches(const ModelConfig& config, Type type, size_t sequences) {
  std::string bytes;
  EXPECT_TRUE(write_synthetic_model(config, {.type = type}, append_to(bytes)).has_value());
  auto file = GgufModel::from_bytes(as_bytes(bytes), "m.gguf");
  EXPECT_TRUE(file.has_value());
  const Weights weights = Weights::from(std::move(*file), config);
  const auto ops = std::move(*make_emulated_cuda_ops());
  const auto model = runner(weights, *ops, Type::f16);
  if (!model) return 0;
  const std::vector<TokenId> prompt(33, 7);
  std::vector<KvBlocks> blocks(sequences);
  std::vector<Piece> pieces;
  for (KvBlocks& b : blocks) {
    const Piece piece = {&b, prompt, Piece::Logits::last};
    EXPECT_TRUE(model->run({&piece, 1}).has_value());
    pieces.push_back({&b, std::span(prompt).first(1), Piece::Logits::last});
  }
  uint64_t last = 0;
  for (int step = 0; step < 2; ++step) {
    const uint64_t before = cuda_emulated::emulated::launches();
    EXPECT_TRUE(model->run(pieces).has_value());
    last = cuda_emulated::emulated::launches() - before;
  }
  for (KvBlocks& b : blocks) model->kv().release(b);
  return last;
}

uint64_t launches_of_a_layer(const std::string& name, Type type, size_t sequences = 1) {
  return launches(with_experts(name, 2), type, sequences) - launches(with_experts(name, 1), type, sequences);
}

TEST(Launches, OfALayer) {
  EXPECT_EQ(launches_of_a_layer("deepseek-v2-lite", Type::q8_0), 12u);
  EXPECT_EQ(launches_of_a_layer("deepseek-v2-lite", Type::bf16), 12u);
  EXPECT_EQ(launches_of_a_layer("deepseek-v2-lite", Type::q4_k), 12u);
  EXPECT_EQ(launches_of_a_layer("deepseek-v2-lite", Type::q8_0, 3), 17u);
  EXPECT_EQ(launches_of_a_layer("deepseek-v3", Type::q8_0), 14u);
  EXPECT_EQ(launches_of_a_layer("qwen3-30b-a3b", Type::q8_0), 10u);
  EXPECT_EQ(launches_of_a_layer("smollm2-135m", Type::q8_0), 9u);
}

}  // namespace
}  // namespace vitrine
