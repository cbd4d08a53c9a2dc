#include "engine/known_models.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace vitrine {
namespace {

RopeConfig deepseek_rope() {
  return {.style = RopeStyle::interleaved,
          .dimensions = 64,
          .theta = 10000,
          .scaling = RopeConfig::Scaling::yarn,
          .factor = 40,
          .original_context = 4096};
}

// What the DeepSeek-V2 and V3 families share; `mscale` is their mscale_all_dim.
ModelConfig deepseek(uint32_t q_lora_rank, double mscale) {
  ModelConfig c;
  c.architecture = Architecture::deepseek2;
  c.context = 163840;
  c.rms_eps = 1e-6;
  c.mla = MlaConfig{.q_lora_rank = q_lora_rank, .kv_lora_rank = 512, .qk_nope = 128, .qk_rope = 64, .v_head = 128};
  c.k_dim = 192;
  c.v_dim = 128;
  c.rope = deepseek_rope();
  const double m = yarn_mscale(c.rope.factor, mscale);
  c.attention_scale = m * m / std::sqrt(192.0);
  return c;
}

ModelConfig deepseek_v3() {
  ModelConfig c = deepseek(1536, 1);
  c.vocabulary = 129280;
  c.embedding = 7168;
  c.layers = 61;
  c.mtp_layers = 1;
  c.ffn = 18432;
  c.heads = c.kv_heads = 128;
  c.moe = MoeConfig{.experts = 256,
                    .experts_used = 8,
                    .expert_ffn = 2048,
                    .shared_experts = 1,
                    .leading_dense = 3,
                    .scoring = Scoring::sigmoid,
                    .groups = 8,
                    .groups_used = 4,
                    .group_top = 2,
                    .renormalize = true,
                    .scale = 2.5,
                    .selection_bias = true};
  return c;
}

ModelConfig deepseek_v2() {
  ModelConfig c = deepseek(1536, 0.707);
  c.vocabulary = 102400;
  c.embedding = 5120;
  c.layers = 60;
  c.ffn = 12288;
  c.heads = c.kv_heads = 128;
  c.moe = MoeConfig{.experts = 160,
                    .experts_used = 6,
                    .expert_ffn = 1536,
                    .shared_experts = 2,
                    .leading_dense = 1,
                    .groups = 8,
                    .groups_used = 3,
                    .scale = 16};
  return c;
}

ModelConfig deepseek_v2_lite() {
  ModelConfig c = deepseek(0, 0.707);
  c.vocabulary = 102400;
  c.embedding = 2048;
  c.layers = 27;
  c.ffn = 10944;
  c.heads = c.kv_heads = 16;
  c.moe = MoeConfig{.experts = 64, .experts_used = 6, .expert_ffn = 1408, .shared_experts = 2, .leading_dense = 1};
  return c;
}

// The others: attention with grouped keys, halves rotated as in Hugging Face's files.
ModelConfig grouped(Architecture architecture, uint32_t heads, uint32_t kv_heads, uint32_t head, double theta) {
  ModelConfig c;
  c.architecture = architecture;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.k_dim = c.v_dim = head;
  c.attention_scale = 1 / std::sqrt(static_cast<double>(head));
  c.rope = {.style = RopeStyle::halves, .dimensions = head, .theta = theta};
  return c;
}

ModelConfig qwen3_30b_a3b() {
  ModelConfig c = grouped(Architecture::qwen3moe, 32, 4, 128, 1e6);
  c.vocabulary = 151936;
  c.context = 40960;
  c.embedding = 2048;
  c.layers = 48;
  c.rms_eps = 1e-6;
  c.qk_norm = true;
  c.moe = MoeConfig{.experts = 128, .experts_used = 8, .expert_ffn = 768, .renormalize = true};
  return c;
}

ModelConfig qwen2_7b() {
  ModelConfig c = grouped(Architecture::qwen2, 28, 4, 128, 10000);
  c.vocabulary = 152064;
  c.context = 131072;
  c.embedding = 3584;
  c.layers = 28;
  c.ffn = 18944;
  c.rms_eps = 1e-6;
  c.qkv_bias = true;
  return c;
}

ModelConfig llama_31(uint32_t layers, uint32_t embedding, uint32_t ffn, uint32_t heads) {
  ModelConfig c = grouped(Architecture::llama, heads, 8, 128, 500000);
  c.vocabulary = 128256;
  c.context = 131072;
  c.embedding = embedding;
  c.layers = layers;
  c.ffn = ffn;
  c.rms_eps = 1e-5;
  c.rope.scaling = RopeConfig::Scaling::llama3;
  c.rope.factor = 8;
  c.rope.original_context = 8192;
  c.rope.low_freq_factor = 1;
  c.rope.high_freq_factor = 4;
  return c;
}

ModelConfig smollm2_135m() {
  ModelConfig c = grouped(Architecture::llama, 9, 3, 64, 100000);
  c.vocabulary = 49152;
  c.context = 8192;
  c.embedding = 576;
  c.layers = 30;
  c.ffn = 1536;
  c.rms_eps = 1e-5;
  c.tied_output = true;
  return c;
}

ModelConfig mixtral_8x7b() {
  ModelConfig c = grouped(Architecture::mixtral, 32, 8, 128, 1e6);
  c.vocabulary = 32000;
  c.context = 32768;
  c.embedding = 4096;
  c.layers = 32;
  c.rms_eps = 1e-5;
  c.moe = MoeConfig{.experts = 8, .experts_used = 2, .expert_ffn = 14336, .renormalize = true};
  return c;
}

struct Row {
  std::string_view name;
  ModelConfig (*make)();
};

constexpr Row kModels[] = {
    {"deepseek-v3", deepseek_v3},
    {"deepseek-r1", deepseek_v3},
    {"deepseek-v2", deepseek_v2},
    {"deepseek-v2-lite", deepseek_v2_lite},
    {"qwen3-30b-a3b", qwen3_30b_a3b},
    {"qwen2.5-7b", qwen2_7b},
    {"llama-3.1-8b", [] { return llama_31(32, 4096, 14336, 32); }},
    {"llama-3.1-70b", [] { return llama_31(80, 8192, 28672, 64); }},
    {"mixtral-8x7b", mixtral_8x7b},
    {"smollm2-135m", smollm2_135m},
};

}  // namespace

std::vector<std::string_view> known_model_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kModels) names.push_back(row.name);
  return names;
}

std::optional<ModelConfig> known_model(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kModels), std::end(kModels), [&](const Row& row) { return row.name == name; });
  if (found == std::end(kModels)) return std::nullopt;
  ModelConfig config = found->make();
  config.name = name;
  return config;
}

}  // namespace vitrine
