// The next token of each row of logits (kernels/sampling.h). A block takes a row.
//
// Nothing is sorted: where the k best end, and where the best reach p, is found by
// their keys, eight bits at a time, from sums of integers, which have no order. Tokens
// with the very key of the cut are taken by their ids. Then a token is drawn in the
// order of ids, each thread having a stretch of them.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/rows.h"
#include "kernels/sampling.h"

namespace vitrine::cuda {
namespace {

using Sum = unsigned long long;  // as atomicAdd wants it
constexpr int kSampleThreads = 1024;

struct SampleArgs {
  float* logits;
  int64_t stride;
  int n;
  const SamplingRow* rows;
  const LogitEdit* edits;
  int32_t* ids;
};

// Larger for a larger number; the same for both zeros.
__device__ inline uint32_t order_key(float v) {
  const uint32_t bits = float_to_bits(v == 0 ? 0.0f : v);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline float key_value(uint32_t key) { return bits_to_float(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

struct Shared {
  Sum bins[256];
  Sum warp_sums[kWarp];
  float values[kWarp];
  int indices[kWarp];
  Sum above;
  int bin;
};

// The sum of the v of the threads before this one; `total`: of all.
__device__ inline Sum scan(Sum v, Shared& shared, Sum& total) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  Sum up_to = v;
  for (int i = 1; i < kWarp; i *= 2) {
    const Sum before = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(i));
    if (lane >= i) up_to += before;
  }
  __syncthreads();  // the last use of warp_sums is over
  if (lane == kWarp - 1) shared.warp_sums[warp] = up_to;
  __syncthreads();
  Sum before = up_to - v;
  total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
    if (w < warp) before += shared.warp_sums[w];
    total += shared.warp_sums[w];
  }
  return before;
}

// The best of all, ties to the lowest index; -1 when nothing is above -inf. The same in every thread.
__device__ inline int best_of_row(const float* x, int n, Shared& shared, float& value) {
  float best = -INFINITY;
  int at = -1;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    if (x[i] > best) best = x[i], at = i;
  }
  const auto merge = [&](float other, int index) {
    if (index >= 0 && (at < 0 || other > best || (other == best && index < at))) best = other, at = index;
  };
  for (int i = kWarp / 2; i > 0; i /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, best, i);
    const int index = __shfl_xor_sync(kAllLanes, at, i);
    merge(other, index);
  }
  if (threadIdx.x % kWarp == 0) shared.values[threadIdx.x / kWarp] = best, shared.indices[threadIdx.x / kWarp] = at;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) merge(shared.values[w], shared.indices[w]);
  value = best;
  return at;
}

// Tokens with a key above `key`, and of those with it the first `ties`.
struct Cut {
  uint32_t key = 0;  // of no number
  Sum ties = 0;
  Sum above = 0;  // amounts of the larger keys
};

// Where amount(v), added up from the best on, reaches `target`: among tokens that are not below `least`.
// REQUIRES: they do reach it.
template <class Amount>
__device__ inline Cut cut_at(const float* x, int n, uint32_t least, Sum target, Shared& shared, Amount amount) {
  Cut cut;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int b = threadIdx.x; b < 256; b += blockDim.x) shared.bins[b] = 0;
    __syncthreads();
    const uint32_t known = shift == 24 ? 0 : ~0u << (shift + 8);
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      if (x[i] == -INFINITY) continue;
      const uint32_t key = order_key(x[i]);
      if (key < least || (key & known) != cut.key) continue;
      const Sum v = amount(x[i]);
      if (v != 0) atomicAdd(&shared.bins[key >> shift & 255], v);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int b = 255;
      Sum sum = cut.above;
      while (b > 0 && sum + shared.bins[b] < target) sum += shared.bins[b--];
      shared.bin = b;
      shared.above = sum;
    }
    __syncthreads();
    cut.key |= static_cast<uint32_t>(shared.bin) << shift;
    cut.above = shared.above;
    __syncthreads();
  }
  return cut;
}

