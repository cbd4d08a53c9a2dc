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
  if (range_.first == 0) embedding_ = loader.table("token_embd.weight", n, config_.vocabulary);
  frequencies_ = loader.rope_frequencies();
  uint32_t on_host = 0;  // layers whose experts are
  for (uint32_t layer = range_.first; layer < range_.end; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    Layer& l = layers_.emplace_back();
    l.attention_norm = loader.norm(prefix + "attn_norm.weight", n);
    load_attention(loader, layer, prefix);
    l.ffn_norm = loader.norm(prefix + "ffn_norm.weight", n);
    if (config_.is_moe_layer(layer)) {
      const bool host = on_host < placement_.host_experts && placement_.host != &ops_;
      l.ffn = MixtureOfExperts::load(loader, prefix, host ? placement_.host : nullptr);
      on_host += host ? 1 : 0;
    } else {
      l.ffn = FeedForward::load(loader, prefix, "", config_.ffn);
    }
    if (!loader.status()) return;
  }
  for (uint32_t i = 0; i < range_.count(); ++i) {
    layers_[i].attention_inputs = attention_inputs(i);
    std::visit([&](const auto& ffn) { layers_[i].ffn_inputs = ffn.inputs(); }, layers_[i].ffn);
  }
  if (!has_head()) return;
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
  const bool host_experts = config_.moe && placement_.host_experts > 0 && placement_.host != &ops_;
  if (host_experts) {
    if (Status status = placement_.host->plan(shape); !status) return status;
  }

  StepMemory memory(ops_, tokens);
  x_ = memory.rows(config_.embedding);
  h_ = memory.rows(config_.embedding);
  delta_ = memory.rows(config_.embedding);
  rope_ = memory.rows(config_.rope.dimensions);
  last_ = memory.rows(config_.embedding);
  last_h_ = memory.rows(config_.embedding);
  last_delta_ = memory.rows(config_.embedding);
  last_rope_ = memory.rows(config_.rope.dimensions);
  if (config_.moe) moe_ = MixtureOfExperts::memory(memory, *config_.moe, host_experts ? config_.embedding : 0);
  prepare_attention(memory);
  return memory.status();
}

void Decoder::forward(const Step& step, std::span<KvCache> caches, const Tensor& logits) {
  const int64_t T = step.tokens.ne[0], m = step.outputs.ne[0];
  const Tensor x = x_.f32(T);          // [embedding, T] the residual stream
  const Tensor h = h_.f32(T);          // [embedding, T] its norm, what a half-layer sees
  const Tensor delta = delta_.f32(T);  // [embedding, T] what a half-layer adds
  const Tensor rope = rope_.f32(T);    // [rope.dimensions, T] cos and sin of each pair
  const LayerTokens all = {h, rope, step.batch};
  const float eps = rms_eps();

  if (range_.first == 0) ops_.embed(embedding_, step.tokens, x);
  ops_.rope_table(step.batch.pos, frequencies_.f32(0, config_.rope.dimensions / 2),
                  static_cast<float>(config_.rope.magnitude), rope);
  ops_.prepare_for(h, layers_[0].attention_inputs);
  ops_.rms_norm(x, layers_[0].attention_norm, eps, h);
  for (uint32_t i = 0; i < range_.count(); ++i) {
    const bool last = i + 1 == range_.count();
    if (last && has_head()) break;
    attend(i, all, all, caches[i], delta);
    ops_.prepare_for(h, layers_[i].ffn_inputs);
    ops_.add_rms_norm(x, delta, layers_[i].ffn_norm, eps, h);
    feed_forward(layers_[i], h, delta);
    if (last) return ops_.add(delta, x);  // the layers behind it are elsewhere
    ops_.prepare_for(h, layers_[i + 1].attention_inputs);
    ops_.add_rms_norm(x, delta, layers_[i + 1].attention_norm, eps, h);
  }
  // Nothing reads the last layer but the logits: of tokens without, only the keys and values are wanted.
  const Tensor last = m == T ? x : last_.f32(m);                  // [embedding, m]
  const Tensor last_h = m == T ? h : last_h_.f32(m);              // [embedding, m]
  const Tensor last_delta = m == T ? delta : last_delta_.f32(m);  // [embedding, m]
  const Tensor last_rope = m == T ? rope : last_rope_.f32(m);     // [rope.dimensions, m]
  if (m > 0 && m < T) {
    ops_.gather_rows(x, step.outputs, last);
    ops_.gather_rows(h, step.outputs, last_h);
    ops_.gather_rows(rope, step.outputs, last_rope);
  }
  const LayerTokens asking = {last_h, last_rope, step.outputs_batch};
  attend(range_.count() - 1, all, m == T ? all : asking, caches.back(), last_delta);
  if (m == 0) return;
  ops_.prepare_for(last_h, layers_.back().ffn_inputs);
  ops_.add_rms_norm(last, last_delta, layers_.back().ffn_norm, eps, last_h);
  feed_forward(layers_.back(), last_h, last_delta);
  ops_.prepare_for(last_h, output_);
  ops_.add_rms_norm(last, last_delta, output_norm_, eps, last_h);
  ops_.matmul(output_, last_h, logits);  // [vocabulary, m]
}

void Decoder::project(std::initializer_list<Ops::Product> of_all, const LayerTokens& all, const Ops::Product& of_asking,
                      const LayerTokens& asking) {
  std::vector<Ops::Product> products(of_all);
  if (&all == &asking) {
    products.push_back(of_asking);
  } else if (asking.count() > 0) {
    ops_.matmul(*of_asking.weight, asking.h, of_asking.y);
  }
  ops_.matmul(products, all.h);
}

void Decoder::feed_forward(const Layer& layer, const Tensor& h, const Tensor& y) {
  if (const auto* moe = std::get_if<MixtureOfExperts>(&layer.ffn)) {
    moe->forward(ops_, moe_, h, y);
  } else {
    std::get<FeedForward>(layer.ffn).forward(ops_, h, y);
  }
}

}  // namespace vitrine
