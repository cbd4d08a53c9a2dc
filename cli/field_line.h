// Where the line from exchanges to classified fields gets its knowledge.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "audit/field_line.h"
#include "base/result.h"

namespace vitrine::cli {

// policies/taxonomy.yaml and policies/clients under `data`; further folders
// (an organisation's own, an example's) hold clients/ too.
Result<std::unique_ptr<Knowledge>> load_knowledge(const std::string& data, const std::vector<std::string>& extra);

}  // namespace vitrine::cli
