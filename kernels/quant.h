// Block formats of weights, after ggml's ggml-common.h (names and layouts are
// the file format), OCP Microscaling 1.0 (MXFP4) and OCP OFP8 (E4M3).
// Little-endian; blocks may lie at any address; an f16 factor is called d.
//
//   q4_0   d, 16 bytes: element j in the low, j + 16 in the high nibble      d (q - 8)
//   q4_1   d, m, 16 bytes as q4_0                                            d q + m
//   q5_0   d, u32 fifth bits (bit j of element j), 16 bytes as q4_0          d (q - 16)
//   q5_1   d, m, u32 fifth bits, 16 bytes                                    d q + m
//   q8_0   d, 32 int8                                                        d q
//   mxfp4  e8m0 exponent e, 16 bytes as q4_0, each an E2M1 number            2^(e - 127) v
//   256 elements, with integer factors s (and m) per 16 or 32 of them:
//   q2_k   16 bytes s | m << 4 per 16; 64 bytes of 2 bits; d, dmin           d s q - dmin m
//   q3_k   32 bytes of third bits; 64 bytes of 2 bits; 12 bytes of 6-bit s;  d (s - 32)(q - 4)
//          d
//   q4_k   d, dmin, 12 bytes of 6-bit s and m per 32; 128 bytes of nibbles   d s q - dmin m
//   q5_k   d, dmin, 12 bytes; 32 bytes of fifth bits; 128 bytes of nibbles   d s q - dmin m
//   q6_k   128 bytes of 4 bits; 64 bytes of 2 bits; 16 int8 s per 16; d      d s (q - 32)
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace vitrine {

// Single numbers. To f16, bf16 and f8 rounding is to nearest, ties to even.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // too large: infinity
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);
float f8_e4m3_to_f32(uint8_t bits);   // 0x7f and 0xff are NaN
uint8_t f32_to_f8_e4m3(float value);  // clamped to +-448
float e8m0_to_f32(uint8_t bits);      // 2^(bits - 127); 255 is NaN

// `elements` floats out of a row of that type. f8_e4m3: without block factors.
// REQUIRES: elements a multiple of block_elements(type); bytes hold them.
void dequantize_row(Type type, const uint8_t* bytes, uint64_t elements, float* out);

// Row `r` of plane `p`, block factors applied. `out` has ne[0] floats.
void dequantize_row(const TensorView& view, uint64_t plane, uint64_t r, float* out);

// The reverse, for tests and synthetic files: f32, f16, bf16, f8_e4m3 (without
// factors), q4_0, q8_0, q4_k, q6_k, mxfp4. False for the other types.
// REQUIRES: elements a multiple of block_elements(type).
bool quantize_row(Type type, const float* values, uint64_t elements, uint8_t* out);

}  // namespace vitrine
