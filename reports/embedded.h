// Files of this folder that are part of the program (generated at build time).
#pragma once

#include <span>

#include "base/embedded_file.h"

namespace vitrine {

std::span<const EmbeddedFile> report_files();  // by name

}  // namespace vitrine
