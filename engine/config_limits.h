// Shared by the readers of configurations: bounds, and what must fit together.
#pragma once

#include "engine/config_reader.h"
#include "engine/model_config.h"

namespace vitrine {

// Far above any published model, low enough that products of a few of them fit
// in 64 bits: sizes computed from a configuration cannot overflow.
namespace limits {
inline constexpr uint32_t kVocabulary = 1u << 22;
inline constexpr uint32_t kContext = 1u << 27;
inline constexpr uint32_t kEmbedding = 1u << 17;
inline constexpr uint32_t kLayers = 1u << 10;
inline constexpr uint32_t kFfn = 1u << 20;
inline constexpr uint32_t kHeads = 1u << 12;
inline constexpr uint32_t kHeadDim = 1u << 12;
inline constexpr uint32_t kExperts = 1u << 12;
inline constexpr uint32_t kRank = 1u << 16;
}  // namespace limits

// How the format at hand calls what check_consistency() looks at.
struct ConfigNames {
  std::string_view kv_heads, rope_dimensions, rope_theta, experts_used, leading_dense, groups, groups_used;
};

void check_consistency(const ModelConfig& config, const ConfigNames& names, ConfigReader& keys);

}  // namespace vitrine
