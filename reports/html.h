// One self-contained page: no scripts, no requests, inline styles only.
#pragma once

#include <string>
#include <string_view>

#include "audit/finding.h"

namespace vitrine {

// `locale`: "en" or "ko". Every value is escaped for where it stands
// (ctemplate, context HTML). Bounds on rows: reports/view.h.
std::string render_html(const AuditResult& result, std::string_view locale);

}  // namespace vitrine
