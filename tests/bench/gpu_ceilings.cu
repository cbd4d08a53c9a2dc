#include "tests/bench/gpu_ceilings.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

namespace vitrine {
namespace {

struct Timer {
  Timer() { cudaEventCreate(&begin), cudaEventCreate(&end); }
  ~Timer() { cudaEventDestroy(begin), cudaEventDestroy(end); }
  void start() { cudaEventRecord(begin); }
  double seconds() {
    cudaEventRecord(end);
    cudaEventSynchronize(end);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    return milliseconds / 1e3;
  }
  cudaEvent_t begin{}, end{};
};

struct Memory {
  explicit Memory(uint64_t bytes) { error = cudaMalloc(&data, bytes); }
  ~Memory() { cudaFree(data); }
  void* data = nullptr;
  cudaError_t error;
};

// Numbers of about unit size, none equal to its neighbour.
__global__ void fill(__nv_bfloat16* to, uint64_t count, uint32_t seed) {
  const uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  uint32_t v = static_cast<uint32_t>(i) * 2654435761u + seed;
  v ^= v >> 15, v *= 2246822519u, v ^= v >> 13, v *= 3266489917u, v ^= v >> 16;
  to[i] = __float2bfloat16(static_cast<float>(v) * (2.0f / 4294967296.0f) - 1.0f);
}

tl::unexpected<Error> failed(const char* what) {
  return fail(ErrorCode::internal, std::string(what) + ": " + cudaGetErrorString(cudaGetLastError()));
}

// cuBLAS's own interface (cublas_api.h), found at run time: the toolkit may lack it.
using Create = int (*)(void**);
using Gemm = int (*)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int,
                     const void*, void*, int, int, int, int);
constexpr int kNone = 0, kTransposed = 1, kBf16 = 14, kComputeF32 = 68, kDefaultAlgorithm = -1;

}  // namespace

Result<std::vector<double>> measure_copy(uint64_t bytes, int repetitions) {
  Memory from(bytes), to(bytes);
  if (from.error != cudaSuccess || to.error != cudaSuccess) return failed("memory for the copy");
  fill<<<static_cast<unsigned>(bytes / 2 / 256), 256>>>(static_cast<__nv_bfloat16*>(from.data), bytes / 2, 1);
  Timer timer;
  std::vector<double> out;
  for (int i = -2; i < repetitions; ++i) {
    timer.start();
    if (cudaMemcpyAsync(to.data, from.data, bytes, cudaMemcpyDeviceToDevice) != cudaSuccess) return failed("copy");
    const double seconds = timer.seconds();
    if (i >= 0) out.push_back(2.0 * static_cast<double>(bytes) / seconds);
  }
  return out;
}

Result<std::vector<double>> measure_cublas_bf16(int n, int repetitions) {
  void* library = dlopen("libcublas.so.13", RTLD_NOW);
  if (!library) library = dlopen("libcublas.so", RTLD_NOW);
  if (!library) return fail(ErrorCode::unsupported, dlerror());
  const auto create = reinterpret_cast<Create>(dlsym(library, "cublasCreate_v2"));
  const auto gemm = reinterpret_cast<Gemm>(dlsym(library, "cublasGemmEx"));
  void* handle = nullptr;
  if (!create || !gemm || create(&handle) != 0) return fail(ErrorCode::unsupported, "cuBLAS could not be opened");
  const uint64_t count = uint64_t{static_cast<unsigned>(n)} * static_cast<unsigned>(n);
  Memory a(count * 2), b(count * 2), c(count * 2);
  if (a.error != cudaSuccess || b.error != cudaSuccess || c.error != cudaSuccess) return failed("memory");
  uint32_t seed = 7;
  for (void* data : {a.data, b.data}) {
    fill<<<static_cast<unsigned>((count + 255) / 256), 256>>>(static_cast<__nv_bfloat16*>(data), count, seed++);
  }
  const float one = 1, zero = 0;
  Timer timer;
  std::vector<double> out;
  for (int i = -3; i < repetitions; ++i) {
    timer.start();
    if (gemm(handle, kTransposed, kNone, n, n, n, &one, a.data, kBf16, n, b.data, kBf16, n, &zero, c.data, kBf16, n,
             kComputeF32, kDefaultAlgorithm) != 0) {
      return fail(ErrorCode::internal, "cublasGemmEx refused");
    }
    const double seconds = timer.seconds();
    if (i >= 0) out.push_back(2.0 * static_cast<double>(count) * n / seconds);
  }
  return out;
}

}  // namespace vitrine
