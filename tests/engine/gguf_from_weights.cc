#include "tests/engine/gguf_from_weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/gguf_writer.h"
#include "kernels/quant.h"

namespace vitrine {
namespace {

bool is_llama(const ModelConfig& c) {
  return c.architecture == Architecture::llama || c.architecture == Architecture::mixtral;
}

uint32_t ggml_number(Type type) {
  for (uint32_t number = 0; number < 64; ++number) {
    if (type_from_ggml(number) == type) return number;
  }
  return UINT32_MAX;
}

void write_keys(const ModelConfig& c, MlaLayout layout, GgufWriter& writer) {
  const std::string architecture(is_llama(c) ? "llama" : architecture_name(c.architecture));
  const auto count = [&](const char* key, uint32_t value) { writer.add(architecture + "." + key, value); };
  const auto real = [&](const char* key, double value) {
    writer.add(architecture + "." + key, static_cast<float>(value));
  };
  writer.add("general.architecture", architecture);
  count("vocab_size", c.vocabulary);
  count("context_length", c.context);
  count("embedding_length", c.embedding);
  count("block_count", c.layers);
  if (c.ffn > 0) count("feed_forward_length", c.ffn);
  count("attention.head_count", c.heads);
  real("attention.layer_norm_rms_epsilon", c.rms_eps);
  count("rope.dimension_count", c.rope.dimensions);
  real("rope.freq_base", c.rope.theta);
  if (c.mla) {
    const bool absorbed = layout == MlaLayout::split;
    count("attention.head_count_kv", absorbed ? 1 : c.heads);
    count("attention.key_length", absorbed ? c.mla->kv_lora_rank + c.mla->qk_rope : c.k_dim);
    count("attention.value_length", absorbed ? c.mla->kv_lora_rank : c.v_dim);
    if (absorbed) count("attention.key_length_mla", c.k_dim);
    if (absorbed) count("attention.value_length_mla", c.v_dim);
    if (c.mla->q_lora_rank > 0) count("attention.q_lora_rank", c.mla->q_lora_rank);
    count("attention.kv_lora_rank", c.mla->kv_lora_rank);
  } else {
    count("attention.head_count_kv", c.kv_heads);
    count("attention.key_length", c.k_dim);
    count("attention.value_length", c.v_dim);
  }
  if (c.rope.scaling == RopeConfig::Scaling::yarn) {
    writer.add(architecture + ".rope.scaling.type", "yarn");
    real("rope.scaling.factor", c.rope.factor);
    count("rope.scaling.original_context_length", c.rope.original_context);
    real("rope.scaling.yarn_beta_fast", c.rope.beta_fast);
    real("rope.scaling.yarn_beta_slow", c.rope.beta_slow);
    const double m = std::sqrt(c.attention_scale * std::sqrt(static_cast<double>(c.k_dim)));
    real("rope.scaling.yarn_log_multiplier", (m - 1) / std::log(c.rope.factor));
  }
  if (!c.moe) return;
  count("expert_count", c.moe->experts);
  count("expert_used_count", c.moe->experts_used);
  count("expert_feed_forward_length", c.moe->expert_ffn);
  if (c.architecture == Architecture::qwen3moe) return;  // its files say no more
  if (is_llama(c)) return;
  count("leading_dense_block_count", c.moe->leading_dense);
  count("expert_shared_count", c.moe->shared_experts);
  count("expert_gating_func", c.moe->scoring == Scoring::sigmoid ? 2 : 1);
  real("expert_weights_scale", c.moe->scale);
  writer.add(architecture + ".expert_weights_norm", c.moe->renormalize);
  count("expert_group_count", c.moe->groups);
  count("expert_group_used_count", c.moe->groups_used);
}

void write_tokenizer(const ModelConfig& c, GgufWriter& writer) {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  for (uint32_t i = 0; i < c.vocabulary; ++i) {
    const bool last = i + 1 == c.vocabulary;
    // The byte alphabet spells 'A' + 62 (DEL) as a character of its own.
    tokens.push_back(last ? "<end>" : 'A' + i == 127 ? "\u0121" : std::string(1, static_cast<char>('A' + i)));
    types.push_back(last ? 3 : 1);
  }
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", "gpt-2");
  writer.add("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
  writer.add("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  writer.add("tokenizer.ggml.merges", std::span<const std::string>(merges));
  writer.add("tokenizer.ggml.eos_token_id", c.vocabulary - 1);
}

void append(const TensorView& view, std::vector<float>& out) {
  for (uint64_t plane = 0; plane < view.ne[2]; ++plane) {
    for (uint64_t row = 0; row < view.ne[1]; ++row) {
      out.resize(out.size() + view.ne[0]);
      dequantize_row(view, plane, row, out.data() + out.size() - view.ne[0]);
    }
  }
}

// Rows i and i + n/2 of each head become neighbours.
std::vector<float> permuted(const std::vector<float>& rows, uint64_t n_in, uint64_t head) {
  std::vector<float> out(rows.size());
  const uint64_t count = rows.size() / n_in;
  for (uint64_t r = 0; r < count; ++r) {
    const uint64_t in_head = r % head, half = head / 2;
    const uint64_t to = r - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    std::copy_n(rows.begin() + r * n_in, n_in, out.begin() + to * n_in);
  }
  return out;
}

std::vector<float> values_of(const Weights& weights, const TensorSpec& spec) {
  const ModelConfig& c = weights.config();
  std::vector<float> out;
  const auto ends_with = [&](std::string_view tail) { return std::string_view(spec.name).ends_with(tail); };
  if (spec.role == TensorRole::routed_expert) {
    const auto views = weights.experts(spec.name, spec.ne[0], spec.ne[1], c.moe->experts);
    EXPECT_TRUE(views.has_value()) << views.error().to_string();
    for (const TensorView& view : *views) append(view, out);
    return out;
  }
  if (ends_with("attn_k_b.weight") || ends_with("attn_v_b.weight")) {
    const auto up = weights.mla_up_projection(spec.layer);
    EXPECT_TRUE(up.has_value());
    if (ends_with("attn_v_b.weight")) {
      append(up->v, out);
      return out;
    }
    std::vector<float> rows;  // [kv_lora_rank, qk_nope, heads] -> [qk_nope, kv_lora_rank, heads]
    append(up->k, rows);
    const uint64_t nope = c.mla->qk_nope, rank = c.mla->kv_lora_rank;
    out.resize(rows.size());
    for (uint64_t h = 0; h < c.heads; ++h) {
      for (uint64_t i = 0; i < nope; ++i) {
        for (uint64_t j = 0; j < rank; ++j) out[(h * rank + j) * nope + i] = rows[(h * nope + i) * rank + j];
      }
    }
    return out;
  }
  const auto view = weights.get(spec.name, spec.shape());
  EXPECT_TRUE(view.has_value()) << view.error().to_string();
  append(*view, out);
  if (is_llama(c) && (ends_with("attn_q.weight") || ends_with("attn_k.weight"))) {
    return permuted(out, spec.ne[0], c.k_dim);
  }
  return out;
}

}  // namespace

std::string gguf_from_weights(const Weights& weights, MlaLayout layout, Type type, bool with_tokenizer) {
  const ModelConfig& c = weights.config();
  std::string file;
  GgufWriter writer(append_to(file));
  write_keys(c, layout, writer);
  if (with_tokenizer) write_tokenizer(c, writer);
  std::vector<TensorSpec> specs = tensor_specs(c, layout);
  const auto type_of = [&](const TensorSpec& spec) {
    const bool plain = spec.role == TensorRole::norm || spec.role == TensorRole::router;
    return plain || spec.ne[0] % block_elements(type) != 0 ? Type::f32 : type;
  };
  const auto must = [](const Status& status) { EXPECT_TRUE(status.has_value()) << status.error().to_string(); };
  for (const TensorSpec& spec : specs) must(writer.add_tensor(spec.name, ggml_number(type_of(spec)), spec.shape()));
  const bool factors = c.rope.scaling == RopeConfig::Scaling::llama3;
  if (factors) must(writer.add_tensor("rope_freqs.weight", 0, {c.rope.dimensions / 2}));
  must(writer.begin_data());
  for (const TensorSpec& spec : specs) {
    const std::vector<float> values = values_of(weights, spec);
    const Type as = type_of(spec);
    std::vector<uint8_t> bytes(*row_bytes(as, values.size()));
    EXPECT_TRUE(quantize_row(as, values.data(), values.size(), bytes.data()));
    must(writer.write(bytes));
  }
  if (factors) {
    RopeConfig plain = c.rope;
    plain.scaling = RopeConfig::Scaling::none;
    std::vector<float> divisors = rope_frequencies(plain), scaled = rope_frequencies(c.rope);
    for (size_t i = 0; i < divisors.size(); ++i) divisors[i] /= scaled[i];
    must(writer.write(Bytes(reinterpret_cast<const uint8_t*>(divisors.data()), divisors.size() * 4)));
  }
  must(writer.finish());
  return file;
}

}  // namespace vitrine
