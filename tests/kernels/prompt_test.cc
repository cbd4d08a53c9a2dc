// Prompts of more than 64 tokens: each way the CUDA backend has,
// on the host (threads started from the first and from the last one) and on a GPU,
// against the judge, who rounds activations as that way says it does.
#include "tests/kernels/judge.h"
#include "tests/kernels/support.h"

namespace vitrine::test {
namespace {

struct Way {
  Backend backend;
  PromptProducts products;
  bool from_last = false;

  friend void PrintTo(const Way& way, std::ostream* out) {
    *out << backend_name(way.backend) << (way.from_last ? "_from_last" : "") << '_'
         << std::array{"warp", "warpgroup", "warpgroup_e4m3"}[static_cast<size_t>(way.products)];
  }
};

std::vector<Way> ways() {
  std::vector<Way> out;
  for (const PromptProducts products :
       {PromptProducts::warp, PromptProducts::warpgroup, PromptProducts::warpgroup_e4m3}) {
    out.push_back({Backend::emulated, products, false});
    out.push_back({Backend::emulated, products, true});
    out.push_back({Backend::cuda, products, false});
  }
  return out;
}

class Prompt : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    const Way& way = GetParam();
    if (const std::string why = missing(way.backend); !why.empty()) GTEST_SKIP() << why;
    if (way.backend == Backend::cuda && way.products != PromptProducts::warp && cuda_device()->major != 9) {
      GTEST_SKIP() << "wgmma wants compute capability 9.0";
    }
    cuda_emulated::emulated::start_from_last(way.from_last);
    CudaOptions options;
    options.prompts = way.products;
    auto made = way.backend == Backend::emulated ? make_emulated_cuda_ops(options) : make_cuda_ops(options);
    ASSERT_TRUE(made) << made.error().message;
    ops = std::move(*made);
    ASSERT_TRUE(ops->plan(kTestShape));
  }
  void TearDown() override { cuda_emulated::emulated::start_from_last(false); }
  void expect_fine() {
    const Status status = ops->sync();
    ASSERT_TRUE(status) << status.error().message;
  }

  bool e4m3(Type weights) const {
    return weights == Type::f8_e4m3 && GetParam().products == PromptProducts::warpgroup_e4m3;
  }
  // The row as weights of that type meet it.
  Row met(Type weights, const Row& x) const {
    Row out(x.size());
    for (size_t chunk = 0; chunk < x.size(); chunk += 128) {
      const size_t end = std::min(chunk + 128, x.size());
      float largest = 0;
      for (size_t i = chunk; i < end; ++i) largest = std::max(largest, std::fabs(static_cast<float>(x[i])));
      const float inverse = largest > 0 ? 448.0f / largest : 0.0f, factor = largest / 448.0f;
      for (size_t i = chunk; i < end; ++i) {
        const auto v = static_cast<float>(x[i]);
        out[i] =
            e4m3(weights) ? double{f8_e4m3_to_f32(f32_to_f8_e4m3(v * inverse))} * factor : bf16_to_f32(f32_to_bf16(v));
      }
    }
    return out;
  }
  // Sums inside a matrix instruction: a bf16 product's in float32, cut off; an e4m3 product's in some 14 bits
  // (arXiv 2412.19437, 3.3.2). Other weights are rounded to bf16.
  double slack(Type weights) const { return e4m3(weights) ? 0x1p-12 : weights == Type::bf16 ? 0x1p-17 : 0x1p-8; }
  // Weights in blocks are rounded on warpgroups only; else matmul_test.cc and moe_test.cc hold them.
  bool rounds(Type weights) const {
    return block_elements(weights) == 1 || GetParam().products != PromptProducts::warp;
  }

  std::unique_ptr<Ops> ops;
  std::mt19937 random{7};
};
INSTANTIATE_TEST_SUITE_P(Ways, Prompt, testing::ValuesIn(ways()),
                         [](const auto& one) { return testing::PrintToString(one.param); });

Row row_of(Guarded& x, int64_t j, int64_t k = 0) {
  Row out;
  for (int64_t i = 0; i < x.tensor().ne[0]; ++i) out.push_back(x.f(i, j, k));
  return out;
}

