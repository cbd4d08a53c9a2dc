// Weights times rows of activations, on matrix instructions: what matmul, ffn and
// moe_ffn share.
//
// A block takes 16 rows of a weight and up to 8 or 32 tokens. Its warps share the
// row's chunks (warp w takes chunks w, w + W, …) and add up their parts in the order
// of the warps. W depends on the row's length alone, every product of a chunk is
// exact or a fixed sum, and a token's column of a matrix instruction does not see its
// neighbours: so a token's bits do not depend on what else is computed.
//
// Activations. For block types 8-bit integers with one factor per 32 or 256, as on
// the CPU (kernels/cpu/isa/kernels.h): products within a group are exact. For BF16 and
// FP8 three bf16 terms that add up to the float itself. F16 and F32 meet floats.
// (Prompts may round theirs: prompt.h.)
#pragma once

#include "kernels/cuda/matrix_instructions.h"
#include "kernels/cuda/packed.h"
#include "kernels/cuda/prepare.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/runtime.h"

namespace vitrine::cuda {

inline constexpr int kRowTile = 16;
inline constexpr int kTokenTile = 8;
struct Activations {
  const int8_t* q = nullptr;                  // block types: [rows][chunks * 128], in activation_place order
  const ActivationFactor* factors = nullptr;  // [rows][chunks * 4]
  const uint16_t* terms = nullptr;            // bf16, f8: [kTerms][rows][chunks * 128]
  int64_t term_stride = 0;
  const uint8_t* e4m3 = nullptr;        // f8, prompts: [rows][chunks * 128]
  const float* e4m3_factors = nullptr;  // [rows][chunks]
  const float* x = nullptr;             // f32, f16: source row r, plane p at r * x_stride + p * x_plane
  int64_t x_stride = 0, x_plane = 0;
};

// Which output rows a block computes, and from which rows of activations.
struct RowSet {
  enum Kind : int {
    kTokens,  // rows [0, count) of plane blockIdx.z
    kTiles,   // blockIdx.y-th of the tiles that group_experts() made
    kSlots,   // row blockIdx.y alone, of plane ids[blockIdx.y]: one token's experts
  };
  Kind kind = kTokens;
  int32_t count = 0;
  const int32_t* ids = nullptr;  // kSlots
  const int4* tiles = nullptr;   // kTiles: expert, first row, end row
  const int32_t* tile_count = nullptr;
  int32_t experts = 0;
  // Row p reads source row index[p] (without index: p; kSlots: `source`), which lies among the
  // prepared rows at source * per_source + plane * per_plane.
  const int32_t* index = nullptr;
  int32_t source = -1;
  int32_t per_source = 1, per_plane = 0;
  int* faults = nullptr;
};

struct Product {
  Packed w;
  float* y = nullptr;
  int64_t y_row = 0, y_plane = 0;  // elements
};

inline constexpr int kProducts = 4;
struct ProductArgs {
  Product product[kProducts];
  int32_t first_tile[kProducts + 1] = {};  // row tiles before each product; the last: all
  int32_t products = 0;
  Activations x;
  RowSet rows;
  bool accumulate = false;
  Finish finish;  // of the first product; without forms: none
};

VITRINE_HOST_DEVICE constexpr int warps_for(int chunks) {
  return chunks >= 8 ? 8 : chunks >= 4 ? 4 : chunks >= 2 ? 2 : 1;
}

// ---- where a block stands

struct BlockRows {
  int plane, begin, end;
};

__device__ inline bool block_rows(const RowSet& rows, int span, BlockRows& out) {
  if (rows.kind == RowSet::kTokens) {
    out.plane = static_cast<int>(blockIdx.z);
    out.begin = static_cast<int>(blockIdx.y) * span;
    out.end = out.begin + span < rows.count ? out.begin + span : rows.count;
  } else if (rows.kind == RowSet::kTiles) {
    if (static_cast<int>(blockIdx.y) >= *rows.tile_count) return false;
    const int4 tile = rows.tiles[blockIdx.y];
    out.plane = tile.x, out.begin = tile.y, out.end = tile.z;
  } else {
    out.plane = rows.ids[blockIdx.y];
    out.begin = static_cast<int>(blockIdx.y);
    out.end = out.begin + 1;
    if (out.plane < 0 || out.plane >= rows.experts) {
      if (threadIdx.x == 0) atomicOr(rows.faults, kFaultExpert);
      return false;
    }
  }
  return out.begin < out.end;
}

__device__ inline int64_t source_row(const RowSet& rows, int p) {
  return rows.source >= 0 ? rows.source : rows.index ? rows.index[p] : p;
}

// The prepared rows a lane's columns stand for: as operand b (column g) and as results (2t, 2t + 1).
// Beyond the end the last row stands in; what comes out is not stored.
template <int kTiles>
struct Columns {
  int64_t b[kTiles], c[kTiles][2];
  int live;  // tiles with a row

