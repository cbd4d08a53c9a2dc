#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vitrine {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr const char* kNoTokenLeft = "no token is left to choose: all logits are -inf or NaN";

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

Sampler::Sampler(SamplingParameters parameters) : parameters_(std::move(parameters)) {}

void Sampler::see_prompt(std::span<const TokenId> ids) {
  for (const TokenId id : ids) seen_[id].in_prompt = true;
}

void Sampler::adjust(std::span<float> logits, std::span<const uint64_t> allowed) {
  edits_.clear();
  const SamplingRow how = row(edits_);
  for (const LogitEdit& edit : edits_) {
    if (edit.id < 0 || static_cast<size_t>(edit.id) >= logits.size()) continue;
    float& logit = logits[static_cast<size_t>(edit.id)];
    logit = edited(logit, edit, how);
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
  const auto weight = [&](const Candidate& candidate) {
    return token_weight(candidate.first, best, parameters_.temperature);
  };
  const auto total_weight = [&] {
    uint64_t total = 0;
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
  bool in_order = true;  // of ids
  if (parameters_.top_k > 0 && static_cast<size_t>(parameters_.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + parameters_.top_k, candidates_.end(), better);
    candidates_.resize(static_cast<size_t>(parameters_.top_k));
    in_order = false;
  }
  if (parameters_.top_p < 1) {
    // Few tokens reach p as a rule: sort more only while they do not.
    const uint64_t wanted = fraction_of(parameters_.top_p, total_weight());
    size_t kept = candidates_.size();
    for (size_t sorted = std::min<size_t>(64, kept);; sorted = std::min(sorted * 4, candidates_.size())) {
      std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(sorted), candidates_.end(),
                        better);
      uint64_t reached = 0;
      size_t count = 0;
      while (count < sorted && reached < wanted) reached += weight(candidates_[count++]);
      kept = std::max<size_t>(count, 1);
      if (count < sorted || sorted == candidates_.size()) break;
    }
    candidates_.resize(kept);
    in_order = false;
  }
  if (parameters_.min_p > 0) {
    const uint64_t least = fraction_of(parameters_.min_p, uint64_t{1} << kWeightBits);
    std::erase_if(candidates_, [&](const Candidate& candidate) { return weight(candidate) < least; });
  }
  if (!in_order) {
    std::sort(candidates_.begin(), candidates_.end(),
              [](const Candidate& a, const Candidate& b) { return a.second < b.second; });
  }
  const uint64_t place = draw_place(parameters_.seed, position_, total_weight());
  uint64_t reached = 0;
  for (const Candidate& candidate : candidates_) {
    reached += weight(candidate);
    if (reached > place) return candidate.second;
  }
  return candidates_.back().second;  // not reached: place is below the total
}

SamplingRow Sampler::row(std::vector<LogitEdit>& edits) const {
  const SamplingParameters& p = parameters_;
  SamplingRow row;
  row.temperature = p.temperature;
  row.top_p = p.top_p, row.min_p = p.min_p, row.top_k = p.top_k;
  row.repetition = p.repetition_penalty, row.presence = p.presence_penalty, row.frequency = p.frequency_penalty;
  for (int i = 0; i < 2; ++i) {
    row.seed[i] = static_cast<uint32_t>(p.seed >> (32 * i));
    row.position[i] = static_cast<uint32_t>(position_ >> (32 * i));
  }
  row.first_edit = static_cast<int32_t>(edits.size());
  const bool penalties = p.repetition_penalty != 1 || p.presence_penalty != 0 || p.frequency_penalty != 0;
  if (penalties) {
    for (const auto& [id, seen] : seen_) {
      const auto bias = p.logit_bias.find(id);
      edits.push_back({id, bias == p.logit_bias.end() ? 0.0f : bias->second, 1, static_cast<int32_t>(seen.generated)});
    }
  }
  for (const auto& [id, bias] : p.logit_bias) {
    if (!penalties || !seen_.contains(id)) edits.push_back({id, bias, 0, 0});
  }
  row.end_edit = static_cast<int32_t>(edits.size());
  return row;
}

Result<Sampled> Sampler::drawn(TokenId id) {
  if (id < 0) return fail(ErrorCode::malformed, kNoTokenLeft);
  ++position_;
  ++seen_[id].generated;
  Sampled sampled;
  sampled.id = id;
  return sampled;
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
  if (best < 0) return fail(ErrorCode::malformed, kNoTokenLeft);
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
