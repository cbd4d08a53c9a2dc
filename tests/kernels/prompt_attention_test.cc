// Attention in steps of many tokens, where the CUDA backend rounds queries and weights.
#include "tests/kernels/judge.h"
#include "tests/kernels/scene.h"

namespace vitrine::test {
namespace {

// To the significant bits of a cache's type.
double rounded(Type type, double v) {
  const int bits = type == Type::f16 ? 11 : 8;
  int exponent = 0;
  const double mantissa = std::frexp(v, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits);
}
double stored(Type type, float v) {
  return type == Type::f16 ? f16_to_f32(f32_to_f16(v)) : bf16_to_f32(f32_to_bf16(v));
}

struct Piece {
  int32_t sequence;  // -1: padding
  int64_t begin, end;
};

struct Case {
  KvShape shape;
  int64_t heads;
  std::vector<Piece> step;  // all of a sequence before a piece has been stored
  int64_t window = 0;
  float queries = 1;  // their size
};

// A step, its cache and what it gives.
struct Step {
  Step(Ops& ops, const Case& c, std::mt19937& random)
      : shape(c.shape), mla(c.shape.kind == KvShape::Kind::mla), lengths(sequences(c)), scene(ops, shape, lengths, 5) {
    for (const Piece& piece : c.step) {
      for (int64_t p = piece.begin; p < piece.end; ++p) seq.push_back(piece.sequence), pos.push_back(p);
    }
    const auto tokens = static_cast<int64_t>(seq.size());
    for (const int64_t n : lengths) {
      k.emplace_back(Type::f32, mla ? shape.k_dim - shape.v_dim : shape.k_dim, shape.kv_heads, n).fill(random);
      v.emplace_back(Type::f32, shape.v_dim, shape.kv_heads, n).fill(random);
    }
    q.emplace_back(Type::f32, mla ? shape.v_dim : shape.k_dim, c.heads, tokens).fill(random, c.queries);
    turned.emplace_back(Type::f32, mla ? shape.k_dim - shape.v_dim : 1, c.heads, tokens).fill(random, c.queries);
    y.emplace_back(Type::f32, shape.v_dim, c.heads, tokens);
    params = {.scale = 1.5f / std::sqrt(static_cast<float>(shape.k_dim)) / c.queries, .window = c.window};
  }
  static std::vector<int64_t> sequences(const Case& c) {
    std::vector<int64_t> out;
    for (const Piece& piece : c.step) {
      if (piece.sequence < 0) continue;
      if (out.size() <= static_cast<size_t>(piece.sequence)) out.resize(static_cast<size_t>(piece.sequence) + 1);
      out[static_cast<size_t>(piece.sequence)] = std::max(out[static_cast<size_t>(piece.sequence)], piece.end);
    }
    return out;
  }

  void store(Ops& ops) {
    const auto flat = [](Guarded& g) {
      const Tensor& t = g.tensor();
      return Tensor{t.type, t.data, {t.ne[0], t.ne[2], 1}, {1, t.stride[2], 0}};
    };
    for (size_t s = 0; s < lengths.size(); ++s) {
      const Batch batch = scene.batch(static_cast<int64_t>(s), 0, lengths[s]);
      if (mla) {
        ops.mla_store(scene.cache, batch, flat(v[s]), flat(k[s]));
      } else {
        ops.kv_store(scene.cache, batch, k[s], v[s]);
      }
      ASSERT_TRUE(ops.sync());
    }
  }
  Status attend(Ops& ops) {
    scene.seq.assign(seq.begin(), seq.end());
    scene.pos.assign(pos.begin(), pos.end());
    if (mla) {
      ops.mla_attention(params, q[0], turned[0], scene.cache, scene.whole_batch(), y[0]);
    } else {
      ops.attention(params, q[0], scene.cache, scene.whole_batch(), y[0]);
    }
    EXPECT_TRUE(q[0].intact() && turned[0].intact() && y[0].intact());
    return ops.sync();
  }

