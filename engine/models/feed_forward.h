// The second half of a layer: a gated MLP, or a mixture of such experts.
#pragma once

#include <optional>
#include <string>
#include <vector>

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
  std::vector<const Weight*> inputs() const { return {&gate}; }  // what meets x, as Ops::prepare_for counts
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
    Rows routed;   // [embedding, T]: what the host's experts gave, on the device
    // The host's side of it.
    HostRows host_x, host_ids, host_weights, host_y;
  };
  // `host_embedding`: width of rows for experts on the host; 0: there are none.
  static Memory memory(StepMemory& step, const MoeConfig& moe, int64_t host_embedding);

  // `host`: the backend of the routed experts, when it is not the loader's.
  static MixtureOfExperts load(TensorLoader& loader, const std::string& prefix, Ops* host);
  std::vector<const Weight*> inputs() const;
  // x, y [embedding, T]
  void forward(Ops& ops, const Memory& memory, const Tensor& x, const Tensor& y) const;

 private:
  void forward_with_host(Ops& ops, const Memory& memory, const Tensor& x, const Tensor& ids, const Tensor& weights,
                         const Tensor& y) const;

  Ops* host_ = nullptr;
  RouteParams route_;
  Weight router_;          // [embedding, experts]
  Buffer selection_bias_;  // f32 [experts], or empty
  Weight gate_;            // [embedding, expert_ffn, experts]
  Weight up_;              // [embedding, expert_ffn, experts]
  Weight down_;            // [expert_ffn, embedding, experts]
  std::optional<FeedForward> shared_;
};

}  // namespace vitrine
