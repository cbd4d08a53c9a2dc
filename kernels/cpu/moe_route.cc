// The choice of experts.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cpu/backend.h"

namespace vitrine::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The index of the largest value not yet taken; ties: the lowest. When no value
// compares (all -inf or NaN) the lowest index not taken.
int64_t best_of(const float* values, const std::vector<char>& taken) {
  int64_t best = -1;
  for (int64_t i = 0; i < static_cast<int64_t>(taken.size()); ++i) {
    if (!taken[static_cast<size_t>(i)] && values[i] > (best < 0 ? kLowest : values[best])) best = i;
  }
  if (best >= 0) return best;
  return std::find(taken.begin(), taken.end(), 0) - taken.begin();
}

// Sets the experts of the groups not chosen to -inf.
void mask_groups(const RouteParams& params, std::vector<float>& biased) {
  const auto groups = static_cast<size_t>(params.groups);
  const size_t size = biased.size() / groups;
  std::vector<float> score(groups);
  for (size_t g = 0; g < groups; ++g) {
    float first = kLowest, second = kLowest;
    for (size_t i = g * size; i < (g + 1) * size; ++i) {
      if (biased[i] > first) {
        second = first;
        first = biased[i];
      } else if (biased[i] > second) {
        second = biased[i];
      }
    }
    score[g] = params.group_top == 2 ? first + second : first;
  }
  std::vector<char> chosen(groups, 0);
  for (int64_t i = 0; i < params.groups_used; ++i) chosen[static_cast<size_t>(best_of(score.data(), chosen))] = 1;
  for (size_t i = 0; i < biased.size(); ++i) {
    if (!chosen[i / size]) biased[i] = kLowest;
  }
}

}  // namespace

void CpuOps::moe_route(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
                       const Tensor& weights) {
  const int64_t experts = logits.ne[0], tokens = logits.ne[1], used = params.experts_used;
  const bool biased_choice = bias.ne[0] != 0;
  if (!fits("moe_route", door::moe_route(params, logits, bias, ids, weights))) return;
  const auto e = static_cast<size_t>(experts);
  const auto route = [&](int64_t t, std::vector<float>& scores, std::vector<float>& biased, std::vector<char>& taken) {
    const float* x = static_cast<const float*>(logits.data) + t * logits.stride[1];
    if (params.scoring == Scoring::softmax) {
      kernels_.softmax(x, experts, scores.data());
    } else {
      kernels_.sigmoid(x, experts, scores.data());
    }
    biased = scores;
    if (biased_choice) kernels_.add(static_cast<const float*>(bias.data), experts, biased.data());
    if (params.groups > 1) mask_groups(params, biased);
    std::fill(taken.begin(), taken.end(), 0);
    int32_t* id = static_cast<int32_t*>(ids.data) + t * ids.stride[1];
    float* weight = static_cast<float*>(weights.data) + t * weights.stride[1];
    float total = 0;
    for (int64_t j = 0; j < used; ++j) {
      const int64_t best = best_of(biased.data(), taken);
      taken[static_cast<size_t>(best)] = 1;
      id[j] = static_cast<int32_t>(best);
      weight[j] = scores[static_cast<size_t>(best)];
      total += weight[j];
    }
    // DeepSeek's own code adds 1e-20, so that a sum of zeros divides to zeros.
    const float divisor = params.renormalize ? total + 1e-20f : 1.0f;
    for (int64_t j = 0; j < used; ++j) weight[j] = weight[j] / divisor * params.scale;
  };
  constexpr int64_t kEach = 32;
  pool_.run((tokens + kEach - 1) / kEach, [&](int64_t task, int64_t, int) {
    std::vector<float> scores(e), biased(e);
    std::vector<char> taken(e);
    for (int64_t t = task * kEach; t < std::min(tokens, (task + 1) * kEach); ++t) route(t, scores, biased, taken);
  });
}

}  // namespace vitrine::cpu
