#include "engine/model_config.h"

#include "engine/config_limits.h"

namespace vitrine {

std::string_view architecture_name(Architecture architecture) {
  switch (architecture) {
    case Architecture::deepseek2: return "deepseek2";
    case Architecture::llama: return "llama";
    case Architecture::mixtral: return "mixtral";
    case Architecture::qwen2: return "qwen2";
    case Architecture::qwen3moe: return "qwen3moe";
  }
  return "?";
}

RouteParams MoeConfig::route() const {
  return {.scoring = scoring,
          .experts_used = experts_used,
          .groups = groups,
          .groups_used = groups_used,
          .group_top = group_top,
          .renormalize = renormalize,
          .scale = static_cast<float>(scale)};
}

uint64_t ModelConfig::kv_elements() const {
  if (mla) return uint64_t{mla->kv_lora_rank} + mla->qk_rope;
  return uint64_t{kv_heads} * (uint64_t{k_dim} + v_dim);
}

uint64_t ModelConfig::kv_bytes_per_token(Type type) const { return layers * kv_elements() * block_bytes(type); }

void check_consistency(const ModelConfig& config, const ConfigNames& names, ConfigReader& keys) {
  if (config.heads % config.kv_heads != 0) keys.fault(names.kv_heads, "must divide the number of heads");
  const uint32_t rotated = config.mla ? config.mla->qk_rope : config.k_dim;
  if (config.rope.dimensions == 0 || config.rope.dimensions % 2 != 0 || config.rope.dimensions > rotated) {
    keys.fault(names.rope_dimensions, std::to_string(config.rope.dimensions) +
                                          " rotated elements: must be even and at most " + std::to_string(rotated));
  }
  if (config.rope.theta <= 1) keys.fault(names.rope_theta, "must be greater than 1");
  if (!config.moe) return;
  const MoeConfig& moe = *config.moe;
  if (moe.experts_used > moe.experts) keys.fault(names.experts_used, "is more than there are experts");
  if (moe.leading_dense > config.layers) keys.fault(names.leading_dense, "is more than there are layers");
  if (moe.experts % moe.groups != 0) keys.fault(names.groups, "must divide the number of experts");
  if (moe.groups_used > moe.groups) keys.fault(names.groups_used, "is more than there are groups");
  if (moe.experts / moe.groups * moe.groups_used < moe.experts_used) {
    keys.fault(names.experts_used, "is more than the chosen groups hold");
  }
  if (moe.group_top > moe.experts / moe.groups) keys.fault(names.groups, "leaves fewer than two experts in a group");
}

}  // namespace vitrine
