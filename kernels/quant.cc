#include "kernels/quant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/quant_blocks.h"

namespace vitrine {

// ---- single numbers ---------------------------------------------------------

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 0x1f;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | mantissa << 13);
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
    const float value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);   // NaN
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to 65536 or more
  if (magnitude < 0x38800000) {  // subnormal in f16: adding 0.5 rounds at the right bit
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);  // quiet NaN
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float f8_e4m3_to_f32(uint8_t bits) {
  if ((bits & 0x7f) == 0x7f) return std::bit_cast<float>((bits & 0x80u) << 24 | 0x7fc00000u);
  // As an f16 with the same fields the number is 2^8 too small (bias 7 and 15).
  return f16_to_f32(static_cast<uint16_t>((bits & 0x80) << 8 | (bits & 0x7f) << 7)) * 256.0f;
}

uint8_t f32_to_f8_e4m3(float value) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7f;
  const float magnitude = std::min(std::fabs(value), 448.0f);
  if (magnitude < 0x1p-6f) {  // subnormal: multiples of 2^-9; 8 of them is the first normal number
    return static_cast<uint8_t>(sign | static_cast<int>(std::nearbyint(magnitude * 512.0f)));
  }
  const uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = bits + 0x7ffff + (bits >> 20 & 1);
  return static_cast<uint8_t>(sign | std::min((rounded >> 20) - (120u << 3), 0x7eu));
}

float e8m0_to_f32(uint8_t bits) {
  if (bits == 0xff) return std::bit_cast<float>(0x7fc00000u);
  return bits == 0 ? 0x1p-127f : std::bit_cast<float>(static_cast<uint32_t>(bits) << 23);
}

// ---- blocks to floats -------------------------------------------------------
// Operations and their order follow gguf-py's quants.py, so that results are its bits.

namespace {

template <class Block, class Function>
void each_block(const uint8_t* bytes, uint64_t elements, float* out, Function function) {
  constexpr uint64_t kElements = Block::kElements;
  for (uint64_t i = 0; i < elements / kElements; ++i) {
    Block block;
    std::memcpy(&block, bytes + i * sizeof(Block), sizeof(Block));
    function(block, out + i * kElements);
  }
}

int nibble(const uint8_t* qs, int j) { return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4; }
int fifth_bit(const uint8_t* qh, int j) { return (qh[j / 8] >> (j % 8) & 1) << 4; }

void dequantize_q2_k(const BlockQ2K& b, float* out) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int i = 0; i < 256; ++i) {
    const int q = b.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const float factor = d * static_cast<float>(b.scales[i / 16] & 15);
    const float minimum = dmin * static_cast<float>(b.scales[i / 16] >> 4);
    out[i] = factor * static_cast<float>(q) - minimum;
  }
}

void dequantize_q3_k(const BlockQ3K& b, float* out) {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 256; ++i) {
    const int low = b.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const int high = b.hmask[i % 32] >> (i / 32) & 1;
    const float factor = d * static_cast<float>(q3_k_scale(b.scales, i / 16));
    out[i] = factor * static_cast<float>(low + 4 * high - 4);
  }
}

template <class Block, class Quant>
void dequantize_with_mins(const Block& b, float* out, Quant quant) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int i = 0; i < 256; ++i) {
    const auto [scale, minimum] = q4_k_scale_min(b.scales, i / 32);
    out[i] = d * static_cast<float>(scale) * static_cast<float>(quant(i)) - dmin * static_cast<float>(minimum);
  }
}

void dequantize_q6_k(const BlockQ6K& b, float* out) {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, j = i % 128;
    const int low = b.ql[half * 64 + j % 64] >> (j / 64 * 4) & 15;
    const int high = b.qh[half * 32 + j % 32] >> (j / 32 * 2) & 3;
    out[i] = d * static_cast<float>(b.scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
  }
}

}  // namespace

