// Llama 2 and 3 (arXiv 2307.09288, 2407.21783), SmolLM2, R1-Distill-Llama, and
// Mixtral (2401.04088), whose feed-forward halves are experts.
#include <algorithm>

#include "engine/models/decoder.h"

namespace vitrine {
namespace {

class Llama final : public Decoder {
 public:
  Llama(const ModelConfig& config, Ops& ops) : Decoder(config, ops) {}
  using Decoder::load;

 private:
  struct Attention {
    Weight q;       // [embedding, k_dim * heads]
    Weight k;       // [embedding, k_dim * kv_heads]
    Weight v;       // [embedding, v_dim * kv_heads]
    Weight output;  // [v_dim * heads, embedding]
  };

  void load_attention(TensorLoader& loader, const std::string& prefix) override {
    const uint64_t n = config_.embedding, heads = config_.heads, kv_heads = config_.kv_heads;
    Attention& a = layers_.emplace_back();
    a.q = loader.matrix(prefix + "attn_q.weight", n, config_.k_dim * heads);
    a.k = loader.matrix(prefix + "attn_k.weight", n, config_.k_dim * kv_heads);
    a.v = loader.matrix(prefix + "attn_v.weight", n, config_.v_dim * kv_heads);
    a.output = loader.matrix(prefix + "attn_output.weight", config_.v_dim * heads, n);
  }

  int64_t widest_attention_input() const override { return int64_t{config_.v_dim} * config_.heads; }

  void prepare_attention(StepMemory& memory) override {
    q_ = memory.rows(int64_t{config_.k_dim} * config_.heads);
    k_ = memory.rows(int64_t{config_.k_dim} * config_.kv_heads);
    v_ = memory.rows(int64_t{config_.v_dim} * config_.kv_heads);
    attended_ = memory.rows(int64_t{config_.v_dim} * config_.heads);
  }

  void attend(uint32_t layer, const Step& step, const Tensor& rope, const Tensor& h, KvCache& cache,
              const Tensor& y) override {
    const Attention& a = layers_[layer];
    const int64_t T = h.ne[1];
    const Tensor q = q_.f32(T), k = k_.f32(T), v = v_.f32(T), attended = attended_.f32(T);
    const Tensor q_heads = q.heads(config_.heads);                // [k_dim, heads, T]
    const Tensor k_heads = k.heads(config_.kv_heads);             // [k_dim, kv_heads, T]
    const Tensor v_heads = v.heads(config_.kv_heads);             // [v_dim, kv_heads, T]
    const Tensor attended_heads = attended.heads(config_.heads);  // [v_dim, heads, T]

    const Ops::Product products[] = {{&a.q, q}, {&a.k, k}, {&a.v, v}};
    ops_.matmul(products, h);
    ops_.rope(q_heads.slice(0, 0, config_.rope.dimensions), rope, config_.rope.style);
    ops_.rope(k_heads.slice(0, 0, config_.rope.dimensions), rope, config_.rope.style);
    ops_.kv_store(cache, step.batch, k_heads, v_heads);
    ops_.attention(attention_params(), q_heads, cache, step.batch, attended_heads);
    ops_.matmul(a.output, attended, y);  // [embedding, T]
  }

  std::vector<Attention> layers_;
  Rows q_, k_, v_, attended_;
};

}  // namespace

Result<std::unique_ptr<Model>> load_llama(TensorLoader& loader) {
  auto model = std::make_unique<Llama>(loader.weights().config(), loader.ops());
  model->load(loader);
  if (Status status = loader.status(); !status) return tl::make_unexpected(status.error());
  return model;
}

}  // namespace vitrine
