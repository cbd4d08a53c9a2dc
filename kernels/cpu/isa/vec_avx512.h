// vec.h with AVX-512 (F, BW, VL, DQ, VNNI). Included by vec.h alone.
#pragma once

#include <immintrin.h>

namespace vitrine::VITRINE_ISA {

// How many rows of activations kernels work on at once, as registers allow: over weights
// that are at hand in memory; at most, over quantized ones that are taken apart on the fly; over
// quantized ones that have been taken apart.
inline constexpr int kTokens = 4, kFewTokens = 2, kTileTokens = 4;

struct F {
  __m512 v;
};
struct I {
  __m512i v;
};

inline F set(float x) { return {_mm512_set1_ps(x)}; }
inline I set(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline F load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline I load(const void* p) { return {_mm512_loadu_si512(p)}; }
inline void store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
inline void store(void* p, I a) { _mm512_storeu_si512(p, a.v); }
// A 4-byte group in every lane.
inline I broadcast4(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return set(x);
}

inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F abs(F a) { return {_mm512_abs_ps(a.v)}; }

inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I operator-(I a, I b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline I operator*(I a, I b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline I operator&(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
inline I operator^(I a, I b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int n>
inline I shift_left(I a) {
  return {_mm512_slli_epi32(a.v, n)};
}
template <int n>
inline I shift_right(I a) {  // zeros come in
  return {_mm512_srli_epi32(a.v, n)};
}
inline I shift_right(I a, int n) { return {_mm512_srl_epi32(a.v, _mm_cvtsi32_si128(n))}; }
template <int n>
inline I shift_right_signed(I a) {
  return {_mm512_srai_epi32(a.v, n)};
}

inline I shift_left(I a, int n) { return {_mm512_sll_epi32(a.v, _mm_cvtsi32_si128(n))}; }

// All ones where equal.
inline I equal(I a, I b) { return {_mm512_movm_epi32(_mm512_cmpeq_epi32_mask(a.v, b.v))}; }

inline I to_int(F a) { return {_mm512_cvtps_epi32(a.v)}; }
inline F to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline F as_float(I a) { return {_mm512_castsi512_ps(a.v)}; }

// a where x >= limit (or NaN), else 0.
inline F zero_below(F a, F x, F limit) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_NLT_UQ), a.v)};
}
// a in lanes [begin, end), `other` elsewhere.
inline F keep_lanes(F a, int begin, int end, F other) {
  const uint32_t lanes = ((1u << end) - 1) & ~((1u << begin) - 1);
  return {_mm512_mask_mov_ps(other.v, static_cast<__mmask16>(lanes), a.v)};
}

inline float sum(F a) {
  const __m256 high = _mm512_extractf32x8_ps(a.v, 1);
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), high);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
inline float largest(F a) {
  const __m256 high = _mm512_extractf32x8_ps(a.v, 1);
  const __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), high);
  const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}
// Lane i of the result is sum(a[i]): the same additions, sixteen sums at once.
inline F sums(const F* a) {
  const auto fold8 = [](__m512 x, __m512 y) {  // lanes i and i + 8: 8 of x, 8 of y
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
  };
  const auto fold4 = [](__m512 x, __m512 y) {  // of each 8 lanes i and i + 4
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
  };
  const auto fold2 = [](__m512 x, __m512 y) {  // of each 4 lanes i and i + 2
    return _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xee));
  };
  const auto fold1 = [](__m512 x, __m512 y) {
    return _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x88), _mm512_shuffle_ps(x, y, 0xdd));
  };
  // 128-bit lane L of a fold4 of a[p], a[q], a[r], a[s] belongs to the L-th of them;
  // position P inside after fold2 and fold1 to the P-th group: lane 4 L + P.
  __m512 group[4];
  for (int p = 0; p < 4; ++p) group[p] = fold4(fold8(a[p].v, a[4 + p].v), fold8(a[8 + p].v, a[12 + p].v));
  return {fold1(fold2(group[0], group[1]), fold2(group[2], group[3]))};
}

// acc + per lane the sum of four products; w unsigned, x signed bytes, exact.
// narrow: the caller promises w < 128.
template <bool narrow>
inline I dot4(I acc, I w, I x) {
  return {_mm512_dpbusd_epi32(acc.v, w.v, x.v)};
}
// acc + per lane the sum of two products of signed 16-bit numbers.
inline I dot2(I acc, I w, I x) { return {_mm512_dpwssd_epi32(acc.v, w.v, x.v)}; }

// Byte i of each 16 becomes table[index & 15]. REQUIRES: index < 16.
inline I lookup16(const uint8_t* table, I index) {
  const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), index.v)};
}

