// How weights lie in device memory. A row is cut into chunks of 128 elements, padded
// with zeros; four neighbouring lanes of a warp hold one chunk of one row between
// them, so that a warp reads eight rows with loads of 16 bytes, and what a lane has
// loaded is what a matrix instruction wants from it.
//
// Block types are kept bit for bit in up to four planes, rows one after the other:
//   q  the codes' low bits   h  their high bits   s  factors of the chunk   d  factors per 256
// Lane t of the four holds, of each group of 32 elements j = 0 … 3 of the chunk, the
// elements 4t … 4t + 3 ("low") and 16 + 4t … 16 + 4t + 3 ("high"); activations lie in
// the same order (activation_place).
//   8 bits   q[2j] = the four low ones, q[2j + 1] = the four high ones
//   4 bits   q[j]: byte b = low b | high b << 4 (mxfp4: nibbles 0 … 3 low, 4 … 7 high)
//   2 bits   word j / 2: byte b = (low b | high b << 2) << 4 (j % 2)
//   1 bit    byte b: low b << 2j | high b << (2j + 1)
// Float types are kept as they are, rows padded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.h"
#include "kernels/quant_blocks.h"
#include "kernels/tensor.h"

namespace vitrine::cuda {

inline constexpr int kChunk = 128;
inline constexpr int kGroup = 32;
inline constexpr int kGroups = kChunk / kGroup;

VITRINE_HOST_DEVICE constexpr int64_t rounded_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
VITRINE_HOST_DEVICE constexpr int64_t chunks_of(int64_t n) { return (n + kChunk - 1) / kChunk; }

// What a type's planes hold. Bytes are of one chunk of one row; `d` of 256 elements.
struct PackedShape {
  int bits = 0;       // of a code in q; 0: a float type
  int high_bits = 0;  // … and in h
  int zero = 0;       // subtracted from the code
  bool minimum = false;
  bool per16 = false;  // factors per 16 elements, else per 32
  int q = 0, h = 0, s = 0, d = 0;
};

VITRINE_HOST_DEVICE constexpr PackedShape packed_shape(Type type) {
  switch (type) {
    case Type::q4_0: return {4, 0, 8, false, false, 64, 0, 8, 0};
    case Type::q4_1: return {4, 0, 0, true, false, 64, 0, 16, 0};
    case Type::q5_0: return {4, 1, 16, false, false, 64, 16, 8, 0};
    case Type::q5_1: return {4, 1, 0, true, false, 64, 16, 16, 0};
    case Type::q8_0: return {8, 0, 0, false, false, 128, 0, 8, 0};
    case Type::mxfp4: return {4, 0, 0, false, false, 64, 0, 4, 0};
    case Type::q2_k: return {2, 0, 0, true, true, 32, 0, 8, 4};
    case Type::q3_k: return {2, 1, 4, false, true, 32, 16, 8, 2};
    case Type::q4_k: return {4, 0, 0, true, false, 64, 0, 8, 4};
    case Type::q5_k: return {4, 1, 0, true, false, 64, 16, 8, 4};
    case Type::q6_k: return {4, 2, 32, false, true, 64, 32, 8, 2};
    case Type::f32: return {0, 0, 0, false, false, 4 * kChunk, 0, 0, 0};
    case Type::f16:
    case Type::bf16: return {0, 0, 0, false, false, 2 * kChunk, 0, 0, 0};
    case Type::f8_e4m3: return {0, 0, 0, false, false, kChunk, 0, 0, 0};
    case Type::i32: break;
  }
  return {};
}

// Rows of one weight on the device; all planes (experts, heads) one after the other.
struct Packed {
  const uint8_t* q = nullptr;
  const uint8_t* h = nullptr;
  const uint8_t* s = nullptr;
  const uint8_t* d = nullptr;
  int32_t n_in = 0, n_out = 0, chunks = 0;
  // f8_e4m3: plane p's factors [chunks][factor_rows], one row for 128 rows of the file; row r of the
  // plane is number factor_first[p] + r of those.
  const float* factors = nullptr;
  const int32_t* factor_first = nullptr;
  int32_t factor_rows = 0;
};

// Offsets of the planes in one allocation for `rows` rows.
struct PackedLayout {
  int64_t h = 0, s = 0, d = 0, bytes = 0;
};
VITRINE_HOST_DEVICE inline PackedLayout packed_layout(Type type, int64_t n_in, int64_t rows) {
  const PackedShape shape = packed_shape(type);
  const int64_t chunks = chunks_of(n_in);
  PackedLayout out;
  out.h = rounded_up(rows * chunks * shape.q, 16);
  out.s = out.h + rounded_up(rows * chunks * shape.h, 16);
  out.d = out.s + rounded_up(rows * chunks * shape.s, 16);
  out.bytes = out.d + rounded_up(rows * (chunks / 2) * shape.d, 16);
  return out;
}

// ---- from a file's blocks ---------------------------------------------------

// The code of element e of a row as it lies in a file, before anything is subtracted.
template <Type kType>
VITRINE_HOST_DEVICE inline uint32_t file_code(const uint8_t* row, int64_t e) {
  if constexpr (packed_shape(kType).d == 0) {
    const int j = static_cast<int>(e % 32);
    const int64_t block = e / 32;
    const auto nibble = [j](const uint8_t* qs) -> uint32_t { return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4; };
    const auto fifth = [j](const uint8_t* qh) -> uint32_t { return (qh[j / 8] >> (j % 8) & 1u) << 4; };
    if constexpr (kType == Type::q4_0) return nibble(row + block * 18 + offsetof(BlockQ4_0, qs));
    if constexpr (kType == Type::q4_1) return nibble(row + block * 20 + offsetof(BlockQ4_1, qs));
    if constexpr (kType == Type::mxfp4) return nibble(row + block * 17 + offsetof(BlockMxfp4, qs));
    if constexpr (kType == Type::q8_0) return row[block * 34 + offsetof(BlockQ8_0, qs) + j];
    if constexpr (kType == Type::q5_0) {
      const uint8_t* b = row + block * 22;
      return nibble(b + offsetof(BlockQ5_0, qs)) | fifth(b + offsetof(BlockQ5_0, qh));
    }
    if constexpr (kType == Type::q5_1) {
      const uint8_t* b = row + block * 24;
      return nibble(b + offsetof(BlockQ5_1, qs)) | fifth(b + offsetof(BlockQ5_1, qh));
    }
  } else {
    const int i = static_cast<int>(e % 256);
    const int64_t block = e / 256;
    const auto two_bits = [i](const uint8_t* qs) -> uint32_t {
      return qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    };
    const auto four_bits = [i](const uint8_t* qs) -> uint32_t {
      return qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15;
    };
    if constexpr (kType == Type::q2_k) return two_bits(row + block * 84 + offsetof(BlockQ2K, qs));
    if constexpr (kType == Type::q3_k) {
      const uint8_t* b = row + block * 110;
      return two_bits(b + offsetof(BlockQ3K, qs)) | (b[offsetof(BlockQ3K, hmask) + i % 32] >> (i / 32) & 1u) << 2;
    }
    if constexpr (kType == Type::q4_k) return four_bits(row + block * 144 + offsetof(BlockQ4K, qs));
    if constexpr (kType == Type::q5_k) {
      const uint8_t* b = row + block * 176;
      return four_bits(b + offsetof(BlockQ5K, qs)) | (b[offsetof(BlockQ5K, qh) + i % 32] >> (i / 32) & 1u) << 4;
    }
    if constexpr (kType == Type::q6_k) {
      const uint8_t* b = row + block * 210;
      const int half = i / 128, j = i % 128;
      const uint32_t low = b[half * 64 + j % 64] >> (j / 64 * 4) & 15;
      return low | (b[offsetof(BlockQ6K, qh) + half * 32 + j % 32] >> (j / 32 * 2) & 3u) << 4;
    }
  }
}

// The factors of one chunk, as plane s has them, from the file's row.
template <Type kType>
VITRINE_HOST_DEVICE inline void pack_factors(const uint8_t* row, int64_t chunk, int64_t n_in, uint8_t* s) {
  constexpr PackedShape kShape = packed_shape(kType);
  constexpr int kBytes = static_cast<int>(kType == Type::q4_0   ? 18
                                          : kType == Type::q4_1 ? 20
                                          : kType == Type::q5_0 ? 22
                                          : kType == Type::q5_1 ? 24
                                          : kType == Type::q8_0 ? 34
                                                                : 17);
  if constexpr (kShape.d == 0) {
    for (int j = 0; j < kGroups; ++j) {
      const bool inside = chunk * kChunk + j * kGroup < n_in;
      const uint8_t* b = row + (chunk * kGroups + j) * kBytes;
      if constexpr (kType == Type::mxfp4) {
        s[j] = inside ? b[0] : 0;
      } else {
        for (int i = 0; i < 2; ++i) {
          s[2 * j + i] = inside ? b[i] : 0;
          if constexpr (kShape.minimum) s[8 + 2 * j + i] = inside ? b[2 + i] : 0;
        }
      }
    }
  } else {
    const int half = static_cast<int>(chunk % 2);  // of the 256 elements
    if constexpr (kType == Type::q4_k || kType == Type::q5_k) {
      const uint8_t* scales = row + chunk / 2 * (kType == Type::q4_k ? 144 : 176) + 4;
      for (int j = 0; j < kGroups; ++j) {
        const ScaleMin both = q4_k_scale_min(scales, half * kGroups + j);
        s[j] = both.scale;
        s[4 + j] = both.minimum;
      }
    } else {
      for (int i = 0; i < 8; ++i) {
        if constexpr (kType == Type::q2_k) s[i] = row[chunk / 2 * 84 + half * 8 + i];
        if constexpr (kType == Type::q3_k) {
          const uint8_t* scales = row + chunk / 2 * 110 + offsetof(BlockQ3K, scales);
          s[i] = static_cast<uint8_t>(q3_k_scale(scales, half * 8 + i));
        }
        if constexpr (kType == Type::q6_k) s[i] = row[chunk / 2 * 210 + offsetof(BlockQ6K, scales) + half * 8 + i];
      }
    }
  }
}

// Lane t's words of a chunk, from the file's row.
template <Type kType>
VITRINE_HOST_DEVICE inline void pack_codes(const uint8_t* row, int64_t chunk, int64_t n_in, int t, uint32_t* q,
                                           uint32_t* h) {
  constexpr PackedShape kShape = packed_shape(kType);
  for (int i = 0; i < kShape.q / 16; ++i) q[i] = 0;
  for (int i = 0; i < kShape.h / 16; ++i) h[i] = 0;
  for (int j = 0; j < kGroups; ++j) {
    if (chunk * kChunk + j * kGroup >= n_in) break;
    for (int side = 0; side < 2; ++side) {
      for (int b = 0; b < 4; ++b) {
        const uint32_t code = file_code<kType>(row, chunk * kChunk + j * kGroup + 16 * side + 4 * t + b);
        const uint32_t low = code & ((1u << kShape.bits) - 1), high = code >> kShape.bits;
        if constexpr (kShape.bits == 8) q[2 * j + side] |= low << (8 * b);
        if constexpr (kType == Type::mxfp4) {
          q[j] |= low << (16 * side + 4 * b);
        } else if constexpr (kShape.bits == 4) {
          q[j] |= low << (8 * b + 4 * side);
        }
        if constexpr (kShape.bits == 2) q[j / 2] |= low << (8 * b + 4 * (j % 2) + 2 * side);
        if constexpr (kShape.high_bits == 1) h[0] |= high << (8 * b + 2 * j + side);
        if constexpr (kShape.high_bits == 2) h[j / 2] |= high << (8 * b + 4 * (j % 2) + 2 * side);
      }
    }
  }
}

// ---- what a lane holds ------------------------------------------------------

// Subtracts `zero` from each byte. Bytes are below 128.
VITRINE_HOST_DEVICE inline uint32_t minus_zero(uint32_t bytes, int zero) {
  const uint32_t all = static_cast<uint32_t>(zero) * 0x01010101u;
  return ((bytes | 0x80808080u) - all) ^ 0x80808080u;
}

// The codes of a lane as signed bytes, ready for a matrix instruction, and their factors.
template <Type kType>
struct Lane {
  static constexpr PackedShape kShape = packed_shape(kType);
  uint32_t q[kShape.q / 16];
  uint32_t h[kShape.h == 0 ? 1 : kShape.h / 16];
  uint32_t s[kShape.s / 4];
  uint32_t d;

