// Routing and feed-forward layers.
#include <set>

#include "tests/kernels/judge.h"
#include "tests/kernels/support.h"

namespace vitrine::test {
namespace {

class Route : public OnEveryBackend {
 protected:
  // Compares with the judge for each token of `logits`.
  void check(const RouteParams& params, Guarded& logits, Guarded* bias) {
    const int64_t experts = logits.tensor().ne[0], tokens = logits.tensor().ne[1];
    Guarded ids(Type::i32, params.experts_used, tokens), weights(Type::f32, params.experts_used, tokens);
    ops->moe_route(params, logits, bias ? bias->tensor() : Tensor{}, ids, weights);
    expect_fine();
    EXPECT_TRUE(ids.intact() && weights.intact());
    for (int64_t t = 0; t < tokens; ++t) {
      Row x, b;
      for (int64_t e = 0; e < experts; ++e) {
        x.push_back(logits.f(e, t));
        if (bias) b.push_back(bias->f(e));
      }
      const Choice expected = route(params, x, b);
      for (int64_t j = 0; j < params.experts_used; ++j) {
        ASSERT_EQ(ids.i(j, t), expected.ids[j]) << "token " << t << " place " << j;
        ASSERT_NEAR(weights.f(j, t), expected.weights[j], 1e-6 * params.scale) << "token " << t << " place " << j;
      }
    }
  }
};
INSTANTIATE_ON_EVERY_BACKEND(Route);

TEST_P(Route, EveryKindAgainstTheJudge) {
  const RouteParams kinds[] = {
      {.scoring = Scoring::softmax, .experts_used = 6},                                              // V2-Lite
      {.scoring = Scoring::softmax, .experts_used = 6, .groups = 8, .groups_used = 3, .scale = 16},  // V2
      {.experts_used = 8, .groups = 8, .groups_used = 4, .group_top = 2, .renormalize = true, .scale = 2.5f},
      {.scoring = Scoring::softmax, .experts_used = 8, .renormalize = true},  // qwen3moe
      {.scoring = Scoring::softmax, .experts_used = 1},
      {.scoring = Scoring::softmax, .experts_used = 64},  // all of them
  };
  for (RouteParams params : kinds) {
    if (params.group_top == 2) params.scoring = Scoring::sigmoid;  // V3
    Guarded logits(Type::f32, 64, 40), bias(Type::f32, 64);
    check(params, logits.fill(random, 2), nullptr);
    check(params, logits.fill(random, 2), &bias.fill(random, 0.2f));
  }
}

// Equal scores: the lowest index wins, within groups and between them.
TEST_P(Route, TiesGoToTheLowestIndex) {
  for (const int64_t groups : {1, 4}) {
    RouteParams params{.scoring = Scoring::sigmoid,
                       .experts_used = 3,
                       .groups = groups,
                       .groups_used = (groups + 1) / 2,
                       .group_top = 2,
                       .renormalize = true};
    Guarded logits(Type::f32, 16, 3);
    for (int64_t e = 0; e < 16; ++e) {
      logits.f(e, 0) = 1;                    // all equal
      logits.f(e, 1) = e % 2 ? 1.0f : 0.5f;  // every second
      logits.f(e, 2) = e == 15 || e == 2 ? 3.0f : -1.0f;
    }
    check(params, logits, nullptr);
  }
}

// A group whose experts all score below zero after the bias must still lose
// against no one who was masked: masked groups are -inf, not 0.
TEST_P(Route, MaskedGroupsNeverWin) {
  RouteParams params{.scoring = Scoring::sigmoid, .experts_used = 4, .groups = 4, .groups_used = 1, .group_top = 2};
  Guarded logits(Type::f32, 16, 1), bias(Type::f32, 16);
  for (int64_t e = 0; e < 16; ++e) {
    logits.f(e) = e / 4 == 2 ? 0.5f : -0.5f;
    bias.f(e) = -5;  // all biased scores are negative
  }
  check(params, logits, &bias);
}

TEST_P(Route, HostileScoresStillGiveDistinctExperts) {
  Guarded logits(Type::f32, 8, 3), ids(Type::i32, 4, 3), weights(Type::f32, 4, 3);
  for (int64_t e = 0; e < 8; ++e) {
    logits.f(e, 0) = std::nanf("");
    logits.f(e, 1) = -std::numeric_limits<float>::infinity();
    logits.f(e, 2) = e == 3 ? std::numeric_limits<float>::infinity() : 0.0f;
  }
  for (const Scoring scoring : {Scoring::softmax, Scoring::sigmoid}) {
    ops->moe_route({.scoring = scoring, .experts_used = 4, .groups = 2, .groups_used = 1}, logits, Tensor{}, ids,
                   weights);
    expect_fine();
    for (int64_t t = 0; t < 3; ++t) {
      std::set<int> seen;
      for (int64_t j = 0; j < 4; ++j) {
        EXPECT_TRUE(ids.i(j, t) >= 0 && ids.i(j, t) < 8);
        seen.insert(ids.i(j, t));
      }
      EXPECT_EQ(seen.size(), 4u);
    }
  }
}

// ---- feed-forward -------------------------------------------------------------

struct Experts {
  Experts(Type gate_type, Type down_type, uint64_t n, uint64_t n_ff, uint64_t count, std::mt19937& random)
      : gate(gate_type, n, n_ff, count, random, 0.1f),
        up(gate_type, n, n_ff, count, random, 0.1f),
        down(down_type, n_ff, n, count, random, 0.1f) {}
  RandomWeight gate, up, down;

