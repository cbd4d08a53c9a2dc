// Weights of plain numbers times f32 activations. Lane i of an accumulator takes
// columns i, i + 16, …, one fused multiply-add each in ascending order; the lanes
// are then folded as vec.h's sum() says. E4M3 weights are multiplied with their
// block's factor first, in fp32.
#include "kernels/cpu/isa/fetch.h"
#include "kernels/cpu/isa/kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {
namespace {

using cpu::kPanel;
using cpu::MatrixArgs;

constexpr int kRows = 4;  // rows of a register block; kTokens columns of it

struct F32 {
  static constexpr size_t kBytes = 4;
  static F load16(const uint8_t* p) { return load(reinterpret_cast<const float*>(p)); }
};
struct F16 {
  static constexpr size_t kBytes = 2;
  static F load16(const uint8_t* p) { return load_f16(p); }
};
struct Bf16 {
  static constexpr size_t kBytes = 2;
  static F load16(const uint8_t* p) { return load_bf16(p); }
};
struct F8 {
  static constexpr size_t kBytes = 1;
  static F load16(const uint8_t* p) { return load_f8(p); }
};

// One row: its weights as floats, 16 at a time.
template <class Format>
struct Row {
  const uint8_t* p;
  const uint8_t* factors;  // E4M3: of its blocks of 128
  F factor;

  void set_to(const MatrixArgs& args, int64_t r) {
    p = args.rows + static_cast<size_t>(r) * args.row_stride;
    if constexpr (kScaled) {
      factors = args.scales + 4 * ((args.scale_row + r) / kBlock * ((args.n_in + kBlock - 1) / kBlock));
    }
  }
  // Before the columns of block k / kBlock. What load_f8() leaves out goes with the factor.
  VITRINE_INLINE void enter(int64_t k) {
    if constexpr (kScaled) {
      float value;
      __builtin_memcpy(&value, factors + 4 * (k / kBlock), 4);
      factor = set(value * 256.0f);
    }
  }
  VITRINE_INLINE F load16(const uint8_t* q) const {
    if constexpr (kScaled) return Format::load16(q) * factor;
    return Format::load16(q);
  }
  VITRINE_INLINE F whole(int64_t k) const { return load16(p + static_cast<size_t>(k) * Format::kBytes); }
  // Zeros beyond the last column; reads nothing there.
  F part(int64_t k, int count) const {
    alignas(64) uint8_t padded[64] = {};
    __builtin_memcpy(padded, p + static_cast<size_t>(k) * Format::kBytes, static_cast<size_t>(count) * Format::kBytes);
    return load16(padded);
  }

  static constexpr bool kScaled = Format::kBytes == 1;
  static constexpr auto kBlock = static_cast<int64_t>(TensorView::kScaleBlock);
};

const float* token(const MatrixArgs& args, int64_t t) {
  return args.x + (args.index ? args.index[t] : t) * args.x_stride;
}

// Calls enter(k) before every block of 128 columns, and whole(k) or part(k, count)
// for its columns, 16 at a time.
template <class Enter, class Whole, class Part>
VITRINE_INLINE void blocks(int64_t n, Enter enter, Whole whole, Part part) {
  constexpr auto kBlock = static_cast<int64_t>(TensorView::kScaleBlock);
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = begin + kBlock < n ? begin + kBlock : n;
    enter(begin);
    int64_t k = begin;
    for (; k + 16 <= end; k += 16) whole(k);
    if (k < end) part(k, static_cast<int>(end - k));
  }
}

// One token: weights straight from the file.
template <class Format, int kCount>
void one_token(const MatrixArgs& args, int64_t r, int64_t t, Fetch& fetch) {
  const float* x = token(args, t);
  Row<Format> row[kCount];
  F acc[kCount];
  for (int i = 0; i < kCount; ++i) {
    row[i].set_to(args, r + i);
    acc[i] = set(0.0f);
  }
  blocks(
      args.n_in,
      [&](int64_t k) VITRINE_INLINE_LAMBDA {
        for (int i = 0; i < kCount; ++i) row[i].enter(k);
      },
      [&](int64_t k) VITRINE_INLINE_LAMBDA {
        fetch.lines<16 * kCount* static_cast<int>(Format::kBytes)>();
        const F v = load(x + k);
#pragma GCC unroll 4
        for (int i = 0; i < kCount; ++i) acc[i] = fma(row[i].whole(k), v, acc[i]);
      },
      [&](int64_t k, int count) {
        const F v = load_first(x + k, count);
        for (int i = 0; i < kCount; ++i) acc[i] = fma(row[i].part(k, count), v, acc[i]);
      });
  for (int i = 0; i < kCount; ++i) args.acc[t * kPanel + r + i] = sum(acc[i]);
}

