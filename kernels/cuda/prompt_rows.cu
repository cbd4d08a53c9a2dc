// Activations of prompts, rounded for the kernels of prompt.cu and prompt_wgmma.cu.
#include "kernels/cuda/prompt.h"

namespace vitrine::cuda {
namespace {

// A warp takes a chunk of a row.
template <bool kE4m3>
__global__ void round_kernel(RowsToRound rows) {
  begin_kernel();
  const int64_t r = blockIdx.x;
  const int warps = static_cast<int>(blockDim.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int chunk = static_cast<int>(blockIdx.y) * warps + static_cast<int>(threadIdx.x) / kWarp;
  if (chunk >= rows.chunks) return;
  const float* row = rows.x + r % rows.planes * rows.plane_stride + r / rows.planes * rows.row_stride;
  constexpr int kMine = kChunk / kWarp;
  float v[kMine], largest = 0;
  for (int i = 0; i < kMine; ++i) {
    const int at = chunk * kChunk + i * kWarp + lane;
    v[i] = at < rows.n ? row[at] : 0.0f;
    largest = fmaxf(largest, fabsf(v[i]));
  }
  const int64_t at = (r * rows.chunks + chunk) * kChunk + lane;
  if constexpr (kE4m3) {
    largest = warp_max(largest);
    const float inverse = e4m3_inverse(largest);
    for (int i = 0; i < kMine; ++i) rows.to.e4m3[at + i * kWarp] = float_to_e4m3(v[i] * inverse);
    if (lane == 0) rows.to.factors[r * rows.chunks + chunk] = e4m3_factor(largest);
  } else {
    for (int i = 0; i < kMine; ++i) rows.to.terms[at + i * kWarp] = float_to_bfloat(v[i]);
  }
}

}  // namespace

cudaError_t launch_round(const RowsToRound& rows, int64_t count, Stream stream) {
  constexpr int kWarps = 4;
  const dim3 grid(static_cast<unsigned>(count), static_cast<unsigned>((rows.chunks + kWarps - 1) / kWarps));
  return launch(rows.to.e4m3 ? round_kernel<true> : round_kernel<false>, grid, dim3(kWarps * kWarp), 0, stream, rows);
}

}  // namespace vitrine::cuda
