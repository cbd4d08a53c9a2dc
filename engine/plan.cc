#include "engine/plan.h"

#include <algorithm>
#include <cmath>

namespace vitrine {
namespace {

// Widest first.
constexpr Type kTypes[] = {Type::bf16, Type::f8_e4m3, Type::q8_0, Type::q6_k, Type::q5_k,
                           Type::q4_k, Type::q4_0,    Type::q3_k, Type::q2_k};
constexpr uint64_t kChunk = 512;  // tokens of a prompt computed at once

class WeightCounter {
 public:
  explicit WeightCounter(const ModelConfig& config) : config_(config) { out_.layers.resize(config.layers); }

  void add(const TensorSpec& spec, uint64_t bytes) {
    out_.total += bytes;
    const bool routed = spec.role == TensorRole::routed_expert;
    if (spec.layer == TensorSpec::kNoLayer) {
      (spec.role == TensorRole::embedding ? out_.embedding : out_.head) += bytes;
    } else {
      (routed ? out_.layers[spec.layer].routed_experts : out_.layers[spec.layer].always) += bytes;
    }
    if (routed) {
      out_.routed_experts += bytes;
    } else if (spec.role != TensorRole::embedding || config_.tied_output) {
      out_.always += bytes;  // of an embedding that is not the head, one row is read
    }
  }
  WeightBytes finish() { return out_; }

