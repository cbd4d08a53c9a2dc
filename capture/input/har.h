// HAR 1.2 (W3C draft, as Chrome, Firefox, Safari, Charles and Insomnia write
// it) → exchanges.
#pragma once

#include "base/result.h"
#include "capture/exchange.h"

namespace vitrine {

bool looks_like_har(Bytes file);  // BOM allowed; first key "log" or a bounded look for it
// Every entry becomes one exchange on a connection numbered by its 1-based
// index. Error only when there is no log.entries at all; damaged entries are
// skipped and counted, a cut file yields the entries before the cut.
Status read_har(Bytes file, ExchangeSink& sink);

}  // namespace vitrine
