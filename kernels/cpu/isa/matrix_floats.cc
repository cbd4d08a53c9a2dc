// Weights of plain numbers times f32 activations. Lane i of an accumulator takes
// columns i, i + 16, …, one fused multiply-add each in ascending order; the lanes
// are then folded as vec.h's sum() says. E4M3 weights are multiplied with their
// block's factor first, in fp32.
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

// Columns [k, k + 16) of row r, zeros beyond the last.
template <class Format>
F weights(const MatrixArgs& args, int64_t r, int64_t k) {
  const uint8_t* p = args.rows + static_cast<size_t>(r) * args.row_stride + static_cast<size_t>(k) * Format::kBytes;
  F w;
  if (k + 16 <= args.n_in) {
    w = Format::load16(p);
  } else {
    alignas(64) uint8_t padded[64] = {};
    __builtin_memcpy(padded, p, static_cast<size_t>(args.n_in - k) * Format::kBytes);
    w = Format::load16(padded);
  }
  if constexpr (Format::kBytes == 1) {
    constexpr auto kBlock = static_cast<int64_t>(TensorView::kScaleBlock);
    const int64_t across = (args.n_in + kBlock - 1) / kBlock;
    float factor;
    __builtin_memcpy(&factor, args.scales + 4 * ((args.scale_row + r) / kBlock * across + k / kBlock), 4);
    w = w * set(factor);
  }
  return w;
}

const float* token(const MatrixArgs& args, int64_t t) {
  return args.x + (args.index ? args.index[t] : t) * args.x_stride;
}

// Calls f(k, count) for the columns, 16 at a time; the whole ones in a loop of their own.
template <class Function>
void columns(int64_t n, Function f) {
  int64_t k = 0;
  for (; k + 16 <= n; k += 16) f(k, 16);
  if (k < n) f(k, static_cast<int>(n - k));
}

// One token: weights straight from the file.
template <class Format, int kCount>
void one_token(const MatrixArgs& args, int64_t r, int64_t t) {
  const float* x = token(args, t);
  F acc[kCount];
  for (int i = 0; i < kCount; ++i) acc[i] = set(0.0f);
  columns(args.n_in, [&](int64_t k, int count) {
    const F v = load_first(x + k, count);
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) acc[i] = fma(weights<Format>(args, r + i, k), v, acc[i]);
  });
  for (int i = 0; i < kCount; ++i) args.acc[t * kPanel + r + i] = sum(acc[i]);
}

// Several tokens over weights already turned into floats, rows `padded` apart.
template <int kR, int kT>
void block(const MatrixArgs& args, int64_t padded, int64_t r, int64_t t) {
  const float* x[kT];
  for (int j = 0; j < kT; ++j) x[j] = token(args, t + j);
  F acc[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) acc[i] = set(0.0f);
  columns(args.n_in, [&](int64_t k, int count) {
    F v[kT];
#pragma GCC unroll 4
    for (int j = 0; j < kT; ++j) v[j] = load_first(x[j] + k, count);
#pragma GCC unroll 4
    for (int i = 0; i < kR; ++i) {
      const F w = load(args.tile + (r + i) * padded + k);
#pragma GCC unroll 4
      for (int j = 0; j < kT; ++j) acc[kR * j + i] = fma(w, v[j], acc[kR * j + i]);
    }
  });
  alignas(64) float out[16];
  store(out, sums(acc));
  for (int j = 0; j < kT; ++j) __builtin_memcpy(args.acc + (t + j) * kPanel + r, out + kR * j, kR * sizeof(float));
}

// kT tokens over all rows of the panel: their activations stay in the first-level cache.
template <int kT>
void tokens(const MatrixArgs& args, int64_t padded, int64_t t) {
  int64_t r = 0;
  for (; r + kRows <= args.row_count; r += kRows) block<kRows, kT>(args, padded, r, t);
  for (; r < args.row_count; ++r) block<1, kT>(args, padded, r, t);
}

template <class Format>
void matrix(const MatrixArgs& args) {
  const int64_t padded = cpu::rounded_up(args.n_in, 16);
  const size_t piece = args.next_bytes / static_cast<size_t>(args.row_count);
  const auto fetch = [&](int64_t r, int64_t rows) {
    const uint8_t* p = args.next + static_cast<size_t>(r) * piece;
    for (size_t i = 0; i < static_cast<size_t>(rows) * piece; i += 64) prefetch(p + i);
  };
  if (args.count == 1) {
    int64_t r = 0;
    for (; r + kRows <= args.row_count; r += kRows) {
      fetch(r, kRows);
      one_token<Format, kRows>(args, r, 0);
    }
    for (; r < args.row_count; ++r) one_token<Format, 1>(args, r, 0);
    return;
  }
  for (int64_t r = 0; r < args.row_count; ++r) {
    fetch(r, 1);
    columns(args.n_in, [&](int64_t k, int) { store(args.tile + r * padded + k, weights<Format>(args, r, k)); });
  }
  int64_t t = 0;
  for (; t + kTokens <= args.count; t += kTokens) tokens<kTokens>(args, padded, t);
  for (; t < args.count; ++t) tokens<1>(args, padded, t);
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
