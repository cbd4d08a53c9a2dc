// The second half of a layer: a gated MLP, or a mixture of such experts.
#pragma once

#include <optional>
#include <string>

#include "engine/models/step_memory.h"
#include "engine/models/tensor_loader.h"

namespace vitrine {

// y = down(silu(gate x) * up x)
struct FeedForward {
  Weight gate;  // [embedding, width]
  Weight up;    // [embedding, width]
  Weight down;  // [width, embedding]

  // `prefix` "blk.3.", `suffix` "" or "_shexp".
  static FeedForward load(TensorLoader& loader, const std::string& prefix, const std::string& suffix, uint64_t width);
  void forward(Ops& ops, const Tensor& x, const Tensor& y, bool accumulate = false) const {
    ops.ffn(gate, up, down, x, y, accumulate);
  }
};

// y = Σ over the chosen experts of weight · expert(x), + shared(x)
class MixtureOfExperts {
 public:
  // Shared by all layers.
  struct Memory {
    Rows logits;   // [experts, T]
    Rows ids;      // i32 [experts_used, T]
    Rows weights;  // [experts_used, T]
  };
  static Memory memory(StepMemory& step, const MoeConfig& moe);

  static MixtureOfExperts load(TensorLoader& loader, const std::string& prefix);
  // x, y [embedding, T]
  void forward(Ops& ops, const Memory& memory, const Tensor& x, const Tensor& y) const;

 private:
  RouteParams route_;
  Weight router_;          // [embedding, experts]
  Buffer selection_bias_;  // f32 [experts], or empty
  Weight gate_;            // [embedding, expert_ffn, experts]
  Weight up_;              // [embedding, expert_ffn, experts]
  Weight down_;            // [expert_ffn, embedding, experts]
  std::optional<FeedForward> shared_;
};

}  // namespace vitrine
