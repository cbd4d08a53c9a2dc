// Products with weights of every type: against the judge, between instruction
// sets, batch sizes and thread counts.
#include "tests/kernels/judge.h"
#include "tests/kernels/support.h"

namespace vitrine::test {
namespace {

struct Shape {
  uint64_t n_in, n_out;
  int64_t tokens;
};

// Odd sizes: rows that fill no panel, one that overlaps, columns that fill no chunk.
std::vector<Shape> shapes(Type type) {
  if (block_elements(type) == 256) return {{256, 1, 1}, {512, 33, 5}, {768, 50, 3}, {1024, 64, 9}};
  if (block_elements(type) == 32) return {{32, 7, 2}, {96, 33, 5}, {288, 50, 9}, {1024, 32, 1}, {736, 64, 7}};
  return {{1, 1, 1}, {15, 7, 3}, {130, 33, 5}, {300, 50, 2}, {256, 34, 9}, {129, 130, 4}};
}

Row row_of(Guarded& x, int64_t j, int64_t k = 0) {
  Row out;
  for (int64_t i = 0; i < x.tensor().ne[0]; ++i) out.push_back(x.f(i, j, k));
  return out;
}

// Rounding of float32 sums, and of the factors of both sides.
double tolerance(const Judged& judged, size_t n) { return judged.magnitude * 0x1p-23 * (2 + std::sqrt(n)) + 1e-30; }

class Matmul : public OnEveryBackend {};
INSTANTIATE_ON_EVERY_BACKEND(Matmul);

TEST_P(Matmul, EveryTypeAgainstTheJudge) {
  for (const Type type : kWeightTypes) {
    ASSERT_TRUE(ops->supports(Op::matmul, type));
    for (const Shape& s : shapes(type)) {
      SCOPED_TRACE(std::string(type_name(type)) + " " + std::to_string(s.n_in) + "x" + std::to_string(s.n_out) + " x " +
                   std::to_string(s.tokens));
      const RandomWeight w(type, s.n_in, s.n_out, 1, random);
      Guarded x(Type::f32, s.n_in, s.tokens), y(Type::f32, s.n_out, s.tokens);
      x.fill(random);
      for (uint64_t i = 0; i < s.n_in; ++i) x.f(i, 0) *= 100;  // rows of unlike sizes
      if (s.tokens > 1) {
        for (uint64_t i = 0; i < s.n_in; ++i) x.f(i, 1) = 0;  // and one of zeros
      }
      ops->matmul(w.upload(*ops), x, y);
      expect_fine();
      EXPECT_TRUE(x.intact() && y.intact());
      for (int64_t t = 0; t < s.tokens; ++t) {
        const Row exact = row_of(x, t), met = met_by(type, exact);
        for (uint64_t r = 0; r < s.n_out; ++r) {
          // Minimums are a second sum of their own, so the magnitude counts both signs apart.
          Judged judged = dot(s.n_in, [&](size_t i) { return w.at(i, r) * met[i]; });
          double reach = 0;
          for (size_t i = 0; i < s.n_in; ++i) reach = std::max(reach, std::fabs(w.at(i, r)));
          for (size_t i = 0; i < s.n_in; ++i) judged.magnitude += reach * std::fabs(met[i]);
          ASSERT_NEAR(y.f(r, t), judged.value, 4 * tolerance(judged, s.n_in)) << "row " << r << " token " << t;
          // Rounding activations to 8 bits costs what the format says, no more.
          double loss = 0, full = 0;
          for (size_t i = 0; i < s.n_in; ++i) {
            loss += std::fabs(w.at(i, r) * (met[i] - exact[i]));
            full += w.at(i, r) * exact[i];
          }
          ASSERT_NEAR(y.f(r, t), full, loss * 1.001 + 4 * tolerance(judged, s.n_in));
        }
      }
    }
  }
}

TEST_P(Matmul, SeveralWeightsAtOnceEqualOneByOne) {
  const RandomWeight a(Type::q4_0, 256, 40, 1, random), b(Type::q6_k, 256, 33, 1, random),
      c(Type::bf16, 256, 5, 1, random);
  Guarded x(Type::f32, 256, 3);
  x.fill(random);
  Guarded one[3] = {{Type::f32, 40, 3}, {Type::f32, 33, 3}, {Type::f32, 5, 3}};
  Guarded all[3] = {{Type::f32, 40, 3}, {Type::f32, 33, 3}, {Type::f32, 5, 3}};
  const Weight w[3] = {a.upload(*ops), b.upload(*ops), c.upload(*ops)};
  std::vector<Ops::Product> products;
  for (int i = 0; i < 3; ++i) {
    ops->matmul(w[i], x, one[i]);
    products.push_back({&w[i], all[i]});
  }
  ops->matmul(products, x);
  expect_fine();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(one[i].bits(), all[i].bits());
    EXPECT_TRUE(all[i].intact());
  }
}

TEST_P(Matmul, HeadsAreMatricesOfTheirOwn) {
  for (const Type type : {Type::f32, Type::bf16, Type::f8_e4m3, Type::q4_0, Type::q4_k}) {
    SCOPED_TRACE(type_name(type));
    const int64_t n_in = 256, n_out = 40, heads = 3, tokens = 4;
    const RandomWeight w(type, n_in, n_out, heads, random);
    Guarded x(Type::f32, n_in, heads, tokens), y(Type::f32, n_out, heads, tokens);
    x.fill(random);
    ops->matmul_heads(w.upload(*ops), x, y);
    expect_fine();
    EXPECT_TRUE(y.intact());
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const Row met = met_by(type, row_of(x, h, t));
        for (int64_t r = 0; r < n_out; ++r) {
          Judged judged = dot(n_in, [&](size_t i) { return w.at(i, r, h) * met[i]; });
          judged.magnitude *= 4;  // minimums, as above
          ASSERT_NEAR(y.f(r, h, t), judged.value, 4 * tolerance(judged, n_in));
        }
      }
    }
  }
}