  // `side` 0: low, 1: high elements of group j.
  __device__ uint32_t codes(int j, int side) const {
    uint32_t v = 0;
    if constexpr (kShape.bits == 8) return q[2 * j + side];
    if constexpr (kType == Type::mxfp4) {
      // E2M1 times two: the magnitude by its three low bits, negative where the fourth is set.
      const uint32_t four = q[j] >> (16 * side);
      const uint32_t plus = __byte_perm(0x03020100u, 0x0c080604u, four & 0x7777u);
      const uint32_t minus = __byte_perm(0xfdfeff00u, 0xf4f8fafcu, four & 0x7777u);
      const uint32_t negative = (__byte_perm(0x80808080u, 0x80808080u, four & 0x8888u) & 0x01010101u) * 255u;
      return (plus & ~negative) | (minus & negative);
    }
    if constexpr (kShape.bits == 4) v = q[j] >> (4 * side) & 0x0f0f0f0fu;
    if constexpr (kShape.bits == 2) v = q[j / 2] >> (4 * (j % 2) + 2 * side) & 0x03030303u;
    if constexpr (kShape.high_bits == 1) v |= (h[0] >> (2 * j + side) & 0x01010101u) << kShape.bits;
    if constexpr (kShape.high_bits == 2) v |= (h[j / 2] >> (4 * (j % 2) + 2 * side) & 0x03030303u) << kShape.bits;
    return kShape.zero == 0 ? v : minus_zero(v, kShape.zero);
  }

