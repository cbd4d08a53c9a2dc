// What operators on rows share: addresses of rows, sums over a block, and the way
// from a type known at run time to a kernel compiled for it.
#pragma once

#include <type_traits>

#include "kernels/cuda/packed.h"

namespace vitrine::cuda {

// Rows of a strided f32 tensor [n, ne1, ne2], counted over both.
struct RowMap {
  float* data = nullptr;
  int64_t ne1 = 1, stride1 = 0, stride2 = 0;

  RowMap() = default;
  explicit RowMap(const Tensor& t)
      : data(static_cast<float*>(t.data)), ne1(t.ne[1]), stride1(t.stride[1]), stride2(t.stride[2]) {}
  VITRINE_HOST_DEVICE float* row(int64_t i) const { return data + i % ne1 * stride1 + i / ne1 * stride2; }
};

// Threads for a row: about four elements each, whole warps. An operator that norms rows among other
// things takes as many, so that the sums have the same order.
inline dim3 threads_for(int64_t n) {
  const int64_t threads = (n + 127) / 128 * 32;
  return dim3(static_cast<unsigned>(threads < 32 ? 32 : threads > 512 ? 512 : threads));
}

// The sum over a block, the same in every thread. `partial`: 32 floats of shared memory.
__device__ inline float block_sum(float v, float* partial) {
  v = warp_sum(v);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = v;
  __syncthreads();
  float total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) total = total + partial[w];
  return total;
}

template <Type kType>
using TypeConstant = std::integral_constant<Type, kType>;

enum TypeSet { kVectorType, kAnyType, kBlockType };

// f(TypeConstant<type>) for the types of a set; false for others.
template <TypeSet kSet, class Function>
bool for_type(Type type, Function f) {
  if constexpr (kSet != kBlockType) {
    switch (type) {
      case Type::f32: f(TypeConstant<Type::f32>()); return true;
      case Type::f16: f(TypeConstant<Type::f16>()); return true;
      case Type::bf16: f(TypeConstant<Type::bf16>()); return true;
      default: break;
    }
  }
  if constexpr (kSet == kAnyType) {
    if (type == Type::f8_e4m3) {
      f(TypeConstant<Type::f8_e4m3>());
      return true;
    }
  }
  if constexpr (kSet != kVectorType) {
    switch (type) {
      case Type::q4_0: f(TypeConstant<Type::q4_0>()); return true;
      case Type::q4_1: f(TypeConstant<Type::q4_1>()); return true;
      case Type::q5_0: f(TypeConstant<Type::q5_0>()); return true;
      case Type::q5_1: f(TypeConstant<Type::q5_1>()); return true;
      case Type::q8_0: f(TypeConstant<Type::q8_0>()); return true;
      case Type::mxfp4: f(TypeConstant<Type::mxfp4>()); return true;
      case Type::q2_k: f(TypeConstant<Type::q2_k>()); return true;
      case Type::q3_k: f(TypeConstant<Type::q3_k>()); return true;
      case Type::q4_k: f(TypeConstant<Type::q4_k>()); return true;
      case Type::q5_k: f(TypeConstant<Type::q5_k>()); return true;
      case Type::q6_k: f(TypeConstant<Type::q6_k>()); return true;
      default: break;
    }
  }
  return false;
}

}  // namespace vitrine::cuda
