// Models of a published shape that are small enough to be computed in a test.
#pragma once

#include <string>

#include "engine/known_models.h"
#include "engine/model_config.h"

namespace vitrine {

// The model with `layers` layers, narrow, everything else as it is. REQUIRES: a known name.
inline ModelConfig narrowed(const std::string& name, uint32_t layers = 2) {
  ModelConfig c = *known_model(name);
  c.layers = layers;
  c.mtp_layers = 0;
  c.embedding = 256;
  c.vocabulary = 512;
  c.rope.scaling = c.mla ? c.rope.scaling : RopeConfig::Scaling::none;
  if (c.ffn > 0) c.ffn = 512;
  if (c.mla) c.heads = c.kv_heads = 4;
  if (c.mla && c.mla->q_lora_rank > 0) c.mla->q_lora_rank = 256;
  if (c.moe) {
    c.moe->expert_ffn = 256;
    c.moe->leading_dense = c.moe->leading_dense > 0 ? 1 : 0;
  }
  return c;
}

}  // namespace vitrine
