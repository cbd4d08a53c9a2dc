// vec.h with AVX2, FMA and F16C: two halves of eight lanes. Included by vec.h alone.
#pragma once

#include <immintrin.h>

namespace vitrine::VITRINE_ISA {

inline constexpr int kTokens = 2, kFewTokens = 2, kTileTokens = 2;

struct F {
  __m256 lo, hi;
};
struct I {
  __m256i lo, hi;
};

inline F set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline I set(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline I load(const void* p) {
  const __m256i* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline void store(float* p, F a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline void store(void* p, I a) {
  __m256i* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.lo);
  _mm256_storeu_si256(q + 1, a.hi);
}
inline I broadcast4(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return set(x);
}

inline F operator+(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F operator-(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F operator*(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F operator/(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F fma(F a, F b, F c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline F min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F abs(F a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}

inline I operator+(I a, I b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline I operator-(I a, I b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
inline I operator*(I a, I b) { return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)}; }
inline I operator&(I a, I b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
inline I operator|(I a, I b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
inline I operator^(I a, I b) { return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)}; }
template <int n>
inline I shift_left(I a) {
  return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}
template <int n>
inline I shift_right(I a) {
  return {_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)};
}
inline I shift_right(I a, int n) {
  const __m128i count = _mm_cvtsi32_si128(n);
  return {_mm256_srl_epi32(a.lo, count), _mm256_srl_epi32(a.hi, count)};
}
template <int n>
inline I shift_right_signed(I a) {
  return {_mm256_srai_epi32(a.lo, n), _mm256_srai_epi32(a.hi, n)};
}

inline I shift_left(I a, int n) {
  const __m128i count = _mm_cvtsi32_si128(n);
  return {_mm256_sll_epi32(a.lo, count), _mm256_sll_epi32(a.hi, count)};
}

inline I equal(I a, I b) { return {_mm256_cmpeq_epi32(a.lo, b.lo), _mm256_cmpeq_epi32(a.hi, b.hi)}; }

inline I to_int(F a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline F to_float(I a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline F as_float(I a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }

inline F zero_below(F a, F x, F limit) {
  return {_mm256_and_ps(_mm256_cmp_ps(x.lo, limit.lo, _CMP_NLT_UQ), a.lo),
          _mm256_and_ps(_mm256_cmp_ps(x.hi, limit.hi, _CMP_NLT_UQ), a.hi)};
}
inline F keep_lanes(F a, int begin, int end, F other) {
  const auto half = [begin, end](__m256 x, __m256 y, int first) {
    const __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
    const __m256i inside = _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(begin - 1)),
                                            _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lane));
    return _mm256_blendv_ps(y, x, _mm256_castsi256_ps(inside));
  };
  return {half(a.lo, other.lo, 0), half(a.hi, other.hi, 8)};
}

inline float sum(F a) {
  const __m256 s8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
inline float largest(F a) {
  const __m256 s8 = _mm256_max_ps(a.lo, a.hi);
  const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}
inline F sums(const F* a) {
  alignas(32) float out[16];
  for (int i = 0; i < 16; ++i) out[i] = sum(a[i]);
  return load(out);
}

template <bool narrow>
inline I dot4(I acc, I w, I x) {
  if constexpr (narrow) {  // pairs stay below 2 * 127 * 127: no saturation
    const __m256i one = _mm256_set1_epi16(1);
    return {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(_mm256_maddubs_epi16(w.lo, x.lo), one)),
            _mm256_add_epi32(acc.hi, _mm256_madd_epi16(_mm256_maddubs_epi16(w.hi, x.hi), one))};
  } else {  // maddubs would saturate: even and odd bytes as 16-bit numbers
    const auto half = [](__m256i c, __m256i u, __m256i s) {
      const __m256i even = _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(0xff)),
                                             _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
      const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8));
      return _mm256_add_epi32(c, _mm256_add_epi32(even, odd));
    };
    return {half(acc.lo, w.lo, x.lo), half(acc.hi, w.hi, x.hi)};
  }
}
inline I dot2(I acc, I w, I x) {
  return {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(w.lo, x.lo)),
          _mm256_add_epi32(acc.hi, _mm256_madd_epi16(w.hi, x.hi))};
}

inline I lookup16(const uint8_t* table, I index) {
  const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(t, index.lo), _mm256_shuffle_epi8(t, index.hi)};
}

template <int j>
inline I with_fifth_bits(I w, I bits) {
  const __m256i in_lane =
      _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404, 0x08080808, 0x0c0c0c0c);
  const __m256i place = _mm256_add_epi8(in_lane, _mm256_set1_epi8(j / 2));
  const __m256i bit = _mm256_set1_epi32(j % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010));
  const auto add = [&](__m256i to, __m256i from) {
    const __m256i byte = _mm256_and_si256(_mm256_shuffle_epi8(from, place), bit);
    return _mm256_or_si256(to, _mm256_and_si256(_mm256_cmpeq_epi8(byte, bit), _mm256_set1_epi8(16)));
  };
  return {add(w.lo, bits.lo), add(w.hi, bits.hi)};
}

