// The matrix instructions of a warp (PTX ISA, mma.sync), in registers. With
// g = lane / 4 and t = lane % 4:
//   m16n8k32, s8    a: row g and g + 8, k 4t … 4t + 3, then the same rows at k + 16
//                   b: column g, k 4t … 4t + 3, then k + 16
//   m16n8k16, s8    a: rows g and g + 8, k 4t … 4t + 3    b: column g, the same k
//   m16n8k16, bf16 and f16  a: rows g and g + 8, k 2t and 2t + 1, then k + 8    b: column g, likewise
//   c, always       row g columns 2t and 2t + 1, then row g + 8
#pragma once

#include "kernels/cuda/device.h"

namespace vitrine::cuda {

#if !defined(VITRINE_CUDA_EMULATED)

__device__ inline void mma_s8_k32(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                  uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ inline void mma_s8_k16(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b0) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
               : "r"(a0), "r"(a1), "r"(b0));
}

__device__ inline void mma_bf16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ inline void mma_f16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                               uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// 16 bytes from global to shared memory, without a register between; zeros when `inside` is false.
__device__ inline void copy16_async(void* shared, const void* global, bool inside) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes));
}
// Four bytes likewise, of what is in the first-level cache too.
__device__ inline void copy4_async(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global));
}
__device__ inline void copies_commit() { asm volatile("cp.async.commit_group;"); }
template <int kLeft>
__device__ inline void copies_wait() {  // until at most kLeft groups are on their way
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Four 8x8 matrices of 16-bit numbers; lane i gives the address of row i % 8 of matrix i / 8.
// r[m]: row g, columns 2t and 2t + 1 of matrix m.
__device__ inline void load_matrices(uint32_t (&r)[4], const void* shared_row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(shared_row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from));
}
// The same, each matrix transposed. r[m]: column g, rows 2t and 2t + 1 of matrix m.
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const void* shared_row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(shared_row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from));
}

#else

struct MmaOperands {
  uint32_t a[4], b[2];
};
inline const MmaOperands& operands_of(const uint8_t* all, int lane) {
  return *reinterpret_cast<const MmaOperands*>(all + 64 * lane);
}

inline void mma_s8_k32(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  const MmaOperands mine = {{a0, a1, a2, a3}, {b0, b1}};
  const uint8_t* all = emulated::exchange(&mine, sizeof(mine));
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const int column = 2 * t + i % 2;
    for (int k = 0; k < 32; ++k) {
      const uint32_t a = operands_of(all, g * 4 + k % 16 / 4).a[i / 2 + 2 * (k / 16)] >> (8 * (k % 4));
      const uint32_t b = operands_of(all, column * 4 + k % 16 / 4).b[k / 16] >> (8 * (k % 4));
      c[i] += static_cast<int8_t>(a & 0xff) * static_cast<int8_t>(b & 0xff);
    }
  }
}

inline void mma_s8_k16(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b0) { mma_s8_k32(c, a0, a1, 0, 0, b0, 0); }

// `number`: of 16 bits.
template <class Number>
void mma_16_bits(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1,
                 Number number) {
  const MmaOperands mine = {{a0, a1, a2, a3}, {b0, b1}};
  const uint8_t* all = emulated::exchange(&mine, sizeof(mine));
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const int column = 2 * t + i % 2;
    for (int k = 0; k < 16; ++k) {
      const uint32_t a = operands_of(all, g * 4 + k % 8 / 2).a[i / 2 + 2 * (k / 8)] >> (16 * (k % 2));
      const uint32_t b = operands_of(all, column * 4 + k % 8 / 2).b[k / 8] >> (16 * (k % 2));
      c[i] += number(static_cast<uint16_t>(a)) * number(static_cast<uint16_t>(b));
    }
  }
}
inline void mma_bf16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  mma_16_bits(c, a0, a1, a2, a3, b0, b1, [](uint16_t v) { return bits_to_float(uint32_t{v} << 16); });
}
inline void mma_f16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  mma_16_bits(c, a0, a1, a2, a3, b0, b1, half_to_float);
}

inline void copy16_async(void* shared, const void* global, bool inside) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0) emulated::broken("a copy outside its alignment");
  emulated::beside(emulated::Beside::copies, [shared, global, inside] {
    const uint4 v = inside ? load16(global) : uint4{0, 0, 0, 0};
    std::memcpy(shared, &v, 16);
  });
}
inline void copy4_async(void* shared, const void* global) {
  if (reinterpret_cast<uintptr_t>(shared) % 4 != 0) emulated::broken("a copy outside its alignment");
  emulated::beside(emulated::Beside::copies, [shared, global] {
    const uint32_t v = load4(global);
    std::memcpy(shared, &v, 4);
  });
}
inline void copies_commit() { emulated::close_group(emulated::Beside::copies); }
template <int kLeft>
void copies_wait() {
  emulated::wait_for_groups(emulated::Beside::copies, kLeft);
}

inline void load_matrices(uint32_t (&r)[4], const void* shared_row) {
  struct Row {
    uint32_t pairs[4];
  } mine;
  const uint4 v = load16(shared_row);
  std::memcpy(&mine, &v, 16);
  const uint8_t* all = emulated::exchange(&mine, sizeof(mine));
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  for (int m = 0; m < 4; ++m) std::memcpy(&r[m], all + 64 * (8 * m + g) + 4 * t, 4);
}
inline void load_matrices_transposed(uint32_t (&r)[4], const void* shared_row) {
  const uint4 mine = load16(shared_row);
  const uint8_t* all = emulated::exchange(&mine, sizeof(mine));
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  for (int m = 0; m < 4; ++m) {
    uint16_t pair[2];
    for (int i = 0; i < 2; ++i) std::memcpy(&pair[i], all + 64 * (8 * m + 2 * t + i) + 2 * g, 2);
    r[m] = pair[0] | uint32_t{pair[1]} << 16;
  }
}

#endif

}  // namespace vitrine::cuda
