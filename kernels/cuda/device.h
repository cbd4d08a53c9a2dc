// The language kernels of this folder are written in: CUDA, with the few things
// that differ when the same sources are compiled for the host (emulated/device.h),
// where every thread of every block runs, so that tests walk the kernels' own index
// code without a GPU. Everything here is arithmetic-neutral: the library is compiled
// with -fmad=false, so that a multiplication is fused where the source says fmaf and
// nowhere else, and two kernels that do the same sums get the same bits.
#pragma once

#include <cstdint>

#if defined(VITRINE_CUDA_EMULATED)
#include "kernels/cuda/emulated/device.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#endif

#include "kernels/host_device.h"

namespace vitrine::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarp = 32;

#if !defined(VITRINE_CUDA_EMULATED)

// Shared memory whose size the launch gives.
#define VITRINE_SHARED_BYTES(name) extern __shared__ __align__(1024) uint8_t name[]

struct Stream {
  cudaStream_t handle = nullptr;
  bool overlaps = false;  // a launch may begin while the one before it ends; for devices from 9.0 on
};

// The first thing every thread of every kernel does: waits until the launch before is done, and lets
// the next one come near (programmatic dependent launch). So a kernel starts where it would
// otherwise be on its way, and sees what all before it have written.
__device__ inline void begin_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream stream,
                   const Arguments&... arguments) {
  if (shared_bytes > 48 << 10) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  if (stream.overlaps) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared_bytes;
    config.stream = stream.handle, config.attrs = &attribute, config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
  }
  kernel<<<grid, block, shared_bytes, stream.handle>>>(arguments...);
  return cudaGetLastError();
}

__device__ inline float half_to_float(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
__device__ inline uint16_t float_to_half(float v) { return __half_as_ushort(__float2half_rn(v)); }
__device__ inline uint16_t float_to_bfloat(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
// a in the low half.
__device__ inline uint32_t bfloat_pair(float a, float b) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(a, b);
  return *reinterpret_cast<const uint32_t*>(&both);
}
// Clamped to +-448.
__device__ inline uint8_t float_to_e4m3(float v) {
  return static_cast<uint8_t>(__nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3));
}
__device__ inline float bits_to_float(uint32_t v) { return __uint_as_float(v); }
__device__ inline uint32_t float_to_bits(float v) { return __float_as_uint(v); }

// Loads of whole words; the address is a multiple of their size.
__device__ inline uint4 load16(const void* p) { return *static_cast<const uint4*>(p); }
__device__ inline uint2 load8(const void* p) { return *static_cast<const uint2*>(p); }
__device__ inline uint32_t load4(const void* p) { return *static_cast<const uint32_t*>(p); }
__device__ inline uint16_t load2(const void* p) { return *static_cast<const uint16_t*>(p); }
// Of weights, which are read once: past the first-level cache.
__device__ inline uint4 stream16(const void* p) { return __ldcs(static_cast<const uint4*>(p)); }
__device__ inline uint2 stream8(const void* p) { return __ldcs(static_cast<const uint2*>(p)); }
__device__ inline uint32_t stream4(const void* p) { return __ldcs(static_cast<const uint32_t*>(p)); }
// Of what another block of the same launch has written.
__device__ inline float fresh(const float* p) { return __ldcg(p); }

#endif

__device__ inline float bfloat_to_float(uint32_t bits) { return bits_to_float(bits << 16); }

// Sums and maxima over a warp, the same in every lane. The order of additions is a
// butterfly, fixed by the lane alone.
__device__ inline float warp_sum(float v) {
  for (int i = kWarp / 2; i > 0; i /= 2) v = v + __shfl_xor_sync(kAllLanes, v, i);
  return v;
}
__device__ inline float warp_max(float v) {
  for (int i = kWarp / 2; i > 0; i /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, i));
  return v;
}
__device__ inline int warp_sum(int v) {
  for (int i = kWarp / 2; i > 0; i /= 2) v = v + __shfl_xor_sync(kAllLanes, v, i);
  return v;
}

__device__ inline float silu(float v) { return v / (1.0f + expf(-v)); }

}  // namespace vitrine::cuda