inline void load_rows(const uint8_t* p, size_t stride, I out[4]) {
  const auto transpose = [stride](const uint8_t* q, __m256i t[4]) {
    const auto rows = [q, stride](size_t i) {  // rows i and 4 + i
      return _mm256_inserti128_si256(
          _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q + i * stride))),
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(q + (4 + i) * stride)), 1);
    };
    const __m256i a0 = rows(0), a1 = rows(1), a2 = rows(2), a3 = rows(3);
    const __m256i t0 = _mm256_unpacklo_epi32(a0, a1), t1 = _mm256_unpackhi_epi32(a0, a1);
    const __m256i t2 = _mm256_unpacklo_epi32(a2, a3), t3 = _mm256_unpackhi_epi32(a2, a3);
    t[0] = _mm256_unpacklo_epi64(t0, t2);
    t[1] = _mm256_unpackhi_epi64(t0, t2);
    t[2] = _mm256_unpacklo_epi64(t1, t3);
    t[3] = _mm256_unpackhi_epi64(t1, t3);
  };
  __m256i lo[4], hi[4];
  transpose(p, lo);
  transpose(p + 8 * stride, hi);
  for (int j = 0; j < 4; ++j) out[j] = {lo[j], hi[j]};
}

inline void load_rows32(const uint8_t* p, size_t stride, I out[8]) {
  load_rows(p, stride, out);
  load_rows(p + 16, stride, out + 4);
}

inline I straddle(I a, I b) { return shift_right<16>(a) | shift_left<16>(b); }

inline F f16_lanes(I a) {
  const __m256i low = _mm256_set1_epi32(0xffff);
  // Packs within 128-bit lanes: reorder to lo0 lo1 hi0 hi1.
  const __m256i packed =
      _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_and_si256(a.lo, low), _mm256_and_si256(a.hi, low)), 0xd8);
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(packed)), _mm256_cvtph_ps(_mm256_extracti128_si256(packed, 1))};
}

inline F load_f16(const uint8_t* p) {
  const __m128i* q = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
inline F load_bf16(const uint8_t* p) {
  const auto eight = [](const uint8_t* q) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  };
  return {eight(p), eight(p + 16)};
}
inline F load_f8(const uint8_t* p) {
  const auto eight = [](const uint8_t* q) {
    const __m128i bits = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(q)));
    __m128i half = _mm_and_si128(_mm_srai_epi16(_mm_slli_epi16(bits, 8), 1), _mm_set1_epi16(-0x4001));
    const __m128i nan = _mm_cmpeq_epi16(_mm_or_si128(bits, _mm_set1_epi16(0x80)), _mm_set1_epi16(0xff));
    half = _mm_or_si128(half, _mm_and_si128(nan, _mm_set1_epi16(0x7e00)));
    return _mm256_cvtph_ps(half);
  };
  return {eight(p), eight(p + 8)};
}

inline void store_bytes(int8_t* p, I a) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i packed = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
inline int32_t sum(I a) {
  const __m256i s8 = _mm256_add_epi32(a.lo, a.hi);
  const __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(s8), _mm256_extracti128_si256(s8, 1));
  const __m128i s2 = _mm_add_epi32(s4, _mm_shuffle_epi32(s4, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 0xb1)));
}

// Always inline: g++ takes a function that only prefetches for one that does nothing, and drops the call.
__attribute__((always_inline)) inline void prefetch(const uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

}  // namespace vitrine::VITRINE_ISA
