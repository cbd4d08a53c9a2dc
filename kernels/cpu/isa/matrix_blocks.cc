// Block-quantized weights times 8-bit activations.
//
// A panel is 32 rows, as two vectors of 16 rows. For 256 columns at a time both
// are taken apart into a tile that stays in the first-level cache: unsigned bytes,
// four columns of a row in each lane, so that one instruction does 16 rows × 4
// columns for a broadcast of four activations. Then every token passes over the
// tile. Decoding one token reads each weight byte once, in file order; a prompt
// takes a block apart once for all its tokens. The order of additions is the same
// for both: integers exact within a block, then fp32, one fused multiply-add per
// block (and one for the minimum), blocks in ascending order.
#include "kernels/cpu/isa/kernels.h"
#include "kernels/cpu/isa/unpack.h"
#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {
namespace {

using cpu::ActivationChunk;
using cpu::kChunk;
using cpu::kPanel;
using cpu::MatrixArgs;

// Blocks of 32: acc += d · dx · (Σ w x - zero Σ x) [+ m · dx · Σ x].
template <class Format, int kCount>
void multiply32(const Tile32& tile, int blocks, const ActivationChunk* const* x, float* const* acc) {
  F a[kCount][2];
  for (int t = 0; t < kCount; ++t) a[t][0] = load(acc[t]), a[t][1] = load(acc[t] + 16);
  for (int b = 0; b < blocks; ++b) {
    I s[kCount][2];
    for (int t = 0; t < kCount; ++t) s[t][0] = s[t][1] = set(-Format::kZero * x[t]->sum32[b]);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const I w0 = tile.w[8 * b + k][0], w1 = tile.w[8 * b + k][1];
#pragma GCC unroll 4
      for (int t = 0; t < kCount; ++t) {
        const I v = broadcast4(x[t]->q + 32 * b + 4 * k);
        s[t][0] = dot4<Format::kNarrow>(s[t][0], w0, v);
        s[t][1] = dot4<Format::kNarrow>(s[t][1], w1, v);
      }
    }
    for (int t = 0; t < kCount; ++t) {
      const F d = set(x[t]->d[b]);
      a[t][0] = fma(to_float(s[t][0]), tile.d[b][0] * d, a[t][0]);
      a[t][1] = fma(to_float(s[t][1]), tile.d[b][1] * d, a[t][1]);
      if constexpr (Format::kHasMinimum) {
        const F total = set(static_cast<float>(x[t]->sum32[b]));
        a[t][0] = fma(tile.m[b][0] * d, total, a[t][0]);
        a[t][1] = fma(tile.m[b][1] * d, total, a[t][1]);
      }
    }
  }
  for (int t = 0; t < kCount; ++t) store(acc[t], a[t][0]), store(acc[t] + 16, a[t][1]);
}

// Blocks of 256: acc += d · dx · (Σ_j s_j Σ w x - zero part), or with minimums
// acc += d · dx · Σ_j s_j Σ w x, then acc -= dmin · dx · Σ_j m_j Σ x.
template <class Format, int kCount>
void multiply256(const Tile256& tile, const ActivationChunk* const* x, float* const* acc) {
  constexpr int kSteps = Format::kSub / 4;
  I total[kCount][2], minimum[kCount][2];
  for (int t = 0; t < kCount; ++t) {
    total[t][0] = total[t][1] = minimum[t][0] = minimum[t][1] = set(0);
    for (int p = 0; p < 8; ++p) {
      const I sums = broadcast4(&x[t]->sum16[2 * p]);
      minimum[t][0] = dot2(minimum[t][0], tile.m[p][0], sums);
      minimum[t][1] = dot2(minimum[t][1], tile.m[p][1], sums);
    }
    if constexpr (!Format::kHasMinimum) {  // what the zero adds: taken off as integers
      total[t][0] = set(0) - minimum[t][0];
      total[t][1] = set(0) - minimum[t][1];
    }
  }
  for (int j = 0; j < kChunk / Format::kSub; ++j) {
    I s[kCount][2];
    for (int t = 0; t < kCount; ++t) s[t][0] = s[t][1] = set(0);
#pragma GCC unroll 8
    for (int k = 0; k < kSteps; ++k) {
      const I w0 = tile.w[kSteps * j + k][0], w1 = tile.w[kSteps * j + k][1];
#pragma GCC unroll 4
      for (int t = 0; t < kCount; ++t) {
        const I v = broadcast4(x[t]->q + Format::kSub * j + 4 * k);
        s[t][0] = dot4<true>(s[t][0], w0, v);
        s[t][1] = dot4<true>(s[t][1], w1, v);
      }
    }
    for (int t = 0; t < kCount; ++t) {
      total[t][0] = total[t][0] + s[t][0] * tile.s[j][0];
      total[t][1] = total[t][1] + s[t][1] * tile.s[j][1];
    }
  }
  for (int t = 0; t < kCount; ++t) {
    const F d = set(x[t]->d[0]);
    for (int h = 0; h < 2; ++h) {
      F a = fma(to_float(total[t][h]), tile.d[h] * d, load(acc[t] + 16 * h));
      if constexpr (Format::kHasMinimum) {
        a = fma(to_float(set(0) - minimum[t][h]), tile.dmin[h] * d, a);
      }
      store(acc[t] + 16 * h, a);
    }
  }
}

