// Takes a chunk of 256 columns of 16 rows apart: unsigned bytes (the weight plus
// kZero), four columns of a row in each lane; factors as floats; the integer
// factors of K-quants as integers. Formats: kernels/quant.h.
//
// Rows are read as words of four bytes and transposed, so that lane r holds row r,
// and everything a block holds is then found at its place among those words, the
// factors too: gathering them one by one would cost as much as all the rest.
// Positions are template arguments, so that all of it stays in registers.
#pragma once

#include "kernels/cpu/isa/fetch.h"
#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {

// ---- blocks of 32 columns, eight of them in a chunk

// A block's columns 4 j … 4 j + 3 in w[j], and its factors.
struct Block32 {
  I w[8];
  F d;
  F m;  // formats with minimums
};

// The eight blocks of each of 16 rows as words, read as they are needed.
template <int kBytes>
struct Words {
  static constexpr int kSize = 8 * kBytes;  // bytes of a row
  static_assert(kSize % 32 <= 16);
  I w[(kSize + 31) / 32 * 8];
  const uint8_t* p;
  size_t stride;

  // Reads what block b is the first to need. To be called for b = 0, 1, …
  template <int b>
  VITRINE_INLINE void read() {
    unrolled<(b * kBytes + kBytes + 31) / 32>([&]<int g>() VITRINE_INLINE_LAMBDA {
      if constexpr (g >= (b * kBytes + 31) / 32) {
        if constexpr (32 * g + 32 <= kSize) {
          load_rows32(p + 32 * g, stride, w + 8 * g);
        } else {  // nothing behind the row is touched
          load_rows(p + kSize - 16, stride, w + kSize / 4 - 4);
        }
      }
    });
  }
  // The word at a byte position of the row.
  template <int at>
  VITRINE_INLINE I word() const {
    constexpr int shift = at % 4 * 8;
    if constexpr (shift == 0) return w[at / 4];
    if constexpr (shift == 16) return straddle(w[at / 4], w[at / 4 + 1]);
    if constexpr (shift == 8 || shift == 24) {
      return shift_right<shift>(w[at / 4]) | shift_left<32 - shift>(w[at / 4 + 1]);
    }
  }
  // The f16 at an even position.
  template <int at>
  VITRINE_INLINE F f16() const {
    if constexpr (at % 4 == 0) return f16_lanes(w[at / 4]);
    if constexpr (at % 4 == 2) return f16_lanes(shift_right<16>(w[at / 4]));
  }
  // Sixteen bytes of nibbles: low ones are columns 0 … 15, high ones 16 … 31.
  template <int at>
  VITRINE_INLINE void nibbles(I out[8]) const {
    const I mask = bytes(15);
    unrolled<4>([&]<int j>() VITRINE_INLINE_LAMBDA {
      const I t = word<at + 4 * j>();
      out[j] = t & mask;
      out[4 + j] = shift_right<4>(t) & mask;
    });
  }
};

struct Q4_0 {
  static constexpr int kElements = 32, kBytes = 18, kZero = 8;
  static constexpr bool kHasMinimum = false, kNarrow = true;
  template <int b>
  static VITRINE_INLINE void take(const Words<kBytes>& row, Block32& out) {
    row.nibbles<kBytes * b + 2>(out.w);
    out.d = row.f16<kBytes * b>();
  }
};

struct Q4_1 {
  static constexpr int kElements = 32, kBytes = 20, kZero = 0;
  static constexpr bool kHasMinimum = true, kNarrow = true;
  template <int b>
  static VITRINE_INLINE void take(const Words<kBytes>& row, Block32& out) {
    row.nibbles<kBytes * b + 4>(out.w);
    out.d = row.f16<kBytes * b>();
    out.m = row.f16<kBytes * b + 2>();
  }
};

