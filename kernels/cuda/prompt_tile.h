// What prompt_wgmma.cu and prompt_blocks.cu share: a block of 256 rows x 128 tokens (64
// where no more are left of an expert's, or of a short prompt's), each of two warpgroups
// with 128 rows as two halves of 64, results in wgmma's layout.
// With gate and up, a warpgroup's first half are gate's rows and its second the same rows
// of up: silu(gate) * up is computed where both are, and the block's 128 columns of it are
// one chunk of what down reads.
#pragma once

#include "kernels/cuda/prompt.h"
#include "kernels/cuda/wgmma.h"

namespace vitrine::cuda {

inline constexpr int kTileRows = 256;
inline constexpr int kTileGroups = 2;
inline constexpr int kTileThreads = kTileGroups * kGroupThreads;
inline constexpr int kLargestBytes = kTileThreads / kWarp * kPromptTile * 4;  // of shared memory, for finish_tile()
static_assert(kTileRows == kTileGroups * 2 * kGroupRows);

// Where a block and a thread of it stand.
struct PromptTile {
  BlockRows at;
  int first_row, thread, lane, warp, group, g, t;

  // False: nothing to do for this block.
  __device__ bool begin(const RowSet& rows, bool gate_up) {
    if (!block_rows(rows, kPromptTile, at)) return false;
    first_row = static_cast<int>(blockIdx.x) * (gate_up ? kTileRows / 2 : kTileRows);
    thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
    group = thread / kGroupThreads, g = lane / 4, t = lane % 4;
    return true;
  }
  // The prepared row of a token of the tile; beyond the end the last one stands in.
  __device__ int64_t source(const RowSet& rows, int token) const {
    const int p = at.begin + token < at.end ? at.begin + token : at.end - 1;
    return source_row(rows, p) * rows.per_source + int64_t{at.plane} * rows.per_plane;
  }
  __device__ bool live(int token) const { return at.begin + token < at.end; }
  __device__ bool is_short() const { return at.end - at.begin <= kPromptTile / 2; }
  // Row of this thread's results, from first_row on: of a half, g or (high) g + 8.
  template <bool kGateUp>
  __device__ int row(int half, int high) const {
    return (kGateUp ? group * kGroupRows : (2 * group + half) * kGroupRows) + warp % 4 * 16 + g + 8 * high;
  }
};

// Results on their way out. `largest`: kLargestBytes of shared memory.
template <bool kGateUp, int kResults>
__device__ inline void finish_tile(const PromptArgs& args, const PromptTile& tile, float (&acc)[2][kResults],
                                   float* largest) {
  const BlockRows& at = tile.at;
  if constexpr (!kGateUp) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int n = 0; n < kResults; ++n) {
        const int row = tile.first_row + tile.row<false>(half, n / 2 % 2);
        const int p = at.begin + n / 4 * 8 + 2 * tile.t + n % 2;
        if (p >= at.end || row >= args.w.n_out) continue;
        float* y = args.y + p * args.y_row + at.plane * args.y_plane + row;
        *y = args.accumulate ? *y + acc[half][n] : acc[half][n];
      }
    }
    return;
  }
  // Rows beyond the last are zeros: what pads the chunk.
  const Rounded& hidden = args.hidden;
#pragma unroll
  for (int n = 0; n < kResults; ++n) acc[0][n] = silu(acc[0][n]) * acc[1][n];
  if (!hidden.e4m3) {
#pragma unroll
    for (int n = 0; n < kResults; ++n) {
      const int64_t p = at.begin + n / 4 * 8 + 2 * tile.t + n % 2;
      if (p >= at.end) continue;
      hidden.terms[(p * args.hidden_chunks + blockIdx.x) * kChunk + tile.row<true>(0, n / 2 % 2)] =
          float_to_bfloat(acc[0][n]);
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < kResults / 4; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float v = fmaxf(fabsf(acc[0][4 * j + i]), fabsf(acc[0][4 * j + 2 + i]));
      for (int lanes = 4; lanes < kWarp; lanes *= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, lanes));
      if (tile.g == 0) largest[tile.warp * kPromptTile + 8 * j + 2 * tile.t + i] = v;
    }
  }
  __syncthreads();
  if (tile.thread < 2 * kResults) {  // the first line: of all warps
    float v = 0;
    for (int w = 0; w < kTileThreads / kWarp; ++w) v = fmaxf(v, largest[w * kPromptTile + tile.thread]);
    largest[tile.thread] = v;
    const int64_t p = at.begin + tile.thread;
    if (p < at.end) hidden.factors[p * args.hidden_chunks + blockIdx.x] = e4m3_factor(v);
  }
  __syncthreads();
#pragma unroll
  for (int n = 0; n < kResults; ++n) {
    const int token = n / 4 * 8 + 2 * tile.t + n % 2;
    if (at.begin + token >= at.end) continue;
    hidden.e4m3[(int64_t{at.begin + token} * args.hidden_chunks + blockIdx.x) * kChunk + tile.row<true>(0, n / 2 % 2)] =
        float_to_e4m3(acc[0][n] * e4m3_inverse(largest[token]));
  }
}

}  // namespace vitrine::cuda
