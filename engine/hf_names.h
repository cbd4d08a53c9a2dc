// Hugging Face's tensor names for the names of GGUF files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model_config.h"

namespace vitrine {

// Where a tensor may be, first choice first; nothing when the model type has no
// such tensor. "{}" stands for an expert's number: one tensor per expert.
struct HfName {
  std::string name;
  // Of experts.gate_up_proj [experts, 2 * width, embedding]: which half of the
  // rows. Other tensors: none.
  enum class Half : uint8_t { none, gate, up };
  Half half = Half::none;

  bool per_expert() const { return name.find("{}") != std::string::npos; }
  std::string of_expert(uint32_t expert) const;  // REQUIRES: per_expert()
};

std::vector<HfName> hf_names(Architecture architecture, std::string_view gguf_name);

}  // namespace vitrine