// Fetches the bytes wanted next, in file order and a few lines at a time between
// the work on those at hand, so that memory is never idle.
struct Fetch {
  const uint8_t* next;
  const uint8_t* end;
  void lines(size_t bytes) {
    for (const uint8_t* stop = next + bytes < end ? next + bytes : end; next < stop; next += 64) prefetch(next);
  }
};

// Columns [256 c, …) of both vectors of rows.
template <class Format>
void unpack(const MatrixArgs& args, int64_t c, int blocks, typename Format::Tile& tile, Fetch& fetch) {
  const size_t column = static_cast<size_t>(c) * (kChunk / Format::kElements) * Format::kBytes;
  for (int h = 0; h < 2; ++h) {
    const uint8_t* p = args.rows + 16 * static_cast<size_t>(h) * args.row_stride + column;
    if constexpr (Format::kElements == 32) {
      for (int b = 0; b < blocks; ++b) {
        fetch.lines(16 * Format::kBytes);
        Format::unpack(p + b * Format::kBytes, args.row_stride, b, h, tile);
      }
    } else {
      Format::unpack(p, args.row_stride, h, tile, fetch);
    }
  }
}

template <class Format, int kCount>
void multiply(const typename Format::Tile& tile, int blocks, const ActivationChunk* const* x, float* const* acc) {
  if constexpr (Format::kElements == 32) {
    multiply32<Format, kCount>(tile, blocks, x, acc);
  } else {
    multiply256<Format, kCount>(tile, x, acc);
  }
}

template <class Format>
void matrix(const MatrixArgs& args) {
  __builtin_memset(args.acc, 0, static_cast<size_t>(args.count * kPanel) * sizeof(float));
  const int64_t chunks = cpu::rounded_up(args.n_in, kChunk) / kChunk;
  Fetch fetch{args.next, args.next + args.next_bytes};
  typename Format::Tile tile;
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t columns = args.n_in - c * kChunk < kChunk ? args.n_in - c * kChunk : kChunk;
    const int blocks = static_cast<int>(columns / 32);
    unpack<Format>(args, c, blocks, tile, fetch);
    const ActivationChunk* row = args.quantized + c * args.quantized_rows;
    const ActivationChunk* x[kTokens];
    float* acc[kTokens];
    int64_t t = 0;
    for (; t + kTokens <= args.count; t += kTokens) {
      for (int i = 0; i < kTokens; ++i) {
        x[i] = row + (args.index ? args.index[t + i] : t + i);
        acc[i] = args.acc + (t + i) * kPanel;
      }
      multiply<Format, kTokens>(tile, blocks, x, acc);
    }
    for (; t < args.count; ++t) {
      x[0] = row + (args.index ? args.index[t] : t);
      acc[0] = args.acc + t * kPanel;
      multiply<Format, 1>(tile, blocks, x, acc);
    }
  }
}

// Rounds sixteen values to integers; returns their sum.
int32_t quantize16(const float* x, F inverse, int8_t* q) {
  const I rounded = to_int(max(min(load(x) * inverse, set(127.0f)), set(-127.0f)));
  store_bytes(q, rounded);
  return sum(rounded);
}

}  // namespace

void quantize_per32(const float* x, int64_t n, ActivationChunk* out, int64_t stride) {
  for (int64_t i = 0; i < n; i += 32) {
    ActivationChunk& chunk = out[i / kChunk * stride];
    const int64_t b = i % kChunk / 32;
    const float extreme = largest(max(abs(load(x + i)), abs(load(x + i + 16))));
    const F inverse = set(extreme > 0 ? 127.0f / extreme : 0.0f);
    chunk.d[b] = extreme / 127.0f;
    int32_t s = quantize16(x + i, inverse, chunk.q + 32 * b);
    s += quantize16(x + i + 16, inverse, chunk.q + 32 * b + 16);
    chunk.sum32[b] = s;
  }
}

void quantize_per256(const float* x, int64_t n, ActivationChunk* out, int64_t stride) {
  for (int64_t i = 0; i < n; i += kChunk) {
    ActivationChunk& chunk = out[i / kChunk * stride];
    F extremes = abs(load(x + i));
    for (int64_t j = 16; j < kChunk; j += 16) extremes = max(extremes, abs(load(x + i + j)));
    const float extreme = largest(extremes);
    const F inverse = set(extreme > 0 ? 127.0f / extreme : 0.0f);
    chunk.d[0] = extreme / 127.0f;
    for (int64_t j = 0; j < 16; ++j) {
      chunk.sum16[j] = static_cast<int16_t>(quantize16(x + i + 16 * j, inverse, chunk.q + 16 * j));
    }
  }
}

void matrix_blocks(const MatrixArgs& args) {
  switch (args.type) {
    case Type::q4_0: return matrix<Q4_0>(args);
    case Type::q4_1: return matrix<Q4_1>(args);
    case Type::q5_0: return matrix<Q5_0>(args);
    case Type::q5_1: return matrix<Q5_1>(args);
    case Type::q8_0: return matrix<Q8_0>(args);
    case Type::mxfp4: return matrix<Mxfp4>(args);
    case Type::q2_k: return matrix<Q2K>(args);
    case Type::q3_k: return matrix<Q3K>(args);
    case Type::q4_k: return matrix<Q4K>(args);
    case Type::q5_k: return matrix<Q5K>(args);
    case Type::q6_k: return matrix<Q6K>(args);
    default: return;
  }
}

}  // namespace vitrine::VITRINE_ISA
