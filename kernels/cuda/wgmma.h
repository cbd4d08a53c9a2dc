// The matrix instructions of a warpgroup (PTX ISA, wgmma; compute capability 9.0a):
// four warps multiply 64 rows by 64 or 128 columns, both read from shared memory, 32 bytes
// of k at a time, while the threads go on. With g = lane / 4 and t = lane % 4 a thread
// of warp w holds of the result, in d[4j + i], row 16w + g + 8 (i / 2), column
// 8j + 2t + i % 2.
//
// Operands lie in tiles of 128-byte lines (one row's stretch of k each), the tile at a
// multiple of 1024 bytes, swizzled: the 16 bytes number c of line r at place c ^ (r % 8).
#pragma once

#include "kernels/cuda/device.h"

// Whether this compilation has them.
#if defined(VITRINE_CUDA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define VITRINE_WGMMA 1
#endif

namespace vitrine::cuda {

inline constexpr int kLine = 128;          // bytes
inline constexpr int kGroupThreads = 128;  // of a warpgroup
inline constexpr int kGroupRows = 64;
inline constexpr int kStepBytes = 32;  // of k, of one instruction

__device__ inline int place_in_lines(int line, int c) { return line * kLine + ((c ^ (line & 7)) << 4); }

// Of a tile that begins `bytes` from the first of shared memory: the matrix descriptor (stride of eight lines, swizzle
// of 128 bytes). The next 32 bytes of k are at descriptor + 2.
__device__ constexpr uint64_t tile_descriptor(uint32_t bytes) {
  return (bytes & 0x3ffff) >> 4 | uint64_t{1} << 16 | uint64_t{8 * kLine >> 4} << 32 | uint64_t{1} << 62;
}

#if !defined(VITRINE_CUDA_EMULATED)

__device__ inline uint64_t tile_descriptor(const uint8_t* tile) {
  return tile_descriptor(static_cast<uint32_t>(__cvta_generic_to_shared(tile)));
}

#if defined(VITRINE_WGMMA)

// What this thread has written to shared memory may be read by wgmma, once threads have met.
__device__ inline void shared_written() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// d = (add ? d : 0) + a b, begun. Before the first product that finds d changed by something else: products_begin().
// Nobody may touch d, a, b before products_wait() says that its group is done.
__device__ inline void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kLeft>
__device__ inline void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}
// After the wait, before d is read: keeps the compiler from reading it earlier.
template <int kResults>
__device__ inline void products_done(float (&d)[kResults]) {
#pragma unroll
  for (int i = 0; i < kResults; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// clang-format off
#define VITRINE_D8(n) "+f"(d[n]), "+f"(d[n + 1]), "+f"(d[n + 2]), "+f"(d[n + 3]), \
                      "+f"(d[n + 4]), "+f"(d[n + 5]), "+f"(d[n + 6]), "+f"(d[n + 7])
#define VITRINE_WGMMA_N64(instruction, tail)                                                             \
  asm volatile("{.reg .pred add; setp.ne.b32 add, %34, 0; " instruction                                  \
               " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23," \
               "%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, add" tail "; }"                              \
               : VITRINE_D8(0), VITRINE_D8(8), VITRINE_D8(16), VITRINE_D8(24)                            \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))
#define VITRINE_WGMMA_N128(instruction, tail)                                                            \
  asm volatile("{.reg .pred add; setp.ne.b32 add, %66, 0; " instruction                                  \
               " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23," \
               "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45," \
               "%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, %64, %65, add" \
               tail "; }"                                                                                \
               : VITRINE_D8(0), VITRINE_D8(8), VITRINE_D8(16), VITRINE_D8(24), VITRINE_D8(32),           \
                 VITRINE_D8(40), VITRINE_D8(48), VITRINE_D8(56)                                          \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))
// clang-format on

