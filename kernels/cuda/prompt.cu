// Products for many tokens: BF16 and FP8 weights as bf16 tiles, activations rounded to
// bf16, sums in float32. A block computes 128 rows x 128 tokens, 32 columns at a time,
// three tiles on their way through shared memory; a warp computes 64 x 32 of it.
//
// With gate and up, a block's rows are 64 of each, and what leaves it is
// silu(gate) * up, already in bf16 for down. Tokens may be gathered (an expert's).
#include "kernels/cuda/prompt.h"

namespace vitrine::cuda {
namespace {

constexpr int kRows = 128, kTokens = kPromptTile, kColumns = 32, kStages = 3, kThreads = 256;
constexpr int kTileBytes = kRows * kColumns * 2;  // of weights; of activations likewise
constexpr int kHalf = kRows / 2;

// Where the 16 bytes of columns 8c … 8c + 7 of a row lie in a tile: eight rows that are
// read together meet eight different groups of banks.
__device__ inline int place_in_tile(int row, int c) { return row * kColumns * 2 + ((c ^ (row >> 1 & 3)) * 16); }

// Sixteen bytes of a weight's row into the tile, zeros beyond the last row.
template <Type kType>
__device__ inline void weights_to_tile(const Packed& w, int plane, int row, int tile_row, int k, int part,
                                       uint8_t* tile) {
  const bool inside = row < w.n_out;
  const int64_t at = (int64_t{plane} * w.n_out + (inside ? row : 0)) * w.chunks * kChunk + k * kColumns;
  if constexpr (kType == Type::bf16) {
    copy16_async(tile + place_in_tile(tile_row, part), w.q + (at + 8 * part) * 2, inside);
  } else {
    // FP8: eight numbers with their factor, rounded to bf16.
    uint4 out = make_uint4(0, 0, 0, 0);
    if (inside) {
      const uint2 v = load8(w.q + at + 8 * part);
      const float factor = f8_factor(w, plane, row, k * kColumns / kChunk);
      const auto two = [&](uint32_t pair) {
        const uint32_t low = float_to_bfloat(f8_to_float(pair & 0xff) * factor);
        const uint32_t high = float_to_bfloat(f8_to_float(pair >> 8 & 0xff) * factor);
        return low | high << 16;
      };
      out = make_uint4(two(v.x), two(v.x >> 16), two(v.y), two(v.y >> 16));
    }
    *reinterpret_cast<uint4*>(tile + place_in_tile(tile_row, part)) = out;
  }
}

template <Type kType, bool kGateUp>
__global__ void __launch_bounds__(kThreads) prompt_kernel(PromptArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  BlockRows at;
  if (!block_rows(args.rows, kTokens, at)) return;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int first_row = static_cast<int>(blockIdx.x) * (kGateUp ? kHalf : kRows);
  const int steps = args.w.chunks * (kChunk / kColumns);
  const int64_t x_row = int64_t{args.w.chunks} * kChunk;

  // A thread brings two of the four 16-byte parts of a row, of weights and of activations.
  const int load_row = thread / 2, load_part = thread % 2 * 2;
  const bool token_inside = at.begin + load_row < at.end;
  const int64_t source = source_row(args.rows, token_inside ? at.begin + load_row : at.end - 1) * args.rows.per_source +
                         int64_t{at.plane} * args.rows.per_plane;
  const auto load = [&](int k) {
    uint8_t* weights = shared + k % kStages * 2 * kTileBytes;
    uint8_t* tokens = weights + kTileBytes;
    const bool up = kGateUp && load_row >= kHalf;
    const int row = first_row + (up ? load_row - kHalf : load_row);
    for (int part = load_part; part < load_part + 2; ++part) {
      weights_to_tile<kType>(up ? args.up : args.w, at.plane, row, load_row, k, part, weights);
      copy16_async(tokens + place_in_tile(load_row, part), args.x.terms + source * x_row + k * kColumns + 8 * part,
                   token_inside);
    }
  };

  const int warp_row = warp / 4 * 64, warp_token = warp % 4 * 32;
  float acc[4][4][4] = {};  // 16 rows x 8 tokens each
  for (int k = 0; k < kStages - 1; ++k) {
    if (k < steps) load(k);
    copies_commit();
  }
  for (int k = 0; k < steps; ++k) {
    copies_wait<kStages - 2>();
    __syncthreads();  // step k has come, step k - 1 has been read
    if (k + kStages - 1 < steps) load(k + kStages - 1);
    copies_commit();
    const uint8_t* weights = shared + k % kStages * 2 * kTileBytes;
    const uint8_t* tokens = weights + kTileBytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // 16 columns
      uint32_t a[4][4], b[2][4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        const int row = warp_row + 16 * m + lane / 8 % 2 * 8 + lane % 8;
        load_matrices(a[m], weights + place_in_tile(row, 2 * half + lane / 16));
      }
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int row = warp_token + 16 * n + lane / 16 * 8 + lane % 8;
        load_matrices(b[n], tokens + place_in_tile(row, 2 * half + lane / 8 % 2));
      }
#pragma unroll
      for (int m = 0; m < 4; ++m) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          mma_bf16(acc[m][n], a[m][0], a[m][1], a[m][2], a[m][3], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
        }
      }
    }
  }
  copies_wait<0>();

  const auto each = [&](auto function) {
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          function(warp_row + 16 * m + lane / 4 + 8 * (i / 2), warp_token + 8 * n + 2 * (lane % 4) + i % 2,
                   acc[m][n][i]);
        }
      }
    }
  };
  if constexpr (kGateUp) {
    __syncthreads();                               // the tiles' memory is free
    auto* ups = reinterpret_cast<float*>(shared);  // [tokens][64]
    if (warp_row != 0) each([&](int row, int token, float v) { ups[token * kHalf + row - kHalf] = v; });
    __syncthreads();
    if (warp_row != 0) return;
    const int64_t width = int64_t{args.hidden_chunks} * kChunk;
    each([&](int row, int token, float v) {
      const int64_t p = at.begin + token, column = first_row + row;
      if (p >= at.end || column >= width) return;
      args.hidden.terms[p * width + column] = float_to_bfloat(silu(v) * ups[token * kHalf + row]);
    });
  } else {
    each([&](int row, int token, float v) {
      const int64_t p = at.begin + token;
      if (p >= at.end || first_row + row >= args.w.n_out) return;
      float* y = args.y + p * args.y_row + at.plane * args.y_plane + first_row + row;
      *y = args.accumulate ? *y + v : v;
    });
  }
}

constexpr size_t kShared = size_t{kStages} * 2 * kTileBytes;
static_assert(kShared >= sizeof(float) * kTokens * kHalf);

template <bool kGateUp>
cudaError_t launch_tiles(Type type, dim3 grid, Stream stream, const PromptArgs& args) {
  return type == Type::bf16
             ? launch(prompt_kernel<Type::bf16, kGateUp>, grid, dim3(kThreads), kShared, stream, args)
             : launch(prompt_kernel<Type::f8_e4m3, kGateUp>, grid, dim3(kThreads), kShared, stream, args);
}

}  // namespace

cudaError_t launch_prompt(Type type, bool gate_up, unsigned row_blocks, unsigned planes, Stream stream,
                          const PromptArgs& args) {
  if (gate_up) {
    const auto blocks = static_cast<unsigned>(args.hidden_chunks * (kChunk / kHalf));
    return launch_tiles<true>(type, dim3(blocks, row_blocks), stream, args);
  }
  return launch_tiles<false>(type, dim3(static_cast<unsigned>((args.w.n_out + kRows - 1) / kRows), row_blocks, planes),
                             stream, args);
}

}  // namespace vitrine::cuda
