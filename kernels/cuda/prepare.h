// Rows of activations in the forms that products read (matmul.h), written either by a
// kernel of their own or by the one that computes the rows.
//
// A warp prepares a unit: 256 elements of a row, eight groups of 32. Whoever does it
// does the same arithmetic, so that a product's bits do not depend on it.
#pragma once

#include "kernels/cuda/packed.h"

namespace vitrine::cuda {

inline constexpr int kTerms = 3;
inline constexpr int kUnit = 256;

// Of 32 activations: value = d * q; sums of the q of elements 0 … 15 and 16 … 31.
struct ActivationFactor {
  float d;
  int16_t low, high;
};

// Which form a type of weight reads. plain: the floats themselves.
enum class Form : uint8_t { per32, per256, terms, plain };
inline constexpr int kForms = 3;
inline Form form_of(Type type) {
  const PackedShape shape = packed_shape(type);
  if (shape.bits == 0) return type == Type::bf16 || type == Type::f8_e4m3 ? Form::terms : Form::plain;
  return shape.d != 0 ? Form::per256 : Form::per32;
}

// Where the forms of rows of n elements go; null: not wanted. Rows are padded to whole chunks.
struct PreparedRows {
  int8_t* q[2] = {};                  // per32, per256: [rows][chunks * 128], in activation_place order
  ActivationFactor* factors[2] = {};  // [rows][chunks * 4]
  uint16_t* terms = nullptr;          // [kTerms][rows][chunks * 128]
  int64_t term_stride = 0;
  int32_t n = 0, chunks = 0;

  VITRINE_HOST_DEVICE bool wanted() const { return q[0] || q[1] || terms; }
  VITRINE_HOST_DEVICE int units() const { return (n + kUnit - 1) / kUnit; }
};

// A lane's element of a group of 32; `extreme`, `odd`: the largest size of what shares the factor, and
// whether something in it is not finite.
__device__ inline void quantize_group(float v, float extreme, float odd, int lane, int8_t* q,
                                      ActivationFactor* factor) {
  const float inverse = extreme > 0 ? 127.0f / extreme : 0.0f;
  const int code = odd > 0 ? 0 : static_cast<int>(rintf(v * inverse));
  int sum = code;
  for (int k = 8; k > 0; k /= 2) sum += __shfl_xor_sync(kAllLanes, sum, k);
  const int high = __shfl_sync(kAllLanes, sum, 16);
  if (!q) return;
  q[activation_place(lane)] = static_cast<int8_t>(code);
  if (lane != 0) return;
  // A group with an infinity or NaN makes every product NaN.
  *factor = {odd > 0 ? bits_to_float(0x7fc00000u) : extreme / 127.0f, static_cast<int16_t>(sum),
             static_cast<int16_t>(high)};
}

// v = first + second + third, each a bf16 number cut off, not rounded: so the sum is exact.
__device__ inline void split_into_terms(float v, uint16_t* terms, int64_t term_stride) {
  float left = v;
  for (int term = 0; term < kTerms; ++term) {
    uint32_t bits = float_to_bits(left) & 0xffff0000u;
    if (left != left) bits = 0x7fc00000u;
    terms[term * term_stride] = static_cast<uint16_t>(bits >> 16);
    const float rest = left - bits_to_float(bits);
    left = rest == rest ? rest : 0.0f;  // infinity and NaN are all in the first term
  }
}

// All lanes of a warp: unit `unit` of row `row`, whose element i is value(i).
template <class Value>
__device__ inline void prepare_unit(const PreparedRows& to, int64_t row, int unit, int lane, Value value) {
  constexpr int kGroupsOfUnit = kUnit / kGroup;
  float v[kGroupsOfUnit], extreme[kGroupsOfUnit], odd[kGroupsOfUnit], largest = 0, any_odd = 0;
#pragma unroll
  for (int j = 0; j < kGroupsOfUnit; ++j) {
    const int i = unit * kUnit + j * kGroup + lane;
    v[j] = i < to.n ? value(i) : 0.0f;
  }
  if (to.q[0] || to.q[1]) {
#pragma unroll
    for (int j = 0; j < kGroupsOfUnit; ++j) {
      const float size = fabsf(v[j]);
      const bool finite = size <= 3.402823466e38f;
      odd[j] = warp_max(finite ? 0.0f : 1.0f);
      extreme[j] = warp_max(finite ? size : 0.0f);
      any_odd = fmaxf(any_odd, odd[j]);
      largest = fmaxf(largest, extreme[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < kGroupsOfUnit; ++j) {
    const int group = unit * kGroupsOfUnit + j;
    const bool inside = group < to.chunks * kGroups;
    const int64_t at = row * to.chunks * kGroups + group;
    if (to.q[0]) {
      quantize_group(v[j], extreme[j], odd[j], lane, inside ? to.q[0] + at * kGroup : nullptr, to.factors[0] + at);
    }
    if (to.q[1]) {
      quantize_group(v[j], largest, any_odd, lane, inside ? to.q[1] + at * kGroup : nullptr, to.factors[1] + at);
    }
    if (to.terms && inside) split_into_terms(v[j], to.terms + at * kGroup + lane, to.term_stride);
  }
}

// All units of row `row`, by the whole block. The values must be visible to it.
template <class Value>
__device__ inline void prepare_row(const PreparedRows& to, int64_t row, Value value) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  for (int unit = warp; unit < to.units(); unit += warps) {
    prepare_unit(to, row, unit, static_cast<int>(threadIdx.x) % kWarp, value);
  }
}

// Rows that many blocks write together, 16 columns each: of the blocks that share a unit the last one to
// be done prepares it.
struct Finish {
  PreparedRows to;
  const float* y = nullptr;  // row r at y + r * y_row
  int64_t y_row = 0;
  int32_t* arrived = nullptr;  // [tiles of rows][units]: zeros, and zeros again afterwards
};

// The whole block, when its 16 columns from `column` on of rows [begin, end), the `row_tile`-th such
// stretch, are written. `shared`: a word of shared memory nobody reads any more.
__device__ inline void finish_columns(const Finish& finish, int column, int row_tile, int begin, int end, int* shared) {
  constexpr int kTilesOfUnit = kUnit / 16;
  const int unit = column / kUnit, tiles = (finish.to.n + 15) / 16 - unit * kTilesOfUnit;
  const int blocks = tiles < kTilesOfUnit ? tiles : kTilesOfUnit;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    int32_t* arrived = finish.arrived + int64_t{row_tile} * finish.to.units() + unit;
    *shared = atomicAdd(arrived, 1) == blocks - 1;
    if (*shared) *arrived = 0;
  }
  __syncthreads();
  if (!*shared) return;
  __threadfence();
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  for (int row = begin + warp; row < end; row += warps) {
    const float* y = finish.y + row * finish.y_row;
    prepare_unit(finish.to, row, unit, static_cast<int>(threadIdx.x) % kWarp, [y](int i) { return fresh(y + i); });
  }
}

}  // namespace vitrine::cuda
