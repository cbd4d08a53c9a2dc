// Grouped-query attention (arXiv 2305.13245), which these models share:
//   Llama 2 and 3 (2307.09288, 2407.21783), SmolLM2, R1-Distill-Llama; Mixtral (2401.04088), whose
//     feed-forward halves are experts: nothing more
//   Qwen 2 and 2.5 (2412.15115), R1-Distill-Qwen: biases on q, k and v
//   Qwen 3 MoE (2505.09388): queries and keys normed per head before rope
#include <algorithm>

#include "engine/models/decoder.h"

namespace vitrine {
namespace {

class GroupedQuery final : public Decoder {
 public:
  GroupedQuery(const ModelConfig& config, Ops& ops, const Placement& placement, LayerRange range)
      : Decoder(config, ops, placement, range) {}
  using Decoder::load;

 private:
  struct Attention {
    // Biases where config.qkv_bias, norms where config.qk_norm.
    Weight q, q_bias;       // [embedding, k_dim * heads], [k_dim * heads]
    Weight k, k_bias;       // [embedding, k_dim * kv_heads], [k_dim * kv_heads]
    Weight v, v_bias;       // [embedding, v_dim * kv_heads], [v_dim * kv_heads]
    Weight q_norm, k_norm;  // [k_dim], the same for all heads
    Weight output;          // [v_dim * heads, embedding]
  };

  void load_attention(TensorLoader& loader, uint32_t, const std::string& prefix) override {
    const uint64_t n = config_.embedding;
    const uint64_t q = uint64_t{config_.k_dim} * config_.heads;
    const uint64_t k = uint64_t{config_.k_dim} * config_.kv_heads;
    const uint64_t v = uint64_t{config_.v_dim} * config_.kv_heads;
    Attention& a = layers_.emplace_back();
    a.q = loader.matrix(prefix + "attn_q.weight", n, q);
    a.k = loader.matrix(prefix + "attn_k.weight", n, k);
    a.v = loader.matrix(prefix + "attn_v.weight", n, v);
    if (config_.qkv_bias) {
      a.q_bias = loader.bias(prefix + "attn_q.bias", q);
      a.k_bias = loader.bias(prefix + "attn_k.bias", k);
      a.v_bias = loader.bias(prefix + "attn_v.bias", v);
    }
    if (config_.qk_norm) {
      a.q_norm = loader.norm(prefix + "attn_q_norm.weight", config_.k_dim);
      a.k_norm = loader.norm(prefix + "attn_k_norm.weight", config_.k_dim);
    }
    a.output = loader.matrix(prefix + "attn_output.weight", uint64_t{config_.v_dim} * config_.heads, n);
  }

  int64_t widest_attention_input() const override { return int64_t{config_.v_dim} * config_.heads; }

  void prepare_attention(StepMemory& memory) override {
    q_ = memory.rows(int64_t{config_.k_dim} * config_.heads);
    k_ = memory.rows(int64_t{config_.k_dim} * config_.kv_heads);
    v_ = memory.rows(int64_t{config_.v_dim} * config_.kv_heads);
    attended_ = memory.rows(int64_t{config_.v_dim} * config_.heads);
  }

  std::vector<const Weight*> attention_inputs(uint32_t layer) const override {
    const Attention& a = layers_[layer];
    return {&a.q, &a.k, &a.v};
  }

  void attend(uint32_t layer, const LayerTokens& all, const LayerTokens& asking, KvCache& cache,
              const Tensor& y) override {
    const Attention& a = layers_[layer];
    const int64_t T = all.count(), m = asking.count();
    const Tensor q = q_.f32(m), k = k_.f32(T), v = v_.f32(T), attended = attended_.f32(m);
    const Tensor q_heads = q.heads(config_.heads);                // [k_dim, heads, m]
    const Tensor k_heads = k.heads(config_.kv_heads);             // [k_dim, kv_heads, T]
    const Tensor v_heads = v.heads(config_.kv_heads);             // [v_dim, kv_heads, T]
    const Tensor attended_heads = attended.heads(config_.heads);  // [v_dim, heads, m]

    project({{&a.k, k}, {&a.v, v}}, all, {&a.q, q}, asking);
    const bool all_ask = &all == &asking;
    HeadParams params = {.eps = rms_eps(), .style = config_.rope.style};
    if (config_.qkv_bias) params.q_bias = &a.q_bias, params.k_bias = &a.k_bias, params.v_bias = &a.v_bias;
    if (config_.qk_norm) params.q_norm = &a.q_norm, params.k_norm = &a.k_norm;
    ops_.rope_store(cache, all.batch, params, all.rope, all_ask ? q_heads : Tensor(), k_heads, v_heads);
    if (m == 0) return;
    if (!all_ask) {
      if (config_.qkv_bias) ops_.add_bias(a.q_bias, q);
      if (config_.qk_norm) ops_.rms_norm(q_heads, a.q_norm, rms_eps(), q_heads);
      ops_.rope(q_heads.slice(0, 0, config_.rope.dimensions), asking.rope, config_.rope.style);
    }
    ops_.prepare_for(attended, a.output);
    ops_.attention(attention_params(), q_heads, cache, asking.batch, attended_heads);
    ops_.matmul(a.output, attended, y);  // [embedding, m]
  }

  std::vector<Attention> layers_;
  Rows q_, k_, v_, attended_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> load_grouped_query(TensorLoader& loader, const Placement& placement,
                                                    LayerRange range) {
  auto model = std::make_unique<GroupedQuery>(loader.weights().config(), loader.ops(), placement, range);
  model->load(loader);
  if (Status status = loader.status(); !status) return tl::make_unexpected(status.error());
  return model;
}

}  // namespace vitrine
