// Products for many tokens with weights in blocks (Q4_0 … Q6_K, MXFP4), on the matrix
// instructions of a warpgroup: weights become bf16 tiles in shared memory on their way,
// activations are bf16.
//
// A block (prompt_tile.h) takes a chunk of 128 columns at a time; while its products of
// one go on, the threads bring the next chunk's codes and activations and unpack them
// into the other of two stages. Four neighbouring threads unpack a row's chunk, as they
// hold it for single tokens (packed.h).
#include "kernels/cuda/matrix_instructions.h"
#include "kernels/cuda/prompt_tile.h"

namespace vitrine::cuda {
namespace {

constexpr int kLinesOfChunk = 2;  // of 64 columns, in tiles of their own
constexpr int kWeightBytes = kTileRows * kLine, kTokenBytes = kPromptTile * kLine;
constexpr int kStageBytes = kLinesOfChunk * (kWeightBytes + kTokenBytes);
[[maybe_unused]] constexpr int kTasks = kTileRows * 4 / kTileThreads;  // rows of a thread: row, row + 64, …
static_assert(kTileThreads / 4 == kGroupRows);

struct Layout {
  static constexpr int kLargest = 2 * kStageBytes;
  static constexpr int kBytes = kLargest + kLargestBytes;
};

// Lane t's 32 elements of a chunk of row `line`, as bf16 into the stage.
template <Type kType>
__device__ inline void unpack(const Lane<kType>& lane, bool inside, int line, int t, uint8_t* stage) {
#pragma unroll
  for (int j = 0; j < kGroups; ++j) {
    const float factor = lane.factor(j);
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const uint32_t codes = lane.codes(j, side);
      const float scaled = factor * static_cast<float>(lane.integer(j, side)), minimum = lane.minimum(j, side);
      const auto value = [&](int b) {
        return fmaf(scaled, static_cast<float>(static_cast<int8_t>(codes >> (8 * b) & 0xff)), -minimum);
      };
      uint2 four = make_uint2(0, 0);
      if (inside) four = make_uint2(bfloat_pair(value(0), value(1)), bfloat_pair(value(2), value(3)));
      const int column = j * kGroup + side * 16 + 4 * t;
      uint8_t* to = stage + column / 64 * kWeightBytes + place_in_lines(line, column % 64 / 8) + column % 8 * 2;
      *reinterpret_cast<uint2*>(to) = four;
    }
  }
}

#if defined(VITRINE_WGMMA)
template <Type kType, bool kGateUp, int kTokens>
__device__ inline void compute(const PromptArgs& args, const PromptTile& tile, uint8_t* shared) {
  const int steps = args.w.chunks, t = tile.thread % 4, line = tile.thread / 4;
  const int64_t x_row = int64_t{steps} * kChunk;

  // Row of a line of the tile: lines go by halves of 64, first and second of warpgroup 0, then of 1.
  const auto row_of = [&](int i) { return tile.first_row + line + (kGateUp ? i / 2 : i) * kGroupRows; };
  Lane<kType> lanes[kTasks];
  const auto fetch = [&](int k) {
#pragma unroll
    for (int i = 0; i < kTasks; ++i) {
      const int row = min(row_of(i), args.w.n_out - 1);
      lanes[i] =
          load_lane<kType>(kGateUp && i % 2 == 1 ? args.up : args.w, int64_t{tile.at.plane} * args.w.n_out + row, k, t);
    }
  };
  const auto stage_of = [&](int k) { return shared + k % 2 * kStageBytes; };
  // Sixteen threads bring a token's 256 bytes of a chunk.
  constexpr int kTokensAtOnce = kTileThreads / 16;
  int32_t sources[kTokens / kTokensAtOnce];  // rows
#pragma unroll
  for (int i = 0; i < kTokens / kTokensAtOnce; ++i) {
    sources[i] = static_cast<int32_t>(tile.source(args.rows, tile.thread / 16 + i * kTokensAtOnce));
  }
  const auto bring_tokens = [&](int k) {
    uint8_t* tokens = stage_of(k) + kLinesOfChunk * kWeightBytes + tile.thread % 16 / 8 * kTokenBytes;
    const uint16_t* x = args.x.terms + int64_t{k} * kChunk + tile.thread % 16 * 8;
#pragma unroll
    for (int i = 0; i < kTokens / kTokensAtOnce; ++i) {
      const int token = tile.thread / 16 + i * kTokensAtOnce;
      copy16_async(tokens + place_in_lines(token, tile.thread % 8), x + sources[i] * x_row, tile.live(token));
    }
    copies_commit();
  };
  const auto unpack_all = [&](int k) {
#pragma unroll
    for (int i = 0; i < kTasks; ++i) {
      unpack<kType>(lanes[i], row_of(i) < args.w.n_out, line + i * kGroupRows, t, stage_of(k));
    }
  };

  float acc[2][kTokens / 2] = {};
  fetch(0);
  bring_tokens(0);
  unpack_all(0);
  for (int k = 0; k < steps; ++k) {
    copies_wait<0>();
    shared_written();
    __syncthreads();  // stage k is whole, the products of step k - 1 are done
    const bool more = k + 1 < steps;
    if (more) {
      fetch(k + 1);
      bring_tokens(k + 1);
    }
    const uint8_t* stage = stage_of(k);
    products_begin();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int part = 0; part < kLinesOfChunk; ++part) {
        const uint64_t weights =
            tile_descriptor(stage + part * kWeightBytes + (2 * tile.group + half) * kGroupRows * kLine);
        const uint64_t tokens = tile_descriptor(stage + kLinesOfChunk * kWeightBytes + part * kTokenBytes);
#pragma unroll
        for (int j = 0; j < kLine / kStepBytes; ++j) wgmma_bf16(acc[half], weights + 2 * j, tokens + 2 * j, true);
      }
    }
    products_commit();
    if (more) unpack_all(k + 1);
    products_wait<0>();
  }
  products_done(acc[0]);
  products_done(acc[1]);
  finish_tile<kGateUp>(args, tile, acc, reinterpret_cast<float*>(shared + Layout::kLargest));
}
#endif

template <Type kType, bool kGateUp>
__global__ void __launch_bounds__(kTileThreads, 1) prompt_blocks_kernel(PromptArgs args) {
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

cudaError_t launch_prompt_blocks(Type type, bool gate_up, unsigned row_blocks, unsigned planes, Stream stream,
                                 const PromptArgs& args) {
  cudaError_t error = cudaErrorMemoryAllocation;  // no such type: never
  for_type<kBlockType>(type, [&](auto constant) {
    constexpr Type kType = decltype(constant)::value;
    const int blocks = gate_up ? args.hidden_chunks : (args.w.n_out + kTileRows - 1) / kTileRows;
    error = launch(gate_up ? prompt_blocks_kernel<kType, true> : prompt_blocks_kernel<kType, false>,
                   dim3(static_cast<unsigned>(blocks), row_blocks, planes), dim3(kTileThreads), Layout::kBytes, stream,
                   args);
  });
  return error;
}

}  // namespace vitrine::cuda
