#include "engine/models/feed_forward.h"

namespace vitrine {

FeedForward FeedForward::load(TensorLoader& loader, const std::string& prefix, const std::string& suffix,
                              uint64_t width) {
  const uint64_t n = loader.weights().config().embedding;
  FeedForward ffn;
  ffn.gate = loader.matrix(prefix + "ffn_gate" + suffix + ".weight", n, width);
  ffn.up = loader.matrix(prefix + "ffn_up" + suffix + ".weight", n, width);
  ffn.down = loader.matrix(prefix + "ffn_down" + suffix + ".weight", width, n);
  return ffn;
}

MixtureOfExperts::Memory MixtureOfExperts::memory(StepMemory& step, const MoeConfig& moe) {
  Memory memory;
  memory.logits = step.rows(moe.experts);
  memory.ids = step.rows(moe.experts_used);
  memory.weights = step.rows(moe.experts_used);
  return memory;
}

MixtureOfExperts MixtureOfExperts::load(TensorLoader& loader, const std::string& prefix) {
  const ModelConfig& config = loader.weights().config();
  const MoeConfig& moe = *config.moe;
  MixtureOfExperts out;
  out.route_ = moe.route();
  out.router_ = loader.matrix(prefix + "ffn_gate_inp.weight", config.embedding, moe.experts);
  if (moe.selection_bias) out.selection_bias_ = loader.floats(prefix + "exp_probs_b.bias", moe.experts);
  out.gate_ = loader.experts(prefix + "ffn_gate_exps.weight", config.embedding, moe.expert_ffn);
  out.up_ = loader.experts(prefix + "ffn_up_exps.weight", config.embedding, moe.expert_ffn);
  out.down_ = loader.experts(prefix + "ffn_down_exps.weight", moe.expert_ffn, config.embedding);
  if (moe.shared_experts > 0) out.shared_ = FeedForward::load(loader, prefix, "_shexp", moe.shared_ffn());
  return out;
}

void MixtureOfExperts::forward(Ops& ops, const Memory& memory, const Tensor& x, const Tensor& y) const {
  const int64_t T = x.ne[1];
  const Tensor logits = memory.logits.f32(T);    // [experts, T]
  const Tensor ids = memory.ids.i32(T);          // i32 [experts_used, T]
  const Tensor weights = memory.weights.f32(T);  // [experts_used, T]
  const Tensor bias = selection_bias_.bytes() > 0 ? selection_bias_.f32(0, logits.ne[0]) : Tensor{};

  ops.matmul(router_, x, logits);
  ops.moe_route(route_, logits, bias, ids, weights);
  ops.moe_ffn(gate_, up_, down_, x, ids, weights, y);  // y [embedding, T]
  if (shared_) shared_->forward(ops, x, y, /*accumulate=*/true);
}

}  // namespace vitrine