  __device__ uint32_t byte_of_s(int i) const { return s[i / 4] >> (8 * (i % 4)) & 0xff; }
  __device__ float half_of_s(int i) const { return half_to_float(static_cast<uint16_t>(s[i / 2] >> (16 * (i % 2)))); }

  // A code q of group j stands for factor(j) * integer(j, side) * q - minimum(j, side).
  __device__ float factor(int j) const {
    if constexpr (kType == Type::mxfp4) {
      return mxfp4_half_factor(static_cast<uint8_t>(byte_of_s(j)));
    } else if constexpr (kShape.d == 0) {
      return half_of_s(j);
    } else {
      return half_to_float(static_cast<uint16_t>(d));
    }
  }
  __device__ int integer(int j, int side) const {
    if constexpr (kType == Type::q4_k || kType == Type::q5_k) return static_cast<int>(byte_of_s(j));
    if constexpr (kType == Type::q2_k) return static_cast<int>(byte_of_s(2 * j + side) & 15);
    if constexpr (kType == Type::q3_k || kType == Type::q6_k) return static_cast<int8_t>(byte_of_s(2 * j + side));
    return 1;
  }
  __device__ float minimum(int j, int side) const {
    if constexpr (!kShape.minimum) return 0;
    if constexpr (kShape.d == 0) return -half_of_s(4 + j);
    const float dmin = half_to_float(static_cast<uint16_t>(d >> 16));
    if constexpr (kType == Type::q2_k) return dmin * static_cast<float>(byte_of_s(2 * j + side) >> 4);
    return dmin * static_cast<float>(byte_of_s(4 + j));
  }
};

template <Type kType>
__device__ inline Lane<kType> load_lane(const Packed& w, int64_t row, int chunk, int t) {
  constexpr PackedShape kShape = packed_shape(kType);
  Lane<kType> lane;
  const int64_t at = row * w.chunks + chunk;
  const uint8_t* q = w.q + at * kShape.q + t * (kShape.q == 128 ? 16 : kShape.q / 4);
  if constexpr (kShape.bits == 8) {
    for (int i = 0; i < 2; ++i) {  // 64 bytes apart, so that the four lanes read 64 bytes at a time
      const uint4 v = stream16(q + 64 * i);
      lane.q[4 * i] = v.x, lane.q[4 * i + 1] = v.y, lane.q[4 * i + 2] = v.z, lane.q[4 * i + 3] = v.w;
    }
  } else if constexpr (kShape.bits == 4) {
    const uint4 v = stream16(q);
    lane.q[0] = v.x, lane.q[1] = v.y, lane.q[2] = v.z, lane.q[3] = v.w;
  } else {
    const uint2 v = stream8(q);
    lane.q[0] = v.x, lane.q[1] = v.y;
  }
  if constexpr (kShape.h == 16) lane.h[0] = stream4(w.h + at * 16 + t * 4);
  if constexpr (kShape.h == 32) {
    const uint2 v = stream8(w.h + at * 32 + t * 8);
    lane.h[0] = v.x, lane.h[1] = v.y;
  }
  const uint8_t* s = w.s + at * kShape.s;
  if constexpr (kShape.s == 4) lane.s[0] = load4(s);
  if constexpr (kShape.s == 8) {
    const uint2 v = load8(s);
    lane.s[0] = v.x, lane.s[1] = v.y;
  }
  if constexpr (kShape.s == 16) {
    const uint4 v = load16(s);
    lane.s[0] = v.x, lane.s[1] = v.y, lane.s[2] = v.z, lane.s[3] = v.w;
  }
  lane.d = 0;
  const int64_t block = row * (w.chunks / 2) + chunk / 2;
  if constexpr (kShape.d == 4) lane.d = load4(w.d + block * 4);
  if constexpr (kShape.d == 2) lane.d = load2(w.d + block * 2);
  return lane;
}

// Where lane t's q words lie: the 8-bit types interleave two loads.
template <Type kType>
VITRINE_HOST_DEVICE constexpr int64_t q_word(int t, int i) {
  constexpr PackedShape kShape = packed_shape(kType);
  if (kShape.bits == 8) return 16 * (i / 4) + 4 * t + i % 4;
  return t * (kShape.q / 16) + i;
}

// ---- single elements --------------------------------------------------------

__device__ inline float f8_to_float(uint32_t bits) {
  if ((bits & 0x7f) == 0x7f) return bits_to_float((bits & 0x80u) << 24 | 0x7fc00000u);
  // As an f16 with the same fields the number is 2^8 too small (bias 7 and 15).
  return half_to_float(static_cast<uint16_t>((bits & 0x80) << 8 | (bits & 0x7f) << 7)) * 256.0f;
}

__device__ inline float f8_factor(const Packed& w, int64_t plane, int64_t row, int chunk) {
  return w.factors[(plane * w.factor_rows + (w.factor_first[plane] + row) / kChunk) * w.chunks + chunk];
}

// Element `column` of a row, the very float that kernels/quant.h gives.
template <Type kType>
__device__ float element(const Packed& w, int64_t plane, int64_t row, int column) {
  const int64_t r = plane * w.n_out + row;
  const int64_t at = r * w.chunks * kChunk + column;
  if constexpr (kType == Type::f32) {
    return bits_to_float(load4(w.q + at * 4));
  } else if constexpr (kType == Type::f16) {
    return half_to_float(load2(w.q + at * 2));
  } else if constexpr (kType == Type::bf16) {
    return bfloat_to_float(load2(w.q + at * 2));
  } else if constexpr (kType == Type::f8_e4m3) {
    return f8_to_float(w.q[at]) * f8_factor(w, plane, row, column / kChunk);
  } else {
    const int j = column % kChunk / kGroup, e = column % kGroup, side = e / 16, t = e % 16 / 4;
    const Lane<kType> lane = load_lane<kType>(w, r, column / kChunk, t);
    uint32_t codes = 0;  // indices known when compiled keep the lane in registers
    float factor = 0, minimum = 0;
    int integer = 0;
    for (int i = 0; i < kGroups; ++i) {
      for (int k = 0; k < 2; ++k) {
        if (i != j || k != side) continue;
        codes = lane.codes(i, k);
        factor = lane.factor(i), integer = lane.integer(i, k), minimum = lane.minimum(i, k);
      }
    }
    const float code = static_cast<float>(static_cast<int8_t>(codes >> (8 * (e % 4)) & 0xff));
    const float scaled = factor * static_cast<float>(integer) * code;
    return packed_shape(kType).minimum ? scaled - minimum : scaled;
  }
}

// Where an activation of a group of 32 stands among its 32 bytes: lane t reads eight.
VITRINE_HOST_DEVICE constexpr int activation_place(int e) { return e % 16 / 4 * 8 + e / 16 * 4 + e % 4; }

}  // namespace vitrine::cuda
