// What the operators should give: slow, obvious, in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/ops.h"

namespace vitrine::test {

using Row = std::vector<double>;

// What a product has to be, and how far rounding may take it from there.
struct Judged {
  double value = 0;
  double magnitude = 0;  // Σ |terms|: float32 sums are wrong by some 2^-24 of it
};

template <class Get>
Judged dot(size_t n, Get term) {
  Judged out;
  for (size_t i = 0; i < n; ++i) {
    out.value += term(i);
    out.magnitude += std::fabs(term(i));
  }
  return out;
}

// Activations as block kernels see them: rounded to 8 bits per 32 or 256, the
// factor in float32 (kernels/cpu/isa/kernels.h).
inline Row quantized_activations(const Row& x, size_t block) {
  Row out(x.size());
  for (size_t b = 0; b < x.size(); b += block) {
    float extreme = 0;
    for (size_t i = b; i < b + block; ++i) extreme = std::max(extreme, std::fabs(static_cast<float>(x[i])));
    const float d = extreme / 127.0f, inverse = extreme > 0 ? 127.0f / extreme : 0.0f;
    for (size_t i = b; i < b + block; ++i) {
      out[i] = static_cast<double>(d) * std::nearbyint(static_cast<float>(x[i]) * inverse);
    }
  }
  return out;
}

// The row x as the weights of that type meet it.
inline Row met_by(Type type, const Row& x) {
  if (block_elements(type) == 1) return x;
  return quantized_activations(x, block_elements(type));
}

inline double silu(double v) { return v / (1 + std::exp(-v)); }

inline Row softmax(const Row& x) {
  const double top = *std::max_element(x.begin(), x.end());
  Row out;
  double total = 0;
  for (const double v : x) out.push_back(std::exp(v - top)), total += out.back();
  for (double& v : out) v /= total;
  return out;
}

struct Choice {
  std::vector<int> ids;
  Row weights;
};

// DeepSeek's gate, word by word: score, bias, groups, top k, weights.
inline Choice route(const RouteParams& params, const Row& logits, const Row& bias) {
  Row scores = softmax(logits);
  if (params.scoring == Scoring::sigmoid) {
    for (size_t i = 0; i < logits.size(); ++i) scores[i] = 1 / (1 + std::exp(-logits[i]));
  }
  const auto order = [](const Row& v) {  // best first, ties: lowest index first
    std::vector<int> index(v.size());
    for (size_t i = 0; i < v.size(); ++i) index[i] = static_cast<int>(i);
    std::stable_sort(index.begin(), index.end(), [&v](int a, int b) { return v[a] > v[b]; });
    return index;
  };
  Row biased = scores;
  for (size_t i = 0; i < bias.size(); ++i) biased[i] += bias[i];
  const size_t size = biased.size() / static_cast<size_t>(params.groups);
  if (params.groups > 1) {
    Row group_scores;
    for (int64_t g = 0; g < params.groups; ++g) {
      Row members(biased.begin() + g * size, biased.begin() + (g + 1) * size);
      std::sort(members.rbegin(), members.rend());
      group_scores.push_back(params.group_top == 2 ? members[0] + members[1] : members[0]);
    }
    const std::vector<int> groups = order(group_scores);
    for (size_t g = static_cast<size_t>(params.groups_used); g < groups.size(); ++g) {
      std::fill_n(biased.begin() + groups[g] * size, size, -std::numeric_limits<double>::infinity());
    }
  }
  Choice out;
  out.ids = order(biased);
  out.ids.resize(static_cast<size_t>(params.experts_used));
  double total = 0;
  for (const int id : out.ids) total += scores[id];
  for (const int id : out.ids) out.weights.push_back(scores[id] / (params.renormalize ? total : 1) * params.scale);
  return out;
}

// One query over the positions it sees. keys[p], values[p] as the cache holds them.
inline Row attend(const Row& q, const std::vector<Row>& keys, const std::vector<Row>& values, size_t begin, size_t end,
                  double scale) {
  Row scores;
  for (size_t p = begin; p < end; ++p) {
    double s = 0;
    for (size_t i = 0; i < q.size(); ++i) s += q[i] * keys[p][i];
    scores.push_back(s * scale);
  }
  const Row weights = softmax(scores);
  Row out(values[begin].size(), 0);
  for (size_t p = begin; p < end; ++p) {
    for (size_t i = 0; i < out.size(); ++i) out[i] += weights[p - begin] * values[p][i];
  }
  return out;
}

}  // namespace vitrine::test
