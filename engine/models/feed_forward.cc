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

MixtureOfExperts::Memory MixtureOfExperts::memory(StepMemory& step, const MoeConfig& moe, int64_t host_embedding) {
  Memory memory;
  memory.logits = step.rows(moe.experts);
  memory.ids = step.rows(moe.experts_used);
  memory.weights = step.rows(moe.experts_used);
  if (host_embedding > 0) {
    memory.routed = step.rows(host_embedding);
    memory.host_x = step.host_rows(host_embedding);
    memory.host_ids = step.host_rows(moe.experts_used);
    memory.host_weights = step.host_rows(moe.experts_used);
    memory.host_y = step.host_rows(host_embedding);
  }
  return memory;
}

MixtureOfExperts MixtureOfExperts::load(TensorLoader& loader, const std::string& prefix, Ops* host) {
  const ModelConfig& config = loader.weights().config();
  const MoeConfig& moe = *config.moe;
  MixtureOfExperts out;
  out.route_ = moe.route();
  out.router_ = loader.matrix(prefix + "ffn_gate_inp.weight", config.embedding, moe.experts);
  if (moe.selection_bias) out.selection_bias_ = loader.floats(prefix + "exp_probs_b.bias", moe.experts);
  Ops& device = loader.ops();
  out.host_ = host;
  if (host) loader.use(*host);
  out.gate_ = loader.experts(prefix + "ffn_gate_exps.weight", config.embedding, moe.expert_ffn);
  out.up_ = loader.experts(prefix + "ffn_up_exps.weight", config.embedding, moe.expert_ffn);
  out.down_ = loader.experts(prefix + "ffn_down_exps.weight", moe.expert_ffn, config.embedding);
  loader.use(device);
  if (moe.shared_experts > 0) out.shared_ = FeedForward::load(loader, prefix, "_shexp", moe.shared_ffn());
  return out;
}

std::vector<const Weight*> MixtureOfExperts::inputs() const {
  std::vector<const Weight*> out;
  if (!host_) out.push_back(&gate_);
  if (shared_) out.push_back(&shared_->gate);
  return out;
}

void MixtureOfExperts::forward(Ops& ops, const Memory& memory, const Tensor& x, const Tensor& y) const {
  const int64_t T = x.ne[1];
  const Tensor logits = memory.logits.f32(T);    // [experts, T]
  const Tensor ids = memory.ids.i32(T);          // i32 [experts_used, T]
  const Tensor weights = memory.weights.f32(T);  // [experts_used, T]
  const Tensor bias = selection_bias_.bytes() > 0 ? selection_bias_.f32(0, logits.ne[0]) : Tensor{};

  ops.moe_router(route_, router_, x, bias, logits, ids, weights);
  if (host_) return forward_with_host(ops, memory, x, ids, weights, y);
  if (shared_) {
    const Ops::SharedExpert shared = {&shared_->gate, &shared_->up, &shared_->down};
    ops.moe_ffn_shared(gate_, up_, down_, shared, x, ids, weights, y);  // y [embedding, T]
  } else {
    ops.moe_ffn(gate_, up_, down_, x, ids, weights, y);
  }
}

// The host computes the routed experts while the device computes the shared one.
void MixtureOfExperts::forward_with_host(Ops& ops, const Memory& memory, const Tensor& x, const Tensor& ids,
                                         const Tensor& weights, const Tensor& y) const {
  const int64_t T = x.ne[1];
  const Tensor routed = shared_ ? memory.routed.f32(T) : y;  // [embedding, T]
  const Tensor host_x = memory.host_x.f32(T), host_y = memory.host_y.f32(T);
  const Tensor host_ids = memory.host_ids.i32(T), host_weights = memory.host_weights.f32(T);
  ops.fork([=, this, &ops] {
    ops.copy_out(host_x.data, x);
    ops.copy_out(host_ids.data, ids);
    ops.copy_out(host_weights.data, weights);
    ops.run_on_host([=, this] { host_->moe_ffn(gate_, up_, down_, host_x, host_ids, host_weights, host_y); });
    ops.copy_in(routed, host_y.data);
  });
  if (shared_) shared_->forward(ops, x, y);
  ops.join();
  if (shared_) ops.add(routed, y);
}

}  // namespace vitrine
