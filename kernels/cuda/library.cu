#include "kernels/cuda/library.h"

#include <dlfcn.h>

#include <climits>

namespace vitrine::cuda {

#if !defined(VITRINE_CUDA_EMULATED)

// cublas_api.h and library_types.h, CUDA 12 and 13.
struct ProductLibrary::Calls {
  using Create = int (*)(void**);
  using Destroy = int (*)(void*);
  using SetStream = int (*)(void*, cudaStream_t);
  using Gemm = int (*)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int,
                       const void*, void*, int, int, int, int);
  static constexpr int kPlain = 0, kTransposed = 1, kF32 = 0, kBf16 = 14, kComputeF32 = 68, kDefaultAlgorithm = -1;

  Destroy destroy = nullptr;
  SetStream set_stream = nullptr;
  Gemm gemm = nullptr;
  void* handle = nullptr;
};

std::unique_ptr<ProductLibrary> ProductLibrary::open() {
  void* found = nullptr;
  for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
    if ((found = dlopen(name, RTLD_NOW | RTLD_LOCAL))) break;
  }
  if (!found) return nullptr;
  auto calls = std::make_unique<Calls>();
  const auto create = reinterpret_cast<Calls::Create>(dlsym(found, "cublasCreate_v2"));
  calls->destroy = reinterpret_cast<Calls::Destroy>(dlsym(found, "cublasDestroy_v2"));
  calls->set_stream = reinterpret_cast<Calls::SetStream>(dlsym(found, "cublasSetStream_v2"));
  calls->gemm = reinterpret_cast<Calls::Gemm>(dlsym(found, "cublasGemmEx"));
  if (!create || !calls->destroy || !calls->set_stream || !calls->gemm || create(&calls->handle) != 0) return nullptr;
  std::unique_ptr<ProductLibrary> out(new ProductLibrary);
  out->calls_ = std::move(calls);
  return out;
}

ProductLibrary::~ProductLibrary() {
  if (calls_) calls_->destroy(calls_->handle);
}

// It counts by columns: w is a matrix of n_in x n_out, transposed, x of n_in x tokens, y of n_out x tokens.
bool ProductLibrary::product(const uint8_t* w, const uint16_t* x, float* y, int n_in, int n_out, int tokens,
                             int64_t y_row, bool accumulate, Stream stream) {
  if (y_row > INT_MAX || calls_->set_stream(calls_->handle, stream.handle) != 0) return false;
  const float one = 1, keep = accumulate ? 1 : 0;
  return calls_->gemm(calls_->handle, Calls::kTransposed, Calls::kPlain, n_out, tokens, n_in, &one, w, Calls::kBf16,
                      n_in, x, Calls::kBf16, n_in, &keep, y, Calls::kF32, static_cast<int>(y_row), Calls::kComputeF32,
                      Calls::kDefaultAlgorithm) == 0;
}

#else

struct ProductLibrary::Calls {};
std::unique_ptr<ProductLibrary> ProductLibrary::open() { return nullptr; }
ProductLibrary::~ProductLibrary() = default;
bool ProductLibrary::product(const uint8_t*, const uint16_t*, float*, int, int, int, int64_t, bool, Stream) {
  return false;
}

#endif

}  // namespace vitrine::cuda
