// Configurations of published models, for planning without a file and for
// synthetic ones. Sources: the models' own config files.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "engine/model_config.h"

namespace vitrine {

std::vector<std::string_view> known_model_names();  // "deepseek-v3", …
std::optional<ModelConfig> known_model(std::string_view name);

}  // namespace vitrine
