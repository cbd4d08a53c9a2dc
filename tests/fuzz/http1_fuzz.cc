// Arbitrary connections, HTTP/1 first: see http_script.h.
#include "http_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vitrine::fuzz::Script script = vitrine::fuzz::read_script({data, size});
  script.flags &= 0xfd;
  vitrine::fuzz::check_script(script);
  return 0;
}
