// Files of this folder that are part of the program (generated at build time).
#pragma once

#include <span>
#include <string_view>

namespace vitrine {

struct EmbeddedFile {
  std::string_view name;  // "locale/en.json"
  std::string_view content;
};
std::span<const EmbeddedFile> embedded_files();  // by name

}  // namespace vitrine