  // With queries rounded like the kernel's, what is left is the rounding of weights to the cache's type: half a unit in
  // their last place of every term; and float32.
  void expect_near(size_t token) {
    const int64_t heads = q[0].tensor().ne[1], t = static_cast<int64_t>(token);
    if (seq[token] < 0) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < shape.v_dim; ++i) ASSERT_EQ(y[0].f(i, h, t), 0.0f) << "padding " << t;
      }
      return;
    }
    Guarded &keys = k[static_cast<size_t>(seq[token])], &values = v[static_cast<size_t>(seq[token])];
    const auto end = static_cast<size_t>(pos[token]) + 1, window = static_cast<size_t>(params.window);
    const size_t begin = window > 0 && window < end ? end - window : 0;
    const double unit = shape.type == Type::f16 ? 0x1p-11 : 0x1p-8;
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t kv = h / (heads / shape.kv_heads);
      std::vector<Row> key_rows(end), value_rows(end), sizes(end);
      for (size_t p = begin; p < end; ++p) {
        const auto at = static_cast<int64_t>(p);
        for (int64_t i = 0; i < shape.v_dim; ++i) value_rows[p].push_back(stored(shape.type, values.f(i, kv, at)));
        if (mla) key_rows[p] = value_rows[p];
        for (int64_t i = 0; i < keys.tensor().ne[0]; ++i) key_rows[p].push_back(stored(shape.type, keys.f(i, kv, at)));
        for (const double value : value_rows[p]) sizes[p].push_back(std::fabs(value));
      }
      Row query;
      for (int64_t i = 0; i < q[0].tensor().ne[0]; ++i) query.push_back(rounded(shape.type, q[0].f(i, h, t)));
      for (int64_t i = 0; mla && i < turned[0].tensor().ne[0]; ++i)
        query.push_back(rounded(shape.type, turned[0].f(i, h, t)));
      const Row expected = test::attend(query, key_rows, value_rows, begin, end, params.scale);
      const Row size = test::attend(query, key_rows, sizes, begin, end, params.scale);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(y[0].f(static_cast<int64_t>(i), h, t), expected[i], unit * size[i] + 2e-5)
            << "token " << t << " of " << seq[token] << " at " << pos[token] << ", head " << h << ", " << i;
      }
    }
  }

  KvShape shape;
  bool mla;
  std::vector<int64_t> lengths;
  Scene scene;
  AttentionParams params;
  std::vector<int32_t> seq, pos;
  std::vector<Guarded> k, v;          // of a sequence
  std::vector<Guarded> q, turned, y;  // one of each
};

KvShape gqa(Type type, int64_t k_dim, int64_t v_dim, int64_t kv_heads, int64_t page = 16) {
  return {.type = type, .page_tokens = page, .kv_heads = kv_heads, .k_dim = k_dim, .v_dim = v_dim};
}
KvShape latents(Type type, int64_t latent, int64_t rope) {
  return {.kind = KvShape::Kind::mla, .type = type, .k_dim = latent + rope, .v_dim = latent};
}

class PromptAttention : public OnEveryBackend {
 protected:
  void SetUp() override {
    if (is_cpu(GetParam())) GTEST_SKIP() << "the CPU has one way for every number of tokens";
    OnEveryBackend::SetUp();
  }
};
INSTANTIATE_ON_EVERY_BACKEND(PromptAttention);

TEST_P(PromptAttention, AgainstTheJudge) {
  const std::vector<Case> cases = {
      {gqa(Type::f16, 128, 128, 2), 2, {{0, 0, 133}}},                                           // a head to a key
      {gqa(Type::f16, 64, 64, 2, 64), 8, {{0, 0, 67}}},                                          // 4
      {gqa(Type::bf16, 128, 128, 2, 32), 12, {{0, 50, 121}}, 21},                                // 6
      {gqa(Type::f16, 128, 128, 1), 8, {{1, 40, 75}, {0, 0, 43}, {-1, 0, 1}, {2, 3, 20}}},       // 8
      {gqa(Type::bf16, 80, 48, 1), 16, {{0, 7, 40}, {2, 90, 91}, {1, 0, 35}, {0, 40, 41}}, 33},  // 16
      {gqa(Type::f16, 72, 100, 2, 32), 40, {{0, 0, 66}}, 5},                                     // 20
      {gqa(Type::bf16, 7, 5, 1), 64, {{1, 0, 3}, {0, 20, 84}, {-1, 0, 3}}},                      // 64
      {gqa(Type::f16, 256, 200, 1), 2, {{0, 0, 40}, {1, 30, 70}}},
      {gqa(Type::f16, 64, 64, 1), 4, {{0, 0, 70}}, 0, 1e6f},  // queries beyond f16
      {latents(Type::f16, 512, 64), 16, {{0, 0, 30}, {1, 20, 55}}},
      {latents(Type::bf16, 100, 20), 20, {{0, 33, 99}}, 40},
      {latents(Type::f16, 32, 8), 4, {{2, 0, 20}, {1, 5, 6}, {0, 0, 45}, {-1, 0, 2}}},
  };
  for (size_t n = 0; n < cases.size(); ++n) {
    SCOPED_TRACE(n);
    Step step(*ops, cases[n], random);
    step.store(*ops);
    const Status status = step.attend(*ops);
    ASSERT_TRUE(status) << status.error().message;
    for (size_t t = n % 3; t < step.seq.size(); t += 3) step.expect_near(t);  // the judge is slow
  }
}