__device__ inline void wgmma_bf16(float (&d)[32], uint64_t a, uint64_t b, bool add) {
  VITRINE_WGMMA_N64("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16", ", 1, 1, 0, 0");
}
__device__ inline void wgmma_bf16(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  VITRINE_WGMMA_N128("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16", ", 1, 1, 0, 0");
}
__device__ inline void wgmma_e4m3(float (&d)[32], uint64_t a, uint64_t b, bool add) {
  VITRINE_WGMMA_N64("wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3", ", 1, 1");
}
__device__ inline void wgmma_e4m3(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  VITRINE_WGMMA_N128("wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3", ", 1, 1");
}
#undef VITRINE_WGMMA_N64
#undef VITRINE_WGMMA_N128
#undef VITRINE_D8

#endif

#else

inline uint64_t tile_descriptor(const uint8_t* tile) {
  return tile_descriptor(static_cast<uint32_t>(tile - emulated::shared_bytes()));
}

inline void shared_written() {}
inline void products_begin() {}
inline void products_commit() { emulated::close_group(emulated::Beside::products); }
template <int kLeft>
void products_wait() {
  emulated::wait_for_groups(emulated::Beside::products, kLeft);
}
template <int kResults>
void products_done(float (&)[kResults]) {}

// The 32 bytes of row r that an instruction reads.
inline void tile_bytes(uint64_t descriptor, int r, uint8_t (&out)[kStepBytes]) {
  if (descriptor >> 62 != 1) emulated::broken("a tile without a swizzle of 128 bytes");
  const uint64_t begin = (descriptor & 0x3fff) << 4, eight_lines = (descriptor >> 32 & 0x3fff) << 4;
  for (uint64_t i = 0; i < kStepBytes; i += 16) {
    const uint64_t at = begin + static_cast<uint64_t>(r / 8) * eight_lines + static_cast<uint64_t>(r % 8) * kLine + i;
    std::memcpy(out + i, emulated::shared_bytes() + (at ^ (at >> 7 & 7) << 4), 16);
  }
}

// `numbers`: a row's 32 bytes as floats.
template <int kNumbers, int kResults, class Numbers>
void wgmma(float (&d)[kResults], uint64_t a, uint64_t b, bool add, Numbers numbers) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x % kGroupThreads / 32);
  emulated::beside(emulated::Beside::products, [=, &d] {
    const int g = lane / 4, t = lane % 4;
    uint8_t bytes[kStepBytes];
    float rows[2][kNumbers], column[kNumbers];
    for (int i = 0; i < 2; ++i) {
      tile_bytes(a, 16 * warp + g + 8 * i, bytes);
      numbers(bytes, rows[i]);
    }
    for (int j = 0; j < kResults / 4; ++j) {
      for (int i = 0; i < 2; ++i) {
        tile_bytes(b, 8 * j + 2 * t + i, bytes);
        numbers(bytes, column);
        for (int half = 0; half < 2; ++half) {
          float& to = d[4 * j + 2 * half + i];
          float sum = add ? to : 0;
          for (int k = 0; k < kNumbers; ++k) sum += rows[half][k] * column[k];
          to = sum;
        }
      }
    }
  });
}

template <int kResults>
void wgmma_bf16(float (&d)[kResults], uint64_t a, uint64_t b, bool add) {
  wgmma<16>(d, a, b, add, [](const uint8_t* bytes, float* out) {
    for (int i = 0; i < 16; ++i)
      out[i] = bits_to_float(uint32_t{bytes[2 * i]} << 16 | uint32_t{bytes[2 * i + 1]} << 24);
  });
}
template <int kResults>
void wgmma_e4m3(float (&d)[kResults], uint64_t a, uint64_t b, bool add) {
  wgmma<32>(d, a, b, add, [](const uint8_t* bytes, float* out) {
    for (int i = 0; i < 32; ++i) out[i] = f8_e4m3_to_f32(bytes[i]);
  });
}

#endif

}  // namespace vitrine::cuda
