// Attention with a running softmax (arXiv 2112.05682, 2205.14135) over blocks of
// kKvBlock positions, which start at multiples of kKvBlock in the sequence: what a
// query computes depends on its position alone. Each block is turned into floats
// once and serves all queries, several at a time.
//   scores:  one accumulator of 16 lanes per (query, position) over k_dim, folded by sums()
//   weights: e^(score - largest so far)
//   out:     out · e^(old largest - new largest), then one fused multiply-add per visible position
#include "kernels/cpu/isa/kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {
namespace {

using cpu::AttentionArgs;
using cpu::kKvBlock;
using cpu::rounded_up;

constexpr int kDims = 4;  // vectors of `out` a register block holds per query

// One row of `n` cached numbers as floats, zeros up to a whole vector.
template <class Load>
void row_to_floats(const uint8_t* p, int64_t n, size_t bytes, float* out, Load load16) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(out + i, load16(p + static_cast<size_t>(i) * bytes));
  if (i < n) {
    alignas(64) uint8_t padded[64] = {};
    __builtin_memcpy(padded, p + static_cast<size_t>(i) * bytes, static_cast<size_t>(n - i) * bytes);
    store(out + i, load16(padded));
  }
}

// Positions [begin, end) of a block; the other rows become zeros.
void block_to_floats(Type type, const uint8_t* p, size_t stride, int64_t n, int begin, int end, float* tile) {
  const int64_t padded = rounded_up(n, 16);
  for (int i = 0; i < kKvBlock; ++i) {
    float* out = tile + i * padded;
    const uint8_t* row = p + static_cast<size_t>(i) * stride;
    if (i < begin || i >= end) {
      __builtin_memset(out, 0, static_cast<size_t>(padded) * sizeof(float));
    } else if (type == Type::f16) {
      row_to_floats(row, n, 2, out, [](const uint8_t* q) { return load_f16(q); });
    } else if (type == Type::bf16) {
      row_to_floats(row, n, 2, out, [](const uint8_t* q) { return load_bf16(q); });
    } else {
      row_to_floats(row, n, 4, out, [](const uint8_t* q) { return load(reinterpret_cast<const float*>(q)); });
    }
  }
}

struct Block {
  int64_t position;  // of its first row
  const float* keys;
  const float* values;
  int64_t k_padded, v_stride, v_padded;
};

// Scores of kCount queries against the block, unscaled.
template <int kCount>
void score(const AttentionArgs& args, const Block& block, int64_t q0, F* out) {
  F acc[kCount][kKvBlock];
  const float* q = args.q + q0 * block.k_padded;
  for (int r = 0; r < kKvBlock; r += kTokens) {
    F a[kCount][kTokens];
    for (auto& row : a) {
      for (F& v : row) v = set(0.0f);
    }
    for (int64_t k = 0; k < block.k_padded; k += 16) {
      F key[kTokens];
      for (int j = 0; j < kTokens; ++j) key[j] = load(block.keys + (r + j) * block.k_padded + k);
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        const F v = load(q + i * block.k_padded + k);
#pragma GCC unroll 4
        for (int j = 0; j < kTokens; ++j) a[i][j] = fma(v, key[j], a[i][j]);
      }
    }
    for (int i = 0; i < kCount; ++i) {
      for (int j = 0; j < kTokens; ++j) acc[i][r + j] = a[i][j];
    }
  }
  for (int i = 0; i < kCount; ++i) out[i] = sums(acc[i]);
}

// out[q0 + i] = out · keep[i] + Σ weights[i][t] · value t, t in [begin, end).
template <int kCount>
void add_values(const AttentionArgs& args, const Block& block, int64_t q0, const float (*weights)[kKvBlock],
                const float* keep, int begin, int end) {
  float* out = args.out + q0 * block.v_padded;
  int64_t d = 0;
  const auto columns = [&]<int kWidth>(int64_t at) {
    F a[kCount][kWidth];
    for (int i = 0; i < kCount; ++i) {
      for (int j = 0; j < kWidth; ++j) a[i][j] = load(out + i * block.v_padded + at + 16 * j) * set(keep[i]);
    }
    for (int t = begin; t < end; ++t) {
      F value[kWidth];
      for (int j = 0; j < kWidth; ++j) value[j] = load(block.values + t * block.v_stride + at + 16 * j);
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        const F w = set(weights[i][t]);
#pragma GCC unroll 4
        for (int j = 0; j < kWidth; ++j) a[i][j] = fma(w, value[j], a[i][j]);
      }
    }
    for (int i = 0; i < kCount; ++i) {
      for (int j = 0; j < kWidth; ++j) store(out + i * block.v_padded + at + 16 * j, a[i][j]);
    }
  };
  for (; d + 16 * kDims <= block.v_padded; d += 16 * kDims) columns.template operator()<kDims>(d);
  for (; d < block.v_padded; d += 16) columns.template operator()<1>(d);
}