TEST_P(Matmul, TransposedHeads) {
  for (const Type type : kWeightTypes) {
    SCOPED_TRACE(type_name(type));
    const int64_t n_out = block_elements(type) == 1 ? 70 : 256, n_in = 9, heads = 2, tokens = 3;
    const RandomWeight w(type, n_out, n_in, heads, random);
    Guarded x(Type::f32, n_in, heads, tokens), y(Type::f32, n_out, heads, tokens);
    x.fill(random);
    ops->matmul_heads_transposed(w.upload(*ops), x, y);
    expect_fine();
    EXPECT_TRUE(y.intact());
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t r = 0; r < n_out; ++r) {
          const Judged judged = dot(n_in, [&](size_t i) { return w.at(r, i, h) * x.f(i, h, t); });
          ASSERT_NEAR(y.f(r, h, t), judged.value, tolerance(judged, n_in));
        }
      }
    }
  }
}

// Each of the 256 numbers, alone in a row and in a whole vector of 16.
TEST_P(Matmul, EveryE4M3Number) {
  for (const int64_t n_in : {1, 16, 20}) {
    std::vector<uint8_t> bytes;
    for (int code = 0; code < 256; ++code) bytes.insert(bytes.end(), n_in, static_cast<uint8_t>(code));
    const float factors[] = {0.75f, 3.0f};  // two blocks of 128 rows
    const FencedBytes weights(bytes);
    const auto view = TensorView::make(Type::f8_e4m3, {static_cast<uint64_t>(n_in), 256}, weights.bytes(),
                                       {reinterpret_cast<const uint8_t*>(factors), sizeof(factors)});
    ASSERT_TRUE(view) << view.error().message;
    const auto w = ops->upload(*view);
    ASSERT_TRUE(w);
    for (const int64_t tokens : {1, 5}) {
      Guarded x(Type::f32, n_in, tokens), y(Type::f32, 256, tokens);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = 0; i < n_in; ++i) x.f(i, t) = i + 1 == n_in ? 1.0f : 0.0f;
      }
      ops->matmul(*w, x, y);
      expect_fine();
      for (int code = 0; code < 256; ++code) {
        const float expected = f8_e4m3_to_f32(static_cast<uint8_t>(code)) * factors[code / 128];
        if (std::isnan(expected)) {
          EXPECT_TRUE(std::isnan(y.f(code, tokens - 1))) << code;
        } else {
          EXPECT_EQ(y.f(code, tokens - 1), expected) << code << " of " << n_in;
        }
      }
    }
  }
}

