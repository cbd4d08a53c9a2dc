// A file in DeepSeek-V3's shape, small enough to make in a test: few layers, but 256 experts, groups, selection bias,
// latent attention, YaRN.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "engine/known_models.h"
#include "tests/cli/program.h"
#include "tests/synthetic/synthetic_model.h"

namespace vitrine::cli {

inline std::string small_deepseek_v3(const TempFolder& folder, Type type, MlaLayout layout = MlaLayout::split) {
  ModelConfig config = *known_model("deepseek-v3");
  config.layers = 3;
  config.mtp_layers = 0;
  config.embedding = 256;
  config.vocabulary = 512;
  config.ffn = 512;
  config.heads = config.kv_heads = 4;
  config.mla->q_lora_rank = 256;
  config.moe->expert_ffn = 256;
  config.moe->leading_dense = 1;
  const std::string path = folder.path("model.gguf");
  auto sink = write_to_file(path);
  EXPECT_TRUE(sink && write_synthetic_model(config, {.type = type, .mla_layout = layout}, std::move(*sink)));
  return path;
}

}  // namespace vitrine::cli
