// Numbers of the paged cache, and where tokens stand in it: what storing and attending share.
#pragma once

#include "kernels/cuda/pages.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/runtime.h"

namespace vitrine::cuda {

inline BatchMap batch_map(const Batch& batch) {
  BatchMap out;
  out.seq = static_cast<const int32_t*>(batch.seq.data);
  out.pos = static_cast<const int32_t*>(batch.pos.data);
  out.table = static_cast<const int32_t*>(batch.block_table.data);
  out.table_stride = batch.block_table.stride[1];
  out.blocks = static_cast<int32_t>(batch.block_table.ne[0]);
  out.sequences = static_cast<int32_t>(batch.block_table.ne[1]);
  return out;
}

__device__ inline bool good(BatchMap::Verdict verdict, int* faults) {
  if (verdict == BatchMap::kGood) return true;
  if (verdict != BatchMap::kPadding && threadIdx.x == 0) {
    atomicOr(faults, verdict == BatchMap::kBadPage ? kFaultPage : kFaultPosition);
  }
  return false;
}

// ---- numbers of the cache

template <Type kType>
struct Cached {
  static constexpr int kBytes = 2;
  static constexpr int kPerLoad = 8;  // numbers in 16 bytes
  __device__ static float number(uint32_t bits) {
    return kType == Type::f16 ? half_to_float(static_cast<uint16_t>(bits)) : bfloat_to_float(bits);
  }
  // 16 bytes as floats.
  __device__ static void unpack(uint4 v, float (&out)[8]) {
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
    for (int i = 0; i < 4; ++i) out[2 * i] = number(words[i] & 0xffff), out[2 * i + 1] = number(words[i] >> 16);
  }
  // Numbers 2i and 2i + 1 of a row.
  __device__ static void pair(const uint8_t* row, int i, float& a, float& b) {
    const uint32_t v = load4(row + 4 * i);
    a = number(v & 0xffff), b = number(v >> 16);
  }
  __device__ static void store(uint8_t* row, int i, float v) {
    reinterpret_cast<uint16_t*>(row)[i] = kType == Type::f16 ? float_to_half(v) : float_to_bfloat(v);
  }
};

template <>
struct Cached<Type::f32> {
  static constexpr int kBytes = 4;
  static constexpr int kPerLoad = 4;
  __device__ static void unpack(uint4 v, float (&out)[4]) {
    out[0] = bits_to_float(v.x), out[1] = bits_to_float(v.y), out[2] = bits_to_float(v.z), out[3] = bits_to_float(v.w);
  }
  __device__ static void pair(const uint8_t* row, int i, float& a, float& b) {
    const uint2 v = load8(row + 8 * i);
    a = bits_to_float(v.x), b = bits_to_float(v.y);
  }
  __device__ static void store(uint8_t* row, int i, float v) { reinterpret_cast<float*>(row)[i] = v; }
};

template <class Function>
void for_cache_type(Type type, Function f) {
  for_type<kVectorType>(type, f);
}

}  // namespace vitrine::cuda