TEST_P(Prompt, Products) {
  struct Shape {
    uint64_t n_in, n_out;
    int64_t tokens;
  };
  for (const Type type : {Type::bf16, Type::f8_e4m3}) {
    // Less than a chunk; several blocks of rows and tokens, none of them full; more stages than lie in memory.
    for (const Shape& s : {Shape{70, 20, 65}, Shape{300, 300, 150}, Shape{800, 33, 70}}) {
      SCOPED_TRACE(std::string(type_name(type)) + " " + std::to_string(s.n_in) + "x" + std::to_string(s.n_out));
      const RandomWeight w(type, s.n_in, s.n_out, 1, random);
      Guarded x(Type::f32, s.n_in, s.tokens), y(Type::f32, s.n_out, s.tokens);
      x.fill(random);
      for (uint64_t i = 0; i < s.n_in; ++i) x.f(i, 1) = 0, x.f(i, 2) *= 1e4f;
      ops->matmul(w.upload(*ops), x, y);
      expect_fine();
      EXPECT_TRUE(x.intact() && y.intact());
      for (int64_t t = 0; t < s.tokens; ++t) {
        const Row row = met(type, row_of(x, t));
        for (uint64_t r = 0; r < s.n_out; ++r) {
          const Judged judged = dot(s.n_in, [&](size_t i) { return w.at(i, r) * row[i]; });
          ASSERT_NEAR(y.f(r, t), judged.value, slack(type) * judged.magnitude + 1e-6) << "row " << r << " token " << t;
        }
      }
    }
  }
}

TEST_P(Prompt, WeightsInBlocks) {
  if (!rounds(Type::q8_0)) GTEST_SKIP() << "this way computes weights in blocks as for single tokens";
  for (const Type type : kWeightTypes) {
    if (block_elements(type) == 1) continue;
    // Not whole chunks, where the type has such; several blocks of rows and tokens; an odd number of steps.
    const uint64_t n_in = block_elements(type) == 256 ? 768 : 352;
    SCOPED_TRACE(type_name(type));
    const RandomWeight w(type, n_in, 270, 1, random);
    Guarded x(Type::f32, n_in, 130), y(Type::f32, 270, 130);
    x.fill(random);
    ops->matmul(w.upload(*ops), x, y);
    expect_fine();
    EXPECT_TRUE(x.intact() && y.intact());
    for (int64_t t = 0; t < 130; t += 3) {
      const Row row = met(type, row_of(x, t));
      for (uint64_t r = 0; r < 270; ++r) {
        const Judged judged = dot(n_in, [&](size_t i) { return w.at(i, r) * row[i]; });
        ASSERT_NEAR(y.f(r, t), judged.value, slack(type) * judged.magnitude + 1e-6) << "row " << r << " token " << t;
      }
    }
  }
}

TEST_P(Prompt, SeveralWeightsOfUnlikeTypes) {
  constexpr uint64_t kIn = 224;
  constexpr int64_t kTokens = 70;
  const RandomWeight a(Type::bf16, kIn, 40, 1, random), b(Type::f8_e4m3, kIn, 30, 1, random),
      c(Type::f8_e4m3, kIn, 20, 1, random), d(Type::q8_0, kIn, 10, 1, random);
  const std::vector<const RandomWeight*> all = {&a, &b, &c, &d};
  Guarded x(Type::f32, kIn, kTokens);
  x.fill(random);
  std::vector<Weight> weights;
  std::vector<Guarded> together, alone;
  std::vector<Ops::Product> products;
  for (const RandomWeight* w : all) {
    weights.push_back(w->upload(*ops));
    together.emplace_back(Type::f32, weights.back().ne()[1], kTokens);
    alone.emplace_back(Type::f32, weights.back().ne()[1], kTokens);
  }
  for (size_t i = 0; i < all.size(); ++i) products.push_back({&weights[i], together[i].tensor()});
  ops->matmul(products, x);
  for (size_t i = 0; i < all.size(); ++i) ops->matmul(weights[i], x, alone[i]);
  expect_fine();
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(together[i].bits(), alone[i].bits()) << i;
}

TEST_P(Prompt, HeadsAreMatricesOfTheirOwn) {
  constexpr int64_t kTokens = 140;
  for (const Type type : {Type::bf16, Type::f8_e4m3}) {
    SCOPED_TRACE(type_name(type));
    const RandomWeight w(type, 70, 20, 3, random);
    Guarded x(Type::f32, 70, 3, kTokens), y(Type::f32, 20, 3, kTokens);
    x.fill(random);
    ops->matmul_heads(w.upload(*ops), x, y);
    expect_fine();
    EXPECT_TRUE(x.intact() && y.intact());
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t head = 0; head < 3; ++head) {
        const Row row = met(type, row_of(x, head, t));
        for (uint64_t r = 0; r < 20; ++r) {
          const Judged judged = dot(70, [&](size_t i) { return w.at(i, r, head) * row[i]; });
          ASSERT_NEAR(y.f(r, head, t), judged.value, slack(type) * judged.magnitude + 1e-6);
        }
      }
    }
  }
}

