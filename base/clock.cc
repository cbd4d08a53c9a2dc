#include "base/clock.h"

#include <chrono>

namespace vitrine {

Timestamp now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(since).count()};
}

}  // namespace vitrine
