// HAR 1.2 (W3C draft, as Chrome, Firefox, Safari, Charles, Insomnia, Playwright
// and mitmproxy write it) → exchanges.
//
// What a HAR is not: a stream of bytes. Heads count as HTTP/1 would write them
// (name, value and four bytes), bodies as their content; a body whose size is
// given without its content counts as `gap`. Pieces of a part are spans of the
// file: a string with its quotes, or the list that holds the headers.
//
// Entries that were answered from a browser's cache or blocked inside it, and
// those of schemes that stay there (data:, blob: …), were transmitted to nobody: they are counted as issues and give no
// exchange.
#pragma once

#include <string>

#include "base/result.h"
#include "capture/exchange.h"

namespace vitrine {

std::string har_comment(Bytes file);  // log.comment, when it stands before the entries
bool looks_like_har(Bytes file);      // BOM allowed; a key "log" within the first 4 KiB
// Every entry becomes one exchange on a connection numbered by its 1-based
// index. Error only when there is no log.entries at all; damaged entries give
// what stands before the damage and are counted, a cut file yields the entries
// before the cut.
Status read_har(Bytes file, ExchangeSink& sink);

}  // namespace vitrine
