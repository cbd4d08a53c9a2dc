#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace vitrine {
namespace {

using ::testing::HasSubstr;
using Logits = std::vector<float>;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The next token with these parameters; -1 for an error.
TokenId one(SamplingParameters parameters, Logits logits, std::vector<uint64_t> allowed = {}) {
  EXPECT_TRUE(check(parameters));
  Sampler sampler(std::move(parameters));
  const auto sampled = sampler.next(logits, allowed);
  return sampled ? sampled->id : -1;
}

// How often each token comes up in `draws` positions of one sequence.
std::vector<double> frequencies(const SamplingParameters& parameters, const Logits& logits, int draws) {
  std::vector<double> count(logits.size());
  Sampler sampler(parameters);
  for (int i = 0; i < draws; ++i) {
    Logits copy = logits;
    ++count[static_cast<size_t>(sampler.next(copy)->id)];
  }
  for (double& value : count) value /= draws;
  return count;
}

// The judge: softmax in long double, of the tokens in `kept`.
std::vector<double> softmax(const Logits& logits, double temperature, const std::vector<bool>& kept) {
  std::vector<double> out(logits.size());
  long double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i)
    sum += kept[i] ? std::exp(static_cast<long double>(logits[i]) / temperature) : 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (kept[i]) out[i] = static_cast<double>(std::exp(static_cast<long double>(logits[i]) / temperature) / sum);
  }
  return out;
}

// Pearson's statistic against `expected`; seeds are fixed, so this either always holds or never.
void expect_distribution(const SamplingParameters& parameters, const Logits& logits, const std::vector<bool>& kept) {
  constexpr int kDraws = 40000;
  const auto expected = softmax(logits, parameters.temperature, kept);
  const auto seen = frequencies(parameters, logits, kDraws);
  double statistic = 0;
  int classes = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!kept[i]) {
      EXPECT_EQ(seen[i], 0) << "token " << i;
      continue;
    }
    statistic += kDraws * (seen[i] - expected[i]) * (seen[i] - expected[i]) / expected[i];
    ++classes;
  }
  // mean k, deviation sqrt(2k): five deviations.
  const double freedom = classes - 1;
  EXPECT_LT(statistic, freedom + 5 * std::sqrt(2 * std::max(freedom, 1.0)));
}

TEST(Philox, KnownAnswers) {  // of the authors' Random123 test vectors
  const uint32_t cases[][10] = {
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
       0x24126ea1},
  };
  for (const auto& test : cases) {
    uint32_t out[4];
    philox4x32(test, test + 4, out);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(out[i], test[6 + i]);
  }
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double value = static_cast<double>(random_bits_at(1, i)) * 0x1p-53;
    EXPECT_GE(value, 0);
    EXPECT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
  EXPECT_NE(random_bits_at(1, 1ull << 40), random_bits_at(1, 0));
  EXPECT_NE(random_bits_at(1ull << 40, 0), random_bits_at(0, 0));
}

TEST(PortableExp, IsAccurate) {
  for (double x = 0; x > -708; x -= 0.37) EXPECT_NEAR(portable_exp(x) / std::exp(x), 1, 1e-14) << x;
  EXPECT_EQ(portable_exp(0), 1);
  EXPECT_EQ(portable_exp(-1e300), 0);
  EXPECT_EQ(portable_exp(-std::numeric_limits<double>::infinity()), 0);
  EXPECT_EQ(portable_exp(std::nan("")), 0);
}

TEST(Sampler, GreedyTakesTheLowestOfEquals) {
  EXPECT_EQ(one({.temperature = 0}, {1, 3, 3, 2}), 1);
  EXPECT_EQ(one({.temperature = 1, .top_k = 1}, {1, 3, 3, 2}), 1);
  EXPECT_EQ(one({.temperature = 0}, {-kInf, -5, -kInf}), 1);
  EXPECT_EQ(one({.temperature = 1e-9f}, {1, 3, 2.9999f}), 1) << "as good as greedy, and no overflow";
}

