// Quantized matrices on tile registers. The kernel runs over emulated ones here, on any processor: held
// against the definition (portable), and the emulation against what the instructions' manual says. On a
// processor that has them, the real ones run in every test of an operator on "amx" and in SameBits.
#define VITRINE_ISA isa_tiles_test
#include "kernels/cpu/isa/tiles_emulated.h"

#include <gtest/gtest.h>

#include <numeric>

#include "kernels/cpu/backend.h"
#include "tests/kernels/support.h"

namespace vitrine {

namespace isa_amx_emulated {
void matrix_blocks(const cpu::MatrixArgs& args);
}

namespace test {
namespace {

using isa_tiles_test::TileConfig;
using isa_tiles_test::Tiles;

constexpr Type kBlockTypes[] = {Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0, Type::mxfp4,
                                Type::q2_k, Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k};

std::vector<cpu::ActivationChunk> activations(Type type, int64_t n_in, int64_t rows, std::mt19937& random) {
  const cpu::Kernels& kernels = cpu::kernels_for(Isa::portable);
  const auto quantize = cpu::wants_per256(type) ? kernels.quantize_per256 : kernels.quantize_per32;
  std::vector<cpu::ActivationChunk> out(static_cast<size_t>((n_in + 255) / 256 * rows));
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(n_in));
  for (int64_t t = 0; t < rows; ++t) {
    for (float& v : x) v = normal(random);
    if (t % 5 == 1) std::fill_n(x.begin(), 32, 0.0f);
    if (t % 7 == 2) x[3] = 1e4f;
    quantize(x.data(), n_in, out.data() + t, rows);
  }
  return out;
}

TEST(Amx, GivesTheSameBitsAsTheDefinition) {
  std::mt19937 random(3);
  for (const Type type : kBlockTypes) {
    for (const int64_t n_in : {32, 256, 320, 768}) {
      if (n_in % static_cast<int64_t>(block_elements(type)) != 0) continue;
      const RandomWeight weight(type, static_cast<uint64_t>(n_in), cpu::kPanel, 1, random);
      constexpr int64_t kRows = 70;
      const auto x = activations(type, n_in, kRows, random);
      std::vector<int32_t> index(kRows);
      std::iota(index.begin(), index.end(), 0);
      std::shuffle(index.begin(), index.end(), random);
      for (const int64_t count : {1, 7, 8, 15, 16, 17, 48, 70}) {
        for (const bool indexed : {false, true}) {
          cpu::MatrixArgs args;
          args.type = type;
          args.rows = weight.views()[0].row(0, 0);
          args.row_stride = weight.views()[0].row_stride;
          args.row_count = cpu::kPanel;
          args.n_in = n_in;
          args.quantized = x.data();
          args.quantized_rows = kRows;
          args.index = indexed ? index.data() : nullptr;
          args.count = count;
          const auto canary = std::bit_cast<float>(Guarded::kCanary);
          std::vector<float> expected(static_cast<size_t>((count + 1) * cpu::kPanel), canary), found = expected;
          args.acc = expected.data();
          cpu::kernels_for(Isa::portable).matrix_blocks(args);
          args.acc = found.data();
          isa_amx_emulated::matrix_blocks(args);
          ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0)
              << type_name(type) << ", " << n_in << " columns, " << count << " tokens" << (indexed ? ", indexed" : "");
        }
      }
    }
  }
}

// TDPBSUD against its formula, over every pair of bytes; parts outside of a tile's shape are zeros and stay.
TEST(Amx, EmulatedTilesDoWhatTheManualSays) {
  constexpr int kRows = 5, kDepth = 3, kColumns = 7;  // C [5][7], A [5][4 * 3], B [3][4 * 7]
  TileConfig config;
  config.set(0, kRows, 4 * kColumns);
  config.set(1, kRows, 4 * kDepth);
  config.set(2, kDepth, 4 * kColumns);
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    int8_t a[kRows][4 * kDepth + 3];
    uint8_t b[kDepth][4 * kColumns + 5];
    int32_t c[kRows][kColumns + 2], out[kRows][kColumns + 2];
    for (auto& row : a) {
      for (int8_t& v : row) v = static_cast<int8_t>(round < 256 ? round : random());
    }
    for (auto& row : b) {
      for (uint8_t& v : row) v = static_cast<uint8_t>(random());
    }
    for (auto& row : c) {
      for (int32_t& v : row) v = static_cast<int32_t>(random());
    }
    std::memset(out, 0x55, sizeof(out));
    Tiles::configure(config);
    Tiles::load<0>(c, sizeof(c[0]));
    Tiles::load<1>(a, sizeof(a[0]));
    Tiles::load<2>(b, sizeof(b[0]));
    Tiles::dot_su<0, 1, 2>();
    Tiles::store<0>(out, sizeof(out[0]));
    Tiles::release();
    for (int m = 0; m < kRows; ++m) {
      for (int n = 0; n < kColumns + 2; ++n) {
        int64_t expected = c[m][n];
        for (int k = 0; k < kDepth; ++k) {
          for (int i = 0; i < 4; ++i) expected += int64_t{a[m][4 * k + i]} * b[k][(4 * n + i) % (4 * kColumns)];
        }
        ASSERT_EQ(out[m][n], n < kColumns ? static_cast<int32_t>(static_cast<uint64_t>(expected)) : 0x55555555);
      }
    }
  }
}

TEST(AmxDeathTest, EmulatedTilesRefuseWhatTheProcessorRefuses) {
  TileConfig config;
  config.set(0, 16, 64);
  config.set(1, 16, 32);
  config.set(2, 4, 64);  // 8 rows would fit 32 bytes
  Tiles::configure(config);
  EXPECT_DEATH((Tiles::dot_su<0, 1, 2>()), "");
  EXPECT_DEATH(Tiles::zero<3>(), "");
  Tiles::release();
  EXPECT_DEATH(Tiles::zero<0>(), "");
  config.set(0, 17, 64);
  EXPECT_DEATH(Tiles::configure(config), "");
}

TEST(Amx, IsChosenWhereItIs) {
  if (!isa_available(Isa::amx)) {
    const auto refused = make_cpu_ops({.threads = 1, .isa = Isa::amx});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("amx"), std::string::npos);
    GTEST_SKIP() << "this processor lacks amx";
  }
  EXPECT_EQ(available_isas().back(), Isa::amx);
}

}  // namespace
}  // namespace test
}  // namespace vitrine