struct Q5_0 {
  static constexpr int kElements = 32, kBytes = 22, kZero = 16;
  static constexpr bool kHasMinimum = false, kNarrow = true;
  template <int b>
  static VITRINE_INLINE void take(const Words<kBytes>& row, Block32& out) {
    row.nibbles<kBytes * b + 6>(out.w);
    const I high = row.word<kBytes * b + 2>();
    unrolled<8>([&]<int j>() VITRINE_INLINE_LAMBDA { out.w[j] = with_fifth_bits<j>(out.w[j], high); });
    out.d = row.f16<kBytes * b>();
  }
};

struct Q5_1 {
  static constexpr int kElements = 32, kBytes = 24, kZero = 0;
  static constexpr bool kHasMinimum = true, kNarrow = true;
  template <int b>
  static VITRINE_INLINE void take(const Words<kBytes>& row, Block32& out) {
    row.nibbles<kBytes * b + 8>(out.w);
    const I high = row.word<kBytes * b + 4>();
    unrolled<8>([&]<int j>() VITRINE_INLINE_LAMBDA { out.w[j] = with_fifth_bits<j>(out.w[j], high); });
    out.d = row.f16<kBytes * b>();
    out.m = row.f16<kBytes * b + 2>();
  }
};

struct Q8_0 {
  static constexpr int kElements = 32, kBytes = 34, kZero = 128;
  static constexpr bool kHasMinimum = false, kNarrow = false;
  template <int b>
  static VITRINE_INLINE void take(const Words<kBytes>& row, Block32& out) {
    unrolled<8>([&]<int j>() VITRINE_INLINE_LAMBDA { out.w[j] = row.word<kBytes * b + 2 + 4 * j>() ^ bytes(0x80); });
    out.d = row.f16<kBytes * b>();
  }
};

