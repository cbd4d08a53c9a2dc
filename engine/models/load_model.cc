#include "engine/models/split_model.h"

namespace vitrine {
namespace {

Result<std::unique_ptr<Decoder>> load_part(TensorLoader& loader, const Placement& placement, LayerRange range) {
  switch (loader.weights().config().architecture) {
    case Architecture::deepseek2: return load_deepseek(loader, placement, range);
    case Architecture::llama:
    case Architecture::mixtral:
    case Architecture::qwen2:
    case Architecture::qwen3moe: return load_grouped_query(loader, placement, range);
  }
  return fail(ErrorCode::internal, "an architecture without a model");
}

}  // namespace

Result<std::unique_ptr<Model>> load_model(const Weights& weights, Ops& ops, const LoadProgress& progress,
                                          const Placement& placement) {
  const uint32_t layers = weights.config().layers, on_host = placement.host_layers;
  if (on_host >= layers) {
    return fail(ErrorCode::usage, "of " + std::to_string(layers) + " layers the device computes at least one");
  }
  if (!placement.host && (on_host > 0 || placement.host_experts > 0)) {
    return fail(ErrorCode::usage, "layers are placed on a host that is not there");
  }
  TensorLoader loader(weights, ops, progress);
  if (on_host == 0) return load_part(loader, placement, {0, layers});
  loader.use(*placement.host);
  auto first = load_part(loader, placement, {0, on_host});
  if (!first) return tl::make_unexpected(first.error());
  loader.use(ops);
  auto rest = load_part(loader, placement, {on_host, layers});
  if (!rest) return tl::make_unexpected(rest.error());
  return std::make_unique<SplitModel>(std::move(*first), std::move(*rest), ops);
}

}  // namespace vitrine
