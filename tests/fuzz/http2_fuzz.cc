// Arbitrary connections, HTTP/2 by ALPN: see http_script.h.
#include "http_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vitrine::fuzz::Script script = vitrine::fuzz::read_script({data, size});
  script.flags = static_cast<uint8_t>((script.flags & 0xfb) | 2);
  vitrine::fuzz::check_script(script);
  return 0;
}