  // The expert applied to x, and how much float32 may be off.
  std::vector<Judged> apply(const Row& x, uint64_t e, uint64_t n, uint64_t n_ff) const {
    const Row met = met_by(gate.type(), x);
    Row hidden, slack;
    for (uint64_t r = 0; r < n_ff; ++r) {
      const Judged g = dot(n, [&](size_t i) { return gate.at(i, r, e) * met[i]; });
      const Judged u = dot(n, [&](size_t i) { return up.at(i, r, e) * met[i]; });
      hidden.push_back(silu(g.value) * u.value);
    }
    // Rounding hidden to 8 bits turns on the last bits of float32: a value may fall to the next step.
    const Row met_hidden = met_by(down.type(), hidden);
    const size_t block = block_elements(down.type());
    for (uint64_t r = 0; r < n_ff; ++r) {
      double extreme = 0;
      for (size_t i = r / block * block; i < (r / block + 1) * block; ++i)
        extreme = std::max(extreme, std::fabs(hidden[i]));
      slack.push_back(block > 1 ? extreme / 127 * 0.02 : 0);  // few of them do
    }
    std::vector<Judged> out;
    for (uint64_t r = 0; r < n; ++r) {
      Judged y = dot(n_ff, [&](size_t i) { return down.at(i, r, e) * met_hidden[i]; });
      double spread = 0;
      for (size_t i = 0; i < n_ff; ++i)
        spread += std::fabs(down.at(i, r, e)) * (slack[i] + 3e-6 * std::fabs(hidden[i]));
      out.push_back({y.value, spread + y.magnitude * 1e-5 + 1e-7});
    }
    return out;
  }
};

class Ffn : public OnEveryBackend {};
INSTANTIATE_ON_EVERY_BACKEND(Ffn);

constexpr std::pair<Type, Type> kPairs[] = {
    {Type::f32, Type::f32},   {Type::bf16, Type::bf16}, {Type::f8_e4m3, Type::f8_e4m3},
    {Type::q4_0, Type::q4_0}, {Type::q8_0, Type::q8_0}, {Type::mxfp4, Type::mxfp4},
    {Type::q4_k, Type::q6_k}, {Type::q2_k, Type::q3_k}, {Type::q5_k, Type::q5_1}};

TEST_P(Ffn, OneMlpAgainstTheJudge) {
  for (const auto& [gate, down] : kPairs) {
    SCOPED_TRACE(std::string(type_name(gate)) + " " + std::string(type_name(down)));
    const int64_t n = 256, n_ff = block_elements(down) == 256 ? 256 : 96, tokens = 5;
    const Experts w(gate, down, n, n_ff, 1, random);
    const Weight g = w.gate.upload(*ops), u = w.up.upload(*ops), d = w.down.upload(*ops);
    Guarded x(Type::f32, n, tokens), y(Type::f32, n, tokens), sum(Type::f32, n, tokens);
    x.fill(random), sum.fill(random);
    const std::vector<uint32_t> before = sum.bits();
    ops->ffn(g, u, d, x, y);
    ops->ffn(g, u, d, x, sum, true);
    expect_fine();
    EXPECT_TRUE(x.intact() && y.intact() && sum.intact());
    for (int64_t t = 0; t < tokens; ++t) {
      Row row;
      for (int64_t i = 0; i < n; ++i) row.push_back(x.f(i, t));
      const std::vector<Judged> expected = w.apply(row, 0, n, n_ff);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_NEAR(y.f(i, t), expected[i].value, expected[i].magnitude) << i;
        ASSERT_EQ(sum.f(i, t), std::bit_cast<float>(before[t * n + i]) + y.f(i, t)) << i;
      }
    }
  }
}

TEST_P(Ffn, ExpertsAgainstTheJudge) {
  for (const auto& [gate, down] : kPairs) {
    SCOPED_TRACE(std::string(type_name(gate)) + " " + std::string(type_name(down)));
    const int64_t n = 256, n_ff = block_elements(down) == 256 ? 256 : 64, experts = 5, used = 2, tokens = 4;
    const Experts w(gate, down, n, n_ff, experts, random);
    Guarded x(Type::f32, n, tokens), y(Type::f32, n, tokens), ids(Type::i32, used, tokens),
        weights(Type::f32, used, tokens);
    x.fill(random), weights.fill(random);
    ids.set({4, 0, 1, 4, 0, 4, 4, 1});  // experts 2 and 3 get nothing
    ops->moe_ffn(w.gate.upload(*ops), w.up.upload(*ops), w.down.upload(*ops), x, ids, weights, y);
    expect_fine();
    EXPECT_TRUE(x.intact() && y.intact() && ids.intact() && weights.intact());
    for (int64_t t = 0; t < tokens; ++t) {
      Row row, total(n, 0), slack(n, 1e-6);
      for (int64_t i = 0; i < n; ++i) row.push_back(x.f(i, t));
      for (int64_t j = 0; j < used; ++j) {
        const std::vector<Judged> one = w.apply(row, ids.i(j, t), n, n_ff);
        for (int64_t i = 0; i < n; ++i) {
          total[i] += weights.f(j, t) * one[i].value;
          slack[i] += std::fabs(weights.f(j, t)) * one[i].magnitude;
        }
      }
      for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y.f(i, t), total[i], slack[i]) << "token " << t << " row " << i;
    }
  }
}

