// Fetching what comes next from memory while what is at hand is worked on.
#pragma once

#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {

// f.template operator()<i>() for i in [0, n).
template <int n, int i = 0, class Function>
VITRINE_INLINE void unrolled(Function f) {
  if constexpr (i < n) {
    f.template operator()<i>();
    unrolled<n, i + 1>(f);
  }
}

// Some bytes, fetched in file order and a few lines at a time, so that memory is never idle.
struct Fetch {
  const uint8_t* next;
  const uint8_t* end;

  template <int kBytes>
  VITRINE_INLINE void lines() {
    if (end - next >= kBytes) {
#pragma GCC unroll 16
      for (int i = 0; i < (kBytes + 63) / 64; ++i) prefetch(next + 64 * i);
      next += kBytes;
    } else {
      for (; next < end; next += 64) prefetch(next);
    }
  }
  // As many lines as make `bytes`, or what is left.
  VITRINE_INLINE void some(size_t bytes) {
    const uint8_t* stop = static_cast<size_t>(end - next) < bytes ? end : next + bytes;
    for (; next < stop; next += 64) prefetch(next);
  }
};

}  // namespace vitrine::VITRINE_ISA
