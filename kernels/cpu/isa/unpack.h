// Takes blocks of 16 rows apart into a tile: unsigned bytes (the weight plus
// kZero), factors as floats, the integer factors of K-quants as integers.
// w[i] holds columns 4i … 4i + 3, lane r those of row r. Formats: kernels/quant.h.
#pragma once

#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {

struct Tile32 {  // up to eight blocks of 32; [2]: the two vectors of a panel
  I w[64][2];
  F d[8][2];
  F m[8][2];
};

struct Tile256 {
  I w[64][2];
  I s[16][2];  // per Format::kSub columns
  I m[8][2];   // per 32 columns: two 16-bit numbers to multiply with the two sums of 16 activations
  F d[2];
  F dmin[2];
};

// Sixteen bytes of nibbles: low ones are columns 0 … 15, high ones 16 … 31.
inline void unpack_nibbles(const uint8_t* p, size_t stride, I out[8]) {
  I t[4];
  load_rows(p, stride, t);
  const I mask = bytes(15);
  for (int j = 0; j < 4; ++j) {
    out[j] = t[j] & mask;
    out[4 + j] = shift_right<4>(t[j]) & mask;
  }
}

// Lane r: the four bytes at p + r * stride.
inline I load_u32_column(const uint8_t* p, size_t stride) {
  alignas(64) uint32_t lanes[16];
  for (size_t r = 0; r < 16; ++r) __builtin_memcpy(&lanes[r], p + r * stride, 4);
  return load(static_cast<const void*>(lanes));
}

// Bits 4j … 4j + 3 of every lane as bit 4 of its four bytes.
inline I fifth_bits(I bits, int j) {
  const I four = shift_right(bits, 4 * j) & set(15);
  return shift_left<4>((four * set(0x00204081)) & bytes(1));
}

struct Q4_0 {
  using Tile = Tile32;
  static constexpr int kElements = 32, kBytes = 18, kZero = 8;
  static constexpr bool kHasMinimum = false, kNarrow = true;
  static void unpack(const uint8_t* p, size_t stride, int b, int h, Tile& tile) {
    I w[8];
    unpack_nibbles(p + 2, stride, w);
    for (int j = 0; j < 8; ++j) tile.w[8 * b + j][h] = w[j];
    tile.d[b][h] = load_f16_column(p, stride);
  }
};

struct Q4_1 {
  using Tile = Tile32;
  static constexpr int kElements = 32, kBytes = 20, kZero = 0;
  static constexpr bool kHasMinimum = true, kNarrow = true;
  static void unpack(const uint8_t* p, size_t stride, int b, int h, Tile& tile) {
    I w[8];
    unpack_nibbles(p + 4, stride, w);
    for (int j = 0; j < 8; ++j) tile.w[8 * b + j][h] = w[j];
    tile.d[b][h] = load_f16_column(p, stride);
    tile.m[b][h] = load_f16_column(p + 2, stride);
  }
};

struct Q5_0 {
  using Tile = Tile32;
  static constexpr int kElements = 32, kBytes = 22, kZero = 16;
  static constexpr bool kHasMinimum = false, kNarrow = true;
  static void unpack(const uint8_t* p, size_t stride, int b, int h, Tile& tile) {
    I w[8];
    unpack_nibbles(p + 6, stride, w);
    const I high = load_u32_column(p + 2, stride);
    for (int j = 0; j < 8; ++j) tile.w[8 * b + j][h] = w[j] | fifth_bits(high, j);
    tile.d[b][h] = load_f16_column(p, stride);
  }
};

struct Q5_1 {
  using Tile = Tile32;
  static constexpr int kElements = 32, kBytes = 24, kZero = 0;
  static constexpr bool kHasMinimum = true, kNarrow = true;
  static void unpack(const uint8_t* p, size_t stride, int b, int h, Tile& tile) {
    I w[8];
    unpack_nibbles(p + 8, stride, w);
    const I high = load_u32_column(p + 4, stride);
    for (int j = 0; j < 8; ++j) tile.w[8 * b + j][h] = w[j] | fifth_bits(high, j);
    tile.d[b][h] = load_f16_column(p, stride);
    tile.m[b][h] = load_f16_column(p + 2, stride);
  }
};

struct Q8_0 {
  using Tile = Tile32;
  static constexpr int kElements = 32, kBytes = 34, kZero = 128;
  static constexpr bool kHasMinimum = false, kNarrow = false;
  static void unpack(const uint8_t* p, size_t stride, int b, int h, Tile& tile) {
    I w[8];
    load_rows(p + 2, stride, w);
    load_rows(p + 18, stride, w + 4);
    const I sign = bytes(0x80);
    for (int j = 0; j < 8; ++j) tile.w[8 * b + j][h] = w[j] ^ sign;
    tile.d[b][h] = load_f16_column(p, stride);
  }
};