void dequantize_row(Type type, const uint8_t* bytes, uint64_t elements, float* out) {
  const auto load16 = [bytes](uint64_t i) {
    uint16_t bits;
    std::memcpy(&bits, bytes + 2 * i, 2);
    return bits;
  };
  switch (type) {
    case Type::f32: std::memcpy(out, bytes, elements * 4); return;
    case Type::f16:
      for (uint64_t i = 0; i < elements; ++i) out[i] = f16_to_f32(load16(i));
      return;
    case Type::bf16:
      for (uint64_t i = 0; i < elements; ++i) out[i] = bf16_to_f32(load16(i));
      return;
    case Type::f8_e4m3:
      for (uint64_t i = 0; i < elements; ++i) out[i] = f8_e4m3_to_f32(bytes[i]);
      return;
    case Type::q4_0:
      return each_block<BlockQ4_0>(bytes, elements, out, [](const BlockQ4_0& b, float* o) {
        for (int j = 0; j < 32; ++j) o[j] = f16_to_f32(b.d) * static_cast<float>(nibble(b.qs, j) - 8);
      });
    case Type::q4_1:
      return each_block<BlockQ4_1>(bytes, elements, out, [](const BlockQ4_1& b, float* o) {
        for (int j = 0; j < 32; ++j) o[j] = f16_to_f32(b.d) * static_cast<float>(nibble(b.qs, j)) + f16_to_f32(b.m);
      });
    case Type::q5_0:
      return each_block<BlockQ5_0>(bytes, elements, out, [](const BlockQ5_0& b, float* o) {
        for (int j = 0; j < 32; ++j) {
          o[j] = f16_to_f32(b.d) * static_cast<float>((nibble(b.qs, j) | fifth_bit(b.qh, j)) - 16);
        }
      });
    case Type::q5_1:
      return each_block<BlockQ5_1>(bytes, elements, out, [](const BlockQ5_1& b, float* o) {
        for (int j = 0; j < 32; ++j) {
          o[j] = f16_to_f32(b.d) * static_cast<float>(nibble(b.qs, j) | fifth_bit(b.qh, j)) + f16_to_f32(b.m);
        }
      });
    case Type::q8_0:
      return each_block<BlockQ8_0>(bytes, elements, out, [](const BlockQ8_0& b, float* o) {
        for (int j = 0; j < 32; ++j) o[j] = static_cast<float>(b.qs[j]) * f16_to_f32(b.d);
      });
    case Type::mxfp4:
      return each_block<BlockMxfp4>(bytes, elements, out, [](const BlockMxfp4& b, float* o) {
        // Halves of E2M1 times twice the factor, as the kernels do: both exact.
        for (int j = 0; j < 32; ++j) o[j] = mxfp4_half_factor(b.e) * static_cast<float>(kMxfp4Doubled[nibble(b.qs, j)]);
      });
    case Type::q2_k: return each_block<BlockQ2K>(bytes, elements, out, dequantize_q2_k);
    case Type::q3_k: return each_block<BlockQ3K>(bytes, elements, out, dequantize_q3_k);
    case Type::q4_k:
      return each_block<BlockQ4K>(bytes, elements, out, [](const BlockQ4K& b, float* o) {
        dequantize_with_mins(b, o, [&b](int i) { return b.qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15; });
      });
    case Type::q5_k:
      return each_block<BlockQ5K>(bytes, elements, out, [](const BlockQ5K& b, float* o) {
        dequantize_with_mins(b, o, [&b](int i) {
          const int low = b.qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15;
          return low | (b.qh[i % 32] >> (i / 32) & 1) << 4;
        });
      });
    case Type::q6_k: return each_block<BlockQ6K>(bytes, elements, out, dequantize_q6_k);
    case Type::i32: break;
  }
  std::fill_n(out, elements, std::nanf(""));  // no weight type; TensorView::make refuses it
}

void dequantize_row(const TensorView& view, uint64_t plane, uint64_t r, float* out) {
  dequantize_row(view.type, view.row(plane, r), view.ne[0], out);
  if (view.type != Type::f8_e4m3) return;
  constexpr uint64_t kBlock = TensorView::kScaleBlock;
  const uint64_t across = (view.ne[0] + kBlock - 1) / kBlock;
  const uint64_t down = (view.first_row + plane * view.plane_rows + r) / kBlock;
  for (uint64_t b = 0; b < across; ++b) {
    float factor;
    std::memcpy(&factor, view.scales.data() + 4 * (down * across + b), 4);
    for (uint64_t i = b * kBlock; i < std::min(view.ne[0], (b + 1) * kBlock); ++i) out[i] *= factor;
  }
}

}  // namespace vitrine
