#include "kernels/quant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <set>
#include <sstream>

#include "kernels/quant_blocks.h"

namespace vitrine {
namespace {

std::vector<uint8_t> from_hex(const std::string& hex) {
  std::vector<uint8_t> bytes(hex.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::stoi(hex.substr(2 * i, 2), nullptr, 16);
  return bytes;
}

Type type_named(const std::string& name) {
  for (int i = 0; i < kTypeCount; ++i) {
    if (type_name(static_cast<Type>(i)) == name) return static_cast<Type>(i);
  }
  ADD_FAILURE() << name;
  return Type::i32;
}

// tools/make_quant_fixtures.py wrote it with gguf-py.
TEST(Quant, DequantizesToTheBitsOfGgufPy) {
  std::ifstream file(VITRINE_SOURCE_DIR "/tests/kernels/data/dequantized.txt");
  std::set<Type> seen;
  std::string name, blocks, floats;
  while (file >> name >> blocks >> floats) {
    const Type type = type_named(name);
    seen.insert(type);
    const auto bytes = from_hex(blocks), expected_bytes = from_hex(floats);
    const size_t n = expected_bytes.size() / 4;
    ASSERT_EQ(row_bytes(type, n), bytes.size()) << name;
    std::vector<float> got(n), expected(n);
    std::memcpy(expected.data(), expected_bytes.data(), expected_bytes.size());
    dequantize_row(type, bytes.data(), n, got.data());
    for (size_t i = 0; i < n; ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i])) << name << " element " << i;
    }
  }
  EXPECT_EQ(seen.size(), 13u);  // all but f32, f8_e4m3 and i32
}

TEST(Quant, SixteenBitNumbersGoRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float h = f16_to_f32(bits), b = bf16_to_f32(bits);
    if (!std::isnan(h)) {
      EXPECT_EQ(f32_to_f16(h), bits);
    }
    if (!std::isnan(b)) {
      EXPECT_EQ(f32_to_bf16(b), bits);
    }
    if (std::isnan(h)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(h))));
    }
    if (std::isnan(b)) {
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(b))));
    }
  }
}

// Midpoints go to the even neighbour, what lies beside them to the nearer one.
template <class Narrow, class Wide>
void check_rounding(uint32_t last_finite, Narrow narrow, Wide wide) {
  for (uint32_t bits = 0; bits < last_finite; ++bits) {
    const double low = wide(bits), high = wide(bits + 1);
    const float middle = static_cast<float>((low + high) / 2);  // exact: one more bit than either
    EXPECT_EQ(narrow(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    EXPECT_EQ(narrow(std::nextafter(middle, 0.0f)), bits) << bits;
    EXPECT_EQ(narrow(std::nextafter(middle, 1e38f)), bits + 1) << bits;
  }
}

TEST(Quant, RoundsToNearestEven) {
  check_rounding(0x7bff, f32_to_f16, f16_to_f32);
  check_rounding(0x7e, f32_to_f8_e4m3, f8_e4m3_to_f32);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_bf16(1.00390625f), 0x3f80);  // midway between 1 and 1.0078125
  EXPECT_EQ(f32_to_bf16(1.01171875f), 0x3f82);
}

TEST(Quant, E4M3) {
  EXPECT_EQ(f8_e4m3_to_f32(0x7e), 448.0f);
  EXPECT_EQ(f8_e4m3_to_f32(0x01), 0x1p-9f);
  EXPECT_EQ(f8_e4m3_to_f32(0x08), 0x1p-6f);
  EXPECT_EQ(f8_e4m3_to_f32(0xb8), -1.0f);
  EXPECT_TRUE(std::isnan(f8_e4m3_to_f32(0x7f)) && std::isnan(f8_e4m3_to_f32(0xff)));
  EXPECT_EQ(f32_to_f8_e4m3(1e9f), 0x7e);
  EXPECT_EQ(f32_to_f8_e4m3(-std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_EQ(f32_to_f8_e4m3(std::nanf("")), 0x7f);
  for (uint32_t bits = 0; bits < 256; ++bits) {
    if ((bits & 0x7f) != 0x7f) {
      EXPECT_EQ(f32_to_f8_e4m3(f8_e4m3_to_f32(bits)), bits);
    }
  }
}

TEST(Quant, MicroscalingFactors) {
  for (int e = 0; e < 255; ++e) {
    EXPECT_EQ(e8m0_to_f32(e), std::ldexp(1.0f, e - 127));
    EXPECT_EQ(mxfp4_half_factor(e), std::ldexp(1.0f, e - 128));
  }
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)) && std::isnan(mxfp4_half_factor(255)));
}