// Factors at both ends of e8m0: below the smallest normal float, and not a number.
TEST_P(Matmul, EveryMxfp4Factor) {
  constexpr int64_t kBlocks = 9;  // a chunk and one block
  std::vector<uint8_t> bytes;
  for (int e = 0; e < 256; ++e) {
    for (int64_t b = 0; b < kBlocks; ++b) {
      bytes.push_back(static_cast<uint8_t>(b == e % kBlocks ? e : 0));
      bytes.insert(bytes.end(), 16, uint8_t{0});
      if (b == e % kBlocks) bytes.back() = 0x20;  // one number, 1.0: the last of the block
    }
  }
  const FencedBytes weights(bytes);
  const auto w = ops->upload(*TensorView::make(Type::mxfp4, {32 * kBlocks, 256}, weights.bytes()));
  ASSERT_TRUE(w);
  for (const int64_t tokens : {1, 2, 6}) {
    Guarded x(Type::f32, 32 * kBlocks, tokens), y(Type::f32, 256, tokens);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < 32 * kBlocks; ++i) x.f(i, t) = 127.0f;  // exact in 8 bits
    }
    ops->matmul(*w, x, y);
    expect_fine();
    for (int e = 0; e < 248; ++e) {  // above, the product is no float
      EXPECT_EQ(y.f(e, tokens - 1), static_cast<float>(127.0 * std::ldexp(1.0, e - 127))) << e;
    }
    EXPECT_TRUE(std::isnan(y.f(255, tokens - 1)));
  }
}

// MLA's kv_b_proj: keys and values of a head lie in alternating groups of rows.
TEST_P(Matmul, GroupsOfRows) {
  const RandomWeight w(Type::f8_e4m3, 64, 6 * 50, 1, random);
  const auto values = w.views()[0].groups(6, 30, 20);
  ASSERT_TRUE(values);
  const auto uploaded = ops->upload(*values);
  ASSERT_TRUE(uploaded);
  EXPECT_EQ(uploaded->ne(), (std::array<uint64_t, 3>{64, 20, 6}));
  Guarded x(Type::f32, 64, 6, 2), y(Type::f32, 20, 6, 2);
  x.fill(random);
  ops->matmul_heads(*uploaded, x, y);
  expect_fine();
  for (int64_t h = 0; h < 6; ++h) {
    for (int64_t r = 0; r < 20; ++r) {
      const Judged judged = dot(64, [&](size_t i) { return w.at(i, h * 50 + 30 + r) * x.f(i, h, 1); });
      ASSERT_NEAR(y.f(r, h, 1), judged.value, tolerance(judged, 64));
    }
  }
}

// ---- the same bits ----------------------------------------------------------

std::vector<uint32_t> product_bits(Ops& ops, const RandomWeight& w, Guarded& x, int64_t first, int64_t count,
                                   uint64_t n_out) {
  Guarded y(Type::f32, n_out, count);
  ops.matmul(w.upload(ops), x.tensor().slice(1, first, count), y);
  EXPECT_TRUE(ops.sync());
  return y.bits();
}

TEST(SameBits, EveryTypeInEveryBatchOnEveryMember) {
  std::mt19937 random(3);
  for (const SameBitsGroup& group : same_bits_groups({1, 3})) {
    SCOPED_TRACE(group.name);
    for (const Type type : kWeightTypes) {
      const uint64_t n_in = block_elements(type) == 256 ? 768 : block_elements(type) == 32 ? 736 : 333, n_out = 83;
      // More than one token block on the CPU; the emulation is slow.
      const int64_t tokens = group.name == "emulated" ? 70 : 300;
      const RandomWeight w(type, n_in, n_out, 1, random);
      Guarded x(Type::f32, n_in, tokens);
      x.fill(random);
      std::vector<uint32_t> expected;
      for (const auto& make : group.members) {
        const auto ops = make();
        SCOPED_TRACE(std::string(type_name(type)) + " on " + ops->description());
        const std::vector<uint32_t> all = product_bits(*ops, w, x, 0, tokens, n_out);
        if (expected.empty()) expected = all;
        EXPECT_EQ(all, expected);
        for (const auto& [first, count] :
             {std::pair<int64_t, int64_t>{0, 1}, {tokens - 1, 1}, {7, 2}, {20, 3}, {30, 5}, {41, 8}, {50, 9}}) {
          const std::vector<uint32_t> part = product_bits(*ops, w, x, first, count, n_out);
          EXPECT_TRUE(std::equal(part.begin(), part.end(), expected.begin() + first * n_out)) << first << "+" << count;
        }
      }
    }
  }
}

}  // namespace
}  // namespace vitrine::test
