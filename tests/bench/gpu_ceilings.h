// What the GPU at hand can do at most, measured beside everything that is held against it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace vitrine {

// Bytes per second of a device-to-device copy, read and written bytes counted; one sample per repetition.
Result<std::vector<double>> measure_copy(uint64_t bytes, int repetitions);

// Operations per second of cuBLAS's n x n x n bf16 product of random numbers. unsupported: no
// libcublas.so.13 where the loader looks (LD_LIBRARY_PATH).
Result<std::vector<double>> measure_cublas_bf16(int n, int repetitions);

}  // namespace vitrine
