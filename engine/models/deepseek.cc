// DeepSeek-V2, V2-Lite, V3 and R1 (arXiv 2405.04434, 2412.19437): multi-head latent
// attention, always absorbed. Queries are moved into the latent space, so that one
// latent key of kv_lora_rank + qk_rope elements per token is all that is cached and
// read, whatever the number of heads; prompts and decoding take the same path, so
// that they agree bit for bit.
#include <algorithm>

#include "engine/models/decoder.h"

namespace vitrine {
namespace {

class Deepseek final : public Decoder {
 public:
  Deepseek(const ModelConfig& config, Ops& ops, const Placement& placement, LayerRange range)
      : Decoder(config, ops, placement, range), mla_(*config.mla) {}
  using Decoder::load;

 private:
  struct Attention {
    Weight q;          // [embedding, k_dim * heads]: without q_lora; else
    Weight q_a;        // [embedding, q_lora_rank]
    Weight q_a_norm;   // [q_lora_rank]
    Weight q_b;        // [q_lora_rank, k_dim * heads]
    Weight kv_a;       // [embedding, kv_lora_rank + qk_rope]
    Weight kv_a_norm;  // [kv_lora_rank]
    TensorLoader::MlaUp up;
    Weight output;  // [v_head * heads, embedding]
  };

  void load_attention(TensorLoader& loader, uint32_t layer, const std::string& prefix) override {
    const uint64_t n = config_.embedding, q = uint64_t{config_.k_dim} * config_.heads;
    Attention& a = layers_.emplace_back();
    if (mla_.q_lora_rank == 0) {
      a.q = loader.matrix(prefix + "attn_q.weight", n, q);
    } else {
      a.q_a = loader.matrix(prefix + "attn_q_a.weight", n, mla_.q_lora_rank);
      a.q_a_norm = loader.norm(prefix + "attn_q_a_norm.weight", mla_.q_lora_rank);
      a.q_b = loader.matrix(prefix + "attn_q_b.weight", mla_.q_lora_rank, q);
    }
    a.kv_a = loader.matrix(prefix + "attn_kv_a_mqa.weight", n, uint64_t{mla_.kv_lora_rank} + mla_.qk_rope);
    a.kv_a_norm = loader.norm(prefix + "attn_kv_a_norm.weight", mla_.kv_lora_rank);
    a.up = loader.mla_up(layer);
    a.output = loader.matrix(prefix + "attn_output.weight", uint64_t{mla_.v_head} * config_.heads, n);
  }

  int64_t widest_attention_input() const override {
    return std::max<int64_t>({mla_.q_lora_rank, mla_.kv_lora_rank, int64_t{mla_.v_head} * config_.heads});
  }

  void prepare_attention(StepMemory& memory) override {
    const int64_t heads = config_.heads;
    if (mla_.q_lora_rank > 0) q_a_ = memory.rows(mla_.q_lora_rank);
    q_ = memory.rows(heads * config_.k_dim);
    kv_ = memory.rows(int64_t{mla_.kv_lora_rank} + mla_.qk_rope);
    q_latent_ = memory.rows(heads * mla_.kv_lora_rank);
    attended_latent_ = memory.rows(heads * mla_.kv_lora_rank);
    attended_ = memory.rows(heads * mla_.v_head);
  }

  std::vector<const Weight*> attention_inputs(uint32_t layer) const override {
    const Attention& a = layers_[layer];
    return {mla_.q_lora_rank == 0 ? &a.q : &a.q_a, &a.kv_a};
  }

  void attend(uint32_t layer, const LayerTokens& all, const LayerTokens& asking, KvCache& cache,
              const Tensor& y) override {
    const Attention& a = layers_[layer];
    const int64_t T = all.count(), m = asking.count(), heads = config_.heads;
    const Tensor kv = kv_.f32(T);                                               // [kv_lora_rank + qk_rope, T]
    const Tensor latent = kv.slice(0, 0, mla_.kv_lora_rank);                    // [kv_lora_rank, T]
    const Tensor k_rope = kv.slice(0, mla_.kv_lora_rank, mla_.qk_rope);         // [qk_rope, T], for all heads
    const Tensor q = q_.f32(m);                                                 // [k_dim * heads, m]
    const Tensor q_nope = q.heads(heads).slice(0, 0, mla_.qk_nope);             // [qk_nope, heads, m]
    const Tensor q_rope = q.heads(heads).slice(0, mla_.qk_nope, mla_.qk_rope);  // [qk_rope, heads, m]
    const Tensor q_latent = q_latent_.f32(m).heads(heads);                      // [kv_lora_rank, heads, m]
    const Tensor attended_latent = attended_latent_.f32(m).heads(heads);        // [kv_lora_rank, heads, m]
    const Tensor attended = attended_.f32(m);                                   // [v_head * heads, m]

    // Into q, or into what q is made of.
    const Weight& down = mla_.q_lora_rank == 0 ? a.q : a.q_a;
    const Tensor q_a = mla_.q_lora_rank == 0 ? q : q_a_.f32(m);  // [q_lora_rank, m]
    project({{&a.kv_a, kv}}, all, {&down, q_a}, asking);
    if (mla_.q_lora_rank > 0 && m > 0) {
      ops_.prepare_for(q_a, a.q_b);
      ops_.rms_norm(q_a, a.q_a_norm, rms_eps(), q_a);
      ops_.matmul(a.q_b, q_a, q);
    }
    const bool all_ask = &all == &asking;
    const LatentParams params = {&a.kv_a_norm, rms_eps(), config_.rope.style};
    if (!a.up.k_transposed) ops_.prepare_for(q_nope, a.up.k);
    ops_.mla_rope_store(cache, all.batch, params, all.rope, all_ask ? q.heads(heads) : Tensor(), latent, k_rope);
    if (m == 0) return;
    if (!all_ask) ops_.rope(q_rope, asking.rope, config_.rope.style);

    if (a.up.k_transposed) {
      ops_.matmul_heads_transposed(a.up.k, q_nope, q_latent);
    } else {
      ops_.matmul_heads(a.up.k, q_nope, q_latent);
    }
    ops_.prepare_for(attended_latent, a.up.v);
    ops_.mla_attention(attention_params(), q_latent, q_rope, cache, asking.batch, attended_latent);
    ops_.prepare_for(attended, a.output);
    ops_.matmul_heads(a.up.v, attended_latent, attended.heads(heads));
    ops_.matmul(a.output, attended, y);  // [embedding, m]
  }

  const MlaConfig mla_;
  std::vector<Attention> layers_;
  Rows q_a_, q_, kv_, q_latent_, attended_latent_, attended_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> load_deepseek(TensorLoader& loader, const Placement& placement, LayerRange range) {
  auto model = std::make_unique<Deepseek>(loader.weights().config(), loader.ops(), placement, range);
  model->load(loader);
  if (Status status = loader.status(); !status) return tl::make_unexpected(status.error());
  return model;
}

}  // namespace vitrine
