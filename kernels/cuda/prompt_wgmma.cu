// Products for many tokens on the matrix instructions of a warpgroup: BF16 weights with
// bf16 activations, FP8 weights with e4m3 ones (factors per 128 x 128 and per token and
// 128; sums of 128 columns meet their factors in float32, as arXiv 2412.19437, 3.3.2).
//
// A block computes 256 rows x 128 tokens, 128 bytes of columns at a time, four stages in
// shared memory, two of them on their way; each of its two warpgroups 128 rows, as two
// halves of 64. With gate and up, a warpgroup's first half are gate's rows and its second
// the same rows of up: silu(gate) * up is computed where both are, and a block's 128
// columns of it are one chunk of what down reads.
#include "kernels/cuda/matrix_instructions.h"
#include "kernels/cuda/prompt.h"
#include "kernels/cuda/wgmma.h"

namespace vitrine::cuda {
namespace {

constexpr int kRows = 256, kTokens = kPromptTile, kStages = 4, kGroups = 2;
[[maybe_unused]] constexpr int kAhead = 2;  // stages on their way
constexpr int kThreads = kGroups * kGroupThreads;
constexpr int kLinesAtOnce = kThreads / 8;  // of a stage; a thread brings 16 bytes of each
constexpr int kWeightBytes = kRows * kLine, kStageBytes = kWeightBytes + kTokens * kLine;
static_assert(kTokens == kGroupColumns && kRows == kGroups * 2 * kGroupRows);

struct Layout {
  static constexpr int kFactors = kStages * kStageBytes;          // of tokens, e4m3: [stage][token]
  static constexpr int kLargest = kFactors + kStages * kTokens * 4;  // [warp][token]
  static constexpr int kBytes = kLargest + kThreads / kWarp * kTokens * 4;
};

// What a thread brings of each stage: part `part` of lines line, line + 32, …
struct Loader {
  const uint8_t* weights[2];  // of the first row of gate (or w) and of up
  const uint8_t* tokens[kTokens / kLinesAtOnce];
  const float* factors;  // of one token
  int64_t row_bytes;
  int rows_left, part, line;  // rows from the block's first one on
  unsigned live;              // a bit for each of `tokens`
};

template <Type kType, bool kGateUp>
__device__ inline void bring(const Loader& from, int k, uint8_t* shared) {
  uint8_t* stage = shared + k % kStages * kStageBytes;
  const int64_t column = int64_t{k} * kLine;
#pragma unroll
  for (int i = 0; i < kRows / kLinesAtOnce; ++i) {
    // Lines go by halves of 64: first and second of warpgroup 0, then of warpgroup 1.
    const int row = from.line + (kGateUp ? i / 4 * kGroupRows + i % 2 * kLinesAtOnce : i * kLinesAtOnce);
    const bool inside = row < from.rows_left;
    const uint8_t* first = from.weights[kGateUp ? i / 2 % 2 : 0];
    copy16_async(stage + place_in_lines(from.line + i * kLinesAtOnce, from.part),
                 first + (inside ? row : 0) * from.row_bytes + column, inside);
  }
#pragma unroll
  for (int i = 0; i < kTokens / kLinesAtOnce; ++i) {
    copy16_async(stage + kWeightBytes + place_in_lines(from.line + i * kLinesAtOnce, from.part),
                 from.tokens[i] + column, from.live >> i & 1);
  }
  if constexpr (kType == Type::f8_e4m3) {
    if (threadIdx.x < kTokens) {
      auto* factors = reinterpret_cast<float*>(shared + Layout::kFactors) + k % kStages * kTokens;
      copy4_async(factors + threadIdx.x, from.factors + k);
    }
  }
}

template <Type kType, bool kGateUp>
__global__ void __launch_bounds__(kThreads, 1) prompt_wgmma_kernel(PromptArgs args) {
  begin_kernel();
#if defined(VITRINE_WGMMA)
  VITRINE_SHARED_BYTES(shared);
  constexpr bool kE4m3 = kType == Type::f8_e4m3;
  BlockRows at;
  if (!block_rows(args.rows, kTokens, at)) return;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int group = thread / kGroupThreads, g = lane / 4, t = lane % 4;
  const int first_row = static_cast<int>(blockIdx.x) * (kGateUp ? kRows / 2 : kRows);
  const int64_t row_bytes = int64_t{args.w.chunks} * kChunk * (kE4m3 ? 1 : 2);
  const int steps = static_cast<int>(row_bytes / kLine);

  // The prepared row of a token of the tile; beyond the end the last one stands in.
  const auto row_of = [&](int token) {
    const int p = at.begin + token < at.end ? at.begin + token : at.end - 1;
    return source_row(args.rows, p) * args.rows.per_source + int64_t{at.plane} * args.rows.per_plane;
  };
  Loader from{};
  from.row_bytes = row_bytes;
  from.rows_left = args.w.n_out - first_row;
  from.part = thread % 8, from.line = thread / 8;
  const int64_t first_byte = (int64_t{at.plane} * args.w.n_out + first_row) * row_bytes + from.part * 16;
  from.weights[0] = args.w.q + first_byte;
  if constexpr (kGateUp) from.weights[1] = args.up.q + first_byte;
  const uint8_t* x = kE4m3 ? args.x.e4m3 : reinterpret_cast<const uint8_t*>(args.x.terms);
  for (int i = 0; i < kTokens / kLinesAtOnce; ++i) {
    const int token = from.line + i * kLinesAtOnce;
    from.tokens[i] = x + row_of(token) * row_bytes + from.part * 16;
    from.live |= static_cast<unsigned>(at.begin + token < at.end) << i;
  }
  if constexpr (kE4m3) from.factors = args.x.e4m3_factors + row_of(thread % kTokens) * args.w.chunks;

  // Rows of this thread's results, counted from first_row: of half h, low (i < 2) or high.
  const auto row_in_block = [&](int half, int high) {
    const int of_group = kGateUp ? group * kGroupRows : (2 * group + half) * kGroupRows;
    return of_group + warp % 4 * 16 + g + 8 * high;
  };

  float acc[2][64] = {};
  for (int k = 0; k < kAhead; ++k) {
    if (k < steps) bring<kType, kGateUp>(from, k, shared);
    copies_commit();
  }
  for (int k = 0; k < steps; ++k) {
    float factor[2][2];
    if constexpr (kE4m3) {
      for (int half = 0; half < 2; ++half) {
        for (int high = 0; high < 2; ++high) {
          const int row = min(first_row + row_in_block(half, high), args.w.n_out - 1);
          factor[half][high] = f8_factor(kGateUp && half == 1 ? args.up : args.w, at.plane, row, k);
        }
      }
    }
    copies_wait<kAhead - 1>();
    shared_written();
    __syncthreads();  // stage k has come; of the products, those of step k - 1 may still go on
    if (k + kAhead < steps) bring<kType, kGateUp>(from, k + kAhead, shared);
    copies_commit();
    const uint8_t* stage = shared + k % kStages * kStageBytes;
    const uint64_t tokens = tile_descriptor(stage + kWeightBytes);
    const uint64_t weights[2] = {tile_descriptor(stage + 2 * group * kGroupRows * kLine),
                                 tile_descriptor(stage + (2 * group + 1) * kGroupRows * kLine)};
    if constexpr (!kE4m3) {
      products_begin();
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int j = 0; j < kLine / kStepBytes; ++j) {
          wgmma_bf16(acc[half], weights[half] + 2 * j, tokens + 2 * j, true);
        }
      }
      products_commit();
      products_wait<1>();
    } else {
      const auto* factors = reinterpret_cast<const float*>(shared + Layout::kFactors) + k % kStages * kTokens;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float part[64];
        products_begin();
#pragma unroll
        for (int j = 0; j < kLine / kStepBytes; ++j) {
          wgmma_e4m3(part, weights[half] + 2 * j, tokens + 2 * j, j > 0);
        }
        products_commit();
        products_wait<0>();
        products_done(part);
#pragma unroll
        for (int j = 0; j < kTokens / 8; ++j) {
          const uint2 both = load8(factors + 8 * j + 2 * t);
          const float of_token[2] = {bits_to_float(both.x), bits_to_float(both.y)};
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            float& sum = acc[half][4 * j + i];
            sum = fmaf(part[4 * j + i], factor[half][i / 2] * of_token[i % 2], sum);
          }
        }
      }
    }
  }
  copies_wait<0>();
  products_wait<0>();
  products_done(acc[0]);
  products_done(acc[1]);

  if constexpr (!kGateUp) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int j = 0; j < kTokens / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = first_row + row_in_block(half, i / 2), p = at.begin + 8 * j + 2 * t + i % 2;
          if (p >= at.end || row >= args.w.n_out) continue;
          float* y = args.y + p * args.y_row + at.plane * args.y_plane + row;
          *y = args.accumulate ? *y + acc[half][4 * j + i] : acc[half][4 * j + i];
        }
      }
    }
    return;
  }

  // Rows beyond the last are zeros: what pads the chunk.
  const Rounded& hidden = args.hidden;