  __device__ Columns(const RowSet& rows, const BlockRows& at, int lane) {
    live = (at.end - at.begin + kTokenTile - 1) / kTokenTile;
    const auto row_of = [&](int i) {
      const int p = at.begin + i < at.end ? at.begin + i : at.end - 1;
      return source_row(rows, p) * rows.per_source + int64_t{at.plane} * rows.per_plane;
    };
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      b[n] = row_of(n * kTokenTile + lane / 4);
      c[n][0] = row_of(n * kTokenTile + 2 * (lane % 4));
      c[n][1] = row_of(n * kTokenTile + 2 * (lane % 4) + 1);
    }
  }
};

// ---- one warp's part of 16 rows x kTiles * 8 tokens

template <Type kType, int kTiles>
__device__ inline void block_type_part(const Packed& w, int64_t low_row, int64_t high_row, const Activations& x,
                                       const Columns<kTiles>& columns, int warp, int warps, int lane,
                                       float (&acc)[kTiles][4]) {
  constexpr PackedShape kShape = packed_shape(kType);
  const int t = lane % 4;
  const int64_t x_bytes = int64_t{w.chunks} * kChunk, x_factors = int64_t{w.chunks} * kGroups;
#pragma unroll 2
  for (int chunk = warp; chunk < w.chunks; chunk += warps) {
    const Lane<kType> low = load_lane<kType>(w, low_row, chunk, t), high = load_lane<kType>(w, high_row, chunk, t);
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const uint32_t a0 = low.codes(j, 0), a1 = high.codes(j, 0), a2 = low.codes(j, 1), a3 = high.codes(j, 1);
      const float factor[2] = {low.factor(j), high.factor(j)};
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        if (n >= columns.live) break;
        const uint2 b = load8(x.q + columns.b[n] * x_bytes + chunk * kChunk + j * kGroup + t * 8);
        ActivationFactor f[2];
        for (int i = 0; i < 2; ++i) {
          const uint2 bits = load8(x.factors + columns.c[n][i] * x_factors + chunk * kGroups + j);
          f[i].d = bits_to_float(bits.x);
          f[i].low = static_cast<int16_t>(bits.y & 0xffff);
          f[i].high = static_cast<int16_t>(bits.y >> 16);
        }
        int32_t c[4] = {0, 0, 0, 0};
        if constexpr (kShape.per16) {
          int32_t c_high[4] = {0, 0, 0, 0};
          mma_s8_k16(c, a0, a1, b.x);
          mma_s8_k16(c_high, a2, a3, b.y);
          for (int i = 0; i < 4; ++i) {
            const int s = i < 2 ? low.integer(j, 0) : high.integer(j, 0);
            const int s_high = i < 2 ? low.integer(j, 1) : high.integer(j, 1);
            c[i] = c[i] * s + c_high[i] * s_high;  // below 2^24: exact as a float
          }
        } else {
          mma_s8_k32(c, a0, a1, a2, a3, b.x, b.y);
          if constexpr (kShape.d != 0) {
            for (int i = 0; i < 4; ++i) c[i] *= i < 2 ? low.integer(j, 0) : high.integer(j, 0);
          }
        }
        for (int i = 0; i < 4; ++i) {
          const ActivationFactor& one = f[i % 2];
          acc[n][i] = fmaf(factor[i / 2] * one.d, static_cast<float>(c[i]), acc[n][i]);
          if constexpr (kShape.minimum) {
            const Lane<kType>& row = i < 2 ? low : high;
            if constexpr (kShape.per16) {
              acc[n][i] = fmaf(-row.minimum(j, 0) * one.d, static_cast<float>(one.low), acc[n][i]);
              acc[n][i] = fmaf(-row.minimum(j, 1) * one.d, static_cast<float>(one.high), acc[n][i]);
            } else {
              acc[n][i] = fmaf(-row.minimum(j, 0) * one.d, static_cast<float>(one.low + one.high), acc[n][i]);
            }
          }
        }
      }
    }
  }
}

// Two e4m3 numbers as two bf16 numbers (exact).
__device__ inline uint32_t f8_pair_to_bfloat(uint32_t pair) {
  const float a = f8_to_float(pair & 0xff), b = f8_to_float(pair >> 8 & 0xff);
  return float_to_bits(a) >> 16 | (float_to_bits(b) & 0xffff0000u);
}