TEST(Sampler, UnkindLogits) {
  for (const float temperature : {0.f, 1.f, 1e-9f, 100.f}) {
    SamplingParameters parameters{.temperature = temperature};
    EXPECT_EQ(one(parameters, {kNan, -kInf, 2, kNan}), 2);
    EXPECT_EQ(one(parameters, {1, kInf, 2, kInf}), 1) << "the lowest of infinite ones";
    EXPECT_EQ(one(parameters, {-kInf, -kInf}), -1);
    EXPECT_EQ(one(parameters, {kNan, kNan}), -1);
    EXPECT_EQ(one(parameters, {}), -1);
    EXPECT_EQ(one(parameters, {-3e38f, -kInf}), 0);
    EXPECT_EQ(one(parameters, {3e38f, -3e38f}), 0);
    parameters.repetition_penalty = 100;
    parameters.logit_bias = {{0, 100}, {1, -100}, {77, 1}};
    EXPECT_NE(one(parameters, {3e38f, kInf, kInf}), 1);
  }
  EXPECT_EQ(one({.temperature = 1, .top_k = 1000000}, {-kInf, 1}), 1);
  EXPECT_EQ(one({.temperature = 1, .top_p = 1e-30f}, {1, 5, 2}), 1);
  EXPECT_EQ(one({.temperature = 1, .min_p = 1}, {1, 5, 2}), 1);
}

TEST(Sampler, RefusesParametersByName) {
  const auto refusal = [](SamplingParameters parameters) {
    const auto status = check(parameters);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_THAT(refusal({.temperature = -1}), HasSubstr("temperature"));
  EXPECT_THAT(refusal({.temperature = kNan}), HasSubstr("temperature"));
  EXPECT_THAT(refusal({.temperature = kInf}), HasSubstr("temperature"));
  EXPECT_THAT(refusal({.top_k = -1}), HasSubstr("top_k"));
  EXPECT_THAT(refusal({.top_p = 0}), HasSubstr("top_p"));
  EXPECT_THAT(refusal({.top_p = 1.1f}), HasSubstr("top_p"));
  EXPECT_THAT(refusal({.min_p = kNan}), HasSubstr("min_p"));
  EXPECT_THAT(refusal({.repetition_penalty = 0}), HasSubstr("repetition_penalty"));
  EXPECT_THAT(refusal({.presence_penalty = 3}), HasSubstr("presence_penalty"));
  EXPECT_THAT(refusal({.frequency_penalty = -3}), HasSubstr("frequency_penalty"));
  EXPECT_THAT(refusal({.logit_bias = {{0, 101}}}), HasSubstr("logit_bias"));
  EXPECT_THAT(refusal({.logit_bias = {{-1, 1}}}), HasSubstr("logit_bias"));
  EXPECT_THAT(refusal({.top_logprobs = 21}), HasSubstr("top_logprobs"));
}

const Logits kEight = {0.5f, 2, -1, 1.5f, 0, 2, -3, 1};

TEST(Sampler, DrawsFromTheDistribution) {
  const std::vector<bool> all(8, true);
  expect_distribution({.seed = 1}, kEight, all);
  expect_distribution({.temperature = 0.5f, .seed = 2}, kEight, all);
  expect_distribution({.temperature = 3, .seed = 3}, kEight, all);
  expect_distribution({.top_k = 3, .seed = 4}, kEight, {false, true, false, true, false, true, false, false});
  expect_distribution({.top_k = 1000, .seed = 5}, kEight, all);
  // Probabilities in order: 1 and 5 0.31 each, 3 0.19, 7 0.11, 0 0.07 …: 0.7 is reached by three.
  expect_distribution({.top_p = 0.7f, .seed = 6}, kEight, {false, true, false, true, false, true, false, false});
  // At least 0.2 of the best: exp(l - 2) >= 0.2, l >= 0.39.
  expect_distribution({.min_p = 0.2f, .seed = 7}, kEight, {true, true, false, true, false, true, false, true});
  expect_distribution({.temperature = 2, .top_k = 4, .top_p = 0.7f, .seed = 8}, kEight,
                      {false, true, false, true, false, true, false, false});
}

// top_p sorts piece by piece; the result must equal sorting everything.
TEST(Sampler, TopPOfManyTokensEqualsTheFullSort) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 2);
  for (const float p : {0.05f, 0.5f, 0.9f, 0.99f, 0.9999f}) {
    Logits logits(5000);
    for (float& logit : logits) logit = normal(random);
    std::vector<size_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    const auto probability = softmax(logits, 1, std::vector<bool>(logits.size(), true));
    std::vector<bool> kept(logits.size());
    double reached = 0;
    for (size_t i = 0; i < order.size() && reached < static_cast<double>(p); ++i) {
      kept[order[i]] = true;
      reached += probability[order[i]];
    }
    Sampler sampler({.top_p = p, .seed = 9});
    for (int i = 0; i < 300; ++i) {
      Logits copy = logits;
      EXPECT_TRUE(kept[static_cast<size_t>(sampler.next(copy)->id)]) << p;
    }
  }
}

