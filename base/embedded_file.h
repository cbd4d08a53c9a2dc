// Files that are part of the program: CMake's vitrine_embed() writes, for each
// folder that has some, a function that lists them.
#pragma once

#include <string_view>

namespace vitrine {

struct EmbeddedFile {
  std::string_view name;  // relative to the folder: "locale/en.json"
  std::string_view content;
};

}  // namespace vitrine