// Several tokens over weights already turned into floats, rows `padded` apart.
template <int kR, int kT>
VITRINE_INLINE void block(const MatrixArgs& args, const float* const (&x)[kT], int64_t padded, int64_t r, int64_t t) {
  const float* w = args.tile + r * padded;
  F acc[16];
  unrolled<16>([&]<int i>() VITRINE_INLINE_LAMBDA { acc[i] = set(0.0f); });
  const auto multiply = [&](int64_t k, const F(&v)[kT]) VITRINE_INLINE_LAMBDA {
    unrolled<kR>([&]<int i>() VITRINE_INLINE_LAMBDA {
      const F wi = load(w + i * padded + k);
      unrolled<kT>([&]<int j>() VITRINE_INLINE_LAMBDA { acc[kR * j + i] = fma(wi, v[j], acc[kR * j + i]); });
    });
  };
  int64_t k = 0;
  for (; k + 16 <= args.n_in; k += 16) {
    F v[kT];
    unrolled<kT>([&]<int j>() VITRINE_INLINE_LAMBDA { v[j] = load(x[j] + k); });
    multiply(k, v);
  }
  if (k < args.n_in) {
    F v[kT];
    for (int j = 0; j < kT; ++j) v[j] = load_first(x[j] + k, static_cast<int>(args.n_in - k));
    multiply(k, v);
  }
  alignas(64) float out[16];
  store(out, sums(acc));
  for (int j = 0; j < kT; ++j) __builtin_memcpy(args.acc + (t + j) * kPanel + r, out + kR * j, kR * sizeof(float));
}

// kT tokens over rows [r, end) of the panel.
template <int kT>
void tokens(const MatrixArgs& args, int64_t padded, int64_t r, int64_t end, int64_t t) {
  const float* x[kT];
  for (int j = 0; j < kT; ++j) x[j] = token(args, t + j);
  for (; r + kRows <= end; r += kRows) block<kRows, kT>(args, x, padded, r, t);
  for (; r < end; ++r) block<1, kT>(args, x, padded, r, t);
}

template <class Format>
void matrix(const MatrixArgs& args) {
  const int64_t padded = cpu::rounded_up(args.n_in, 16);
  Fetch fetch{args.next, args.next + args.next_bytes};
  if (args.count == 1) {
    int64_t r = 0;
    for (; r + kRows <= args.row_count; r += kRows) one_token<Format, kRows>(args, r, 0, fetch);
    for (; r < args.row_count; ++r) one_token<Format, 1>(args, r, 0, fetch);
    return;
  }
  for (int64_t r = 0; r < args.row_count; ++r) {
    float* out = args.tile + r * padded;
    Row<Format> row;
    row.set_to(args, r);
    blocks(
        args.n_in, [&](int64_t k) VITRINE_INLINE_LAMBDA { row.enter(k); },
        [&](int64_t k) VITRINE_INLINE_LAMBDA {
          fetch.lines<16 * static_cast<int>(Format::kBytes)>();
          store(out + k, row.whole(k));
        },
        [&](int64_t k, int count) { store(out + k, row.part(k, count)); });
  }
  // As many rows as stay in the first-level cache while the tokens pass over them.
  constexpr int64_t kTileFloats = (32 << 10) / sizeof(float);
  const int64_t rows = padded * kRows < kTileFloats ? kTileFloats / (padded * kRows) * kRows : kRows;
  for (int64_t r = 0; r < args.row_count; r += rows) {
    const int64_t end = r + rows < args.row_count ? r + rows : args.row_count;
    int64_t t = 0;
    for (; t + kTokens <= args.count; t += kTokens) tokens<kTokens>(args, padded, r, end, t);
    for (; t < args.count; ++t) tokens<1>(args, padded, r, end, t);
  }
}

}  // namespace

void matrix_floats(const MatrixArgs& args) {
  switch (args.type) {
    case Type::f32: return matrix<F32>(args);
    case Type::f16: return matrix<F16>(args);
    case Type::bf16: return matrix<Bf16>(args);
    case Type::f8_e4m3: return matrix<F8>(args);
    default: return;
  }
}

}  // namespace vitrine::VITRINE_ISA