 private:
  const ModelConfig& config_;
  WeightBytes out_;
};

// One float32 scale per block beside FP8.
uint64_t scale_bytes(const TensorSpec& spec, Type type) {
  if (type != Type::f8_e4m3) return 0;
  const auto blocks = [](uint64_t n) { return (n + TensorView::kScaleBlock - 1) / TensorView::kScaleBlock; };
  return 4 * blocks(spec.ne[0]) * blocks(spec.ne[1]) * spec.ne[2];
}

// Activations of one chunk in float32, and the logits of the batch. An estimate
// of the order, far below weights and cache.
uint64_t workspace_bytes(const ModelConfig& config, uint32_t batch) {
  uint64_t widest = config.ffn;
  if (config.moe) widest = std::max<uint64_t>(widest, uint64_t{config.moe->expert_ffn} * config.moe->experts_used);
  const uint64_t heads = uint64_t{config.heads} * (2ull * config.k_dim + config.v_dim);
  const uint64_t row = 6ull * config.embedding + 3 * widest + heads;
  return 4 * (std::max<uint64_t>(kChunk, batch) * row + uint64_t{batch} * config.vocabulary);
}

// Multiplications and additions of attention for one query over `context` keys.
double attention_operations(const ModelConfig& config, double context) {
  // Absorbed MLA: every head scores the whole latent key and sums the latent value.
  const double per_key =
      config.mla ? 2.0 * config.mla->kv_lora_rank + config.mla->qk_rope : config.k_dim + config.v_dim;
  return 2.0 * config.layers * config.heads * per_key * context;
}

}  // namespace

WeightBytes WeightBytes::of(const ModelConfig& config, Type type) {
  WeightCounter counter(config);
  const MlaLayout layout = type == Type::f8_e4m3 ? MlaLayout::combined : MlaLayout::split;
  for (const TensorSpec& spec : tensor_specs(config, layout)) {
    const Type stored = stored_type(spec, type);
    counter.add(spec, spec.elements() / block_elements(stored) * block_bytes(stored) + scale_bytes(spec, stored));
  }
  return counter.finish();
}

Result<WeightBytes> WeightBytes::of(const Weights& weights) {
  WeightCounter counter(weights.config());
  for (const TensorSpec& spec : tensor_specs(weights.config(), weights.mla_layout())) {
    const auto views = spec.role == TensorRole::routed_expert
                           ? weights.experts(spec.name, spec.ne[0], spec.ne[1], static_cast<uint32_t>(spec.ne[2]))
                           : weights.get(spec.name, spec.ne).map([](const TensorView& v) { return std::vector{v}; });
    if (!views) return tl::make_unexpected(views.error());
    uint64_t bytes = 0;
    for (const TensorView& view : *views) bytes += view.row_stride * view.ne[1] * view.ne[2] + view.scales.size();
    counter.add(spec, bytes);
  }
  return counter.finish();
}

double WeightBytes::read_per_step(const ModelConfig& config, uint32_t batch) const {
  double touched = 0;
  if (config.moe)
    touched = 1 - std::pow(1 - static_cast<double>(config.moe->experts_used) / config.moe->experts, batch);
  return static_cast<double>(always) + static_cast<double>(routed_experts) * touched;
}

uint64_t WeightBytes::on_device(const ModelConfig& config, const Placement& placement) const {
  uint64_t bytes = head;
  if (placement.host_layers == 0 || config.tied_output) bytes += embedding;
  uint32_t experts = 0;
  for (size_t i = placement.host_layers; i < layers.size(); ++i) {
    bytes += layers[i].always;
    if (layers[i].routed_experts == 0 || experts++ >= placement.host_experts) bytes += layers[i].routed_experts;
  }
  return bytes;
}

double operations_per_token(const ModelConfig& config, uint64_t context) {
  return 2.0 * static_cast<double>(parameters_per_token(config)) +
         attention_operations(config, static_cast<double>(context));
}

double operations_of_prompt(const ModelConfig& config, uint64_t tokens) {
  const auto n = static_cast<double>(tokens);
  return n * 2.0 * static_cast<double>(parameters_per_token(config)) + attention_operations(config, n * (n + 1) / 2);
}

PlanResult plan(const ModelConfig& config, const WeightBytes& weights, const Workload& workload,
                const Hardware& hardware, const Placement& placement) {
  PlanResult out;
  const auto tokens_cached = static_cast<double>(workload.context) * workload.batch;
  out.weights = weights.total;
  out.cache_per_token = config.kv_bytes_per_token(workload.cache);
  if (__builtin_mul_overflow(out.cache_per_token, uint64_t{workload.context} * workload.batch, &out.cache)) {
    out.cache = UINT64_MAX;  // a configuration may be absurd; it does not fit
  }
  out.workspace = workspace_bytes(config, workload.batch);
  out.usable = hardware.total_memory() * kUsableMemory;
  const auto cache_on_device = [&](uint32_t host_layers) {
    return static_cast<double>(out.cache) / config.layers * (config.layers - host_layers);
  };
  const auto needed = [&](const Placement& p) {
    return static_cast<double>(weights.on_device(config, p)) + cache_on_device(p.host_layers) +
           static_cast<double>(out.workspace);
  };
  out.device_weights = weights.on_device(config, placement);
  out.device_cache = static_cast<uint64_t>(cache_on_device(placement.host_layers));
  out.fits = needed(placement) <= out.usable;

  out.weight_bytes_read = weights.read_per_step(config, workload.batch);
  out.cache_bytes_read = tokens_cached * static_cast<double>(out.cache_per_token);
  out.operations = workload.batch * operations_per_token(config, workload.context);
  out.prompt_bytes_read = weights.read_per_step(config, workload.prompt);
  out.prompt_operations = operations_of_prompt(config, workload.prompt);
  const auto time = [](double amount, double rate) { return rate > 0 ? std::optional(amount / rate) : std::nullopt; };
  out.read_time = time(out.weight_bytes_read + out.cache_bytes_read, hardware.total_bandwidth());
  out.compute_time = time(out.operations, hardware.total_flops());
  if (out.read_time) out.decode_rate = workload.batch / std::max(*out.read_time, out.compute_time.value_or(0));
  const auto prompt_reading = time(out.prompt_bytes_read, hardware.total_bandwidth());
  const auto prompt_computing = time(out.prompt_operations, hardware.total_flops());
  if (prompt_reading && prompt_computing) out.prompt_time = std::max(*prompt_reading, *prompt_computing);

  const double room = out.usable - (static_cast<double>(out.device_weights) + static_cast<double>(out.workspace));
  const double per_position = static_cast<double>(out.cache_per_token) / config.layers *
                              (config.layers - placement.host_layers) * workload.batch;
  if (room >= per_position) {
    out.longest_context = static_cast<uint32_t>(std::min(room / per_position, static_cast<double>(config.context)));
  }
  if (out.fits) {
    out.layers_on_device = config.layers - placement.host_layers;
    out.host_experts = placement.host_experts;
    return out;
  }
  for (const Type type : kTypes) {
    const uint64_t bytes = WeightBytes::of(config, type).total;
    const double all = static_cast<double>(bytes) + static_cast<double>(out.cache) + static_cast<double>(out.workspace);
    if (bytes >= out.weights || all > out.usable) continue;
    out.best_type = {type, bytes};
    break;
  }
  for (Placement p; p.host_layers < config.layers; ++p.host_layers) {
    if (needed(p) > out.usable) continue;
    out.layers_on_device = config.layers - p.host_layers;
    break;
  }
  for (Placement p = {nullptr, placement.host_layers, 0}; config.moe && p.host_experts <= config.layers;
       ++p.host_experts) {
    if (needed(p) > out.usable) continue;
    out.host_experts = p.host_experts;
    break;
  }
  return out;
}

}  // namespace vitrine
