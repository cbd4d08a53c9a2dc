// What attention.cu (CUDA cores, any cache), attention_mma.cu (matrix instructions) and attention_prompt.cu (the
// same, queries and weights rounded) share.
#pragma once

#include "kernels/cuda/cache.h"

namespace vitrine::cuda {

// Of a block.
inline constexpr int kQueries = 16;
inline constexpr int kWarps = 8;
inline constexpr size_t kMostShared = 160 << 10;  // bytes, on every device from 8.0 on

struct AttendArgs {
  PageLayout layout;
  BatchMap batch;
  const uint8_t* cache;
  const float *q, *q_rope;  // q_rope: mla's second part of a query, or null
  int64_t q_head, q_token, rope_head, rope_token;
  float* y;
  int64_t y_head, y_token;
  int q_dim, rope_dim, v_dim;
  int tokens, heads, group;  // group: query heads of a kv head
  int block_tokens, block_heads;
  int64_t window;
  float scale;
  float* partial;  // [tokens][heads][splits][v_dim + 2]: output, largest score, sum of weights
  int splits;
  int prompt_run;  // runs of so many tokens are attention_prompt.cu's, 0: none is
  int* faults;
};

// A run: tokens of one sequence, one after the other in the step and in position. Whether token t is in the run of
// the token before it.
__device__ inline bool continues_run(const BatchMap& batch, int t) {
  return batch.seq[t] == batch.seq[t - 1] && batch.pos[t] == int64_t{batch.pos[t - 1]} + 1;
}
// Tokens behind one in its run, before `end`; a warp looks together. From `enough` on they are not counted exactly.
__device__ inline int run_after(const BatchMap& batch, int token, int end, int enough) {
  for (int found = 0; found < enough; found += kWarp) {
    const int t = token + 1 + found + static_cast<int>(threadIdx.x) % kWarp;
    const unsigned ends = __ballot_sync(kAllLanes, t >= end || !continues_run(batch, t));
    if (ends != 0) return found + __popc((ends & (0u - ends)) - 1);  // lanes below the first that says so
  }
  return enough;
}
__device__ inline int run_before(const BatchMap& batch, int token, int enough) {
  for (int found = 0; found < enough; found += kWarp) {
    const int t = token - found - static_cast<int>(threadIdx.x) % kWarp;
    const unsigned ends = __ballot_sync(kAllLanes, t <= 0 || !continues_run(batch, t));
    if (ends != 0) return found + __popc((ends & (0u - ends)) - 1);
  }
  return enough;
}
// Whether the run of a token has `wanted` tokens.
__device__ inline bool run_reaches(const BatchMap& batch, int token, int tokens, int wanted) {
  return run_before(batch, token, wanted - 1) + 1 + run_after(batch, token, tokens, wanted - 1) >= wanted;
}
// Whether another kernel takes a token of this step.
__device__ inline bool in_prompt(const AttendArgs& args, int token) {
  return args.prompt_run > 0 && run_reaches(args.batch, token, args.tokens, args.prompt_run);
}

// Whether matrix instructions take it: a 16-bit cache whose rows are whole tiles, and enough query heads to a kv
// head. It depends on the model alone, so that a token's sums have one order in every step.
bool attends_by_mma(const KvShape& shape, int64_t group, int64_t shared_limit);
// REQUIRES: that; block_tokens is 1. `walk`: all stretches, combined here.
cudaError_t launch_attend_mma(const KvShape& shape, const AttendArgs& args, dim3 grid, bool walk, Stream stream);

// Whether runs of many tokens have a kernel: a 16-bit cache of up to 256 numbers, or 576 (MLA).
bool attends_prompts(const KvShape& shape);
// A block's rows are heads of tokens; runs with half as many rows as most blocks have are worth one.
inline constexpr int kPromptRows = 64;
// REQUIRES: that. Takes the runs of args.prompt_run tokens and more.
cudaError_t launch_attend_prompt(const KvShape& shape, const AttendArgs& args, Stream stream);

}  // namespace vitrine::cuda
