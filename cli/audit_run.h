// From recordings to an AuditResult, without printing anything: what
// `vitrine audit` runs, and what its tests run.
#pragma once

#include <string>
#include <vector>

#include "audit/finding.h"
#include "audit/flow.h"
#include "capture/pipeline/input.h"
#include "cli/audit_inputs.h"

namespace vitrine::cli {

// Reads audit.yaml at `path`; an empty path gives the defaults.
Result<Context> load_context(const std::string& path);

// Restricts the audit to these texts: names as `vitrine policy list` prints
// them, with or without ".yaml". A name that is not held is a usage error.
Status choose_texts(const std::vector<std::string>& names, AuditInputs& inputs);

// The recordings of one audit. REQUIRES: policies outlives this, and its
// inputs (context, chosen texts, rules) are set before the first read().
class AuditRun {
 public:
  explicit AuditRun(LoadedPolicies& policies) : policies_(policies), collector_(policies.inputs) {}

  // Reads one recording into the collected flows. `own`: its issues, kept for
  // the result too, whatever the status is.
  Status read(const std::string& path, InputOptions options, IssueLog& own, const Input::Progress& progress = {});
  size_t recordings() const { return policies_.inputs.files.size(); }

  // REQUIRES: called once.
  AuditResult evaluate();

 private:
  Status collect(const std::string& path, const InputOptions& options, IssueLog& issues,
                 const Input::Progress& progress);

  LoadedPolicies& policies_;
  FlowCollector collector_;
  IssueLog issues_;
};

}  // namespace vitrine::cli
