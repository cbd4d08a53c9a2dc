// Rows of activations as 8-bit integers, for weights in blocks.
#include "kernels/cpu/isa/kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {
namespace {

using cpu::ActivationChunk;
using cpu::kChunk;

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
    chunk.per32.d[b] = extreme / 127.0f;
    int32_t s = quantize16(x + i, inverse, chunk.q + 32 * b);
    s += quantize16(x + i + 16, inverse, chunk.q + 32 * b + 16);
    chunk.per32.sum[b] = s;
  }
}

void quantize_per256(const float* x, int64_t n, ActivationChunk* out, int64_t stride) {
  for (int64_t i = 0; i < n; i += kChunk) {
    ActivationChunk& chunk = out[i / kChunk * stride];
    F extremes = abs(load(x + i));
    for (int64_t j = 16; j < kChunk; j += 16) extremes = max(extremes, abs(load(x + i + j)));
    const float extreme = largest(extremes);
    const F inverse = set(extreme > 0 ? 127.0f / extreme : 0.0f);
    chunk.per256.d = extreme / 127.0f;
    int32_t sums[16];
    for (int64_t j = 0; j < 16; ++j) {
      sums[j] = quantize16(x + i + 16 * j, inverse, chunk.q + 16 * j);
      chunk.per256.sum16[j] = static_cast<int16_t>(sums[j]);
    }
    constexpr int kOrder[8] = {0, 2, 1, 3, 4, 6, 5, 7};
    for (int j = 0; j < 8; ++j) {
      chunk.per256.pair32[j] = static_cast<int16_t>(sums[2 * kOrder[j]] + sums[2 * kOrder[j] + 1]);
    }
  }
}

}  // namespace vitrine::VITRINE_ISA
