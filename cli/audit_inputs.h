// Everything `vitrine audit` and `vitrine policy` load before a capture is read.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/evaluate.h"
#include "cli/field_line.h"

namespace vitrine::cli {

struct PolicyFlags {
  std::string data;                  // folder with policies/
  std::vector<std::string> folders;  // further policy folders: vendors/, laws/, org/, recipients/, clients/
  std::string mmdb, asn_mmdb;
  std::vector<std::string> rule_files;  // ids to evaluate; empty = all
};

// Owns what AuditInputs points to.
struct LoadedPolicies {
  std::unique_ptr<Knowledge> knowledge;
  std::optional<CountryDatabase> ip_countries, network_owners;
  AuditInputs inputs;
};

Result<std::unique_ptr<LoadedPolicies>> load_policies_for(const PolicyFlags& flags);

}  // namespace vitrine::cli