// Bytes below 16, to which bits 4 j … 4 j + 3 of their lane are added as bit 4 of its four bytes.
template <int j>
inline I with_fifth_bits(I w, I bits) {
  const __m512i in_lane = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
  const __m512i byte = _mm512_shuffle_epi8(bits.v, _mm512_add_epi8(in_lane, _mm512_set1_epi8(j / 2)));
  const __mmask64 hit =
      _mm512_test_epi8_mask(byte, _mm512_set1_epi32(j % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010)));
  return {_mm512_mask_add_epi8(w.v, hit, w.v, _mm512_set1_epi8(16))};
}

// Sixteen bytes of each of 16 rows, transposed: lane r of out[j] is bytes 4j … 4j + 3 of row r.
inline void load_rows(const uint8_t* p, size_t stride, I out[4]) {
  const auto row = [p, stride](size_t r) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + r * stride)); };
  __m512i a[4];
  for (size_t i = 0; i < 4; ++i) {  // 128-bit lane L of a[i]: row 4 L + i
    a[i] = _mm512_castsi128_si512(row(i));
    a[i] = _mm512_mask_broadcast_i32x4(a[i], 0x00f0, row(4 + i));
    a[i] = _mm512_mask_broadcast_i32x4(a[i], 0x0f00, row(8 + i));
    a[i] = _mm512_mask_broadcast_i32x4(a[i], 0xf000, row(12 + i));
  }
  const __m512i t0 = _mm512_unpacklo_epi32(a[0], a[1]), t1 = _mm512_unpackhi_epi32(a[0], a[1]);
  const __m512i t2 = _mm512_unpacklo_epi32(a[2], a[3]), t3 = _mm512_unpackhi_epi32(a[2], a[3]);
  out[0].v = _mm512_unpacklo_epi64(t0, t2);
  out[1].v = _mm512_unpackhi_epi64(t0, t2);
  out[2].v = _mm512_unpacklo_epi64(t1, t3);
  out[3].v = _mm512_unpackhi_epi64(t1, t3);
}

// Thirty-two bytes of each of 16 rows: lane r of out[j] is bytes 4j … 4j + 3 of row r.
inline void load_rows32(const uint8_t* p, size_t stride, I out[8]) {
  // Of rows 0 … 7 and 8 … 15; 128-bit lanes: word j of four rows, word j + 4 of them, both of the next four.
  __m512i words[2][4];
  for (size_t g = 0; g < 2; ++g) {
    __m512i a[4];
    for (size_t i = 0; i < 4; ++i) {
      const uint8_t* q = p + (8 * g + i) * stride;
      a[i] = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)));
      a[i] =
          _mm512_mask_broadcast_i64x4(a[i], 0xf0, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + 4 * stride)));
    }
    const __m512i t0 = _mm512_unpacklo_epi32(a[0], a[1]), t1 = _mm512_unpackhi_epi32(a[0], a[1]);
    const __m512i t2 = _mm512_unpacklo_epi32(a[2], a[3]), t3 = _mm512_unpackhi_epi32(a[2], a[3]);
    words[g][0] = _mm512_unpacklo_epi64(t0, t2);
    words[g][1] = _mm512_unpackhi_epi64(t0, t2);
    words[g][2] = _mm512_unpacklo_epi64(t1, t3);
    words[g][3] = _mm512_unpackhi_epi64(t1, t3);
  }
  for (int j = 0; j < 4; ++j) {
    out[j].v = _mm512_shuffle_i32x4(words[0][j], words[1][j], 0x88);
    out[4 + j].v = _mm512_shuffle_i32x4(words[0][j], words[1][j], 0xdd);
  }
}

// Two bytes further: the high half of a, then the low half of b.
inline I straddle(I a, I b) { return {_mm512_rol_epi32(_mm512_mask_blend_epi16(0x55555555, a.v, b.v), 16)}; }

// The low halves of the lanes as f16.
inline F f16_lanes(I a) { return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(a.v))}; }

inline F load_f16(const uint8_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline F load_bf16(const uint8_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
// E4M3 numbers times 2^-8: an f16 with the same fields. NaN by hand.
inline F load_f8(const uint8_t* p) {
  const __m256i bits = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  __m256i half = _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(bits, 8), 1), _mm256_set1_epi16(-0x4001));
  const __mmask16 nan =
      _mm256_cmpeq_epi16_mask(_mm256_or_si256(bits, _mm256_set1_epi16(0x80)), _mm256_set1_epi16(0xff));
  half = _mm256_mask_mov_epi16(half, nan, _mm256_set1_epi16(0x7e00));
  return {_mm512_cvtph_ps(half)};
}

// Lanes must be in -128 … 127.
inline void store_bytes(int8_t* p, I a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v)); }
inline int32_t sum(I a) { return _mm512_reduce_add_epi32(a.v); }

// Always inline: g++ takes a function that only prefetches for one that does nothing, and drops the call.
__attribute__((always_inline)) inline void prefetch(const uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

}  // namespace vitrine::VITRINE_ISA
