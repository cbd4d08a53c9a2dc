// Operators on single rows: embed, gather_rows, add, add_bias, rms_norm,
// add_rms_norm, silu_mul, argmax. A block takes a row; how its threads share the
// row depends on the row's length alone.
#include <algorithm>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/prepare.h"
#include "kernels/cuda/rows.h"

namespace vitrine::cuda {
namespace {

template <Type kType>
__global__ void embed_kernel(Packed table, const int32_t* ids, RowMap y, int n, int* faults) {
  begin_kernel();
  const int32_t id = ids[blockIdx.x];
  if (id < 0 || id >= table.n_out) {
    if (threadIdx.x == 0) atomicOr(faults, kFaultToken);
    return;
  }
  float* out = y.row(blockIdx.x);
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = element<kType>(table, 0, id, i);
}

__global__ void gather_kernel(RowMap x, int64_t x_rows, const int32_t* index, RowMap y, int n, int* faults) {
  begin_kernel();
  const int32_t from = index[blockIdx.x];
  if (from < 0 || from >= x_rows) {
    if (threadIdx.x == 0) atomicOr(faults, kFaultIndex);
    return;
  }
  const float* in = x.row(from);
  float* out = y.row(blockIdx.x);
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = in[i];
}

__global__ void add_kernel(RowMap x, RowMap y, int n) {
  begin_kernel();
  const float* in = x.row(blockIdx.x);
  float* out = y.row(blockIdx.x);
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = out[i] + in[i];
}

template <Type kType>
__global__ void add_bias_kernel(Packed bias, RowMap y, int n) {
  begin_kernel();
  float* out = y.row(blockIdx.x);
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = out[i] + element<kType>(bias, 0, 0, i);
}

__global__ void silu_mul_kernel(RowMap gate, RowMap up, RowMap y, int n) {
  begin_kernel();
  const float* g = gate.row(blockIdx.x);
  const float* u = up.row(blockIdx.x);
  float* out = y.row(blockIdx.x);
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = silu(g[i]) * u[i];
}

// x += delta first, when there is one.
template <Type kType, bool kAdd>
__global__ void rms_norm_kernel(RowMap x, RowMap delta, Packed weight, float eps, RowMap y, int n, PreparedRows to) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  auto* partial = reinterpret_cast<float*>(shared);
  float* in = x.row(blockIdx.x);
  float* out = y.row(blockIdx.x);
  float squares = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float v = in[i];
    if constexpr (kAdd) in[i] = v = v + delta.row(blockIdx.x)[i];
    squares = fmaf(v, v, squares);
  }
  const float mean = block_sum(squares, partial) / static_cast<float>(n);
  const float factor = 1.0f / sqrtf(mean + eps);
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = in[i] * factor * element<kType>(weight, 0, 0, i);
  if (!to.wanted()) return;
  __syncthreads();
  prepare_row(to, blockIdx.x, [out](int i) { return out[i]; });
}

// The lowest index of the largest value. A row that begins with NaN gives 0, as comparing from there does.
__global__ void argmax_kernel(RowMap x, int32_t* ids, int n) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  auto* values = reinterpret_cast<float*>(shared);
  auto* indices = reinterpret_cast<int*>(values + kWarp);
  const float* in = x.row(blockIdx.x);
  float best = in[0];
  int at = 0;
  const bool first_is_nan = best != best;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    if (in[i] > best) best = in[i], at = i;
  }
  const auto merge = [&](float value, int index) {
    if (value > best || (value == best && index < at)) best = value, at = index;
  };
  for (int i = kWarp / 2; i > 0; i /= 2) {
    const float value = __shfl_xor_sync(kAllLanes, best, i);
    const int index = __shfl_xor_sync(kAllLanes, at, i);
    merge(value, index);
  }
  if (threadIdx.x % kWarp == 0) values[threadIdx.x / kWarp] = best, indices[threadIdx.x / kWarp] = at;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) merge(values[w], indices[w]);
  ids[blockIdx.x] = first_is_nan ? 0 : at;
}

dim3 rows_of(const Tensor& t) { return dim3(static_cast<unsigned>(t.ne[1] * t.ne[2])); }
int width_of(const Tensor& t) { return static_cast<int>(t.ne[0]); }

