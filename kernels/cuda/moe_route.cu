// The choice of experts: scores, bias, groups, the k best and their weights, in one
// kernel. A warp takes a token; its numbers lie in shared memory.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/rows.h"

namespace vitrine::cuda {
namespace {

constexpr int kMostExperts = 4096;

struct RouteArgs {
  RouteParams params;
  const float* logits;
  const float* bias;  // or null
  int32_t* ids;
  float* weights;
  int64_t logits_stride, ids_stride, weights_stride;
  int experts;
};

__device__ float lowest() { return -INFINITY; }

// The index of the largest value not yet taken; ties: the lowest. When no value compares
// (all -inf or NaN) the lowest index not taken. The same in every lane.
__device__ int best_of(const float* values, const uint8_t* taken, int n, int lane) {
  float best = lowest();
  int at = -1, free = n;
  for (int i = lane; i < n; i += kWarp) {
    if (taken[i]) continue;
    if (free == n) free = i;
    if (values[i] > best) best = values[i], at = i;
  }
  for (int k = kWarp / 2; k > 0; k /= 2) {
    const float value = __shfl_xor_sync(kAllLanes, best, k);
    const int index = __shfl_xor_sync(kAllLanes, at, k), other_free = __shfl_xor_sync(kAllLanes, free, k);
    if (index >= 0 && (at < 0 || value > best || (value == best && index < at))) best = value, at = index;
    free = other_free < free ? other_free : free;
  }
  return at >= 0 ? at : free;
}

__global__ void route_kernel(RouteArgs args) {
  VITRINE_SHARED_BYTES(shared);
  const RouteParams& p = args.params;
  const int n = args.experts, lane = static_cast<int>(threadIdx.x), groups = static_cast<int>(p.groups);
  auto* scores = reinterpret_cast<float*>(shared);
  float* biased = scores + n;
  float* group_scores = biased + n;
  auto* taken = reinterpret_cast<uint8_t*>(group_scores + groups);
  uint8_t* group_taken = taken + n;
  const float* x = args.logits + blockIdx.x * args.logits_stride;

  if (p.scoring == Scoring::softmax) {
    float top = lowest();
    for (int i = lane; i < n; i += kWarp) top = fmaxf(top, x[i]);
    top = warp_max(top);
    float total = 0;
    for (int i = lane; i < n; i += kWarp) total = total + (scores[i] = expf(x[i] - top));
    total = warp_sum(total);
    for (int i = lane; i < n; i += kWarp) scores[i] = scores[i] / total;
  } else {
    for (int i = lane; i < n; i += kWarp) scores[i] = 1.0f / (1.0f + expf(-x[i]));
  }
  for (int i = lane; i < n; i += kWarp) {
    biased[i] = args.bias ? scores[i] + args.bias[i] : scores[i];
    taken[i] = 0;
  }
  __syncwarp();

  if (groups > 1) {
    const int size = n / groups;
    for (int g = lane; g < groups; g += kWarp) {
      float first = lowest(), second = lowest();
      for (int i = g * size; i < (g + 1) * size; ++i) {
        if (biased[i] > first) {
          second = first;
          first = biased[i];
        } else if (biased[i] > second) {
          second = biased[i];
        }
      }
      group_scores[g] = p.group_top == 2 ? first + second : first;
      group_taken[g] = 0;
    }
    __syncwarp();
    for (int i = 0; i < static_cast<int>(p.groups_used); ++i) {
      const int best = best_of(group_scores, group_taken, groups, lane);
      __syncwarp();
      if (lane == 0) group_taken[best] = 1;
      __syncwarp();
    }
    for (int i = lane; i < n; i += kWarp) {
      if (!group_taken[i / size]) biased[i] = lowest();
    }
    __syncwarp();
  }

  int32_t* ids = args.ids + blockIdx.x * args.ids_stride;
  float* weights = args.weights + blockIdx.x * args.weights_stride;
  float total = 0;
  for (int j = 0; j < static_cast<int>(p.experts_used); ++j) {
    const int best = best_of(biased, taken, n, lane);
    __syncwarp();
    if (lane == 0) {
      taken[best] = 1;
      ids[j] = best;
    }
    __syncwarp();
    total = total + scores[best];
  }
  // DeepSeek's own code adds 1e-20, so that a sum of zeros divides to zeros.
  const float divisor = p.renormalize ? total + 1e-20f : 1.0f;
  for (int j = lane; j < static_cast<int>(p.experts_used); j += kWarp) {
    weights[j] = scores[ids[j]] / divisor * p.scale;
  }
}

}  // namespace

void CudaOps::moe_route(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
                        const Tensor& weights) {
  if (!fits("moe_route", door::moe_route(params, logits, bias, ids, weights)) || logits.ne[1] == 0 ||
      !require(logits.ne[0] <= kMostExperts, "moe_route", "at most 4096 experts")) {
    return;
  }
  RouteArgs args{};
  args.params = params;
  args.logits = static_cast<const float*>(logits.data);
  args.bias = bias.ne[0] != 0 ? static_cast<const float*>(bias.data) : nullptr;
  args.ids = static_cast<int32_t*>(ids.data);
  args.weights = static_cast<float*>(weights.data);
  args.logits_stride = logits.stride[1];
  args.ids_stride = ids.stride[1];
  args.weights_stride = weights.stride[1];
  args.experts = static_cast<int>(logits.ne[0]);
  const auto numbers = static_cast<size_t>(2 * args.experts + params.groups);
  const auto flags = static_cast<size_t>(args.experts + params.groups);
  check(launch(route_kernel, dim3(static_cast<unsigned>(logits.ne[1])), dim3(kWarp), numbers * sizeof(float) + flags,
               runtime_.stream(), args),
        "moe_route");
}

}  // namespace vitrine::cuda
