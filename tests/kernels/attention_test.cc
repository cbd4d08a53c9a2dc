// The paged cache and attention over it.
#include <functional>

#include "tests/kernels/judge.h"
#include "tests/kernels/scene.h"

namespace vitrine::test {
namespace {

double as_cached(Type type, float v) {
  if (type == Type::f16) return f16_to_f32(f32_to_f16(v));
  if (type == Type::bf16) return bf16_to_f32(f32_to_bf16(v));
  return v;
}

class Attention : public OnEveryBackend {};
INSTANTIATE_ON_EVERY_BACKEND(Attention);

// A token in any step, however many are with it.
class SingleAttention : public Attention {
 protected:
  void SetUp() override {
    Attention::SetUp();
    if (ops) ops = ops_of(GetParam(), /*deterministic=*/true);
  }
};
INSTANTIATE_ON_EVERY_BACKEND(SingleAttention);

TEST_P(SingleAttention, GroupedQueriesAgainstTheJudge) {
  struct Case {
    int64_t k_dim, v_dim, heads, kv_heads, length, window, page;
    Type type;
  };
  for (const Case& c : {Case{64, 64, 4, 2, 37, 0, 16, Type::f32}, Case{16, 16, 1, 1, 1, 0, 16, Type::f32},
                        Case{24, 8, 3, 3, 50, 0, 32, Type::f16}, Case{128, 128, 8, 1, 70, 0, 64, Type::bf16},
                        Case{7, 5, 6, 2, 40, 9, 16, Type::f32}, Case{64, 64, 5, 5, 130, 33, 16, Type::f16},
                        Case{192, 128, 16, 16, 20, 0, 16, Type::f32}, Case{128, 128, 16, 1, 100, 33, 16, Type::f16},
                        Case{80, 128, 34, 2, 70, 0, 32, Type::bf16}, Case{64, 64, 8, 2, 50, 0, 16, Type::f16},
                        Case{128, 128, 6, 1, 40, 0, 32, Type::f16}, Case{48, 64, 20, 4, 70, 21, 16, Type::bf16},
                        Case{128, 128, 15, 1, 35, 0, 16, Type::bf16}, Case{64, 64, 20, 1, 35, 0, 16, Type::f16}}) {
    SCOPED_TRACE(std::to_string(c.k_dim) + " " + std::to_string(c.heads) + "/" + std::to_string(c.kv_heads) + " " +
                 std::to_string(c.length));
    Scene scene(*ops,
                {.type = c.type, .page_tokens = c.page, .kv_heads = c.kv_heads, .k_dim = c.k_dim, .v_dim = c.v_dim},
                {5, c.length}, 5);
    Guarded q(Type::f32, c.k_dim, c.heads, c.length), k(Type::f32, c.k_dim, c.kv_heads, c.length),
        v(Type::f32, c.v_dim, c.kv_heads, c.length), y(Type::f32, c.v_dim, c.heads, c.length);
    q.fill(random, 2), k.fill(random), v.fill(random);
    const Batch batch = scene.batch(1, 0, c.length);
    const AttentionParams params{.scale = 0.3f, .window = c.window};
    ops->kv_store(scene.cache, batch, k, v);
    ops->attention(params, q, scene.cache, batch, y);
    expect_fine();
    EXPECT_TRUE(q.intact() && k.intact() && v.intact() && y.intact());
    for (int64_t h = 0; h < c.heads; ++h) {
      const int64_t kv = h / (c.heads / c.kv_heads);
      std::vector<Row> keys, values;
      for (int64_t p = 0; p < c.length; ++p) {
        keys.emplace_back(), values.emplace_back();
        for (int64_t i = 0; i < c.k_dim; ++i) keys.back().push_back(as_cached(c.type, k.f(i, kv, p)));
        for (int64_t i = 0; i < c.v_dim; ++i) values.back().push_back(as_cached(c.type, v.f(i, kv, p)));
      }
      for (int64_t p = 0; p < c.length; ++p) {
        Row query;
        for (int64_t i = 0; i < c.k_dim; ++i) query.push_back(q.f(i, h, p));
        const int64_t begin = c.window > 0 ? std::max<int64_t>(0, p + 1 - c.window) : 0;
        const Row expected = attend(query, keys, values, begin, p + 1, params.scale);
        for (int64_t i = 0; i < c.v_dim; ++i) ASSERT_NEAR(y.f(i, h, p), expected[i], 2e-5) << h << " " << p << " " << i;
      }
    }
  }
}

TEST_P(SingleAttention, LatentsAgainstTheJudge) {
  struct Case {
    int64_t v_dim, rope, heads, length;
    Type type;
  };
  for (const Case& c : {Case{512, 64, 16, 45, Type::f16}, Case{32, 8, 4, 33, Type::f32}, Case{20, 6, 3, 18, Type::bf16},
                        Case{512, 64, 20, 40, Type::bf16}, Case{64, 32, 5, 70, Type::f16},
                        Case{128, 16, 33, 70, Type::f16}, Case{256, 32, 16, 70, Type::bf16}}) {
    SCOPED_TRACE(c.v_dim);
    Scene scene(*ops, {.kind = KvShape::Kind::mla, .type = c.type, .k_dim = c.v_dim + c.rope, .v_dim = c.v_dim},
                {c.length}, 6);
    Guarded q(Type::f32, c.v_dim, c.heads, c.length), qr(Type::f32, c.rope, c.heads, c.length),
        latent(Type::f32, c.v_dim, c.length), rope(Type::f32, c.rope, c.length),
        y(Type::f32, c.v_dim, c.heads, c.length);
    q.fill(random), qr.fill(random), latent.fill(random), rope.fill(random);
    const Batch batch = scene.batch(0, 0, c.length);
    ops->mla_store(scene.cache, batch, latent, rope);
    ops->mla_attention({.scale = 0.1f}, q, qr, scene.cache, batch, y);
    expect_fine();
    EXPECT_TRUE(q.intact() && qr.intact() && latent.intact() && rope.intact() && y.intact());
    std::vector<Row> keys, values;
    for (int64_t p = 0; p < c.length; ++p) {
      values.emplace_back();
      for (int64_t i = 0; i < c.v_dim; ++i) values.back().push_back(as_cached(c.type, latent.f(i, p)));
      keys.push_back(values.back());
      for (int64_t i = 0; i < c.rope; ++i) keys.back().push_back(as_cached(c.type, rope.f(i, p)));
    }
    for (int64_t h = 0; h < c.heads; ++h) {
      for (int64_t p = 0; p < c.length; ++p) {
        Row query;
        for (int64_t i = 0; i < c.v_dim; ++i) query.push_back(q.f(i, h, p));
        for (int64_t i = 0; i < c.rope; ++i) query.push_back(qr.f(i, h, p));
        const Row expected = attend(query, keys, values, 0, p + 1, 0.1f);
        for (int64_t i = 0; i < c.v_dim; ++i) ASSERT_NEAR(y.f(i, h, p), expected[i], 3e-5);
      }
    }
  }
}

// The bits of a token do not depend on chunks, company, pages, instruction set or threads.
TEST(SameBits, AttentionInAnyChunksAndCompany) {
  for (const SameBitsGroup& group : same_bits_groups())
    // On CUDA cores (keys that are no whole tiles of a matrix instruction), grouped queries and MLA on matrix
    // instructions.
    for (const auto& kind : {std::pair<bool, int64_t>{false, 8}, {false, 16}, {true, 16}}) {
      const bool mla = kind.first;
      const int64_t rope = kind.second;
      SCOPED_TRACE(group.name + (mla ? " mla " : " ") + std::to_string(rope));
      std::vector<uint32_t> expected;
      const int64_t heads = mla ? 18 : 8, length = 75, v_dim = mla ? 128 : 64, k_dim = v_dim + rope;
      const KvShape shape{.kind = mla ? KvShape::Kind::mla : KvShape::Kind::gqa,
                          .type = Type::f16,
                          .kv_heads = mla ? 1 : 2,
                          .k_dim = k_dim,
                          .v_dim = v_dim};
      std::mt19937 random(21);
      Guarded q(Type::f32, mla ? v_dim : k_dim, heads, length), qr(Type::f32, rope, heads, length),
          k(Type::f32, mla ? rope : k_dim, shape.kv_heads, length), v(Type::f32, v_dim, shape.kv_heads, length);
      q.fill(random), qr.fill(random), k.fill(random), v.fill(random);
      {
        for (const auto& make : group.members) {
          const auto ops = make();
          SCOPED_TRACE(ops->description());
          const auto step = [&](Scene& scene, const Batch& batch, int64_t from, int64_t count, const Tensor& y) {
            const auto part = [&](Guarded& g) { return g.tensor().slice(2, from, count); };
            const auto flat = [&](Guarded& g) {
              Tensor t = part(g);
              return Tensor{t.type, t.data, {t.ne[0], t.ne[2], 1}, {1, t.stride[2], 0}};
            };
            if (mla) {
              ops->mla_store(scene.cache, batch, flat(v), flat(k));
              ops->mla_attention({.scale = 0.2f}, part(q), part(qr), scene.cache, batch, y);
            } else {
              ops->kv_store(scene.cache, batch, part(k), part(v));
              ops->attention({.scale = 0.2f, .window = 40}, part(q), scene.cache, batch, y);
            }
            EXPECT_TRUE(ops->sync());
          };
          for (const int64_t chunk : {length, int64_t{1}, int64_t{13}, int64_t{32}}) {
            for (const int64_t page : {chunk == 32 ? 64 : 16}) {
              KvShape paged = shape;
              paged.page_tokens = page;
              Scene scene(*ops, paged, {length}, static_cast<uint32_t>(chunk));
              Guarded y(Type::f32, v_dim, heads, length);
              for (int64_t p = 0; p < length; p += chunk) {
                const int64_t n = std::min(chunk, length - p);
                step(scene, scene.batch(0, p, p + n), p, n, y.tensor().slice(2, p, n));
              }
              EXPECT_TRUE(ops->sync());
              if (expected.empty()) expected = y.bits();
              EXPECT_EQ(y.bits(), expected) << "chunk " << chunk << " page " << page;
            }
          }
          // The last token again, between tokens of other sequences and padding.
          Scene scene(*ops, shape, {length, length, 3}, 99);
          Guarded y(Type::f32, v_dim, heads, length);
          step(scene, scene.batch(1, 0, length), 0, length, y);
          scene.seq = {-1, 0, 1, 2, -1};
          scene.pos = {0, 0, static_cast<int32_t>(length - 1), 0, 0};
          Guarded q5(Type::f32, q.tensor().ne[0], heads, 5), qr5(Type::f32, rope, heads, 5),
              k5(Type::f32, k.tensor().ne[0], shape.kv_heads, 5), v5(Type::f32, v_dim, shape.kv_heads, 5),
              y5(Type::f32, v_dim, heads, 5);
          q5.fill(random), qr5.fill(random), k5.fill(random), v5.fill(random);
          const auto copy_last = [&](Guarded& to, Guarded& from) {
            for (int64_t h = 0; h < to.tensor().ne[1]; ++h) {
              for (int64_t i = 0; i < to.tensor().ne[0]; ++i) to.f(i, h, 2) = from.f(i, h, length - 1);
            }
          };
          copy_last(q5, q), copy_last(qr5, qr), copy_last(k5, k), copy_last(v5, v);
          const auto flat = [](const Tensor& t) {
            return Tensor{t.type, t.data, {t.ne[0], t.ne[2], 1}, {1, t.stride[2], 0}};
          };
          const Batch batch = scene.whole_batch();
          if (mla) {
            ops->mla_store(scene.cache, batch, flat(v5), flat(k5));
            ops->mla_attention({.scale = 0.2f}, q5, qr5, scene.cache, batch, y5);
          } else {
            ops->kv_store(scene.cache, batch, k5, v5);
            ops->attention({.scale = 0.2f, .window = 40}, q5, scene.cache, batch, y5);
          }
          EXPECT_TRUE(ops->sync());
          EXPECT_TRUE(y5.intact());
          const std::vector<uint32_t> bits = y5.bits();
          EXPECT_TRUE(std::equal(bits.begin() + 2 * v_dim * heads, bits.begin() + 3 * v_dim * heads,
                                 expected.begin() + (length - 1) * v_dim * heads));
          for (int64_t i = 0; i < v_dim * heads; ++i) ASSERT_EQ(bits[i], 0u);  // padding gives zeros
        }
      }
    }
}

TEST_P(Attention, CopiesPages) {
  Scene scene(*ops, {.k_dim = 16, .v_dim = 16}, {16}, 1);
  Guarded k(Type::f32, 16, 1, 16), v(Type::f32, 16, 1, 16), y(Type::f32, 16, 1, 16), z(Type::f32, 16, 1, 16);
  k.fill(random), v.fill(random);
  const Batch batch = scene.batch(0, 0, 16);
  ops->kv_store(scene.cache, batch, k, v);
  ops->attention({}, k, scene.cache, batch, y);
  const int32_t other = scene.table[0] == 0 ? 1 : 0;
  ops->kv_copy_page(scene.cache, scene.table[0], other);
  expect_fine();
  scene.table[0] = other;
  ops->attention({}, k, scene.cache, batch, z);
  expect_fine();
  EXPECT_EQ(y.bits(), z.bits());
}

TEST_P(Attention, RefusesWhatDoesNotFit) {
  Scene scene(*ops, {.k_dim = 16, .v_dim = 16}, {20}, 1);
  Guarded q(Type::f32, 16, 2, 1), k(Type::f32, 16, 1, 1), y(Type::f32, 16, 2, 1);
  q.fill(random), k.fill(random), y.fill(random);
  const std::vector<uint32_t> before = y.bits();
  const auto refused = [&](const std::function<void()>& call) {
    call();
    EXPECT_FALSE(ops->sync());
    EXPECT_EQ(y.bits(), before);
  };
  scene.batch(0, 0, 1);
  for (const auto& [seq, pos] : {std::pair{1, 0}, {-2, 0}, {0, 32}, {0, -1}}) {
    scene.seq = {seq}, scene.pos = {pos};
    refused([&] { ops->attention({}, q, scene.cache, scene.whole_batch(), y); });
    refused([&] { ops->kv_store(scene.cache, scene.whole_batch(), k, k); });
  }
  scene.seq = {0}, scene.pos = {0};
  refused([&] { ops->attention({}, k, scene.cache, scene.whole_batch(), y); });  // heads differ
  refused([&] { ops->kv_copy_page(scene.cache, 0, 99); });
  scene.table[0] = 99;  // no such page
  refused([&] { ops->attention({}, q, scene.cache, scene.whole_batch(), y); });
  EXPECT_FALSE(ops->alloc_kv({.type = Type::q8_0, .pages = 1, .k_dim = 32, .v_dim = 32}));
  EXPECT_FALSE(ops->alloc_kv({.pages = 1, .page_tokens = 24, .k_dim = 32, .v_dim = 32}));
  EXPECT_FALSE(ops->alloc_kv(
      {.pages = int64_t{1} << 31, .page_tokens = 256, .kv_heads = 1 << 20, .k_dim = 1 << 20, .v_dim = 1 << 20}));
}

}  // namespace
}  // namespace vitrine::test
