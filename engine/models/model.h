// A model: its weights on a device, and its forward pass over the operators.
//
//   auto weights = Weights::open(path);
//   auto model = load_model(*weights, *ops);
//   (*model)->prepare(256);
//   (*model)->forward(step, caches, logits);      // engine/model_runner.h does this
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/result.h"
#include "engine/model_config.h"
#include "engine/models/placement.h"
#include "engine/weights.h"
#include "kernels/ops.h"

namespace vitrine {

// What one step computes: T tokens of any number of sequences. Device tensors.
struct Step {
  Tensor tokens;        // i32 [T]
  Batch batch;          // where they stand
  Tensor outputs;       // i32 [m]: the tokens (0 … T - 1) whose logits are wanted, ascending, none twice; m may be 0
  Batch outputs_batch;  // where those stand: seq and pos [m], the same block table
  // The same numbers in host memory, for layers the host computes.
  Tensor host_tokens;
  Batch host_batch;
};

class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  const Placement& placement() const { return placement_; }
  // Of one layer's cache; pages, page_tokens and type are the caller's choice.
  KvShape kv_shape() const;

  // Memory for steps of up to `tokens` tokens. Call before forward(), and again to grow.
  virtual Status prepare(int64_t tokens) = 0;
  // Enqueues the step: stores keys and values, one cache per layer, and writes
  // logits [vocabulary, m]. REQUIRES: T within prepare(); caches.size() == layers, each of the
  // backend that computes its layer. Errors come out of Ops::sync(), of both backends.
  virtual void forward(const Step& step, std::span<KvCache> caches, const Tensor& logits) = 0;

 protected:
  Model(ModelConfig config, const Placement& placement) : config_(std::move(config)), placement_(placement) {}
  const ModelConfig config_;
  const Placement placement_;
};

// Called after each tensor: how many of how many are loaded.
using LoadProgress = std::function<void(uint64_t done, uint64_t total)>;

// Uploads the tensors of the architecture's layers; others (multi-token
// prediction) stay in the file. Borrows `ops` and `placement.host` for the model's life; with a
// backend that keeps views (CPU), `weights` must live as long too.
// Errors name the tensor: missing, of another shape, of a type its backend cannot use; usage: a
// placement with more layers than there are, or without a host.
Result<std::unique_ptr<Model>> load_model(const Weights& weights, Ops& ops, const LoadProgress& progress = {},
                                          const Placement& placement = {});

}  // namespace vitrine
