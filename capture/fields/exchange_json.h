// Exchanges as NDJSON: what `vitrine exchanges INPUT --json` prints, one line
// an exchange, when it closes (schema: exchange.schema.json beside this file).
// Keys stand in a fixed order; keys without a value (no response seen, no
// process known) are left out, except byte counts and `complete`.
#pragma once

#include <string>

#include "capture/exchange.h"

namespace vitrine {

// REQUIRES: exchange.connection is set; called from closed() or later, when
// sizes and digests are final.
void append_exchange_json(std::string& out, const Exchange& exchange, CloseReason reason);

}  // namespace vitrine