// Runs of a few tokens go the way of steps of a few tokens.
TEST_P(PromptAttention, ShortRunsAreNotRounded) {
  for (const KvShape& shape : {gqa(Type::f16, 64, 64, 2), gqa(Type::bf16, 64, 48, 4), latents(Type::f16, 64, 32)}) {
    const int64_t heads = 8, needed = 64 / (heads / shape.kv_heads);  // a block's rows
    const Case c = {shape, heads, {{0, 30, 31}, {1, 40, 39 + needed}, {2, 3, 3 + needed}, {-1, 0, 1}, {3, 1, 70}}};
    const auto bits = [&](Ops& on) {
      std::mt19937 same(11);
      Step step(on, c, same);
      step.store(on);
      EXPECT_TRUE(step.attend(on));
      return step.y[0].bits();
    };
    const auto single = ops_of(GetParam(), /*deterministic=*/true);
    const std::vector<uint32_t> found = bits(*ops), expected = bits(*single);
    const auto width = static_cast<size_t>(heads * shape.v_dim);
    size_t at = 0;
    for (const Piece& piece : c.step) {
      for (int64_t p = piece.begin; p < piece.end; ++p, at += width) {
        const bool same = std::equal(found.begin() + at, found.begin() + at + width, expected.begin() + at);
        EXPECT_EQ(same, piece.sequence < 2) << "position " << p << " of " << piece.sequence;
      }
    }
  }
}

// A warp that is early or late changes nothing.
TEST(SameBits, PromptAttentionInAnyOrderOfThreads) {
  for (const KvShape& shape : {gqa(Type::bf16, 128, 128, 1), latents(Type::f16, 512, 64)}) {
    std::vector<uint32_t> expected;
    for (const bool from_last : {false, true}) {
      cuda_emulated::emulated::start_from_last(from_last);
      const auto ops = ops_of(Backend::emulated);
      std::mt19937 random(3);
      Step step(*ops, {shape, 4, {{0, 60, 110}, {1, 0, 30}}}, random);
      step.store(*ops);
      EXPECT_TRUE(step.attend(*ops));
      if (expected.empty()) expected = step.y[0].bits();
      EXPECT_EQ(step.y[0].bits(), expected);
    }
    cuda_emulated::emulated::start_from_last(false);
  }
}

// Tokens of one sequence do not see what is not finite in another one, in whatever block they are.
TEST_P(PromptAttention, WhatIsNotFiniteStaysInItsSequence) {
  for (const KvShape& shape : {gqa(Type::f16, 64, 64, 1), latents(Type::bf16, 64, 64)}) {
    Step step(*ops, {shape, 2, {{0, 0, 34}, {1, 0, 33}, {2, 0, 35}}}, random);
    for (int64_t p = 0; p < 33; ++p) step.v[1].f(3, 0, p) = p % 2 ? INFINITY : std::nanf("");
    step.store(*ops);
    ASSERT_TRUE(step.attend(*ops));
    for (size_t t = 0; t < step.seq.size(); ++t) {
      if (step.seq[t] != 1) step.expect_near(t);
    }
    for (int64_t t = 34; t < 67; ++t) ASSERT_TRUE(std::isnan(step.y[0].f(3, 1, t))) << t;
  }
}

TEST_P(PromptAttention, RefusesWhatDoesNotFit) {
  for (const bool company : {false, true}) {
    Case c = {gqa(Type::f16, 64, 64, 2), 8, {{0, 0, 75}}};
    if (company) c.step.push_back({1, 3, 20});
    Step step(*ops, c, random);
    step.store(*ops);
    const auto refused = [&](int32_t& where, int32_t what) {
      const int32_t before = std::exchange(where, what);
      EXPECT_FALSE(step.attend(*ops)) << what;
      where = before;
    };
    for (const size_t token : {0, 30, 74}) {
      refused(step.seq[token], token == 0 ? -2 : 2);
      refused(step.pos[token], token == 0 ? -1 : token == 30 ? 80 : company ? INT32_MAX : INT32_MIN);
    }
    for (const size_t block : {0, 4}) refused(step.scene.table[block], block == 0 ? -1 : 1000);
    EXPECT_TRUE(step.attend(*ops));
    for (size_t t = 0; t < step.seq.size(); ++t) step.expect_near(t);
  }
}

}  // namespace
}  // namespace vitrine::test