constexpr size_t kReduction = 2 * kWarp * sizeof(float);  // argmax: values and indices

}  // namespace

void CudaOps::embed(const Weight& table, const Tensor& ids, const Tensor& y) {
  const CudaWeight* w = get(table, "embed");
  if (!w || !fits("embed", door::embed(table, ids, y)) || y.empty()) return;
  for_type<kAnyType>(w->type, [&](auto type) {
    check(launch(embed_kernel<type.value>, rows_of(y), threads_for(y.ne[0]), 0, runtime_.stream(), w->packed,
                 static_cast<const int32_t*>(ids.data), RowMap(y), width_of(y), runtime_.faults()),
          "embed");
  });
}

void CudaOps::gather_rows(const Tensor& x, const Tensor& index, const Tensor& y) {
  if (!fits("gather_rows", door::gather_rows(x, index, y)) || y.empty()) return;
  check(launch(gather_kernel, rows_of(y), threads_for(y.ne[0]), 0, runtime_.stream(), RowMap(x), x.ne[1],
               static_cast<const int32_t*>(index.data), RowMap(y), width_of(y), runtime_.faults()),
        "gather_rows");
}

void CudaOps::add(const Tensor& x, const Tensor& y) {
  if (!fits("add", door::add(x, y)) || y.empty()) return;
  check(launch(add_kernel, rows_of(y), threads_for(y.ne[0]), 0, runtime_.stream(), RowMap(x), RowMap(y), width_of(y)),
        "add");
}

void CudaOps::add_bias(const Weight& bias, const Tensor& y) {
  const CudaWeight* w = get(bias, "add_bias");
  if (!w || !fits("add_bias", door::add_bias(bias, y)) || y.empty()) return;
  for_type<kVectorType>(w->type, [&](auto type) {
    check(launch(add_bias_kernel<type.value>, rows_of(y), threads_for(y.ne[0]), 0, runtime_.stream(), w->packed,
                 RowMap(y), width_of(y)),
          "add_bias");
  });
}

void CudaOps::silu_mul(const Tensor& gate, const Tensor& up, const Tensor& y) {
  if (!fits("silu_mul", door::silu_mul(gate, up, y)) || y.empty()) return;
  check(launch(silu_mul_kernel, rows_of(y), threads_for(y.ne[0]), 0, runtime_.stream(), RowMap(gate), RowMap(up),
               RowMap(y), width_of(y)),
        "silu_mul");
}

void CudaOps::norm_rows(const Tensor& x, const Tensor* delta, const Weight& weight, float eps, const Tensor& y,
                        std::string_view op) {
  const CudaWeight* w = get(weight, op);
  if (!w || !fits(op, delta ? door::add_rms_norm(x, *delta, weight, y) : door::rms_norm(x, weight, y)) || y.empty()) {
    return;
  }
  PreparedRows to;
  if (!producing(y.data, y.ne[0], y.ne[1] * y.ne[2], matrix_.input, op, to)) return;
  const RowMap add(delta ? *delta : x);
  for_type<kVectorType>(w->type, [&](auto type) {
    const auto kernel = delta ? rms_norm_kernel<type.value, true> : rms_norm_kernel<type.value, false>;
    check(launch(kernel, rows_of(y), threads_for(y.ne[0]), kReduction, runtime_.stream(), RowMap(x), add, w->packed,
                 eps, RowMap(y), width_of(y), to),
          op);
  });
}

void CudaOps::rms_norm(const Tensor& x, const Weight& weight, float eps, const Tensor& y) {
  norm_rows(x, nullptr, weight, eps, y, "rms_norm");
}

void CudaOps::add_rms_norm(const Tensor& x, const Tensor& delta, const Weight& weight, float eps, const Tensor& y) {
  norm_rows(x, &delta, weight, eps, y, "add_rms_norm");
}

void CudaOps::argmax(const Tensor& x, const Tensor& ids) {
  if (!fits("argmax", door::argmax(x, ids)) || x.empty()) return;
  check(launch(argmax_kernel, rows_of(x), threads_for(x.ne[0]), kReduction, runtime_.stream(), RowMap(x),
               static_cast<int32_t*>(ids.data), width_of(x)),
        "argmax");
}

}  // namespace vitrine::cuda