TEST(Sampler, PenaltiesAreTheirDefinitions) {
  // Greedy, so that the adjusted logits show.
  Sampler repetition({.temperature = 0, .repetition_penalty = 2});
  const TokenId prompt[] = {0, 3};
  repetition.see_prompt(prompt);
  Logits logits = {4, 2.5f, -1, -0.4f};
  EXPECT_EQ(repetition.next(logits)->id, 1);
  EXPECT_THAT(logits, ::testing::ElementsAre(2, 2.5f, -1, -0.8f)) << "positive divided, negative multiplied";

  Sampler presence({.temperature = 0, .presence_penalty = 1, .frequency_penalty = 0.5f});
  presence.see_prompt(prompt);
  for (const TokenId expected : {0, 1, 0, 0, 1, 2}) {
    Logits three = {4, 3.4f, 1.6f};
    EXPECT_EQ(presence.next(three)->id, expected);
  }
  EXPECT_EQ(one({.temperature = 0, .logit_bias = {{1, -100}, {2, 5}}}, {1, 9, 0}), 2);
}

TEST(Sampler, OnlyAllowedTokens) {
  Logits logits(130, 1);
  logits[3] = 9;
  std::vector<uint64_t> allowed(3, 0);
  allowed[1] = 1;  // token 64
  allowed[2] = 2;  // token 129
  EXPECT_EQ(one({.temperature = 0}, logits, allowed), 64);
  EXPECT_EQ(one({.temperature = 0}, logits, {uint64_t{1} << 5}), 5) << "tokens beyond the mask are left out";
  EXPECT_EQ(one({.temperature = 0}, logits, {0}), -1);
}

TEST(Sampler, Logprobs) {
  Sampler sampler({.temperature = 0, .logit_bias = {{0, 50}}, .top_logprobs = 3});
  Logits logits = kEight;
  const Sampled sampled = *sampler.next(logits);
  EXPECT_EQ(sampled.id, 0);
  const auto expected = softmax(kEight, 1, std::vector<bool>(8, true));
  EXPECT_NEAR(sampled.logprob, std::log(expected[0]), 1e-6) << "the model's own, without the bias";
  ASSERT_EQ(sampled.top.size(), 3u);
  EXPECT_EQ(sampled.top[0].id, 1);
  EXPECT_EQ(sampled.top[1].id, 5) << "equals by id";
  EXPECT_EQ(sampled.top[2].id, 3);
  EXPECT_NEAR(sampled.top[2].logprob, std::log(expected[3]), 1e-6);
  // More than there are; infinite ones.
  Sampler wide({.temperature = 0, .top_logprobs = 20});
  Logits few = {kInf, -kInf, kInf, 1};
  const Sampled infinite = *wide.next(few);
  EXPECT_NEAR(infinite.logprob, std::log(0.5), 1e-6);
  EXPECT_EQ(infinite.top.size(), 3u);
  EXPECT_EQ(infinite.top[2].logprob, -kInf);
  Sampler biased({.temperature = 0, .logit_bias = {{0, 1}}, .top_logprobs = 1});
  Logits none = {-kInf, -kInf};
  EXPECT_FALSE(biased.next(none));
}

TEST(Sampler, SeedAndPositionDecideAlone) {
  const auto sequence = [](uint64_t seed) {
    Sampler sampler({.seed = seed});
    std::vector<TokenId> ids;
    for (int i = 0; i < 50; ++i) {
      Logits logits = kEight;
      ids.push_back(sampler.next(logits)->id);
    }
    return ids;
  };
  EXPECT_EQ(sequence(42), sequence(42));
  EXPECT_NE(sequence(42), sequence(43));
  // Written down once: another machine, compiler or optimization level must give the same.
  const std::vector<TokenId> first = sequence(42);
  EXPECT_EQ((std::vector<TokenId>(first.begin(), first.begin() + 12)),
            (std::vector<TokenId>{5, 7, 5, 5, 1, 1, 1, 1, 3, 1, 3, 1}));
}

}  // namespace
}  // namespace vitrine
