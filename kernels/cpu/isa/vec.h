// Sixteen 32-bit lanes: F holds floats, I holds integers or 64 bytes. Every file
// of this folder is compiled once per instruction set, with VITRINE_ISA naming
// the namespace; the three definitions do the same arithmetic in the same order,
// so that results are equal bit for bit. Nothing here may use library templates
// or inline functions of other headers: the linker would keep one copy of them,
// maybe the one for the newest processor.
//
// Conventions that make the results equal:
//   fma rounds once; min and max return the second argument when either is NaN
//   (as the x86 instructions do); to_int rounds to nearest even, out of range
//   gives INT_MIN; sum() and largest() fold lanes i and i + 8, then 4, 2, 1.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(VITRINE_ISA_AVX512)
#include "kernels/cpu/isa/vec_avx512.h"
#elif defined(VITRINE_ISA_AVX2)
#include "kernels/cpu/isa/vec_avx2.h"
#else
#include "kernels/cpu/isa/vec_portable.h"
#endif

// For functions whose vectors must stay in registers. The portable ones have none to stay in.
#if defined(VITRINE_ISA_AVX512) || defined(VITRINE_ISA_AVX2)
#define VITRINE_INLINE_LAMBDA __attribute__((always_inline))
#define VITRINE_INLINE inline __attribute__((always_inline))
#else
#define VITRINE_INLINE_LAMBDA
#define VITRINE_INLINE inline
#endif

namespace vitrine::VITRINE_ISA {

// Repeats a byte in every byte.
inline I bytes(uint32_t byte) { return set(static_cast<int32_t>(byte * 0x01010101u)); }

// The first n of 16 elements; the rest zero. REQUIRES: 0 < n <= 16.
inline F load_first(const float* p, int n) {
  if (n == 16) return load(p);
  alignas(64) float padded[16] = {};
  __builtin_memcpy(padded, p, static_cast<size_t>(n) * 4);
  return load(padded);
}

inline void store_first(float* p, F v, int n) {
  if (n == 16) return store(p, v);
  alignas(64) float all[16];
  store(all, v);
  __builtin_memcpy(p, all, static_cast<size_t>(n) * 4);
}

// e^x: Cody-Waite reduction by ln 2 and a polynomial of degree 6 (about one unit in
// the last place). Below -87.3 it is 0; NaN stays NaN; above 88.3 it stays finite.
inline F exp(F x) {
  const F clamped = min(set(88.3f), max(set(-87.3f), x));
  const I n = to_int(clamped * set(1.44269504f));
  const F nf = to_float(n);
  F r = fma(nf, set(-0.693359375f), clamped);
  r = fma(nf, set(2.12194440e-4f), r);
  F p = set(1.9875691500e-4f);
  p = fma(p, r, set(1.3981999507e-3f));
  p = fma(p, r, set(8.3334519073e-3f));
  p = fma(p, r, set(4.1665795894e-2f));
  p = fma(p, r, set(1.6666665459e-1f));
  p = fma(p, r, set(5.0000001201e-1f));
  p = fma(p, r * r, r) + set(1.0f);
  return zero_below(p * as_float(shift_left<23>(n + set(127))), x, set(-87.3f));
}

inline F sigmoid(F x) { return set(1.0f) / (set(1.0f) + exp(set(0.0f) - x)); }
inline F silu(F x) { return x / (set(1.0f) + exp(set(0.0f) - x)); }

}  // namespace vitrine::VITRINE_ISA
