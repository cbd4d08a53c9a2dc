// vec.h in plain C++. The definition the other two are tested against. Included by vec.h alone.
#pragma once

#include "kernels/quant.h"

namespace vitrine::VITRINE_ISA {

inline constexpr int kTokens = 2, kFewTokens = 0, kTileTokens = 1;

struct F {
  float v[16];
};
struct I {
  uint32_t v[16];
};

template <class V, class Function>
inline V lanes(Function f) {
  V out;
  for (int i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}

inline F set(float x) {
  return lanes<F>([x](int) { return x; });
}
inline I set(int32_t x) {
  return lanes<I>([x](int) { return static_cast<uint32_t>(x); });
}
inline F load(const float* p) {
  F a;
  __builtin_memcpy(a.v, p, 64);
  return a;
}
inline I load(const void* p) {
  I a;
  __builtin_memcpy(a.v, p, 64);
  return a;
}
inline void store(float* p, F a) { __builtin_memcpy(p, a.v, 64); }
inline void store(void* p, I a) { __builtin_memcpy(p, a.v, 64); }
inline I broadcast4(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return set(x);
}

inline F operator+(F a, F b) {
  return lanes<F>([&](int i) { return a.v[i] + b.v[i]; });
}
inline F operator-(F a, F b) {
  return lanes<F>([&](int i) { return a.v[i] - b.v[i]; });
}
inline F operator*(F a, F b) {
  return lanes<F>([&](int i) { return a.v[i] * b.v[i]; });
}
inline F operator/(F a, F b) {
  return lanes<F>([&](int i) { return a.v[i] / b.v[i]; });
}
inline F fma(F a, F b, F c) {
  return lanes<F>([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline F min(F a, F b) {
  return lanes<F>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline F max(F a, F b) {
  return lanes<F>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline F abs(F a) {
  return lanes<F>([&](int i) { return __builtin_fabsf(a.v[i]); });
}

inline I operator+(I a, I b) {
  return lanes<I>([&](int i) { return a.v[i] + b.v[i]; });
}
inline I operator-(I a, I b) {
  return lanes<I>([&](int i) { return a.v[i] - b.v[i]; });
}
inline I operator*(I a, I b) {
  return lanes<I>([&](int i) { return a.v[i] * b.v[i]; });
}
inline I operator&(I a, I b) {
  return lanes<I>([&](int i) { return a.v[i] & b.v[i]; });
}
inline I operator|(I a, I b) {
  return lanes<I>([&](int i) { return a.v[i] | b.v[i]; });
}
inline I operator^(I a, I b) {
  return lanes<I>([&](int i) { return a.v[i] ^ b.v[i]; });
}
template <int n>
inline I shift_left(I a) {
  return lanes<I>([&](int i) { return a.v[i] << n; });
}
template <int n>
inline I shift_right(I a) {
  return lanes<I>([&](int i) { return a.v[i] >> n; });
}
inline I shift_right(I a, int n) {
  return lanes<I>([&](int i) { return a.v[i] >> n; });
}
template <int n>
inline I shift_right_signed(I a) {
  return lanes<I>([&](int i) { return static_cast<uint32_t>(static_cast<int32_t>(a.v[i]) >> n); });
}

inline I shift_left(I a, int n) {
  return lanes<I>([&](int i) { return a.v[i] << n; });
}

inline I equal(I a, I b) {
  return lanes<I>([&](int i) { return a.v[i] == b.v[i] ? ~0u : 0u; });
}

inline I to_int(F a) {
  return lanes<I>([&](int i) {
    const float rounded = __builtin_nearbyintf(a.v[i]);
    const bool fits = rounded >= -0x1p31f && rounded < 0x1p31f;
    return fits ? static_cast<uint32_t>(static_cast<int32_t>(rounded)) : 0x80000000u;
  });
}
inline F to_float(I a) {
  return lanes<F>([&](int i) { return static_cast<float>(static_cast<int32_t>(a.v[i])); });
}
inline F as_float(I a) {
  F f;
  __builtin_memcpy(f.v, a.v, 64);
  return f;
}

inline F zero_below(F a, F x, F limit) {
  return lanes<F>([&](int i) { return x.v[i] < limit.v[i] ? 0.0f : a.v[i]; });
}
inline F keep_lanes(F a, int begin, int end, F other) {
  return lanes<F>([&](int i) { return i >= begin && i < end ? a.v[i] : other.v[i]; });
}

inline float sum(F a) {
  for (int n = 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) a.v[i] = a.v[i] + a.v[i + n];
  }
  return a.v[0];
}
inline float largest(F a) {
  for (int n = 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) a.v[i] = a.v[i] > a.v[i + n] ? a.v[i] : a.v[i + n];
  }
  return a.v[0];
}
inline F sums(const F* a) {
  return lanes<F>([&](int i) { return sum(a[i]); });
}

template <bool narrow>
inline I dot4(I acc, I w, I x) {
  return lanes<I>([&](int i) {
    int32_t s = static_cast<int32_t>(acc.v[i]);
    for (int b = 0; b < 32; b += 8) {
      s += static_cast<int32_t>(w.v[i] >> b & 0xff) * static_cast<int8_t>(x.v[i] >> b & 0xff);
    }
    return static_cast<uint32_t>(s);
  });
}
inline I dot2(I acc, I w, I x) {
  return lanes<I>([&](int i) {
    int32_t s = static_cast<int32_t>(acc.v[i]);
    for (int b = 0; b < 32; b += 16) {
      s += static_cast<int16_t>(w.v[i] >> b & 0xffff) * static_cast<int16_t>(x.v[i] >> b & 0xffff);
    }
    return static_cast<uint32_t>(s);
  });
}

inline I lookup16(const uint8_t* table, I index) {
  return lanes<I>([&](int i) {
    uint32_t out = 0;
    for (int b = 0; b < 32; b += 8) out |= static_cast<uint32_t>(table[index.v[i] >> b & 15]) << b;
    return out;
  });
}

template <int j>
inline I with_fifth_bits(I w, I bits) {
  return lanes<I>([&](int i) {
    uint32_t out = w.v[i];
    for (int b = 0; b < 4; ++b) out |= (bits.v[i] >> (4 * j + b) & 1) << (8 * b + 4);
    return out;
  });
}

inline void load_rows(const uint8_t* p, size_t stride, I out[4]) {
  for (size_t r = 0; r < 16; ++r) {
    for (size_t j = 0; j < 4; ++j) __builtin_memcpy(&out[j].v[r], p + r * stride + 4 * j, 4);
  }
}

inline void load_rows32(const uint8_t* p, size_t stride, I out[8]) {
  load_rows(p, stride, out);
  load_rows(p + 16, stride, out + 4);
}

inline I straddle(I a, I b) { return shift_right<16>(a) | shift_left<16>(b); }

inline F f16_lanes(I a) {
  return lanes<F>([&](int i) { return f16_to_f32(static_cast<uint16_t>(a.v[i])); });
}

inline F load_f16(const uint8_t* p) {
  return lanes<F>([&](int i) {
    uint16_t bits;
    __builtin_memcpy(&bits, p + 2 * i, 2);
    return f16_to_f32(bits);
  });
}
inline F load_bf16(const uint8_t* p) {
  return lanes<F>([&](int i) {
    uint16_t bits;
    __builtin_memcpy(&bits, p + 2 * i, 2);
    return bf16_to_f32(bits);
  });
}
inline F load_f8(const uint8_t* p) {
  return lanes<F>([&](int i) { return f8_e4m3_to_f32(p[i]) * 0x1p-8f; });
}

inline void store_bytes(int8_t* p, I a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}
inline int32_t sum(I a) {
  uint32_t s = 0;
  for (int i = 0; i < 16; ++i) s += a.v[i];
  return static_cast<int32_t>(s);
}

inline void prefetch(const uint8_t*) {}

}  // namespace vitrine::VITRINE_ISA
