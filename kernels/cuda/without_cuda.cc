// The backend's functions in a build without CUDA.
#include <cstdlib>

#include "kernels/cuda/cuda_ops.h"

namespace vitrine {
namespace {

constexpr const char* kWhy =
    "this build has no CUDA: it was made without nvcc (docs/gpu.md; cmake -DCUDA=ON says what is missing)";

}  // namespace

Result<CudaDevice> cuda_device(int) { return fail(ErrorCode::unsupported, kWhy); }
Result<std::unique_ptr<Ops>> make_cuda_ops(const CudaOptions&) { return fail(ErrorCode::unsupported, kWhy); }
std::shared_ptr<void> pinned_memory(uint64_t bytes) {
  return std::shared_ptr<void>(std::calloc(bytes + 1, 1), std::free);
}

}  // namespace vitrine
