// Rotary positions (arXiv 2104.09864).
#include "kernels/cuda/backend.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/rows.h"

namespace vitrine::cuda {
namespace {

// In double, as on the CPU: a table is small, and its error goes through all layers.
__global__ void table_kernel(const int32_t* pos, const float* frequency, float magnitude, RowMap table, int half) {
  begin_kernel();
  const auto p = static_cast<float>(pos[blockIdx.x]);
  float* out = table.row(blockIdx.x);
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    const auto angle = static_cast<double>(p * frequency[i]);
    out[2 * i] = static_cast<float>(cos(angle)) * magnitude;
    out[2 * i + 1] = static_cast<float>(sin(angle)) * magnitude;
  }
}

// A block takes a token.
__global__ void rope_kernel(float* x, int64_t head_stride, int64_t token_stride, RowMap table, int heads, int half,
                            bool halves) {
  begin_kernel();
  const float* cs = table.row(blockIdx.x);
  float* token = x + blockIdx.x * token_stride;
  for (int n = threadIdx.x; n < heads * half; n += blockDim.x) {
    rotate(token + n / half * head_stride, n % half, half, halves, cs);
  }
}

}  // namespace

void CudaOps::rope_table(const Tensor& pos, const Tensor& frequency, float magnitude, const Tensor& table) {
  if (!fits("rope_table", door::rope_table(pos, frequency, table)) || table.empty()) return;
  check(launch(table_kernel, dim3(static_cast<unsigned>(table.ne[1])), dim3(32), 0, runtime_.stream(),
               static_cast<const int32_t*>(pos.data), static_cast<const float*>(frequency.data), magnitude,
               RowMap(table), static_cast<int>(table.ne[0] / 2)),
        "rope_table");
}

void CudaOps::rope(const Tensor& x, const Tensor& table, RopeStyle style) {
  if (!fits("rope", door::rope(x, table)) || x.empty()) return;
  check(launch(rope_kernel, dim3(static_cast<unsigned>(x.ne[2])), dim3(128), 0, runtime_.stream(),
               static_cast<float*>(x.data), x.stride[1], x.stride[2], RowMap(table), static_cast<int>(x.ne[1]),
               static_cast<int>(x.ne[0] / 2), style == RopeStyle::halves),
        "rope");
}

}  // namespace vitrine::cuda
