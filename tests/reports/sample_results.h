// Results made by hand: every verdict, kind and status once; nothing; much; hostile.
#pragma once

#include "audit/finding.h"

namespace vitrine::testing_reports {

AuditResult sample_result();             // SIMULATED, all verdicts and kinds
AuditResult large_result(size_t flows);  // one finding per flow
// The sample with `poison` inside every string that comes from a capture or a policy file.
AuditResult hostile_result(const std::string& poison);

}  // namespace vitrine::testing_reports
