#include "engine/page_warmer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace vitrine {
namespace {

#ifdef MADV_POPULATE_READ
constexpr int kPopulate = MADV_POPULATE_READ;  // Linux 5.14; before it the call fails, which is no harm
#else
constexpr int kPopulate = 22;
#endif

void warm(std::span<const Bytes> ranges, const std::stop_token& stop) {
  constexpr uintptr_t kPage = 4096, kStep = 4 << 20;
  for (const Bytes range : ranges) {
    uintptr_t at = reinterpret_cast<uintptr_t>(range.data()) / kPage * kPage;
    const uintptr_t end = reinterpret_cast<uintptr_t>(range.data()) + range.size();
    for (; at < end; at += kStep) {
      if (stop.stop_requested()) return;
      if (madvise(reinterpret_cast<void*>(at), std::min(kStep, end - at), kPopulate) != 0) return;
    }
  }
}

}  // namespace

PageWarmer::PageWarmer(std::vector<Bytes> ranges) {
  double bytes = 0;
  for (const Bytes range : ranges) bytes += static_cast<double>(range.size());
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (bytes > 0.8 * memory) ranges.clear();
  std::promise<void> done;
  done_ = done.get_future();
  thread_ = std::jthread([ranges = std::move(ranges), done = std::move(done)](const std::stop_token& stop) mutable {
    warm(ranges, stop);
    done.set_value();
  });
}

}  // namespace vitrine
