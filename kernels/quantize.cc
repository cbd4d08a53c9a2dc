// Floats to blocks, for tests and synthetic files: plain rounding by the
// extremes of a block, no search for the best factors.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/quant.h"
#include "kernels/quant_blocks.h"

namespace vitrine {
namespace {

uint8_t rounded(float value, int low, int high) {
  return static_cast<uint8_t>(std::clamp(static_cast<int>(std::nearbyint(value)), low, high));
}

float signed_extreme(const float* x, int n) {
  float extreme = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

template <class Block, class Function>
void each_block(const float* values, uint64_t elements, uint8_t* out, Function function) {
  for (uint64_t i = 0; i < elements / Block::kElements; ++i) {
    Block block{};
    function(values + i * Block::kElements, block);
    std::memcpy(out + i * sizeof(Block), &block, sizeof(Block));
  }
}

void quantize_q4_0(const float* x, BlockQ4_0& b) {
  const float d = signed_extreme(x, 32) / -8;
  const float inverse = d != 0 ? 1 / d : 0;
  b.d = f32_to_f16(d);
  for (int j = 0; j < 32; ++j) {
    b.qs[j % 16] |= static_cast<uint8_t>(rounded(x[j] * inverse + 8, 0, 15) << (j / 16 * 4));
  }
}

void quantize_q8_0(const float* x, BlockQ8_0& b) {
  const float d = std::fabs(signed_extreme(x, 32)) / 127;
  const float inverse = d != 0 ? 1 / d : 0;
  b.d = f32_to_f16(d);
  for (int j = 0; j < 32; ++j) b.qs[j] = static_cast<int8_t>(rounded(x[j] * inverse, -127, 127));
}

void quantize_mxfp4(const float* x, BlockMxfp4& b) {
  const float extreme = std::fabs(signed_extreme(x, 32));
  // The factor that brings the largest value to E2M1's largest binade [4, 8); OCP MX 1.0, 6.3.
  int exponent = extreme > 0 ? std::ilogb(extreme) - 2 + 127 : 0;
  exponent = std::clamp(exponent, 0, 254);
  b.e = static_cast<uint8_t>(exponent);
  const double half = std::ldexp(1.0, exponent - 128);
  for (int j = 0; j < 32; ++j) {
    int best = 0;
    for (int q = 1; q < 16; ++q) {
      if (std::fabs(x[j] - half * kMxfp4Doubled[q]) < std::fabs(x[j] - half * kMxfp4Doubled[best])) best = q;
    }
    b.qs[j % 16] |= static_cast<uint8_t>(best << (j / 16 * 4));
  }
}

void quantize_q4_k(const float* x, BlockQ4K& b) {
  float scales[8], minimums[8];
  for (int j = 0; j < 8; ++j) {
    const auto [low, high] = std::minmax_element(x + 32 * j, x + 32 * j + 32);
    minimums[j] = std::max(0.0f, -*low);  // stored as what is subtracted
    scales[j] = (*high + minimums[j]) / 15;
  }
  const float d = std::max(0.0f, *std::max_element(scales, scales + 8)) / 63;
  const float dmin = *std::max_element(minimums, minimums + 8) / 63;
  b.d = f32_to_f16(d);
  b.dmin = f32_to_f16(dmin);
  for (int j = 0; j < 8; ++j) {
    const uint8_t s = d > 0 ? rounded(scales[j] / d, 0, 63) : 0;
    const uint8_t m = dmin > 0 ? rounded(minimums[j] / dmin, 0, 63) : 0;
    if (j < 4) {
      b.scales[j] |= s;
      b.scales[j + 4] |= m;
    } else {
      b.scales[j + 4] |= static_cast<uint8_t>((s & 15) | (m & 15) << 4);
      b.scales[j - 4] |= static_cast<uint8_t>((s >> 4) << 6);
      b.scales[j] |= static_cast<uint8_t>((m >> 4) << 6);
    }
    const float factor = f16_to_f32(b.d) * s, minimum = f16_to_f32(b.dmin) * m;
    for (int i = 0; i < 32; ++i) {
      const uint8_t q = factor > 0 ? rounded((x[32 * j + i] + minimum) / factor, 0, 15) : 0;
      b.qs[j / 2 * 32 + i] |= static_cast<uint8_t>(q << (j % 2 * 4));
    }
  }
}

void quantize_q6_k(const float* x, BlockQ6K& b) {
  float scales[16];
  for (int j = 0; j < 16; ++j) scales[j] = signed_extreme(x + 16 * j, 16) / -32;
  const float d = signed_extreme(scales, 16) / -128;
  b.d = f32_to_f16(d);
  for (int j = 0; j < 16; ++j) {
    const int s = d != 0 ? std::clamp(static_cast<int>(std::nearbyint(scales[j] / d)), -128, 127) : 0;
    b.scales[j] = static_cast<int8_t>(s);
    const float factor = f16_to_f32(b.d) * static_cast<float>(s);
    for (int k = 0; k < 16; ++k) {
      const int i = 16 * j + k, half = i / 128, at = i % 128;
      const uint8_t q = factor != 0 ? rounded(x[i] / factor + 32, 0, 63) : 32;
      b.ql[half * 64 + at % 64] |= static_cast<uint8_t>((q & 15) << (at / 64 * 4));
      b.qh[half * 32 + at % 32] |= static_cast<uint8_t>((q >> 4) << (at / 32 * 2));
    }
  }
}

template <class Function>
void each16(const float* values, uint64_t elements, uint8_t* out, Function convert) {
  for (uint64_t i = 0; i < elements; ++i) {
    const uint16_t bits = convert(values[i]);
    std::memcpy(out + 2 * i, &bits, 2);
  }
}

}  // namespace

bool quantize_row(Type type, const float* values, uint64_t elements, uint8_t* out) {
  switch (type) {
    case Type::f32: std::memcpy(out, values, elements * 4); return true;
    case Type::f16: each16(values, elements, out, f32_to_f16); return true;
    case Type::bf16: each16(values, elements, out, f32_to_bf16); return true;
    case Type::f8_e4m3: std::transform(values, values + elements, out, f32_to_f8_e4m3); return true;
    case Type::q4_0: each_block<BlockQ4_0>(values, elements, out, quantize_q4_0); return true;
    case Type::q8_0: each_block<BlockQ8_0>(values, elements, out, quantize_q8_0); return true;
    case Type::mxfp4: each_block<BlockMxfp4>(values, elements, out, quantize_mxfp4); return true;
    case Type::q4_k: each_block<BlockQ4K>(values, elements, out, quantize_q4_k); return true;
    case Type::q6_k: each_block<BlockQ6K>(values, elements, out, quantize_q6_k); return true;
    default: return false;
  }
}

}  // namespace vitrine
