#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace vitrine {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

Status in_range(const char* name, float value, float low, float high, bool low_excluded = false) {
  if (value >= low && value <= high && !(low_excluded && value == low)) return {};
  return fail(ErrorCode::usage, std::string(name) + " must be " + (low_excluded ? "above " : "from ") +
                                    std::to_string(low) + " to " + std::to_string(high));
}

// The lowest id of the largest value; -1 when all are -inf.
TokenId best_of(std::span<const float> logits) {
  TokenId best = -1;
  float most = kNever;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] > most) {
      most = logits[id];
      best = static_cast<TokenId>(id);
    }
  }
  return best;
}

}  // namespace

Status check(const SamplingParameters& parameters) {
  for (const Status& status :
       {in_range("temperature", parameters.temperature, 0, 100), in_range("top_p", parameters.top_p, 0, 1, true),
        in_range("min_p", parameters.min_p, 0, 1),
        in_range("repetition_penalty", parameters.repetition_penalty, 0, 100, true),
        in_range("presence_penalty", parameters.presence_penalty, -2, 2),
        in_range("frequency_penalty", parameters.frequency_penalty, -2, 2)}) {
    if (!status) return status;
  }
  if (parameters.top_k < 0) return fail(ErrorCode::usage, "top_k must not be negative");
  if (parameters.top_logprobs < -1 || parameters.top_logprobs > 20)
    return fail(ErrorCode::usage, "top_logprobs must be from 0 to 20");
  for (const auto& [id, bias] : parameters.logit_bias) {
    if (id < 0) return fail(ErrorCode::usage, "logit_bias names a negative token");
    if (Status status = in_range("logit_bias", bias, -100, 100); !status) return status;
  }
  return {};
}

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
  uint32_t k[2] = {key[0], key[1]};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x[0], b = uint64_t{0xCD9E8D57} * x[2];
    const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ k[0], static_cast<uint32_t>(b),
                              static_cast<uint32_t>(a >> 32) ^ x[3] ^ k[1], static_cast<uint32_t>(a)};
    std::memcpy(x, next, sizeof x);
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  std::memcpy(out, x, sizeof x);
}

double uniform_at(uint64_t seed, uint64_t position) {
  const uint32_t counter[4] = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0, 0};
  const uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  uint32_t out[4];
  philox4x32(counter, key, out);
  return static_cast<double>((uint64_t{out[0]} << 32 | out[1]) >> 11) * 0x1p-53;
}

double portable_exp(double x) {
  if (!(x >= -708)) return 0;
  if (x > 0) x = 0;
  // x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite), then the Taylor series
  // of exp(r): the term behind the last is below 2e-17.
  const double n = std::floor(x * 1.4426950408889634 + 0.5);
  const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  constexpr double kInverseFactorial[] = {
      1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
      1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
  double sum = kInverseFactorial[13];
  for (int term = 12; term >= 0; --term) sum = sum * r + kInverseFactorial[term];
  // 2^n: n is -1022 or more, so the number is a normal one.
  return sum * std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52);
}

Sampler::Sampler(SamplingParameters parameters) : parameters_(std::move(parameters)) {}

void Sampler::see_prompt(std::span<const TokenId> ids) {
  for (const TokenId id : ids) seen_[id].in_prompt = true;
}

void Sampler::adjust(std::span<float> logits, std::span<const uint64_t> allowed) const {
  const auto inside = [&](TokenId id) { return id >= 0 && static_cast<size_t>(id) < logits.size(); };
  for (const auto& [id, bias] : parameters_.logit_bias) {
    if (inside(id)) logits[static_cast<size_t>(id)] = bias <= -100 ? kNever : logits[static_cast<size_t>(id)] + bias;
  }
  for (const auto& [id, seen] : seen_) {
    if (!inside(id)) continue;
    float& logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / parameters_.repetition_penalty : logit * parameters_.repetition_penalty;
    if (seen.generated > 0) {
      logit -= parameters_.presence_penalty + parameters_.frequency_penalty * static_cast<float>(seen.generated);
    }
  }
  if (allowed.empty()) return;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (id / 64 >= allowed.size() || (allowed[id / 64] >> (id % 64) & 1) == 0) logits[id] = kNever;
  }
}

