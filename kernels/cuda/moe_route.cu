// The choice of experts: scores, bias, groups, the k best and their weights. A warp takes
// a token; its numbers lie in shared memory. moe_router computes the logits in the same
// kernel: a warp takes a row of the router, and the block that is last done with a stretch
// of tokens chooses for them.
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

// One warp; `shared`: route_bytes() of it.
__device__ void route_token(const RouteArgs& args, int64_t token, uint8_t* shared, int lane) {
  const RouteParams& p = args.params;
  const int n = args.experts, groups = static_cast<int>(p.groups);
  auto* scores = reinterpret_cast<float*>(shared);
  float* biased = scores + n;
  float* group_scores = biased + n;
  auto* taken = reinterpret_cast<uint8_t*>(group_scores + groups);
  uint8_t* group_taken = taken + n;
  const float* logits = args.logits + token * args.logits_stride;

  if (p.scoring == Scoring::softmax) {
    float top = lowest();
    for (int i = lane; i < n; i += kWarp) top = fmaxf(top, fresh(logits + i));
    top = warp_max(top);
    float total = 0;
    for (int i = lane; i < n; i += kWarp) total = total + (scores[i] = expf(fresh(logits + i) - top));
    total = warp_sum(total);
    for (int i = lane; i < n; i += kWarp) scores[i] = scores[i] / total;
  } else {
    for (int i = lane; i < n; i += kWarp) scores[i] = 1.0f / (1.0f + expf(-fresh(logits + i)));
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

  int32_t* ids = args.ids + token * args.ids_stride;
  float* weights = args.weights + token * args.weights_stride;
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

__global__ void route_kernel(RouteArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  route_token(args, blockIdx.x, shared, static_cast<int>(threadIdx.x));
}

constexpr int kRouterWarps = 8;

struct RouterArgs {
  RouteArgs route;
  Packed weight;
  const float* x;
  int64_t x_stride, logits_stride;
  float* logits;
  int tokens;
  int32_t* arrived;  // [blockIdx.y]: zeros, and zeros again afterwards
  int route_bytes;   // of a warp
};

// kTokens: of a block, at most a warp each.
template <Type kType, int kTokens>
__global__ void __launch_bounds__(kRouterWarps* kWarp) router_kernel(RouterArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(blockIdx.x) * kRouterWarps + warp, first = static_cast<int>(blockIdx.y) * kTokens;
  if (row < args.weight.n_out) {  // the sums of matmul.cu's plain_kernel
    const float* x[kTokens];
    float acc[kTokens] = {};
#pragma unroll
    for (int i = 0; i < kTokens; ++i) x[i] = args.x + min(first + i, args.tokens - 1) * args.x_stride;
#pragma unroll 4
    for (int column = lane; column < args.weight.n_in; column += kWarp) {
      const float w = element<kType>(args.weight, 0, row, column);
#pragma unroll
      for (int i = 0; i < kTokens; ++i) acc[i] = fmaf(w, x[i][column], acc[i]);
    }
#pragma unroll
    for (int i = 0; i < kTokens; ++i) {
      const float sum = warp_sum(acc[i]);
      if (lane == 0 && first + i < args.tokens) args.logits[(first + i) * args.logits_stride + row] = sum;
    }
  }
  auto* last = reinterpret_cast<int*>(shared);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    *last = atomicAdd(&args.arrived[blockIdx.y], 1) == static_cast<int>(gridDim.x) - 1;
    if (*last) args.arrived[blockIdx.y] = 0;
  }
  __syncthreads();
  if (!*last) return;
  __threadfence();
  __syncthreads();  // the word has been read
  if (warp < kTokens && first + warp < args.tokens) {
    route_token(args.route, first + warp, shared + warp * args.route_bytes, lane);
  }
}

size_t route_bytes(int64_t experts, int64_t groups) {
  const auto numbers = static_cast<size_t>(2 * experts + groups) * sizeof(float);
  return (numbers + static_cast<size_t>(experts + groups) + 15) / 16 * 16;
}

RouteArgs route_args(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
                     const Tensor& weights) {
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
  return args;
}

}  // namespace

void CudaOps::moe_route(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
                        const Tensor& weights) {
  if (!fits("moe_route", door::moe_route(params, logits, bias, ids, weights)) || logits.ne[1] == 0 ||
      !require(logits.ne[0] <= kMostExperts, "moe_route", "at most 4096 experts")) {
    return;
  }
  check(launch(route_kernel, dim3(static_cast<unsigned>(logits.ne[1])), dim3(kWarp),
               route_bytes(logits.ne[0], params.groups), runtime_.stream(),
               route_args(params, logits, bias, ids, weights)),
        "moe_route");
}

void CudaOps::moe_router(const RouteParams& params, const Weight& router, const Tensor& x, const Tensor& bias,
                         const Tensor& logits, const Tensor& ids, const Tensor& weights) {
  constexpr std::string_view kOp = "moe_router";
  const size_t bytes = route_bytes(logits.ne[0], params.groups);
  const bool plain = router.type() == Type::f32 || router.type() == Type::f16 || router.type() == Type::bf16;
  if (!plain || bytes * kRouterWarps > 48 << 10) return Ops::moe_router(params, router, x, bias, logits, ids, weights);
  const CudaWeight* w = get(router, kOp);
  const Ops::Product product{&router, logits};
  if (!w || !fits(kOp, door::matmul({&product, 1}, x, planned_)) ||
      !fits(kOp, door::moe_route(params, logits, bias, ids, weights)) || x.ne[1] == 0) {
    return;
  }
  RouterArgs args{};
  args.route = route_args(params, logits, bias, ids, weights);
  args.weight = w->packed;
  args.x = static_cast<const float*>(x.data), args.x_stride = x.stride[1];
  args.logits = static_cast<float*>(logits.data), args.logits_stride = logits.stride[1];
  args.tokens = static_cast<int>(x.ne[1]);
  args.route_bytes = static_cast<int>(bytes);
  const int64_t at_once = x.ne[1] == 1 ? 1 : kRouterWarps, stretches = (x.ne[1] + at_once - 1) / at_once;
  args.arrived = workspace<int32_t>(matrix_.arrived, stretches, kOp);
  if (!args.arrived) return;
  const dim3 grid(static_cast<unsigned>((logits.ne[0] + kRouterWarps - 1) / kRouterWarps),
                  static_cast<unsigned>(stretches));
  for_type<kVectorType>(w->type, [&](auto type) {
    const auto kernel = at_once == 1 ? router_kernel<type.value, 1> : router_kernel<type.value, kRouterWarps>;
    check(
        launch(kernel, grid, dim3(kRouterWarps * kWarp), bytes * static_cast<size_t>(at_once), runtime_.stream(), args),
        kOp);
  });
}

}  // namespace vitrine::cuda
