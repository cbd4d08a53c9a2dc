// One pair of rotary positions (arXiv 2104.09864).
#pragma once

#include "kernels/cuda/device.h"

namespace vitrine::cuda {

// Pair i of `half` in v: (i, i + half), or (2i, 2i + 1). angles: cos and sin of each pair.
__device__ inline void rotate(float* v, int i, int half, bool halves, const float* angles) {
  float& a = halves ? v[i] : v[2 * i];
  float& b = halves ? v[i + half] : v[2 * i + 1];
  const float c = angles[2 * i], s = angles[2 * i + 1], a0 = a, b0 = b;
  a = a0 * c - b0 * s;
  b = b0 * c + a0 * s;
}

}  // namespace vitrine::cuda
