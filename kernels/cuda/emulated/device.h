// CUDA's language on the host, as far as the kernels of kernels/cuda use it.
//
// A launch runs its blocks one after the other; the threads of a block are fibers
// that change places where they meet: __syncthreads(), shuffles, matrix products of
// a warp. So a barrier that only some threads reach, a shuffle with a missing lane,
// a load at a wrong address or outside its alignment, a result read before it was
// waited for is found on any machine. What it does not show: speed, races within a warp's step, and the rounding of
// sums inside a matrix instruction.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/quant.h"

// ---- the language
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define VITRINE_SHARED_BYTES(name) uint8_t* const name = ::vitrine::cuda::emulated::shared_bytes()

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) int4 {
  int32_t x, y, z, w;
};
inline int4 make_int4(int32_t x, int32_t y, int32_t z, int32_t w) { return {x, y, z, w}; }
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

// ---- the runtime: one kind of memory, one stream that is always done
enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2 };
using cudaStream_t = void*;
const char* cudaGetErrorString(cudaError_t error);

namespace vitrine::cuda::emulated {

// Threads of a block are started from the last one on instead of the first, a branch of the stream runs
// when it is joined instead of at once, and of what goes on beside a thread the other kind is late: what
// comes out must not depend on it. For tests.
void start_from_last(bool yes);
bool branches_run_late();
uint64_t launches();  // so far

uint8_t* shared_bytes();
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread);

// The launches and copies between two calls.
struct Launch {
  const void* kernel;  // of a copy: to where, and `from`
  const void* from;
  unsigned grid[3], block[3];
  size_t shared_bytes;
  bool operator==(const Launch& other) const { return std::memcmp(this, &other, sizeof(Launch)) == 0; }
};
void start_watching();
std::vector<Launch> stop_watching();
void note(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes);
void note_copy(const void* to, const void* from, size_t bytes);

// The lanes of a warp hand each other `bytes` bytes (at most 64) and go on together:
// the return value holds lane i's at [64 * i].
const uint8_t* exchange(const void* mine, size_t bytes);

// What goes on beside a thread: copies to shared memory, products of a warpgroup. One kind is done at once, the
// other as late as the thread's waits allow; start_from_last() changes which. A thread's groups are done in order.
enum class Beside : uint8_t { copies, products };
void beside(Beside kind, std::function<void()> work);
void close_group(Beside kind);
void wait_for_groups(Beside kind, size_t left);  // until at most `left` are not done

// What begin_kernel() of the real device does for the order of launches; a thread without it is told.
void thread_begins();

[[noreturn]] void broken(const char* what);

template <class T>
T aligned_load(const void* p) {
  if (reinterpret_cast<uintptr_t>(p) % sizeof(T) != 0) broken("a load outside its alignment");
  T v;
  std::memcpy(&v, p, sizeof(T));
  return v;
}

}  // namespace vitrine::cuda::emulated

void __syncthreads();
inline void __syncwarp(unsigned = 0xffffffffu) { vitrine::cuda::emulated::exchange("", 1); }

template <class T>
T __shfl_sync(unsigned mask, T v, int lane) {
  if (mask != 0xffffffffu) vitrine::cuda::emulated::broken("shuffles take all lanes");
  const uint8_t* all = vitrine::cuda::emulated::exchange(&v, sizeof(T));
  std::memcpy(&v, all + 64 * (lane & 31), sizeof(T));
  return v;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int lane_mask) {
  return __shfl_sync(mask, v, static_cast<int>(threadIdx.x % 32) ^ lane_mask);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by) {
  const int lane = static_cast<int>(threadIdx.x % 32), from = lane - static_cast<int>(by);
  return __shfl_sync(mask, v, from < 0 ? lane : from);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  const uint8_t bit = predicate ? 1 : 0;
  const uint8_t* all = vitrine::cuda::emulated::exchange(&bit, 1);
  unsigned out = 0;
  for (unsigned i = 0; i < 32; ++i) out |= static_cast<unsigned>(all[64 * i]) << i;
  return out;
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline int __popc(unsigned v) { return __builtin_popcount(v); }

// Byte i of the result is byte (selector nibble i) & 7 of y:x; with bit 3 set, its sign repeated.
inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
  const uint64_t all = static_cast<uint64_t>(y) << 32 | x;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t nibble = selector >> (4 * i) & 15;
    uint32_t byte = static_cast<uint32_t>(all >> (8 * (nibble & 7))) & 0xff;
    if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
    out |= byte << (8 * i);
  }
  return out;
}

inline void __threadfence() {}
inline int atomicAdd(int* at, int v) {
  const int before = *at;
  *at += v;
  return before;
}
inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long v) {
  const unsigned long long before = *at;
  *at += v;
  return before;
}
inline int atomicOr(int* at, int v) {  // threads of one launch run one after the other
  const int before = *at;
  *at |= v;
  return before;
}

namespace vitrine::cuda {

struct Stream {};
inline void begin_kernel() { emulated::thread_begins(); }

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream,
                   const Arguments&... arguments) {
  emulated::note(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes);
  emulated::run_grid(grid, block, shared_bytes, [&] { kernel(arguments...); });
  return cudaSuccess;
}

inline float half_to_float(uint16_t bits) { return f16_to_f32(bits); }
inline uint16_t float_to_half(float v) { return f32_to_f16(v); }
inline uint16_t float_to_bfloat(float v) { return f32_to_bf16(v); }
inline uint32_t bfloat_pair(float a, float b) { return f32_to_bf16(a) | uint32_t{f32_to_bf16(b)} << 16; }
inline uint8_t float_to_e4m3(float v) { return f32_to_f8_e4m3(v); }
inline float bits_to_float(uint32_t v) { return std::bit_cast<float>(v); }
inline uint32_t float_to_bits(float v) { return std::bit_cast<uint32_t>(v); }
inline uint4 load16(const void* p) { return emulated::aligned_load<uint4>(p); }
inline uint2 load8(const void* p) { return emulated::aligned_load<uint2>(p); }
inline uint32_t load4(const void* p) { return emulated::aligned_load<uint32_t>(p); }
inline uint16_t load2(const void* p) { return emulated::aligned_load<uint16_t>(p); }
inline uint4 stream16(const void* p) { return load16(p); }
inline uint2 stream8(const void* p) { return load8(p); }
inline uint32_t stream4(const void* p) { return load4(p); }
inline float fresh(const float* p) { return *p; }

}  // namespace vitrine::cuda