__global__ void __launch_bounds__(kSampleThreads) sample_kernel(SampleArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(bytes);
  Shared& shared = *reinterpret_cast<Shared*>(bytes);
  const SamplingRow row = args.rows[blockIdx.x];
  float* x = args.logits + blockIdx.x * args.stride;
  const int n = args.n, thread = static_cast<int>(threadIdx.x);
  if (row.temperature < 0) {  // nobody asks
    if (thread == 0) args.ids[blockIdx.x] = -1;
    return;
  }
  for (int i = thread; i < n; i += blockDim.x) {
    if (x[i] != x[i]) x[i] = -INFINITY;
  }
  __syncthreads();
  for (int e = row.first_edit + thread; e < row.end_edit; e += blockDim.x) {
    const LogitEdit edit = args.edits[e];
    if (edit.id < 0 || edit.id >= n) continue;
    const float v = edited(x[edit.id], edit, row);
    x[edit.id] = v == v ? v : -INFINITY;
  }
  __syncthreads();

  float best = 0;
  const int at = best_of_row(x, n, shared, best);
  if (at < 0 || row.temperature == 0 || row.top_k == 1 || best == INFINITY) {
    if (thread == 0) args.ids[blockIdx.x] = at;
    return;
  }
  const auto weight = [&](float v) { return static_cast<Sum>(token_weight(v, best, row.temperature)); };
  Cut cut;
  Sum total = 0;
  if (row.top_k > 0) {
    Sum mine = 0;
    for (int i = thread; i < n; i += blockDim.x) mine += x[i] != -INFINITY;
    scan(mine, shared, total);
    if (static_cast<Sum>(row.top_k) < total) {
      cut = cut_at(x, n, 0, static_cast<Sum>(row.top_k), shared, [](float) { return Sum{1}; });
      cut.ties = static_cast<Sum>(row.top_k) - cut.above;
    }
  }
  if (row.top_p < 1) {
    Sum mine = 0;
    for (int i = thread; i < n; i += blockDim.x) {
      if (x[i] != -INFINITY && order_key(x[i]) > cut.key) mine += weight(x[i]);
    }
    scan(mine, shared, total);
    if (cut.ties > 0) total += cut.ties * weight(key_value(cut.key));
    const Sum target = fraction_of(row.top_p, total);
    cut = cut_at(x, n, cut.key, target, shared, weight);
    const Sum each = weight(key_value(cut.key));
    cut.ties = (target - cut.above + each - 1) / each;
  }
  const Sum least = row.min_p > 0 ? fraction_of(row.min_p, uint64_t{1} << kWeightBits) : 0;

  const int stretch = (n + static_cast<int>(blockDim.x) - 1) / static_cast<int>(blockDim.x);
  const int begin = min(thread * stretch, n), end = min(begin + stretch, n);
  Sum ties = 0, all_ties = 0;
  for (int i = begin; i < end; ++i) ties += x[i] != -INFINITY && order_key(x[i]) == cut.key;
  const Sum ties_before = scan(ties, shared, all_ties);
  // f(weight, id) of the stretch's tokens that may be drawn, until it says stop.
  const auto each_token = [&](auto f) {
    Sum tie = ties_before;
    for (int i = begin; i < end; ++i) {
      if (x[i] == -INFINITY) continue;
      const uint32_t key = order_key(x[i]);
      if (key < cut.key || (key == cut.key && tie++ >= cut.ties)) continue;
      const Sum w = weight(x[i]);
      if (w >= least && w != 0 && f(w, i)) return;
    }
  };
  Sum mine = 0;
  each_token([&](Sum w, int) {
    mine += w;
    return false;
  });
  Sum reached = scan(mine, shared, total);
  const Sum place =
      draw_place(uint64_t{row.seed[1]} << 32 | row.seed[0], uint64_t{row.position[1]} << 32 | row.position[0], total);
  if (place < reached || place >= reached + mine) return;
  each_token([&](Sum w, int i) {
    reached += w;
    if (reached <= place) return false;
    args.ids[blockIdx.x] = i;
    return true;
  });
}

}  // namespace

void CudaOps::sample(const Tensor& logits, const Tensor& rows, const Tensor& edits, const Tensor& ids) {
  if (!fits("sample", door::sample(logits, rows, edits, ids)) || logits.empty()) return;
  const SampleArgs args{static_cast<float*>(logits.data),
                        logits.stride[1],
                        static_cast<int>(logits.ne[0]),
                        static_cast<const SamplingRow*>(rows.data),
                        static_cast<const LogitEdit*>(edits.data),
                        static_cast<int32_t*>(ids.data)};
  check(launch(sample_kernel, dim3(static_cast<unsigned>(logits.ne[1])), dim3(kSampleThreads), sizeof(Shared),
               runtime_.stream(), args),
        "sample");
}

}  // namespace vitrine::cuda
