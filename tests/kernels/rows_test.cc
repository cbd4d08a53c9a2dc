// Operators on rows, rotary positions, and the door.
#include <functional>

#include "tests/kernels/judge.h"
#include "tests/kernels/support.h"

namespace vitrine::test {
namespace {

class Rows : public OnEveryBackend {};
INSTANTIATE_ON_EVERY_BACKEND(Rows);

constexpr int64_t kWidths[] = {1, 15, 16, 33, 200};

TEST_P(Rows, EmbedsEveryType) {
  for (const Type type : kWeightTypes) {
    const RandomWeight table(type, 256, 10, 1, random);
    Guarded ids(Type::i32, 4), y(Type::f32, 256, 4);
    ids.set({9, 0, 3, 3});
    ops->embed(table.upload(*ops), ids, y);
    expect_fine();
    EXPECT_TRUE(y.intact());
    for (int64_t t = 0; t < 4; ++t) {
      for (int64_t i = 0; i < 256; ++i) ASSERT_EQ(y.f(i, t), table.at(i, ids.i(t)));
    }
  }
}

TEST_P(Rows, GathersAndAdds) {
  Guarded x(Type::f32, 21, 5), index(Type::i32, 3), y(Type::f32, 21, 3);
  x.fill(random), index.set({4, 4, 0});
  ops->gather_rows(x, index, y);
  expect_fine();
  EXPECT_EQ(y.f(20, 0), x.f(20, 4));
  EXPECT_EQ(y.f(0, 2), x.f(0, 0));
  const float before = y.f(7, 1);
  ops->add(x.tensor().slice(1, 0, 3), y);
  expect_fine();
  EXPECT_EQ(y.f(7, 1), before + x.f(7, 1));
  EXPECT_TRUE(y.intact());
  for (const Type type : {Type::f32, Type::f16, Type::bf16}) {
    const RandomWeight bias(type, 21, 1, 1, random);
    const float old = y.f(20, 2);
    ops->add_bias(bias.upload(*ops), y);
    expect_fine();
    EXPECT_EQ(y.f(20, 2), old + static_cast<float>(bias.at(20, 0)));
  }
  EXPECT_TRUE(y.intact());
}

TEST_P(Rows, Norms) {
  for (const int64_t n : kWidths) {
    for (const Type type : {Type::f32, Type::f16, Type::bf16}) {
      const RandomWeight weight(type, n, 1, 1, random);
      const Weight w = weight.upload(*ops);
      Guarded x(Type::f32, n, 2, 3), delta(Type::f32, n, 2, 3), y(Type::f32, n, 2, 3), z(Type::f32, n, 2, 3);
      x.fill(random, 5), delta.fill(random);
      for (int64_t i = 0; i < n; ++i) x.f(i, 1, 1) = 0;  // only eps stands between it and a division by zero
      ops->rms_norm(x, w, 1e-5f, y);
      expect_fine();
      for (int64_t k = 0; k < 3; ++k) {
        for (int64_t j = 0; j < 2; ++j) {
          double squares = 0;
          for (int64_t i = 0; i < n; ++i) squares += double{x.f(i, j, k)} * x.f(i, j, k);
          for (int64_t i = 0; i < n; ++i) {
            const double expected = x.f(i, j, k) / std::sqrt(squares / n + 1e-5) * weight.at(i, 0);
            ASSERT_NEAR(y.f(i, j, k), expected, 1e-6 * (1 + std::fabs(expected)));
          }
        }
      }
      ops->add_rms_norm(x, delta, w, 1e-5f, y);  // now x = x + delta
      ops->rms_norm(x, w, 1e-5f, z);
      expect_fine();
      EXPECT_EQ(y.bits(), z.bits());
      ops->rms_norm(x, w, 1e-5f, x);  // in place
      expect_fine();
      EXPECT_EQ(x.bits(), z.bits());
      EXPECT_TRUE(x.intact() && y.intact() && delta.intact());
    }
  }
}

TEST_P(Rows, SiluMul) {
  for (const int64_t n : kWidths) {
    Guarded gate(Type::f32, n, 3), up(Type::f32, n, 3), y(Type::f32, n, 3);
    gate.fill(random, 5), up.fill(random);
    gate.f(0, 1) = 200, gate.f(0, 2) = -200;
    ops->silu_mul(gate, up, y);
    expect_fine();
    EXPECT_TRUE(y.intact());
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t i = 0; i < n; ++i) {
        const double expected = silu(gate.f(i, t)) * up.f(i, t);
        ASSERT_NEAR(y.f(i, t), expected, 3e-7 * std::fabs(expected) + 1e-30) << gate.f(i, t);
      }
    }
    const std::vector<uint32_t> expected = y.bits();
    ops->silu_mul(gate, up, gate);
    expect_fine();
    EXPECT_EQ(gate.bits(), expected);
  }
}