// What a format can hold at best bounds the error of the quantizer.
TEST(Quant, QuantizesWithinTheFormatsStep) {
  const struct {
    Type type;
    double tolerance;  // of the block's largest value
  } cases[] = {{Type::f32, 0},          {Type::f16, 0x1p-11},   {Type::bf16, 0x1p-8},
               {Type::f8_e4m3, 0x1p-4}, {Type::q4_0, 1.0 / 8},  {Type::q8_0, 1.0 / 220},
               {Type::q4_k, 1.0 / 11},  {Type::q6_k, 1.0 / 30}, {Type::mxfp4, 1.0 / 3.9}};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const auto& c : cases) {
    for (const float size : {1e-3f, 1.0f, 30.0f}) {
      std::vector<float> x(512), y(512);
      for (float& v : x) v = normal(random) * size;
      std::fill_n(x.begin(), 32, 0.0f);  // a block of zeros stays zeros
      std::vector<uint8_t> bytes(*row_bytes(c.type, 512) + 1, 0xa5);
      ASSERT_TRUE(quantize_row(c.type, x.data(), 512, bytes.data()));
      EXPECT_EQ(bytes.back(), 0xa5) << type_name(c.type);
      dequantize_row(c.type, bytes.data(), 512, y.data());
      for (int b = 0; b < 512; b += 256) {
        float largest = 0;
        for (int i = b; i < b + 256; ++i) largest = std::max(largest, std::fabs(x[i]));
        for (int i = b; i < b + 256; ++i) {
          // Below its smallest normal number E4M3 has a fixed step.
          const double floor = c.type == Type::f8_e4m3 ? 0x1p-10 : 0;
          EXPECT_NEAR(x[i], y[i], c.tolerance * largest + floor) << type_name(c.type) << " " << i;
        }
      }
      for (int i = 0; i < 32; ++i) EXPECT_EQ(std::fabs(y[i]), 0.0f) << type_name(c.type);
    }
  }
  EXPECT_FALSE(quantize_row(Type::q5_k, nullptr, 0, nullptr));
}

TEST(TensorView, ChecksSizes) {
  std::vector<uint8_t> bytes(18 * 4);
  EXPECT_TRUE(TensorView::make(Type::q4_0, {64, 2}, bytes));
  EXPECT_FALSE(TensorView::make(Type::q4_0, {64, 3}, bytes));
  EXPECT_FALSE(TensorView::make(Type::q4_0, {33, 1}, bytes));
  EXPECT_FALSE(TensorView::make(Type::q4_0, {0, 1}, bytes));
  EXPECT_FALSE(TensorView::make(Type::f32, {1ull << 40, 1ull << 40, 1ull << 40}, bytes));
  EXPECT_FALSE(TensorView::make(Type::f32, {1ull << 62}, bytes));
  EXPECT_FALSE(TensorView::make(Type::i32, {2}, bytes));
  EXPECT_FALSE(TensorView::make(Type::f32, std::span<const uint64_t>(), bytes));
}

TEST(TensorView, BlockFactorsWithPartialEdges) {
  const uint64_t columns = 130, rows = 129;          // 2 x 2 factors, three of them partial
  std::vector<uint8_t> bytes(columns * rows, 0x38);  // 1.0
  const std::vector<float> factors = {2, 3, 5, 7};
  const Bytes scales(reinterpret_cast<const uint8_t*>(factors.data()), 16);
  EXPECT_FALSE(TensorView::make(Type::f8_e4m3, {columns, rows}, bytes, scales.first(15)));
  EXPECT_FALSE(TensorView::make(Type::f8_e4m3, {columns, 43, 3}, bytes, scales));
  const auto view = TensorView::make(Type::f8_e4m3, {columns, rows}, bytes, scales);
  ASSERT_TRUE(view);
  std::vector<float> row(columns);
  dequantize_row(*view, 0, 127, row.data());
  EXPECT_EQ(row[127], 2);
  EXPECT_EQ(row[128], 3);
  dequantize_row(*view, 0, 128, row.data());
  EXPECT_EQ(row[127], 5);
  EXPECT_EQ(row[129], 7);
  // Row 0 of the third group of 43 rows is row 86 of the whole.
  const auto grouped = view->groups(3, 42, 1);
  ASSERT_TRUE(grouped);
  dequantize_row(*grouped, 2, 0, row.data());
  EXPECT_EQ(row[0], 5);  // row 128
  dequantize_row(*grouped, 1, 0, row.data());
  EXPECT_EQ(row[0], 2);  // row 85
  EXPECT_FALSE(view->groups(2, 0, 1));
  EXPECT_FALSE(view->groups(3, 43, 1));
  EXPECT_FALSE(view->groups(3, 1, ~0ull));
}

TEST(Types, GgufNumbers) {
  EXPECT_EQ(type_from_ggml(12), Type::q4_k);
  EXPECT_EQ(type_from_ggml(39), Type::mxfp4);
  EXPECT_FALSE(type_from_ggml(16));  // IQ2_XXS
  EXPECT_FALSE(type_from_ggml(26));  // I32
  EXPECT_FALSE(type_from_ggml(~0u));
}

}  // namespace
}  // namespace vitrine