// Neither instruction set nor threads nor company change a token's bits.
TEST(SameBits, MoeAloneAndInCompany) {
  std::mt19937 random(11);
  for (const SameBitsGroup& group : same_bits_groups()) {
    SCOPED_TRACE(group.name);
    for (const auto& [gate, down] : kPairs) {
      const bool slow = group.name == "emulated";
      const int64_t n = 256, n_ff = 256, experts = 7, used = 3, tokens = slow ? 50 : 290;
      const Experts w(gate, down, n, n_ff, experts, random);
      Guarded x(Type::f32, n, tokens), logits(Type::f32, experts, tokens);
      x.fill(random), logits.fill(random);
      std::vector<uint32_t> expected;
      for (const auto& make : group.members) {
        const auto ops = make();
        SCOPED_TRACE(std::string(type_name(gate)) + " on " + ops->description());
        const Weight g = w.gate.upload(*ops), u = w.up.upload(*ops), d = w.down.upload(*ops);
        const auto run = [&](int64_t first, int64_t count) {
          Guarded ids(Type::i32, used, count), weights(Type::f32, used, count), y(Type::f32, n, count);
          ops->moe_route({.experts_used = used}, logits.tensor().slice(1, first, count), Tensor{}, ids, weights);
          ops->moe_ffn(g, u, d, x.tensor().slice(1, first, count), ids, weights, y);
          EXPECT_TRUE(ops->sync());
          EXPECT_TRUE(y.intact() && ids.intact() && weights.intact());
          return y.bits();
        };
        const std::vector<uint32_t> all = run(0, tokens);
        if (expected.empty()) expected = all;
        EXPECT_EQ(all, expected);
        for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {tokens - 1, 1}, {40, 7}}) {
          const std::vector<uint32_t> part = run(first, count);
          EXPECT_TRUE(std::equal(part.begin(), part.end(), expected.begin() + first * n)) << first;
        }
      }
    }
  }
}

}  // namespace
}  // namespace vitrine::test