struct Mxfp4 {
  static constexpr int kElements = 32, kBytes = 17, kZero = 12;
  static constexpr bool kHasMinimum = false, kNarrow = true;
  // Twice the E2M1 number, plus 12.
  static constexpr uint8_t kValues[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  template <int b>
  static VITRINE_INLINE void take(const Words<kBytes>& row, Block32& out) {
    row.nibbles<kBytes * b + 1>(out.w);
    for (int j = 0; j < 8; ++j) out.w[j] = lookup16(kValues, out.w[j]);
    // Half of the e8m0 factor, as kernels/quant_blocks.h has it: 2^(e - 128), whose
    // exponent field is e - 1; below 2 it is 2^-127 or 2^-128, 255 is NaN.
    const I e = shift_right<kBytes * b % 4 * 8>(row.w[kBytes * b / 4]) & set(255);
    I d = shift_left<23>(e - set(1));
    d = d ^ (equal(e, set(0)) & set(static_cast<int32_t>(0xff800000u ^ 0x00200000u)));
    d = d | (equal(e, set(1)) & set(0x00400000)) | (equal(e, set(255)) & set(0x7fc00000));
    out.d = as_float(d);
  }
};

// ---- blocks of 256 columns

// What one block holds besides its columns; factors lie four to a lane's word.
struct Header256 {
  I s[4];  // factors as bytes; signed ones in q3_k and q6_k
  I m[4];  // minimums as bytes
  F d, dmin;
};

// Byte k of every lane.
inline I byte_of(I v, int k) { return shift_right(v, 8 * k) & set(255); }
inline I signed_byte_of(I v, int k) { return shift_right_signed<24>(shift_left(v, 24 - 8 * k)); }

// Columns come in kParts parts, in the order of the file: kWords words each, the
// n-th of part i being columns 4 at(i, n) … of the block. A group of kSub columns
// lies in one part. `State` keeps what later parts need.

// q4_k and q5_k: d, dmin, and 6-bit factors and minimums in their first 16 bytes.
struct KHeader {
  static constexpr int kSub = 32;
  static constexpr bool kHasMinimum = true, kSumsOf32 = true;
  static VITRINE_INLINE void header(const uint8_t* p, size_t stride, Header256& out) {
    I t[4];
    load_rows(p, stride, t);
    out.d = f16_lanes(t[0]);
    out.dmin = f16_lanes(shift_right<16>(t[0]));
    const I six = bytes(0x3f), four = bytes(0x0f), top = bytes(0x30);
    out.s[0] = t[1] & six;
    out.s[1] = (t[3] & four) | (shift_right<2>(t[1]) & top);
    out.m[0] = t[2] & six;
    out.m[1] = (shift_right<4>(t[3]) & four) | (shift_right<2>(t[2]) & top);
  }
  static VITRINE_INLINE I factor(const Header256& h, int j) { return byte_of(h.s[j / 4], j % 4); }
  // Minimums as 16-bit numbers, for ActivationChunk's pair32.
  static constexpr int kPairs = 4;
  static VITRINE_INLINE I pair(const Header256& h, int i) {
    return shift_right(h.m[i / 2], i % 2 * 8) & set(0x00ff00ff);
  }
};

struct Q4K : KHeader {
  static constexpr int kElements = 256, kBytes = 144, kParts = 4, kWords = 16;
  struct State {};
  static constexpr int at(int part, int n) { return 16 * part + n; }
  template <int part>
  static VITRINE_INLINE void take(const uint8_t* p, size_t stride, State&, I* w) {
    const I mask = bytes(15);
    I t[8];
    load_rows32(p + 16 + 32 * part, stride, t);
    for (int j = 0; j < 8; ++j) {
      w[j] = t[j] & mask;
      w[8 + j] = shift_right<4>(t[j]) & mask;
    }
  }
};

struct Q5K : KHeader {
  static constexpr int kElements = 256, kBytes = 176, kParts = 4, kWords = 16;
  struct State {
    I high[8];
  };
  static constexpr int at(int part, int n) { return 16 * part + n; }
  template <int part>
  static VITRINE_INLINE void take(const uint8_t* p, size_t stride, State& state, I* w) {
    if constexpr (part == 0) load_rows32(p + 16, stride, state.high);
    const I mask = bytes(15), one = bytes(1);
    I t[8];
    load_rows32(p + 48 + 32 * part, stride, t);
    for (int j = 0; j < 8; ++j) {
      const I bits = state.high[j];
      w[j] = (t[j] & mask) | shift_left<4>(shift_right<2 * part>(bits) & one);
      w[8 + j] = (shift_right<4>(t[j]) & mask) | shift_left<4>(shift_right<2 * part + 1>(bits) & one);
    }
  }
};

// Formats whose groups are 16 columns.
struct Groups16 {
  static constexpr int kSub = 16, kPairs = 8;
  static constexpr bool kSumsOf32 = false;
};

// The two-bit columns of q2_k and q3_k: part 4 half + q.
struct TwoBits : Groups16 {
  static constexpr int kParts = 8, kWords = 8;
  static constexpr int at(int part, int n) { return 8 * part + n; }
  template <int part>
  static VITRINE_INLINE void take_bits(const uint8_t* p, size_t stride, I* t, I* w) {
    if constexpr (part % 4 == 0) load_rows32(p + 8 * part, stride, t);
    for (int j = 0; j < 8; ++j) w[j] = shift_right<part % 4 * 2>(t[j]) & bytes(3);
  }
};

struct Q2K : TwoBits {
  static constexpr int kElements = 256, kBytes = 84;
  static constexpr bool kHasMinimum = true;
  struct State {
    I t[8];
  };
  static VITRINE_INLINE void header(const uint8_t* p, size_t stride, Header256& out) {
    load_rows(p, stride, out.s);  // factor and minimum in each byte
    I t[4];
    load_rows(p + kBytes - 16, stride, t);
    out.d = f16_lanes(t[3]);
    out.dmin = f16_lanes(shift_right<16>(t[3]));
  }
  static VITRINE_INLINE I factor(const Header256& h, int j) { return shift_right(h.s[j / 4], j % 4 * 8) & set(15); }
  static VITRINE_INLINE I pair(const Header256& h, int i) {
    const I two = shift_right(h.s[i / 2], i % 2 * 16);
    return (shift_right<4>(two) & set(15)) | shift_left<16>(shift_right<12>(two) & set(15));
  }
  template <int part>
  static VITRINE_INLINE void take(const uint8_t* p, size_t stride, State& state, I* w) {
    take_bits<part>(p + 16, stride, state.t, w);
  }
};

// Pairs of signed factors times what the format calls zero, as 16-bit numbers.
template <class Format>
VITRINE_INLINE I zero_pair(const Header256& h, int i) {
  const I zero = set(Format::kZero);
  return (Format::factor(h, 2 * i) * zero & set(0xffff)) | shift_left<16>(Format::factor(h, 2 * i + 1) * zero);
}

struct Q3K : TwoBits {
  static constexpr int kElements = 256, kBytes = 110, kZero = 4;
  static constexpr bool kHasMinimum = false;
  struct State {
    I t[8], high[8];
  };
  static VITRINE_INLINE void header(const uint8_t* p, size_t stride, Header256& out) {
    I t[4];  // the last sixteen bytes: two of columns, twelve of factors, d
    load_rows(p + kBytes - 16, stride, t);
    const I a = straddle(t[0], t[1]), b = straddle(t[1], t[2]), c = straddle(t[2], t[3]);
    const I low[2] = {a, b};
    for (int g = 0; g < 4; ++g) {
      out.s[g] = (shift_right(low[g % 2], g / 2 * 4) & bytes(15)) | shift_left<4>(shift_right(c, 2 * g) & bytes(3));
    }
    out.d = f16_lanes(shift_right<16>(t[3]));
  }
  static VITRINE_INLINE I factor(const Header256& h, int j) { return byte_of(h.s[j / 4], j % 4) - set(32); }
  static VITRINE_INLINE I pair(const Header256& h, int i) { return zero_pair<Q3K>(h, i); }
  template <int part>
  static VITRINE_INLINE void take(const uint8_t* p, size_t stride, State& state, I* w) {
    if constexpr (part == 0) load_rows32(p, stride, state.high);
    take_bits<part>(p + 32, stride, state.t, w);
    for (int j = 0; j < 8; ++j) w[j] = w[j] | shift_left<2>(shift_right<part>(state.high[j]) & bytes(1));
  }
};

struct Q6K : Groups16 {
  static constexpr int kElements = 256, kBytes = 210, kZero = 32, kParts = 4, kWords = 16;
  static constexpr bool kHasMinimum = false;
  struct State {
    I high[8];
  };
  static VITRINE_INLINE void header(const uint8_t* p, size_t stride, Header256& out) {
    I t[4];  // the last sixteen bytes: fourteen factors, d
    load_rows(p + 192, stride, out.s);
    load_rows(p + kBytes - 16, stride, t);
    out.d = f16_lanes(shift_right<16>(t[3]));
  }
  static VITRINE_INLINE I factor(const Header256& h, int j) { return signed_byte_of(h.s[j / 4], j % 4); }
  static VITRINE_INLINE I pair(const Header256& h, int i) { return zero_pair<Q6K>(h, i); }
  // Part 2 half + i: low nibbles are columns 32 i … of the half, high ones those 64 further.
  static constexpr int at(int part, int n) { return part / 2 * 32 + part % 2 * 8 + n / 8 * 16 + n % 8; }
  template <int part>
  static VITRINE_INLINE void take(const uint8_t* p, size_t stride, State& state, I* w) {
    if constexpr (part % 2 == 0) load_rows32(p + 128 + 16 * part, stride, state.high);
    const I four = bytes(15), two = bytes(3);
    I t[8];
    load_rows32(p + 32 * part, stride, t);
    constexpr int kShift = part % 2 * 2;
    for (int j = 0; j < 8; ++j) {
      const I bits = state.high[j];
      w[j] = (t[j] & four) | shift_left<4>(shift_right<kShift>(bits) & two);
      w[8 + j] = (shift_right<4>(t[j]) & four) | shift_left<4>(shift_right<4 + kShift>(bits) & two);
    }
  }
};

}  // namespace vitrine::VITRINE_ISA
