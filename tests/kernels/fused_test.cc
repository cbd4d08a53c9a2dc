// Operators that do at once what others do one after the other, and rows that are
// prepared for their readers by whoever writes them: the same bits either way.
#include "tests/kernels/scene.h"

namespace vitrine::test {
namespace {

// Formats with each way of preparing rows: factors per 32 and per 256, terms, plain floats.
constexpr Type kReaders[] = {Type::q8_0, Type::q4_k, Type::bf16, Type::f8_e4m3, Type::f16};

class Fused : public OnEveryBackend {
 protected:
  // What `compute` leaves in its outputs with and without the announcement that `announce` makes.
  void same(const std::function<void()>& announce, const std::function<void()>& compute, Guarded& y) {
    compute();
    expect_fine();
    const std::vector<uint32_t> plain = y.bits();
    for (int time = 0; time < 2; ++time) {  // counters and workspaces are as before
      announce();
      compute();
      expect_fine();
      EXPECT_EQ(y.bits(), plain) << time;
      EXPECT_TRUE(y.intact());
    }
    compute();  // and nothing of it stays
    expect_fine();
    EXPECT_EQ(y.bits(), plain);
  }
};
INSTANTIATE_ON_EVERY_BACKEND(Fused);

TEST_P(Fused, NormsPrepareForProducts) {
  for (const Type type : kReaders) {
    for (const int64_t tokens : {1, 3, 9}) {
      SCOPED_TRACE(std::string(type_name(type)) + " " + std::to_string(tokens));
      const int64_t n = 768;
      const RandomWeight norm(Type::f32, n, 1, 1, random), a(type, n, 33, 1, random), b(Type::q8_0, n, 20, 1, random);
      const Weight w_norm = norm.upload(*ops), w_a = a.upload(*ops), w_b = b.upload(*ops);
      Guarded x(Type::f32, n, tokens), delta(Type::f32, n, tokens), h(Type::f32, n, tokens), y(Type::f32, 33, tokens),
          z(Type::f32, 20, tokens);
      x.fill(random), delta.fill(random, 0);
      const Weight* const readers[] = {&w_a, &w_b};
      const auto compute = [&] {
        ops->add_rms_norm(x, delta, w_norm, 1e-5f, h);
        const Ops::Product products[] = {{&w_a, y}, {&w_b, z}};
        ops->matmul(products, h);
      };
      same([&] { ops->prepare_for(h, readers); }, compute, y);
      same([&] { ops->prepare_for(h, readers); }, compute, z);
      x.f(5, 0) = std::nanf("");  // and what is not finite
      x.f(300, tokens - 1) = INFINITY;
      compute();
      expect_fine();
      for (int64_t r = 0; r < 33; ++r) EXPECT_TRUE(std::isnan(y.f(r, 0)));
    }
  }
}

// Rows of other sizes than were announced, or of another place, are not what was meant.
TEST_P(Fused, OnlyTheAnnouncedRowsAreTakenForIt) {
  const int64_t n = 256;
  const RandomWeight norm(Type::f32, n, 1, 1, random), a(Type::q8_0, n, 16, 1, random);
  const Weight w_norm = norm.upload(*ops), w_a = a.upload(*ops);
  Guarded x(Type::f32, n, 4), h(Type::f32, n, 4), other(Type::f32, n, 4), y(Type::f32, 16, 4), z(Type::f32, 16, 4);
  x.fill(random), other.fill(random);
  ops->matmul(w_a, other, z);
  expect_fine();
  const std::vector<uint32_t> wanted = z.bits();
  ops->prepare_for(h, w_a);
  ops->rms_norm(x, w_norm, 1e-5f, h);
  ops->matmul(w_a, other, z);  // in between: takes the workspace
  ops->matmul(w_a, h, y);
  expect_fine();
  EXPECT_EQ(z.bits(), wanted);
  const std::vector<uint32_t> between = y.bits();
  ops->matmul(w_a, h, y);
  expect_fine();
  EXPECT_EQ(y.bits(), between);
}

TEST_P(Fused, AttentionPreparesForTheOutputProduct) {
  for (const Type type : kReaders) {
    for (const auto& shape : {std::array<int64_t, 3>{128, 6, 2}, {64, 4, 4}, {96, 8, 2}, {256, 1, 1}}) {
      const int64_t v_dim = shape[0], heads = shape[1], kv_heads = shape[2];
      SCOPED_TRACE(std::string(type_name(type)) + " " + std::to_string(v_dim));
      Scene scene(*ops, {.type = Type::f16, .kv_heads = kv_heads, .k_dim = v_dim, .v_dim = v_dim}, {70}, 3);
      Guarded k(Type::f32, v_dim, kv_heads, 70, 0), v(Type::f32, v_dim, kv_heads, 70, 0);
      ops->kv_store(scene.cache, scene.batch(0, 0, 70), k.fill(random), v.fill(random));
      expect_fine();
      SharedNumbers<int32_t> seq{0, -1, 0}, pos{69, 0, 40};
      const Batch batch = {Tensor::i32(seq.data(), 3), Tensor::i32(pos.data(), 3), scene.block_table};
      const RandomWeight w(type, v_dim * heads, 20, 1, random);
      const Weight output = w.upload(*ops);
      Guarded q(Type::f32, v_dim, heads, 3), attended(Type::f32, v_dim * heads, 3, 1, 0), y(Type::f32, 20, 3);
      q.fill(random);
      same([&] { ops->prepare_for(attended, output); },
           [&] {
             ops->attention({.scale = 0.1f}, q, scene.cache, batch, attended.tensor().heads(heads));
             ops->matmul(output, attended, y);
           },
           y);
    }
  }
}

// MLA from the queries to the output: rotation, three products, attention.
TEST_P(Fused, LatentAttentionPreparesForAllItsProducts) {
  for (const Type type : {Type::bf16, Type::q8_0, Type::q4_k}) {
    SCOPED_TRACE(type_name(type));
    const int64_t nope = type == Type::q4_k ? 256 : 64, turned = 16, latent = 256, v_head = 48, heads = 16, T = 3;
    Scene scene(*ops, {.kind = KvShape::Kind::mla, .type = Type::bf16, .k_dim = latent + turned, .v_dim = latent}, {90},
                5);
    Guarded c(Type::f32, latent, 90), r(Type::f32, turned, 90);
    ops->mla_store(scene.cache, scene.batch(0, 0, 90), c.fill(random), r.fill(random));
    expect_fine();
    SharedNumbers<int32_t> seq{0, 0, -1}, pos{88, 89, 0};
    const Batch batch = {Tensor::i32(seq.data(), T), Tensor::i32(pos.data(), T), scene.block_table};
    const RandomWeight up_k(type, nope, latent, heads, random), up_v(type, latent, v_head, heads, random),
        out(type, v_head * heads, 40, 1, random), norm(Type::bf16, latent, 1, 1, random);
    const Weight w_k = up_k.upload(*ops), w_v = up_v.upload(*ops), w_out = out.upload(*ops), w_norm = norm.upload(*ops);
    Guarded q(Type::f32, nope + turned, heads, T), new_latent(Type::f32, latent, T), new_rope(Type::f32, turned, T),
        angles(Type::f32, turned, T), q_latent(Type::f32, latent, heads, T, 0), sums(Type::f32, latent, heads, T, 0),
        attended(Type::f32, v_head * heads, T, 1, 0), y(Type::f32, 40, T);
    q.fill(random), new_latent.fill(random), new_rope.fill(random), angles.fill(random);
    const std::vector<uint32_t> q_before = q.bits();
    const Tensor q_nope = q.tensor().slice(0, 0, nope), q_rope = q.tensor().slice(0, nope, turned);
    for (const RopeStyle style : {RopeStyle::interleaved, RopeStyle::halves}) {
      const LatentParams params = {&w_norm, 1e-6f, style};
      const auto run = [&](bool announced, bool fused) {
        q.set(std::vector<int32_t>(q_before.begin(), q_before.end()));
        Guarded latent_rows(Type::f32, latent, T), rope_rows(Type::f32, turned, T);
        std::vector<uint32_t> l = new_latent.bits(), p = new_rope.bits();
        latent_rows.set(std::vector<int32_t>(l.begin(), l.end()));
        rope_rows.set(std::vector<int32_t>(p.begin(), p.end()));
        if (announced) ops->prepare_for(q_nope, w_k);
        if (fused) {
          ops->mla_rope_store(scene.cache, batch, params, angles, q, latent_rows, rope_rows);
        } else {
          ops->Ops::mla_rope_store(scene.cache, batch, params, angles, q, latent_rows, rope_rows);
        }
        ops->matmul_heads(w_k, q_nope, q_latent);
        if (announced) ops->prepare_for(sums, w_v);
        ops->mla_attention({.scale = 0.1f}, q_latent, q_rope, scene.cache, batch, sums);
        if (announced) ops->prepare_for(attended, w_out);
        ops->matmul_heads(w_v, sums, attended.tensor().heads(heads));
        ops->matmul(w_out, attended, y);
        expect_fine();
        EXPECT_TRUE(q.intact() && y.intact() && attended.intact() && latent_rows.intact() && rope_rows.intact());
        std::vector<uint32_t> bits = y.bits();
        const std::vector<uint32_t> queries = q.bits();
        bits.insert(bits.end(), queries.begin(), queries.end());
        return bits;
      };
      const std::vector<uint32_t> one_by_one = run(false, false);
      EXPECT_EQ(run(false, true), one_by_one);
      EXPECT_EQ(run(true, true), one_by_one);
      EXPECT_EQ(run(true, false), one_by_one);
    }
  }
}

TEST_P(Fused, RopeStoreIsBiasesNormsRotationAndStoring) {
  struct Case {
    int64_t k_dim, v_dim, heads, kv_heads, turned;
    bool bias, norm;
    Type cache;
  };
  for (const Case& c :
       {Case{64, 64, 4, 2, 64, false, false, Type::f16}, Case{128, 128, 6, 3, 128, false, true, Type::bf16},
        Case{24, 40, 3, 1, 10, true, false, Type::f32}, Case{136, 16, 2, 2, 64, true, true, Type::f16}}) {
    for (const RopeStyle style : {RopeStyle::interleaved, RopeStyle::halves}) {
      SCOPED_TRACE(std::to_string(c.k_dim) + " " + std::to_string(c.heads));
      const int64_t T = 4;
      SharedNumbers<int32_t> seq{0, 1, -1, 0}, pos{31, 5, 0, 32};
      const KvShape shape = {.type = c.cache, .kv_heads = c.kv_heads, .k_dim = c.k_dim, .v_dim = c.v_dim};
      const RandomWeight qb(Type::bf16, c.k_dim * c.heads, 1, 1, random),
          kb(Type::f32, c.k_dim * c.kv_heads, 1, 1, random), vb(Type::f16, c.v_dim * c.kv_heads, 1, 1, random),
          qn(Type::f32, c.k_dim, 1, 1, random), kn(Type::bf16, c.k_dim, 1, 1, random);
      const Weight weights[] = {qb.upload(*ops), kb.upload(*ops), vb.upload(*ops), qn.upload(*ops), kn.upload(*ops)};
      HeadParams params = {.eps = 1e-6f, .style = style};
      if (c.bias) params.q_bias = &weights[0], params.k_bias = &weights[1], params.v_bias = &weights[2];
      if (c.norm) params.q_norm = &weights[3], params.k_norm = &weights[4];
      Guarded angles(Type::f32, c.turned, T);
      angles.fill(random);
      std::vector<std::vector<uint32_t>> results;
      for (const auto& [fused, queries] : {std::pair{false, true}, {true, true}, {true, false}}) {
        std::mt19937 same(17);
        Scene scene(*ops, shape, {40, 7}, 3);
        const Batch batch = {Tensor::i32(seq.data(), T), Tensor::i32(pos.data(), T), scene.block_table};
        Guarded q(Type::f32, c.k_dim, c.heads, T, 0), k(Type::f32, c.k_dim, c.kv_heads, T, 0),
            v(Type::f32, c.v_dim, c.kv_heads, T, 0);
        q.fill(same), k.fill(same), v.fill(same);
        if (fused) {
          ops->rope_store(scene.cache, batch, params, angles, queries ? q.tensor() : Tensor(), k, v);
        } else {
          ops->Ops::rope_store(scene.cache, batch, params, angles, q, k, v);
        }
        expect_fine();
        EXPECT_TRUE(q.intact() && k.intact() && v.intact());
        // The whole cache: the rows stored, and nothing else.
        std::vector<uint32_t> cache(scene.cache.data.bytes() / 4);
        ops->copy_out(cache.data(), scene.cache.data.i32(0, static_cast<int64_t>(cache.size())));
        expect_fine();
        results.push_back(q.bits());
        results.push_back(cache);
      }
      EXPECT_EQ(results[2], results[0]);
      EXPECT_EQ(results[3], results[1]);
      EXPECT_EQ(results[5], results[1]);
    }
  }
}

TEST_P(Fused, RouterIsProductAndChoice) {
  for (const Type type : {Type::f32, Type::f16, Type::bf16, Type::q8_0}) {
    for (const auto& [experts, tokens] : {std::array<int64_t, 2>{32, 1}, {32, 9}, {20, 5}, {256, 70}}) {
      SCOPED_TRACE(std::string(type_name(type)) + " " + std::to_string(experts) + " " + std::to_string(tokens));
      const int64_t n = 96;
      const RouteParams params{.experts_used = 5, .groups = 4, .groups_used = 3, .group_top = 2, .renormalize = true};
      const RandomWeight w(type, n, experts, 1, random);
      const Weight router = w.upload(*ops);
      Guarded x(Type::f32, n, tokens), bias(Type::f32, experts);
      x.fill(random), bias.fill(random, 0.1f);
      std::vector<std::vector<uint32_t>> results;
      for (int time = 0; time < 3; ++time) {
        Guarded logits(Type::f32, experts, tokens), ids(Type::i32, 5, tokens), weights(Type::f32, 5, tokens);
        if (time == 0) {
          ops->Ops::moe_router(params, router, x, bias, logits, ids, weights);
        } else {
          ops->moe_router(params, router, x, bias, logits, ids, weights);
        }
        expect_fine();
        EXPECT_TRUE(logits.intact() && ids.intact() && weights.intact());
        // A bf16 router meets whole floats here, one by one there: the sums round otherwise.
        if (type == Type::bf16 && time == 0) continue;
        results.push_back(logits.bits());
        results.push_back(ids.bits());
        results.push_back(weights.bits());
      }
      for (size_t i = 3; i < results.size(); ++i) EXPECT_EQ(results[i], results[i % 3]);
    }
  }
}

TEST_P(Fused, SharedExpertIsOneMore) {
  for (const Type type : kReaders) {
    for (const Type down_type : {type, Type::q8_0}) {
      for (const auto& [shared_width, tokens] : {std::array<int64_t, 2>{512, 1}, {256, 1}, {1024, 1}, {512, 3}}) {
        SCOPED_TRACE(std::string(type_name(type)) + " " + std::to_string(shared_width) + " " + std::to_string(tokens));
        const int64_t n = 256, width = 512, experts = 6, used = 3;
        const RandomWeight g(type, n, width, experts, random), u(type, n, width, experts, random),
            d(down_type, width, n, experts, random), sg(type, n, shared_width, 1, random),
            su(type, n, shared_width, 1, random), sd(down_type, shared_width, n, 1, random),
            norm(Type::f32, n, 1, 1, random);
        const Weight w[] = {g.upload(*ops),  u.upload(*ops),  d.upload(*ops),   sg.upload(*ops),
                            su.upload(*ops), sd.upload(*ops), norm.upload(*ops)};
        const Ops::SharedExpert shared = {&w[3], &w[4], &w[5]};
        ASSERT_TRUE(ops->plan({600, 1200, 1024, 32, 9}));
        Guarded x(Type::f32, n, tokens), h(Type::f32, n, tokens), ids(Type::i32, used, tokens),
            weights(Type::f32, used, tokens), y(Type::f32, n, tokens);
        x.fill(random), weights.fill(random);
        std::vector<int32_t> chosen;
        for (int64_t t = 0; t < tokens; ++t) chosen.insert(chosen.end(), {5, 0, 2});
        ids.set(chosen);
        ops->rms_norm(x, w[6], 1e-5f, h);
        ops->Ops::moe_ffn_shared(w[0], w[1], w[2], shared, h, ids, weights, y);
        expect_fine();
        const std::vector<uint32_t> wanted = y.bits();
        const Weight* const readers[] = {&w[0], &w[3]};
        same([&] { ops->prepare_for(h, readers); },
             [&] {
               ops->rms_norm(x, w[6], 1e-5f, h);
               ops->moe_ffn_shared(w[0], w[1], w[2], shared, h, ids, weights, y);
             },
             y);
        EXPECT_EQ(y.bits(), wanted);
      }
    }
  }
}

TEST_P(Fused, RefusedAtTheDoor) {
  Scene scene(*ops, {.type = Type::f32, .kv_heads = 1, .k_dim = 8, .v_dim = 8}, {4}, 3);
  const RandomWeight norm(Type::f32, 8, 1, 1, random), odd(Type::f32, 9, 1, 1, random);
  const Weight w = norm.upload(*ops), w9 = odd.upload(*ops);
  Guarded q(Type::f32, 8, 2, 1), k(Type::f32, 8, 1, 1), angles(Type::f32, 8, 1), wide(Type::f32, 10, 1);
  q.fill(random), k.fill(random), angles.fill(random), wide.fill(random);
  const std::vector<uint32_t> before = q.bits();
  const auto refused = [&](const std::function<void()>& call) {
    call();
    EXPECT_FALSE(ops->sync());
    EXPECT_TRUE(ops->sync());
  };
  const Batch batch = scene.batch(0, 0, 1);
  refused([&] { ops->rope_store(scene.cache, batch, {.q_norm = &w9, .k_norm = &w}, angles, q, k, k); });
  refused([&] { ops->rope_store(scene.cache, batch, {.v_bias = &w9}, angles, q, k, k); });
  refused([&] { ops->mla_rope_store(scene.cache, batch, {.norm = &w}, angles, q, k.tensor().slice(1, 0, 1), k); });
  if (is_cpu(GetParam())) return;  // one operator after the other: those before the refusal have run
  refused([&] { ops->rope_store(scene.cache, batch, {.q_norm = &w}, angles, q, k, k); });
  refused([&] { ops->rope_store(scene.cache, batch, {}, wide, q, k, k); });
  EXPECT_EQ(q.bits(), before);
}

}  // namespace
}  // namespace vitrine::test
