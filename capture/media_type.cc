#include "capture/media_type.h"

#include <algorithm>

#include "base/text.h"

namespace vitrine {

void assign_media_type(std::string& out, std::string_view value) {
  out.assign(value);
  for (char& c : out) c = ascii_lower(c);
  size_t at = out.find("boundary=");
  if (at == std::string::npos) return;
  at += 9;
  const bool quoted = at < out.size() && out[at] == '"';
  const size_t end = std::min(out.find(quoted ? '"' : ';', at + (quoted ? 1 : 0)), out.size());
  out.replace(at, end - at, value.substr(at, end - at));
}

}  // namespace vitrine
