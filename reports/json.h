// report.json: the whole AuditResult for machines. Shape: report.schema.json
// (JSON Schema 2020-12, closed). Keys stand in a fixed order and every list in
// the order of the result, so equal results give equal bytes. Sentences carry
// their id, arguments and both languages; `null` means "not known".
#pragma once

#include <string>

#include "audit/finding.h"

namespace vitrine {

inline constexpr int kReportVersion = 1;

// UTF-8, two spaces of indentation, one line feed at the end. Bytes that are
// not valid UTF-8 become U+FFFD.
std::string render_json(const AuditResult& result);

}  // namespace vitrine
