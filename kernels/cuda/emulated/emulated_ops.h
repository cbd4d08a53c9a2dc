// The CUDA backend with its kernels run on the host (device.h beside this), for tests.
#pragma once

#include "kernels/cuda/cuda_ops.h"

namespace vitrine {

Result<std::unique_ptr<Ops>> make_emulated_cuda_ops(const CudaOptions& options = {});

namespace cuda_emulated::emulated {

// Threads of a block are started from the last one on instead of the first: what
// comes out must not depend on it.
void start_from_last(bool yes);
uint64_t launches();  // of kernels, so far

}  // namespace cuda_emulated::emulated
}  // namespace vitrine