template <int kCount>
void step(const AttentionArgs& args, const Block& block, int64_t q0) {
  F scores[kCount];
  score<kCount>(args, block, q0, scores);
  alignas(64) float weights[kCount][kKvBlock];
  float keep[kCount];
  int begin[kCount], end[kCount];
  bool same = true;
  for (int i = 0; i < kCount; ++i) {
    const int64_t b = args.begin[q0 + i] - block.position, e = args.end[q0 + i] - block.position;
    begin[i] = static_cast<int>(b < 0 ? 0 : b > kKvBlock ? kKvBlock : b);
    end[i] = static_cast<int>(e < 0 ? 0 : e > kKvBlock ? kKvBlock : e);
    same = same && begin[i] == begin[0] && end[i] == end[0];
  }
  for (int i = 0; i < kCount; ++i) {
    keep[i] = 1.0f;
    if (begin[i] >= end[i]) continue;
    const F s = keep_lanes(scores[i] * set(args.scale), begin[i], end[i], set(-__builtin_inff()));
    const float highest = largest(s);
    const float before = args.largest[q0 + i];
    const float now = before > highest ? before : highest;
    alignas(64) float factor[16];
    store(factor, exp(set(before - now)));
    keep[i] = factor[0];
    const F w = exp(s - set(now));
    store(weights[i], w);
    args.total[q0 + i] = __builtin_fmaf(args.total[q0 + i], keep[i], sum(w));
    args.largest[q0 + i] = now;
  }
  if (same) {
    if (begin[0] < end[0]) add_values<kCount>(args, block, q0, weights, keep, begin[0], end[0]);
    return;
  }
  for (int i = 0; i < kCount; ++i) {  // the diagonal: each query sees another part
    if (begin[i] < end[i]) add_values<1>(args, block, q0 + i, &weights[i], &keep[i], begin[i], end[i]);
  }
}

}  // namespace

void attention(const AttentionArgs& args) {
  Block block;
  block.k_padded = rounded_up(args.k_dim, 16);
  block.v_padded = rounded_up(args.v_dim, 16);
  block.v_stride = args.values ? block.v_padded : block.k_padded;
  block.keys = args.key_tile;
  block.values = args.values ? args.value_tile : args.key_tile;
  __builtin_memset(args.out, 0, static_cast<size_t>(args.queries * block.v_padded) * sizeof(float));
  for (int64_t i = 0; i < args.queries; ++i) {
    args.largest[i] = -__builtin_inff();
    args.total[i] = 0;
  }
  for (int64_t b = args.first / kKvBlock; b * kKvBlock < args.last; ++b) {
    block.position = b * kKvBlock;
    const int64_t from = args.first - block.position, to = args.last - block.position;
    const int begin = static_cast<int>(from < 0 ? 0 : from), end = static_cast<int>(to < kKvBlock ? to : kKvBlock);
    block_to_floats(args.type, args.keys[b], args.key_stride, args.k_dim, begin, end, args.key_tile);
    if (args.values) {
      block_to_floats(args.type, args.values[b], args.value_stride, args.v_dim, begin, end, args.value_tile);
    }
    int64_t i = 0;
    for (; i + kTokens <= args.queries; i += kTokens) step<kTokens>(args, block, i);
    for (; i < args.queries; ++i) step<1>(args, block, i);
  }
  for (int64_t i = 0; i < args.queries; ++i) {
    const F total = set(args.total[i]);
    float* out = args.out + i * block.v_padded;
    for (int64_t d = 0; d < block.v_padded; d += 16) store(out + d, load(out + d) / total);
  }
}

}  // namespace vitrine::VITRINE_ISA