TEST_P(Rows, Argmax) {
  Guarded x(Type::f32, 100, 4), ids(Type::i32, 4);
  x.fill(random);
  x.f(17, 0) = x.f(60, 0) = 9;  // a tie
  x.f(99, 1) = 9;
  x.f(0, 2) = 9;
  for (int64_t i = 0; i < 100; ++i) x.f(i, 3) = -std::numeric_limits<float>::infinity();
  ops->argmax(x, ids);
  expect_fine();
  EXPECT_EQ(ids.i(0), 17);
  EXPECT_EQ(ids.i(1), 99);
  EXPECT_EQ(ids.i(2), 0);
  EXPECT_EQ(ids.i(3), 0);
  EXPECT_TRUE(ids.intact());
}

TEST_P(Rows, RotatesBothWays) {
  const int64_t n = 10, heads = 3, tokens = 4;
  Guarded frequency(Type::f32, n / 2), pos(Type::i32, tokens), table(Type::f32, n, tokens);
  pos.set({0, 1, 5000, 70000});
  for (int64_t i = 0; i < n / 2; ++i) frequency.f(i) = std::pow(10000.0f, -2.0f * i / n);
  ops->rope_table(pos, frequency, 1.25f, table);
  expect_fine();
  EXPECT_TRUE(table.intact());
  for (const RopeStyle style : {RopeStyle::interleaved, RopeStyle::halves}) {
    Guarded x(Type::f32, n + 3, heads, tokens);
    x.fill(random);
    const Tensor part = x.tensor().slice(0, 2, n);  // the rotated part inside a wider head
    Guarded y(Type::f32, n + 3, heads, tokens);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < n + 3; ++i) y.f(i, h, t) = x.f(i, h, t);
        for (int64_t i = 0; i < n / 2; ++i) {
          const int64_t a = 2 + (style == RopeStyle::interleaved ? 2 * i : i);
          const int64_t b = 2 + (style == RopeStyle::interleaved ? 2 * i + 1 : i + n / 2);
          const double angle = static_cast<float>(pos.i(t)) * frequency.f(i);  // in float32, as stated
          const double c = 1.25 * std::cos(angle), s = 1.25 * std::sin(angle);
          y.f(a, h, t) = x.f(a, h, t) * c - x.f(b, h, t) * s;
          y.f(b, h, t) = x.f(b, h, t) * c + x.f(a, h, t) * s;
        }
      }
    }
    ops->rope(part, table, style);
    expect_fine();
    EXPECT_TRUE(x.intact());
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < n + 3; ++i) ASSERT_NEAR(x.f(i, h, t), y.f(i, h, t), 2e-6) << i << " " << h << " " << t;
      }
    }
  }
}

TEST(SameBits, RowsOnEveryIsa) {
  std::mt19937 random(5);
  Guarded x(Type::f32, 203, 300), up(Type::f32, 203, 300);
  x.fill(random, 20), up.fill(random);
  x.f(3, 7) = std::nanf(""), x.f(4, 8) = std::numeric_limits<float>::infinity();
  const RandomWeight weight(Type::f32, 203, 1, 1, random);
  std::vector<uint32_t> expected;
  for (const Isa isa : available_isas()) {
    const auto ops = cpu_ops(isa, 2);
    Guarded y(Type::f32, 203, 300), z(Type::f32, 203, 300);
    ops->rms_norm(x, weight.upload(*ops), 1e-6f, y);
    ops->silu_mul(x, up, z);
    std::vector<uint32_t> bits = y.bits();
    for (const uint32_t b : z.bits()) bits.push_back(b);
    for (uint32_t& b : bits) {
      if (std::isnan(std::bit_cast<float>(b))) b = 0x7fc00000;  // any NaN is as good as another
    }
    if (expected.empty()) expected = bits;
    EXPECT_EQ(bits, expected) << ops->description();
  }
}

// ---- the door -----------------------------------------------------------------

class AtTheDoor : public OnEveryBackend {};
INSTANTIATE_ON_EVERY_BACKEND(AtTheDoor);

