// Products for many tokens on the matrix instructions of a warpgroup: BF16 weights with
// bf16 activations, FP8 weights with e4m3 ones (factors per 128 x 128 and per token and
// 128; sums of 128 columns meet their factors in float32, as arXiv 2412.19437, 3.3.2).
//
// A block (prompt_tile.h) takes 128 bytes of columns at a time, four stages in shared
// memory, two of them on their way.
#include "kernels/cuda/matrix_instructions.h"
#include "kernels/cuda/prompt_tile.h"

namespace vitrine::cuda {
namespace {

constexpr int kStages = 4;
[[maybe_unused]] constexpr int kAhead = 2;      // stages on their way
constexpr int kLinesAtOnce = kTileThreads / 8;  // of a stage; a thread brings 16 bytes of each
constexpr int kWeightBytes = kTileRows * kLine, kStageBytes = kWeightBytes + kPromptTile * kLine;

struct Layout {
  static constexpr int kFactors = kStages * kStageBytes;  // of tokens, e4m3: [stage][token]
  static constexpr int kLargest = kFactors + kStages * kPromptTile * 4;
  static constexpr int kBytes = kLargest + kLargestBytes;
};

// What a thread brings of each stage: part `part` of lines line, line + 32, …
struct Loader {
  const uint8_t* weights[2];  // of the first row of gate (or w) and of up
  const uint8_t* tokens[kPromptTile / kLinesAtOnce];
  const float* factors;  // of one token
  int64_t row_bytes;
  int rows_left, part, line;  // rows from the block's first one on
  unsigned live;              // a bit for each of `tokens`
};

template <Type kType, bool kGateUp, int kTokens>
__device__ inline void bring(const Loader& from, int k, uint8_t* shared) {
  uint8_t* stage = shared + k % kStages * kStageBytes;
  const int64_t column = int64_t{k} * kLine;
#pragma unroll
  for (int i = 0; i < kTileRows / kLinesAtOnce; ++i) {
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
      auto* factors = reinterpret_cast<float*>(shared + Layout::kFactors) + k % kStages * kPromptTile;
      copy4_async(factors + threadIdx.x, from.factors + k);
    }
  }
}

#if defined(VITRINE_WGMMA)
template <Type kType, bool kGateUp, int kTokens>
__device__ inline void compute(const PromptArgs& args, const PromptTile& tile, uint8_t* shared) {
  constexpr bool kE4m3 = kType == Type::f8_e4m3;
  const int64_t row_bytes = int64_t{args.w.chunks} * kChunk * (kE4m3 ? 1 : 2);
  const int steps = static_cast<int>(row_bytes / kLine);

  Loader from{};
  from.row_bytes = row_bytes;
  from.rows_left = args.w.n_out - tile.first_row;
  from.part = tile.thread % 8, from.line = tile.thread / 8;
  const int64_t first_byte = (int64_t{tile.at.plane} * args.w.n_out + tile.first_row) * row_bytes + from.part * 16;
  from.weights[0] = args.w.q + first_byte;
  if constexpr (kGateUp) from.weights[1] = args.up.q + first_byte;
  const uint8_t* x = kE4m3 ? args.x.e4m3 : reinterpret_cast<const uint8_t*>(args.x.terms);
  for (int i = 0; i < kTokens / kLinesAtOnce; ++i) {
    const int token = from.line + i * kLinesAtOnce;
    from.tokens[i] = x + tile.source(args.rows, token) * row_bytes + from.part * 16;
    from.live |= static_cast<unsigned>(tile.live(token)) << i;
  }
  if constexpr (kE4m3) {
    from.factors = args.x.e4m3_factors + tile.source(args.rows, tile.thread % kPromptTile) * args.w.chunks;
  }

  float acc[2][kTokens / 2] = {};
  for (int k = 0; k < kAhead; ++k) {
    if (k < steps) bring<kType, kGateUp, kTokens>(from, k, shared);
    copies_commit();
  }
  for (int k = 0; k < steps; ++k) {
    float factor[2][2];
    if constexpr (kE4m3) {
      for (int half = 0; half < 2; ++half) {
        for (int high = 0; high < 2; ++high) {
          const int row = min(tile.first_row + tile.row<kGateUp>(half, high), args.w.n_out - 1);
          factor[half][high] = f8_factor(kGateUp && half == 1 ? args.up : args.w, tile.at.plane, row, k);
        }
      }
    }
    copies_wait<kAhead - 1>();
    shared_written();
    __syncthreads();  // stage k has come; of the products, those of step k - 1 may still go on
    if (k + kAhead < steps) bring<kType, kGateUp, kTokens>(from, k + kAhead, shared);
    copies_commit();
    const uint8_t* stage = shared + k % kStages * kStageBytes;
    const uint64_t tokens = tile_descriptor(stage + kWeightBytes);
    const uint64_t weights[2] = {tile_descriptor(stage + 2 * tile.group * kGroupRows * kLine),
                                 tile_descriptor(stage + (2 * tile.group + 1) * kGroupRows * kLine)};
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
      const auto* factors = reinterpret_cast<const float*>(shared + Layout::kFactors) + k % kStages * kPromptTile;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float part[kTokens / 2];
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
          const uint2 both = load8(factors + 8 * j + 2 * tile.t);
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

  finish_tile<kGateUp>(args, tile, acc, reinterpret_cast<float*>(shared + Layout::kLargest));
}
#endif

template <Type kType, bool kGateUp>
__global__ void __launch_bounds__(kTileThreads, 1) prompt_wgmma_kernel(PromptArgs args) {
  begin_kernel();
#if defined(VITRINE_WGMMA)
  VITRINE_SHARED_BYTES(shared);
  PromptTile tile;
  if (!tile.begin(args.rows, kGateUp)) return;
  if (tile.is_short()) {
    compute<kType, kGateUp, kPromptTile / 2>(args, tile, shared);
  } else {
    compute<kType, kGateUp, kPromptTile>(args, tile, shared);
  }
#endif
}

}  // namespace

cudaError_t launch_prompt_wgmma(Type type, bool gate_up, unsigned row_blocks, unsigned planes, Stream stream,
                                const PromptArgs& args) {
  constexpr Type kF8 = Type::f8_e4m3;
  const auto kernel = type == kF8 ? gate_up ? prompt_wgmma_kernel<kF8, true> : prompt_wgmma_kernel<kF8, false>
                      : gate_up ? prompt_wgmma_kernel<Type::bf16, true>
                                  : prompt_wgmma_kernel<Type::bf16, false>;
  const int blocks = gate_up ? args.hidden_chunks : (args.w.n_out + kTileRows - 1) / kTileRows;
  return launch(kernel, dim3(static_cast<unsigned>(blocks), row_blocks, planes), dim3(kTileThreads), Layout::kBytes,
                stream, args);
}

}  // namespace vitrine::cuda