// Enough tokens for cuBLAS, which only a GPU has, and which gives what our kernels give.
TEST_P(Prompt, ByTheLibrary) {
  if (GetParam().backend != Backend::cuda) GTEST_SKIP() << "cuBLAS needs a GPU";
  const RandomWeight w(Type::bf16, 700, 300, 1, random);
  Guarded x(Type::f32, 700, 300), y(Type::f32, 300, 300);
  x.fill(random);
  ops->matmul(w.upload(*ops), x, y);
  expect_fine();
  EXPECT_TRUE(x.intact() && y.intact());
  for (int64_t t = 0; t < 300; ++t) {
    const Row row = met(Type::bf16, row_of(x, t));
    for (uint64_t r = 0; r < 300; ++r) {
      const Judged judged = dot(700, [&](size_t i) { return w.at(i, r) * row[i]; });
      ASSERT_NEAR(y.f(r, t), judged.value, slack(Type::bf16) * judged.magnitude + 1e-6);
    }
  }
}

// What is not finite stays so: no finite number comes of it.
TEST_P(Prompt, InfinitiesAndNansAreNotLost) {
  for (const Type type : {Type::bf16, Type::f8_e4m3}) {
    const RandomWeight w(type, 300, 20, 1, random);
    Guarded x(Type::f32, 300, 70), y(Type::f32, 20, 70);
    x.fill(random);
    x.f(17, 3) = std::numeric_limits<float>::infinity();
    x.f(290, 5) = std::nanf("");
    ops->matmul(w.upload(*ops), x, y);
    expect_fine();
    for (int64_t t = 0; t < 70; ++t) {
      for (int64_t r = 0; r < 20; ++r) {
        // Infinity times a weight that is zero is NaN.
        EXPECT_EQ(std::isfinite(y.f(r, t)), t != 3 && t != 5) << type_name(type) << " row " << r << " token " << t;
      }
    }
  }
}

// ---- feed-forward layers

struct Layer {
  RandomWeight gate, up, down;
  uint64_t n, n_ff;

  Layer(Type gate_type, Type down_type, uint64_t n_, uint64_t n_ff_, uint64_t experts, std::mt19937& random)
      : gate(gate_type, n_, n_ff_, experts, random, 0.1f),
        up(gate_type, n_, n_ff_, experts, random, 0.1f),
        down(down_type, n_ff_, n_, experts, random, 0.1f),
        n(n_),
        n_ff(n_ff_) {}
};

// A token's expert: `value` with hidden rounded as down meets it; `hidden_slack`: doubt about each hidden number.
template <class Met>
std::vector<Judged> apply(const Layer& layer, uint64_t e, const Row& x, double slack, double step, double down_slack,
                          Met met) {
  const Row row = met(layer.gate.type(), x);
  Row hidden, doubt;
  for (uint64_t r = 0; r < layer.n_ff; ++r) {
    const Judged a = dot(layer.n, [&](size_t i) { return layer.gate.at(i, r, e) * row[i]; });
    const Judged b = dot(layer.n, [&](size_t i) { return layer.up.at(i, r, e) * row[i]; });
    hidden.push_back(silu(a.value) * b.value);
    doubt.push_back(slack * (1.1 * a.magnitude * std::fabs(b.value) + std::fabs(silu(a.value)) * b.magnitude) + 1e-7);
  }
  const Row met_hidden = met(layer.down.type(), hidden);
  std::vector<Judged> out;
  for (uint64_t i = 0; i < layer.n; ++i) {
    Judged y = dot(layer.n_ff, [&](size_t r) { return layer.down.at(r, i, e) * met_hidden[r]; });
    double spread = y.magnitude * down_slack, steps = 0;
    for (uint64_t r = 0; r < layer.n_ff; ++r) {
      spread += std::fabs(layer.down.at(r, i, e)) * doubt[r];
      steps = std::max(steps, std::fabs(layer.down.at(r, i, e) * hidden[r]) * step);
    }
    // A hidden number whose last bits differ may be rounded the other way: a few do.
    out.push_back({y.value, spread + 4 * steps + 1e-7});
  }
  return out;
}

