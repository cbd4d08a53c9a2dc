// The kernels for prompts: prompt.cu (tiles of a warp, every device; BF16 and FP8),
// prompt_wgmma.cu (of warpgroups, compute capability 9.0) and prompt_blocks.cu (likewise,
// weights in blocks).
#pragma once

#include "kernels/cuda/matmul.h"

namespace vitrine::cuda {

inline constexpr int kPromptTile = 128;  // tokens of a block

// Rows padded to whole chunks, in one of both forms.
struct Rounded {
  uint16_t* terms = nullptr;  // bf16 [rows][chunks * 128]
  uint8_t* e4m3 = nullptr;    // likewise
  float* factors = nullptr;   // of e4m3 [rows][chunks]
};

struct PromptArgs {
  Packed w, up;   // up: with gate and up
  Activations x;  // bf16: the first of terms; or e4m3
  RowSet rows;
  float* y = nullptr;
  int64_t y_row = 0, y_plane = 0;
  bool accumulate = false;
  Rounded hidden;  // gate and up: silu(gate) * up, [rows][hidden_chunks * 128]
  int32_t hidden_chunks = 0;
};

// One launch over `row_blocks` tiles of tokens and `planes` planes. `gate_up`: w and up to hidden.
cudaError_t launch_prompt(Type type, bool gate_up, unsigned row_blocks, unsigned planes, Stream stream,
                          const PromptArgs& args);
// REQUIRES: compute capability 9.0; BF16 weights with bf16 activations or FP8 ones with e4m3 ones.
cudaError_t launch_prompt_wgmma(Type type, bool gate_up, unsigned row_blocks, unsigned planes, Stream stream,
                                const PromptArgs& args);
// REQUIRES: the same; weights in blocks, with bf16 activations.
cudaError_t launch_prompt_blocks(Type type, bool gate_up, unsigned row_blocks, unsigned planes, Stream stream,
                                 const PromptArgs& args);

// Of 128 activations whose largest size is `largest`, as e4m3 numbers: value = factor * (value * inverse, rounded).
// With an infinity or NaN among them every product of theirs is NaN.
__device__ inline float e4m3_inverse(float largest) { return largest > 0 ? 448.0f / largest : 0.0f; }
__device__ inline float e4m3_factor(float largest) { return largest / 448.0f; }

// Rows of n floats, to be rounded. Row r is row r / planes of plane r % planes.
struct RowsToRound {
  const float* x;
  int64_t plane_stride, row_stride;
  int planes, n, chunks;
  Rounded to;
};
cudaError_t launch_round(const RowsToRound& rows, int64_t count, Stream stream);

}  // namespace vitrine::cuda
