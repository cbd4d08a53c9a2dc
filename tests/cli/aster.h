// The Aster recordings through the functions that `vitrine audit` runs.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audit/evaluate.h"
#include "cli/audit_run.h"

namespace vitrine::cli::aster {

inline const std::string kFolder = std::string(VITRINE_SOURCE_DIR) + "/examples/aster";
inline const std::vector<std::string> kScenarios = {"baseline", "keystroke", "clean"};
inline const std::vector<std::string> kVersions = {"2024-12", "2025-02"};

inline std::string recording(const std::string& scenario) { return kFolder + "/aster-" + scenario + ".pcapng"; }

struct Options {
  unsigned threads = 1;
  bool ignore_embedded_secrets = false;
  std::function<void(AuditInputs&)> mutate;  // called when everything is loaded
};

// REQUIRES: scenario and version are from the lists above. A failure to load
// or read is a test failure and gives an empty result.
inline AuditResult audit(const std::string& scenario, const std::string& version, const Options& options = {}) {
  PolicyFlags flags;
  flags.data = VITRINE_SOURCE_DIR;
  flags.folders = {kFolder + "/policies"};
  flags.mmdb = kFolder + "/aster-test.mmdb";
  Result<std::unique_ptr<LoadedPolicies>> loaded = load_policies_for(flags);
  if (!loaded) {
    ADD_FAILURE() << loaded.error().to_string();
    return {};
  }
  AuditInputs& inputs = (*loaded)->inputs;
  Result<Context> context = load_context(kFolder + "/aster-" + scenario + ".audit.yaml");
  if (!context) {
    ADD_FAILURE() << context.error().to_string();
    return {};
  }
  inputs.context = std::move(*context);
  if (const Status chosen = choose_texts({"aster/" + version, "aster/cookies"}, inputs); !chosen) {
    ADD_FAILURE() << chosen.error().to_string();
    return {};
  }
  if (options.mutate) options.mutate(inputs);
  AuditRun run(**loaded);
  InputOptions input;
  input.threads = options.threads;
  input.ignore_embedded_secrets = options.ignore_embedded_secrets;
  IssueLog issues;
  if (const Status read = run.read(recording(scenario), input, issues); !read) {
    ADD_FAILURE() << read.error().to_string();
    return {};
  }
  return run.evaluate();
}

// Each combination is audited once per process.
const AuditResult& cached(const std::string& scenario, const std::string& version);

inline const Policy& policy_of(const AuditInputs& inputs, const std::string& file) {
  for (const Policy& policy : inputs.policies) {
    if (policy.file == file) return policy;
  }
  static const Policy none;
  ADD_FAILURE() << "no policy " << file;
  return none;
}
inline Policy& policy_of(AuditInputs& inputs, const std::string& file) {
  return const_cast<Policy&>(policy_of(static_cast<const AuditInputs&>(inputs), file));
}

// What a test says of a finding that it cannot find.
inline std::string verdict_of(const Finding* finding) {
  if (finding == nullptr) return "–";
  std::string out(to_string(finding->verdict));
  if (finding->vagueness != Vagueness::none) out.append(" (").append(to_string(finding->vagueness)).append(")");
  return out;
}

}  // namespace vitrine::cli::aster
