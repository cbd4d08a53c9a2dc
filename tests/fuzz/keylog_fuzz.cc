// SSLKEYLOGFILE text.
#include <cstdint>
#include <cstdlib>

#include "capture/tls/secrets.h"

namespace {
struct Silent : vitrine::IssueSink {
  void issue(vitrine::Issue) override {}
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  Silent silent;
  SecretStore store;
  store.load(as_text({data, size}), silent);
  size_t held = 0;
  for (int label = 0; label <= static_cast<int>(SecretLabel::server_traffic_n); ++label)
    held += store.all(static_cast<SecretLabel>(label)).size();
  if (held != store.size()) std::abort();
  return 0;
}
