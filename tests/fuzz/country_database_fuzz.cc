// A country database that someone else made: opening and looking up, whatever
// the file holds. libmaxminddb reads files only, so each input becomes one.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "audit/recipient.h"
#include "audit/regions.h"

// libmaxminddb 1.7.1 keeps half-read metadata of a file that it refuses. The
// program opens one database and ends when that fails.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libmaxminddb\n"; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  const int file = memfd_create("fuzz.mmdb", MFD_CLOEXEC);
  if (file < 0 || (size > 0 && write(file, data, size) != static_cast<ssize_t>(size))) std::abort();
  {
    const auto database = CountryDatabase::open("/proc/self/fd/" + std::to_string(file));
    if (database) {
      for (const char* address : {"203.0.113.7", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::ffff:198.51.100.2"}) {
        const auto answer = database->lookup(IpAddress::parse(address));
        if (answer && !answer->country.empty() && !is_country_code(answer->country)) std::abort();
        if (answer && answer->owner.size() > 256) std::abort();
      }
    }
  }
  close(file);
  return 0;
}