constexpr std::pair<Type, Type> kTypes[] = {{Type::bf16, Type::bf16},    {Type::f8_e4m3, Type::f8_e4m3},
                                            {Type::bf16, Type::f8_e4m3}, {Type::f8_e4m3, Type::bf16},
                                            {Type::q4_k, Type::q6_k},    {Type::q8_0, Type::f8_e4m3}};

TEST_P(Prompt, ExpertsAgainstTheJudge) {
  for (const auto& [gate_type, down_type] : kTypes) {
    if (!rounds(gate_type) || !rounds(down_type)) continue;
    SCOPED_TRACE(std::string(type_name(gate_type)) + " " + std::string(type_name(down_type)));
    // All tokens go to expert 1 (two tiles of tokens), half of them to 0 or 2 each, none to 3.
    constexpr int64_t kExperts = 4, kUsed = 2, kTokens = 140;
    const bool blocks = block_elements(gate_type) > 1;
    const Layer layer(gate_type, down_type, blocks ? 256 : 200, blocks ? 256 : 150, kExperts, random);
    const auto n = static_cast<int64_t>(layer.n);
    Guarded x(Type::f32, n, kTokens), y(Type::f32, n, kTokens), z(Type::f32, n, kTokens),
        ids(Type::i32, kUsed, kTokens), weights(Type::f32, kUsed, kTokens);
    x.fill(random), weights.fill(random), z.fill(random);
    const std::vector<uint32_t> before = z.bits();
    std::vector<int32_t> chosen;
    for (int64_t t = 0; t < kTokens; ++t) chosen.insert(chosen.end(), {t % 2 ? 2 : 0, 1});
    ids.set(chosen);
    const Weight g = layer.gate.upload(*ops), u = layer.up.upload(*ops), d = layer.down.upload(*ops);
    ops->moe_ffn(g, u, d, x, ids, weights, y);
    ops->moe_ffn(g, u, d, x, ids, weights, z, true);
    expect_fine();
    EXPECT_TRUE(x.intact() && y.intact() && z.intact());
    for (int64_t t = 0; t < kTokens; t += 9) {
      Row total(n, 0), slack_of(n, 1e-6);
      for (int64_t j = 0; j < kUsed; ++j) {
        const auto one = apply(layer, ids.i(j, t), row_of(x, t), slack(gate_type), e4m3(down_type) ? 0x1p-3 : 0x1p-7,
                               slack(down_type), [this](Type type, const Row& row) { return met(type, row); });
        for (int64_t i = 0; i < n; ++i) {
          total[i] += weights.f(j, t) * one[i].value;
          slack_of[i] += std::fabs(weights.f(j, t)) * one[i].magnitude;
        }
      }
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_NEAR(y.f(i, t), total[i], slack_of[i]) << "token " << t << " row " << i;
        const float old = std::bit_cast<float>(before[t * n + i]);
        ASSERT_NEAR(z.f(i, t), old + y.f(i, t), 1e-5 * (1 + std::fabs(old) + std::fabs(y.f(i, t))));
      }
    }
  }
}

TEST_P(Prompt, OneMlpAgainstTheJudge) {
  for (const auto& [gate_type, down_type] : kTypes) {
    if (!rounds(gate_type) || !rounds(down_type)) continue;
    SCOPED_TRACE(std::string(type_name(gate_type)) + " " + std::string(type_name(down_type)));
    constexpr int64_t kTokens = 70;
    // Three chunks, the last one not full, where the types have such.
    const uint64_t size = block_elements(gate_type) == 256 ? 512 : block_elements(gate_type) == 32 ? 320 : 300;
    const Layer layer(gate_type, down_type, size, size, 1, random);
    const auto n = static_cast<int64_t>(layer.n);
    Guarded x(Type::f32, n, kTokens), y(Type::f32, n, kTokens);
    x.fill(random);
    ops->ffn(layer.gate.upload(*ops), layer.up.upload(*ops), layer.down.upload(*ops), x, y, false);
    expect_fine();
    EXPECT_TRUE(x.intact() && y.intact());
    for (int64_t t = 0; t < kTokens; t += 3) {
      const auto one = apply(layer, 0, row_of(x, t), slack(gate_type), e4m3(down_type) ? 0x1p-3 : 0x1p-7,
                             slack(down_type), [this](Type type, const Row& row) { return met(type, row); });
      for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y.f(i, t), one[i].value, one[i].magnitude) << t << " " << i;
    }
  }
}

}  // namespace
}  // namespace vitrine::test
