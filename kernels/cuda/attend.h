// What attention.cu (CUDA cores, any cache) and attention_mma.cu (matrix instructions) share.
#pragma once

#include "kernels/cuda/cache.h"

namespace vitrine::cuda {

// Of a block.
inline constexpr int kQueries = 16;
inline constexpr int kWarps = 8;

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
  int* faults;
};

// Whether matrix instructions take it: a 16-bit cache whose rows are whole tiles, and enough query heads to a kv
// head. It depends on the model alone, so that a token's sums have one order in every step.
bool attends_by_mma(const KvShape& shape, int64_t group, int64_t shared_limit);
// REQUIRES: that; block_tokens is 1. `walk`: all stretches, combined here.
cudaError_t launch_attend_mma(const KvShape& shape, const AttendArgs& args, dim3 grid, bool walk, Stream stream);

}  // namespace vitrine::cuda
