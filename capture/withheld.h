// What stands in an exchange log for a value that its writer left out: the kind
// of value, its length in bytes, and a keyed digest by which equal values of one
// log can be recognised. docs/exchange-log.md, CONTENT.
//
//   withheld.string.5.9f86d081884c7d65
//
// Only the unreserved characters of a URL, so that it stands unescaped in every place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace vitrine {

enum class WithheldKind : uint8_t { string, number, binary };

struct WithheldValue {
  WithheldKind kind = WithheldKind::string;
  uint64_t bytes = 0;   // of the value that was left out
  uint64_t digest = 0;  // keyed; the key is not known
};

void append_withheld(std::string& out, const WithheldValue& value);
// False: `text` is not exactly what append_withheld() makes.
bool parse_withheld(std::string_view text, WithheldValue& out);

}  // namespace vitrine