struct Mxfp4 {
  using Tile = Tile32;
  static constexpr int kElements = 32, kBytes = 17, kZero = 12;
  static constexpr bool kHasMinimum = false, kNarrow = true;
  // Twice the E2M1 number, plus 12.
  static constexpr uint8_t kValues[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  static void unpack(const uint8_t* p, size_t stride, int b, int h, Tile& tile) {
    I w[8];
    unpack_nibbles(p + 1, stride, w);
    for (int j = 0; j < 8; ++j) tile.w[8 * b + j][h] = lookup16(kValues, w[j]);
    // Half of the e8m0 factor, as kernels/quant_blocks.h has it: 2^(e - 128).
    alignas(64) uint32_t bits[16];
    for (size_t r = 0; r < 16; ++r) {
      const uint32_t e = p[r * stride];
      bits[r] = e == 255 ? 0x7fc00000u : e < 2 ? 0x00200000u << e : (e - 1) << 23;
    }
    tile.d[b][h] = as_float(load(static_cast<const void*>(bits)));
  }
};

// Byte k of every lane.
inline I byte_of(I v, int k) { return shift_right(v, 8 * k) & set(255); }

// Six-bit factors and minimums of q4_k and q5_k out of their first 16 bytes.
inline void unpack_header(const uint8_t* p, size_t stride, int h, Tile256& tile) {
  I t[4];
  load_rows(p, stride, t);
  tile.d[h] = f16_lanes(t[0] & set(0xffff));
  tile.dmin[h] = f16_lanes(shift_right<16>(t[0]));
  const I six = bytes(0x3f), four = bytes(0x0f), top = bytes(0x30);
  const I s[2] = {t[1] & six, (t[3] & four) | (shift_right<2>(t[1]) & top)};
  const I m[2] = {t[2] & six, (shift_right<4>(t[3]) & four) | (shift_right<2>(t[2]) & top)};
  for (int j = 0; j < 8; ++j) {
    tile.s[j][h] = byte_of(s[j / 4], j % 4);
    const I minimum = byte_of(m[j / 4], j % 4);
    tile.m[j][h] = minimum | shift_left<16>(minimum);
  }
}

struct Q4K {
  using Tile = Tile256;
  static constexpr int kElements = 256, kBytes = 144, kSub = 32;
  static constexpr bool kHasMinimum = true;
  template <class Fetch>
  static void unpack(const uint8_t* p, size_t stride, int h, Tile& tile, Fetch& fetch) {
    unpack_header(p, stride, h, tile);
    const I mask = bytes(15);
    for (int i = 0; i < 8; ++i) {  // 16 bytes: columns of two groups of 32
      fetch.lines(16 * kBytes / 8);
      I t[4];
      load_rows(p + 16 + 16 * i, stride, t);
      for (int j = 0; j < 4; ++j) {
        const int at = i / 2 * 16 + i % 2 * 4 + j;
        tile.w[at][h] = t[j] & mask;
        tile.w[at + 8][h] = shift_right<4>(t[j]) & mask;
      }
    }
  }
};

struct Q5K {
  using Tile = Tile256;
  static constexpr int kElements = 256, kBytes = 176, kSub = 32;
  static constexpr bool kHasMinimum = true;
  template <class Fetch>
  static void unpack(const uint8_t* p, size_t stride, int h, Tile& tile, Fetch& fetch) {
    unpack_header(p, stride, h, tile);
    const I mask = bytes(15), one = bytes(1);
    I high[8];
    load_rows(p + 16, stride, high);
    load_rows(p + 32, stride, high + 4);
    for (int i = 0; i < 8; ++i) {
      fetch.lines(16 * kBytes / 8);
      I t[4];
      load_rows(p + 48 + 16 * i, stride, t);
      const int group = i / 2 * 2;
      for (int j = 0; j < 4; ++j) {
        const int at = i / 2 * 16 + i % 2 * 4 + j;
        const I bits = high[i % 2 * 4 + j];
        tile.w[at][h] = (t[j] & mask) | shift_left<4>(shift_right(bits, group) & one);
        tile.w[at + 8][h] = (shift_right<4>(t[j]) & mask) | shift_left<4>(shift_right(bits, group + 1) & one);
      }
    }
  }
};

// Pairs of factors times `zero`, as 16-bit numbers.
inline void zero_pairs(int zero, int h, Tile256& tile) {
  const I low = set(0xffff);
  for (int p = 0; p < 8; ++p) {
    tile.m[p][h] = (tile.s[2 * p][h] * set(zero) & low) | shift_left<16>(tile.s[2 * p + 1][h] * set(zero));
  }
}

// The two-bit columns of q2_k and q3_k.
template <class Fetch>
inline void unpack_two_bits(const uint8_t* p, size_t stride, int h, Tile256& tile, size_t bytes_of_block,
                            Fetch& fetch) {
  const I mask = bytes(3);
  for (int half = 0; half < 2; ++half) {
    I t[8];
    load_rows(p + 32 * half, stride, t);
    load_rows(p + 32 * half + 16, stride, t + 4);
    for (int q = 0; q < 4; ++q) {
      fetch.lines(2 * bytes_of_block);
      for (int j = 0; j < 8; ++j) tile.w[32 * half + 8 * q + j][h] = shift_right(t[j], 2 * q) & mask;
    }
  }
}

struct Q2K {
  using Tile = Tile256;
  static constexpr int kElements = 256, kBytes = 84, kSub = 16;
  static constexpr bool kHasMinimum = true;
  template <class Fetch>
  static void unpack(const uint8_t* p, size_t stride, int h, Tile& tile, Fetch& fetch) {
    I t[4];
    load_rows(p, stride, t);
    for (int j = 0; j < 16; ++j) tile.s[j][h] = shift_right(t[j / 4], j % 4 * 8) & set(15);
    for (int i = 0; i < 8; ++i) {
      const I pair = shift_right(t[i / 2], i % 2 * 16);
      tile.m[i][h] = (shift_right<4>(pair) & set(15)) | shift_left<16>(shift_right<12>(pair) & set(15));
    }
    unpack_two_bits(p + 16, stride, h, tile, kBytes, fetch);
    tile.d[h] = load_f16_column(p + 80, stride);
    tile.dmin[h] = load_f16_column(p + 82, stride);
  }
};

struct Q3K {
  using Tile = Tile256;
  static constexpr int kElements = 256, kBytes = 110, kSub = 16;
  static constexpr bool kHasMinimum = false;  // zero 4
  template <class Fetch>
  static void unpack(const uint8_t* p, size_t stride, int h, Tile& tile, Fetch& fetch) {
    unpack_two_bits(p + 32, stride, h, tile, kBytes, fetch);
    I high[8];
    load_rows(p, stride, high);
    load_rows(p + 16, stride, high + 4);
    for (int g = 0; g < 8; ++g) {
      for (int j = 0; j < 8; ++j) {
        I& w = tile.w[8 * g + j][h];
        w = w | shift_left<2>(shift_right(high[j], g) & bytes(1));
      }
    }
    I t[4];  // t[1 … 3]: the twelve bytes of factors at 96
    load_rows(p + 92, stride, t);
    for (int g = 0; g < 4; ++g) {
      const I low = shift_right(t[1 + g % 2], g / 2 * 4) & bytes(15);
      const I both = low | shift_left<4>(shift_right(t[3], 2 * g) & bytes(3));
      for (int k = 0; k < 4; ++k) tile.s[4 * g + k][h] = byte_of(both, k) - set(32);
    }
    zero_pairs(4, h, tile);
    tile.d[h] = load_f16_column(p + 108, stride);
  }
};

struct Q6K {
  using Tile = Tile256;
  static constexpr int kElements = 256, kBytes = 210, kSub = 16;
  static constexpr bool kHasMinimum = false;  // zero 32
  template <class Fetch>
  static void unpack(const uint8_t* p, size_t stride, int h, Tile& tile, Fetch& fetch) {
    const I four = bytes(15), two = bytes(3);
    for (int half = 0; half < 2; ++half) {
      I high[8];
      load_rows(p + 128 + 32 * half, stride, high);
      load_rows(p + 144 + 32 * half, stride, high + 4);
      for (int i = 0; i < 4; ++i) {  // 16 bytes of nibbles: columns 16 i and 64 + 16 i of the half
        fetch.lines(16 * kBytes / 8);
        I t[4];
        load_rows(p + 64 * half + 16 * i, stride, t);
        for (int j = 0; j < 4; ++j) {
          const I bits = high[i % 2 * 4 + j];
          const int at = 32 * half + 4 * i + j;
          tile.w[at][h] = (t[j] & four) | shift_left<4>(shift_right(bits, i / 2 * 2) & two);
          tile.w[at + 16][h] = (shift_right<4>(t[j]) & four) | shift_left<4>(shift_right(bits, 4 + i / 2 * 2) & two);
        }
      }
    }
    I t[4];
    load_rows(p + 192, stride, t);
    for (int j = 0; j < 16; ++j) tile.s[j][h] = shift_right_signed<24>(shift_left(t[j / 4], 24 - j % 4 * 8));
    zero_pairs(32, h, tile);
    tile.d[h] = load_f16_column(p + 208, stride);
  }
};

}  // namespace vitrine::VITRINE_ISA
