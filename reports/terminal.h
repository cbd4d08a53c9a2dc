// The summary for a terminal: at most about 60 lines.
#pragma once

#include <string>
#include <string_view>

#include "audit/finding.h"

namespace vitrine {

// `locale`: "en" or "ko". `colour`: ANSI colours (the caller knows whether it
// writes to a terminal); words and symbols carry the meaning without them.
// `width` in columns; clamped to 50 … 160.
std::string render_terminal(const AuditResult& result, std::string_view locale, bool colour, int width);

}  // namespace vitrine
