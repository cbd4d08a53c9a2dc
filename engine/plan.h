// What a model needs and how fast it can be on given hardware, from bytes and
// operations. Every prediction is a bound: it counts reading weights and cache
// once and arithmetic at full speed, and no communication between devices.
//
//   decode: time = max(bytes read / bandwidth, operations / rate), per step of `batch` tokens
//     bytes      = always + experts * (1 - (1 - k/E)^batch) + batch * context * cache per token
//     operations = batch * (2 * parameters per token + attention over `context`)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/hardware.h"
#include "engine/model_config.h"
#include "engine/models/placement.h"
#include "engine/tensor_specs.h"
#include "engine/weights.h"

namespace vitrine {

// Bytes of a model's weights, by how often they are read.
struct WeightBytes {
  uint64_t total = 0;
  uint64_t always = 0;          // read at every step: attention, dense and shared FFN, routers, norms, head
  uint64_t routed_experts = 0;  // of all experts; a token reads experts_used / experts of them
  uint64_t embedding = 0;
  uint64_t head = 0;  // with the final norm; of a tied one the norm alone
  struct Layer {
    uint64_t always = 0, routed_experts = 0;
  };
  std::vector<Layer> layers;

  static WeightBytes of(const ModelConfig& config, Type type);  // stored_type() of each tensor
  // As the file holds them, of the tensors the model uses.
  static Result<WeightBytes> of(const Weights& weights);
  // Of a step with `batch` tokens, experts chosen evenly and independently.
  double read_per_step(const ModelConfig& config, uint32_t batch) const;
  // What the device holds when the rest stays with the host.
  uint64_t on_device(const ModelConfig& config, const Placement& placement) const;
};

struct Workload {
  uint32_t context = 8192;  // tokens in the cache of each sequence
  uint32_t batch = 1;       // sequences decoded together
  uint32_t prompt = 512;
  Type cache = Type::bf16;
};

// Part of a device's memory weights and cache may take: the rest is for the
// driver, the runtime, and fragmentation.
inline constexpr double kUsableMemory = 0.95;

struct PlanResult {
  // Bytes.
  uint64_t weights = 0, cache = 0, workspace = 0;
  uint64_t device_weights = 0, device_cache = 0;  // of these what the device holds; the rest stays with the host
  uint64_t cache_per_token = 0;
  double usable = 0;  // of all devices together
  bool fits = false;

  // Per decoding step. Times in seconds, rates in tokens per second over the
  // batch; nothing where the hardware's number is not known.
  double weight_bytes_read = 0, cache_bytes_read = 0, operations = 0;
  std::optional<double> read_time, compute_time, decode_rate;
  // A prompt of workload.prompt tokens in one go, from an empty cache.
  double prompt_bytes_read = 0, prompt_operations = 0;
  std::optional<double> prompt_time;

  // When it does not fit: what would.
  struct Alternative {
    Type type;
    uint64_t weights;
  };
  std::optional<Alternative> best_type;     // the widest type whose weights fit with the same context and batch
  std::optional<uint32_t> longest_context;  // with these weights and batch; nothing when not even one token fits
  uint32_t layers_on_device = 0;  // the most layers, from the last on, that fit with cache and head (--gpu-layers)
  std::optional<uint32_t> host_experts;  // the fewest layers whose routed experts must stay with the host for all
                                         // else to fit (--cpu-experts); nothing when that is not enough
};

// Operations of decoding one token with `context` tokens in its cache, and of a prompt.
double operations_per_token(const ModelConfig& config, uint64_t context);
double operations_of_prompt(const ModelConfig& config, uint64_t tokens);

// `placement`: what stays with the host (whose memory is not looked at). Rates are of everything on
// the device.
PlanResult plan(const ModelConfig& config, const WeightBytes& weights, const Workload& workload,
                const Hardware& hardware, const Placement& placement = {});

}  // namespace vitrine