#pragma unroll
  for (int n = 0; n < 64; ++n) acc[0][n] = silu(acc[0][n]) * acc[1][n];
  if (hidden.e4m3) {
    auto* largest = reinterpret_cast<float*>(shared + Layout::kLargest);
#pragma unroll
    for (int j = 0; j < kTokens / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float v = fmaxf(fabsf(acc[0][4 * j + i]), fabsf(acc[0][4 * j + 2 + i]));
        for (int lanes = 4; lanes < kWarp; lanes *= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, lanes));
        if (g == 0) largest[warp * kTokens + 8 * j + 2 * t + i] = v;
      }
    }
    __syncthreads();
    if (thread < kTokens) {  // the first line: of all warps
      float v = 0;
      for (int w = 0; w < kThreads / kWarp; ++w) v = fmaxf(v, largest[w * kTokens + thread]);
      largest[thread] = v;
      const int64_t p = at.begin + thread;
      if (p < at.end) hidden.factors[p * args.hidden_chunks + blockIdx.x] = e4m3_factor(v);
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kTokens / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int64_t p = at.begin + 8 * j + 2 * t + i;
        if (p >= at.end) continue;
        const float inverse = e4m3_inverse(largest[8 * j + 2 * t + i]);
        uint8_t* row = hidden.e4m3 + (p * args.hidden_chunks + blockIdx.x) * kChunk;
        for (int high = 0; high < 2; ++high) {
          row[row_in_block(0, high)] = float_to_e4m3(acc[0][4 * j + 2 * high + i] * inverse);
        }
      }
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t p = at.begin + 8 * j + 2 * t + i % 2;
      if (p >= at.end) continue;
      hidden.terms[(p * args.hidden_chunks + blockIdx.x) * kChunk + row_in_block(0, i / 2)] =
          float_to_bfloat(acc[0][4 * j + i]);
    }
  }
#endif
}

}  // namespace

cudaError_t launch_prompt_wgmma(Type type, bool gate_up, unsigned row_blocks, unsigned planes, Stream stream,
                                const PromptArgs& args) {
  constexpr Type kF8 = Type::f8_e4m3;
  const auto kernel = type == kF8 ? gate_up ? prompt_wgmma_kernel<kF8, true> : prompt_wgmma_kernel<kF8, false>
                      : gate_up   ? prompt_wgmma_kernel<Type::bf16, true>
                                  : prompt_wgmma_kernel<Type::bf16, false>;
  const int blocks = gate_up ? args.hidden_chunks : (args.w.n_out + kRows - 1) / kRows;
  return launch(kernel, dim3(static_cast<unsigned>(blocks), row_blocks, planes), dim3(kThreads), Layout::kBytes, stream,
                args);
}

}  // namespace vitrine::cuda