TEST_P(AtTheDoor, KeepsTheFirstRefusalAndTouchesNothing) {
  const RandomWeight w(Type::q4_0, 64, 40, 1, random), big(Type::f32, 2000, 2, 1, random);
  const Weight weight = w.upload(*ops);
  Guarded x(Type::f32, 64, 2), y(Type::f32, 40, 2), ids(Type::i32, 2);
  x.fill(random), y.fill(random), ids.set({0, 40});
  const std::vector<uint32_t> before = y.bits();
  const auto refused = [&](const char* what, const std::function<void()>& call) {
    SCOPED_TRACE(what);
    call();
    const Status status = ops->sync();
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find(what), std::string::npos) << status.error().message;
    EXPECT_EQ(y.bits(), before);
    EXPECT_TRUE(ops->sync());  // told once
  };
  refused("matmul", [&] { ops->matmul(weight, y, x); });
  refused("matmul", [&] { ops->matmul(weight, x, y.tensor().slice(1, 0, 1)); });
  refused("uploaded", [&] { ops->matmul(Weight(), x, y); });
  refused("plan()", [&] {
    Guarded wide(Type::f32, 2000, 2);
    ops->matmul(big.upload(*ops), wide, y.tensor().slice(0, 0, 2));
  });
  refused("plan()", [&] {
    Guarded many(Type::f32, 64, 601), out(Type::f32, 40, 601);
    ops->matmul(weight, many, out);
  });
  refused("rms_norm", [&] { ops->rms_norm(x, weight, 1e-6f, x); });
  refused("embed", [&] { ops->embed(weight, ids, x); });  // one id out of range: x's first row is written, y stays
  refused("add", [&] { ops->add(x, y); });
  refused("gather_rows", [&] {
    ops->gather_rows(x, x, y);
    ops->add(x, y);  // the second one is not what sync() tells
  });
  refused("rope", [&] { ops->rope(x, y, RopeStyle::halves); });
  refused("rope_table", [&] { ops->rope_table(ids, x, 1, y); });
  refused("moe_route", [&] { ops->moe_route({.experts_used = 99}, x, Tensor{}, ids, y); });
  refused("moe_ffn", [&] { ops->moe_ffn(weight, weight, weight, x, ids, y, y); });
  refused("argmax", [&] { ops->argmax(Tensor{}, ids); });
  refused("copy_out", [&] { ops->copy_out(nullptr, Tensor{.type = Type::f16}); });
}

TEST(Door, ChoosesAnInstructionSet) {
  EXPECT_FALSE(make_cpu_ops({.threads = -1}));
  EXPECT_EQ(isa_from_name("avx2"), Isa::avx2);
  EXPECT_FALSE(isa_from_name("sse9"));
  setenv("VITRINE_ISA", "portable", 1);
  const auto chosen = make_cpu_ops({.threads = 1});
  ASSERT_TRUE(chosen);
  EXPECT_EQ((*chosen)->description(), "cpu: portable, 1 thread");
  setenv("VITRINE_ISA", "sse9", 1);
  EXPECT_FALSE(make_cpu_ops());
  unsetenv("VITRINE_ISA");
}

TEST_P(AtTheDoor, UploadChecksHandMadeViews) {
  std::vector<uint8_t> bytes(18 * 4);
  TensorView view = *TensorView::make(Type::q4_0, {64, 2}, bytes);
  EXPECT_TRUE(ops->upload(view));
  view.ne[1] = 3;
  EXPECT_FALSE(ops->upload(view));
  view.ne[1] = ~0ull;
  EXPECT_FALSE(ops->upload(view));
  view = *TensorView::make(Type::q4_0, {64, 2}, bytes);
  view.first_row = ~0ull - 1;
  EXPECT_FALSE(ops->upload(view));
  EXPECT_FALSE(ops->upload(std::span<const TensorView>()));
  EXPECT_FALSE(ops->alloc(~0ull));
  EXPECT_FALSE(ops->plan({.tokens = -1}));
  EXPECT_FALSE(ops->plan({.tokens = int64_t{1} << 30, .widest_input = int64_t{1} << 30}));
}

TEST_P(AtTheDoor, CopiesStridedTensors) {
  Guarded x(Type::f32, 3, 2, 2);
  const std::vector<float> from = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<float> to(12);
  ops->copy_in(x, from.data());
  expect_fine();
  EXPECT_TRUE(x.intact());
  EXPECT_EQ(x.f(2, 1, 1), 12);
  ops->copy_out(to.data(), x);
  expect_fine();
  EXPECT_EQ(to, from);
}

}  // namespace
}  // namespace vitrine::test