void Sampler::describe(std::span<const float> logits, Sampled& sampled) const {
  const TokenId best = best_of(logits);
  if (best < 0) {  // logit_bias alone made a token possible
    sampled.logprob = kNever;
    return;
  }
  const float most = logits[static_cast<size_t>(best)];
  // log softmax, in ascending order of ids. Infinite logits share everything.
  double sum = 0;
  for (const float logit : logits) {
    sum += std::isinf(most) ? static_cast<double>(logit == most) : portable_exp(static_cast<double>(logit) - most);
  }
  const double log_sum = std::log(sum);
  const auto logprob = [&](TokenId id) {
    const float logit = logits[static_cast<size_t>(id)];
    if (std::isinf(most)) return logit == most ? static_cast<float>(-log_sum) : kNever;
    return static_cast<float>(static_cast<double>(logit) - most - log_sum);
  };
  sampled.logprob = logprob(sampled.id);
  std::vector<TokenId> order;
  const auto better = [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] != kNever) order.push_back(static_cast<TokenId>(id));
  }
  const size_t count = std::min(order.size(), static_cast<size_t>(parameters_.top_logprobs));
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(), better);
  for (size_t i = 0; i < count; ++i) sampled.top.push_back({order[i], logprob(order[i])});
}

TokenId Sampler::draw(std::span<const float> logits, float best) {
  // Subtracting first keeps tiny temperatures finite: the best token has weight 1.
  const auto weight = [&, temperature = static_cast<double>(parameters_.temperature)](const Candidate& candidate) {
    return portable_exp((static_cast<double>(candidate.first) - best) / temperature);
  };
  const auto total_weight = [&] {
    double total = 0;
    for (const Candidate& candidate : candidates_) total += weight(candidate);
    return total;
  };
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  candidates_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] != kNever) candidates_.emplace_back(logits[id], static_cast<TokenId>(id));
  }
  if (parameters_.top_k > 0 && static_cast<size_t>(parameters_.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + parameters_.top_k, candidates_.end(), better);
    candidates_.resize(static_cast<size_t>(parameters_.top_k));
    std::sort(candidates_.begin(), candidates_.end(), better);
  }
  double total = total_weight();
  if (parameters_.top_p < 1) {
    // Few tokens reach p as a rule: sort more only while they do not.
    size_t kept = candidates_.size();
    for (size_t sorted = std::min<size_t>(64, kept);; sorted = std::min(sorted * 4, candidates_.size())) {
      std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(sorted), candidates_.end(),
                        better);
      double reached = 0;
      size_t count = 0;
      while (count < sorted && reached < static_cast<double>(parameters_.top_p) * total)
        reached += weight(candidates_[count++]);
      kept = std::max<size_t>(count, 1);
      if (count < sorted || sorted == candidates_.size()) break;
    }
    candidates_.resize(kept);
    total = total_weight();
  }
  if (parameters_.min_p > 0) {
    std::erase_if(candidates_, [&](const Candidate& candidate) {
      return weight(candidate) < static_cast<double>(parameters_.min_p);
    });
    total = total_weight();
  }
  const double target = uniform_at(parameters_.seed, position_) * total;
  double reached = 0;
  TokenId last = candidates_.front().second;
  for (const Candidate& candidate : candidates_) {
    const double own = weight(candidate);
    if (own > 0) last = candidate.second;
    reached += own;
    if (reached > target) break;
  }
  return last;
}

Result<Sampled> Sampler::next(std::span<float> logits, std::span<const uint64_t> allowed) {
  for (float& logit : logits) {
    if (std::isnan(logit)) logit = kNever;
  }
  std::vector<float> own;  // the model's, for logprobs
  if (parameters_.top_logprobs >= 0) own.assign(logits.begin(), logits.end());
  adjust(logits, allowed);
  // Penalties can make NaN of infinities (inf * 0, inf - inf does not occur).
  for (float& logit : logits) {
    if (std::isnan(logit)) logit = kNever;
  }
  const TokenId best = best_of(logits);
  if (best < 0) return fail(ErrorCode::malformed, "no token is left to choose: all logits are -inf or NaN");
  Sampled sampled;
  const float most = logits[static_cast<size_t>(best)];
  const bool greedy = parameters_.temperature == 0 || parameters_.top_k == 1 || std::isinf(most);
  sampled.id = greedy ? best : draw(logits, most);
  if (parameters_.top_logprobs >= 0) describe(own, sampled);
  ++position_;
  ++seen_[sampled.id].generated;
  return sampled;
}

}  // namespace vitrine
