#include "engine/models/decoder.h"

#include <algorithm>

namespace vitrine {

KvShape Model::kv_shape() const {
  KvShape shape;
  if (config_.mla) {
    shape.kind = KvShape::Kind::mla;
    shape.kv_heads = 1;
    shape.k_dim = int64_t{config_.mla->kv_lora_rank} + config_.mla->qk_rope;
    shape.v_dim = config_.mla->kv_lora_rank;
  } else {
    shape.kind = KvShape::Kind::gqa;
    shape.kv_heads = config_.kv_heads;
    shape.k_dim = config_.k_dim;
    shape.v_dim = config_.v_dim;
  }
  return shape;
}

void Decoder::load(TensorLoader& loader) {
  const uint64_t n = config_.embedding;
  embedding_ = loader.table("token_embd.weight", n, config_.vocabulary);
  frequencies_ = loader.rope_frequencies();
  for (uint32_t layer = 0; layer < config_.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    Layer& l = layers_.emplace_back();
    l.attention_norm = loader.norm(prefix + "attn_norm.weight", n);
    load_attention(loader, prefix);
    l.ffn_norm = loader.norm(prefix + "ffn_norm.weight", n);
    if (config_.is_moe_layer(layer)) {
      l.ffn = MixtureOfExperts::load(loader, prefix);
    } else {
      l.ffn = FeedForward::load(loader, prefix, "", config_.ffn);
    }
    if (!loader.status()) return;
  }
  output_norm_ = loader.norm("output_norm.weight", n);
  output_ = loader.output();
}

Status Decoder::prepare(int64_t tokens) {
  StepShape shape;
  shape.tokens = tokens;
  shape.widest_input = std::max<int64_t>(config_.embedding, widest_attention_input());
  shape.ffn_width = config_.ffn;
  if (config_.moe) {
    shape.ffn_width = std::max<int64_t>({shape.ffn_width, config_.moe->expert_ffn, config_.moe->shared_ffn()});
    shape.experts = config_.moe->experts;
    shape.experts_used = config_.moe->experts_used;
  }
  shape.widest_input = std::max(shape.widest_input, shape.ffn_width);
  if (Status status = ops_.plan(shape); !status) return status;

  StepMemory memory(ops_, tokens);
  x_ = memory.rows(config_.embedding);
  h_ = memory.rows(config_.embedding);
  delta_ = memory.rows(config_.embedding);
  last_ = memory.rows(config_.embedding);
  last_delta_ = memory.rows(config_.embedding);
  rope_ = memory.rows(config_.rope.dimensions);
  if (config_.moe) moe_ = MixtureOfExperts::memory(memory, *config_.moe);
  prepare_attention(memory);
  return memory.status();
}

void Decoder::forward(const Step& step, std::span<KvCache> caches, const Tensor& logits) {
  const int64_t T = step.tokens.ne[0], m = step.outputs.ne[0];
  const Tensor x = x_.f32(T);          // [embedding, T] the residual stream
  const Tensor h = h_.f32(T);          // [embedding, T] its norm, what a half-layer sees
  const Tensor delta = delta_.f32(T);  // [embedding, T] what a half-layer adds
  const Tensor rope = rope_.f32(T);    // [rope.dimensions, T] cos and sin of each pair
  const float eps = rms_eps();

  ops_.embed(embedding_, step.tokens, x);
  ops_.rope_table(step.batch.pos, frequencies_.f32(0, config_.rope.dimensions / 2),
                  static_cast<float>(config_.rope.magnitude), rope);
  ops_.rms_norm(x, layers_[0].attention_norm, eps, h);
  for (uint32_t i = 0; i < config_.layers; ++i) {
    attend(i, step, rope, h, caches[i], delta);
    if (i + 1 == config_.layers) break;
    ops_.add_rms_norm(x, delta, layers_[i].ffn_norm, eps, h);
    feed_forward(layers_[i], h, delta);
    ops_.add_rms_norm(x, delta, layers_[i + 1].attention_norm, eps, h);
  }
  if (m == 0) return;
  // Behind the last attention no token looks at another: only those with logits go on.
  const Tensor last = last_.f32(m);              // [embedding, m]
  const Tensor last_delta = last_delta_.f32(m);  // [embedding, m]
  const Tensor last_h = h_.f32(m);               // [embedding, m]
  ops_.gather_rows(x, step.outputs, last);
  ops_.gather_rows(delta, step.outputs, last_delta);
  ops_.add_rms_norm(last, last_delta, layers_.back().ffn_norm, eps, last_h);
  feed_forward(layers_.back(), last_h, last_delta);
  ops_.add(last_delta, last);
  ops_.rms_norm(last, output_norm_, eps, last);
  ops_.matmul(output_, last, logits);  // [vocabulary, m]
}

void Decoder::feed_forward(const Layer& layer, const Tensor& h, const Tensor& y) {
  if (const auto* moe = std::get_if<MixtureOfExperts>(&layer.ffn)) {
    moe->forward(ops_, moe_, h, y);
  } else {
    std::get<FeedForward>(layer.ffn).forward(ops_, h, y);
  }
}

Result<std::unique_ptr<Model>> load_model(const Weights& weights, Ops& ops, const LoadProgress& progress) {
  TensorLoader loader(weights, ops, progress);
  switch (weights.config().architecture) {
    case Architecture::deepseek2: return load_deepseek(loader);
    case Architecture::llama:
    case Architecture::mixtral:
    case Architecture::qwen2:
    case Architecture::qwen3moe: return load_grouped_query(loader);
  }
  return fail(ErrorCode::internal, "an architecture without a model");
}

}  // namespace vitrine