template <Type kType, int kTiles>
__device__ inline void float_type_part(const Packed& w, int plane, int low_row, int high_row, const Activations& x,
                                       const Columns<kTiles>& columns, int warp, int warps, int lane,
                                       float (&acc)[kTiles][4]) {
  constexpr bool kF8 = kType == Type::f8_e4m3;
  constexpr int kBytes = kF8 ? 1 : 2;
  constexpr int kElements = 16 / kBytes;  // a lane loads at once
  const int t = lane % 4;
  const int64_t row_elements = int64_t{w.chunks} * kChunk;
  const uint8_t* low = w.q + (int64_t{plane} * w.n_out + low_row) * row_elements * kBytes + t * 16;
  const uint8_t* high = w.q + (int64_t{plane} * w.n_out + high_row) * row_elements * kBytes + t * 16;
#pragma unroll 2
  for (int chunk = warp; chunk < w.chunks; chunk += warps) {
    float part[kTiles][4] = {};
#pragma unroll
    for (int s = 0; s < kChunk / (4 * kElements); ++s) {
      const int64_t at = int64_t{chunk} * kChunk + s * 4 * kElements;
      const uint4 a = stream16(low + at * kBytes), b = stream16(high + at * kBytes);
      const uint32_t low_words[4] = {a.x, a.y, a.z, a.w}, high_words[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        if (n >= columns.live) break;
        const uint16_t* row = x.terms + columns.b[n] * row_elements + at + t * kElements;
#pragma unroll
        for (int term = 0; term < kTerms; ++term) {
#pragma unroll
          for (int half = 0; half < kElements / 8; ++half) {
            const uint4 v = load16(row + term * x.term_stride + half * 8);
            const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int i = 0; i < 2; ++i) {
              uint32_t m[4];
              if constexpr (kF8) {
                const uint32_t l = low_words[2 * half + i], h = high_words[2 * half + i];
                m[0] = f8_pair_to_bfloat(l), m[1] = f8_pair_to_bfloat(h);
                m[2] = f8_pair_to_bfloat(l >> 16), m[3] = f8_pair_to_bfloat(h >> 16);
              } else {
                m[0] = low_words[2 * i], m[1] = high_words[2 * i];
                m[2] = low_words[2 * i + 1], m[3] = high_words[2 * i + 1];
              }
              mma_bf16(part[n], m[0], m[1], m[2], m[3], words[2 * i], words[2 * i + 1]);
            }
          }
        }
      }
    }
    float factor[2] = {1, 1};
    if constexpr (kF8) {
      factor[0] = f8_factor(w, plane, low_row, chunk);
      factor[1] = f8_factor(w, plane, high_row, chunk);
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      for (int i = 0; i < 4; ++i) acc[n][i] = fmaf(factor[i / 2], part[n][i], acc[n][i]);
    }
  }
}

template <Type kType, int kTiles>
__device__ inline void part_of(const Packed& w, int plane, int first_row, const Activations& x,
                               const Columns<kTiles>& columns, int warp, int warps, int lane, float (&acc)[kTiles][4]) {
  const int g = lane / 4, last = w.n_out - 1;
  const int low = first_row + g < last ? first_row + g : last;
  const int high = first_row + g + 8 < last ? first_row + g + 8 : last;
  if constexpr (kType == Type::bf16 || kType == Type::f8_e4m3) {
    float_type_part<kType, kTiles>(w, plane, low, high, x, columns, warp, warps, lane, acc);
  } else {
    const int64_t base = int64_t{plane} * w.n_out;
    block_type_part<kType, kTiles>(w, base + low, base + high, x, columns, warp, warps, lane, acc);
  }
}

// Each warp leaves its part in `shared` [warps][values]; then value v of the block's tile is the sum
// over the warps. v = (tile n, i of 4, lane).
template <int kTiles>
__device__ inline void leave_part(const float (&acc)[kTiles][4], float* shared, int warp, int lane) {
  float* out = shared + warp * kTiles * 4 * kWarp;
  for (int n = 0; n < kTiles; ++n) {
    for (int i = 0; i < 4; ++i) out[(n * 4 + i) * kWarp + lane] = acc[n][i];
  }
}
template <int kTiles>
__device__ inline float collect(const float* shared, int warps, int v) {
  float sum = 0;
  for (int w = 0; w < warps; ++w) sum = sum + shared[w * kTiles * 4 * kWarp + v];
  return sum;
}
struct Place {
  int row, token;  // within the tile
};
VITRINE_HOST_DEVICE inline Place place_of(int v) {
  const int lane = v % kWarp, i = v / kWarp % 4, n = v / kWarp / 4;
  return {lane / 4 + 8 * (i / 2), n * kTokenTile + 2 * (lane % 4) + i % 2};
}

inline size_t parts_bytes(int tiles, int warps) {
  return static_cast<size_t>(tiles * 4 * kWarp * warps) * sizeof(float);
}

// ---- preparing activations (matmul.cu)

// Where prepared rows lie, by form.
struct FormMemory {
  DeviceMemory q[2], factors[2], terms;
  DeviceMemory e4m3, e4m3_factors;  // prompts
};

struct MatrixWorkspaces {
  FormMemory input;                // of operators: what products read
  FormMemory finished;             // what a product has prepared while it read `input`
  FormMemory hidden_input;         // within a feed-forward layer
  FormMemory shared_input;         // likewise, of the expert that all tokens pass
  DeviceMemory arrived;            // of Finish
  DeviceMemory hidden, hidden_up;  // gate and up, then their product
  DeviceMemory expert_out;         // [pairs][n]
  DeviceMemory groups;             // see moe_ffn.cu
};

}  // namespace vitrine::cuda
