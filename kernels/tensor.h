// Element types, weight views over file bytes, and views of device memory.
// Shapes are written as in GGUF: ne[0] is the fastest dimension, so a weight
// that maps n_in inputs to n_out outputs has ne = [n_in, n_out].
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine {

// How elements lie in memory. Layouts of the block types: kernels/quant.h.
enum class Type : uint8_t {
  f32,
  f16,
  bf16,
  f8_e4m3,  // one byte an element, and a float32 factor per 128x128 block beside the tensor
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  mxfp4,
  i32,  // indices only, never a weight
};
inline constexpr int kTypeCount = 16;

std::string_view type_name(Type type);  // as ggml writes it: "Q4_K"
uint32_t block_elements(Type type);     // 1, 32 or 256, along ne[0]
uint32_t block_bytes(Type type);

// The type of a GGUF tensor-type number; nothing for one we cannot compute with.
std::optional<Type> type_from_ggml(uint32_t number);

// Bytes of a row of `elements`; nothing when they are no whole number of blocks
// or the product overflows.
std::optional<uint64_t> row_bytes(Type type, uint64_t elements);

// A weight as it lies in a file: borrowed bytes, any alignment.
//   2-D: ne = [n_in, n_out, 1]; 3-D: `ne[2]` planes of such matrices (experts, heads).
// Row r of plane p is row (first_row + p * plane_rows + r) of `bytes`.
struct TensorView {
  static constexpr uint64_t kScaleBlock = 128;

  Type type = Type::f32;
  std::array<uint64_t, 3> ne = {0, 1, 1};
  uint64_t row_stride = 0;  // bytes from row to row
  uint64_t first_row = 0;
  uint64_t plane_rows = 0;  // rows from plane to plane
  Bytes bytes;
  Bytes scales;  // f8_e4m3: float32 [ceil(n_in / 128), ceil(rows of `bytes` / 128)], factor * byte = weight

  // Checks every size against the bytes that are there (they may be more).
  // unsupported: no weight type, f8 with planes; malformed: the rest.
  // `ne` has 1 to 3 entries, each >= 1.
  static Result<TensorView> make(Type type, std::span<const uint64_t> ne, Bytes bytes, Bytes scales = {});
  static Result<TensorView> make(Type type, std::initializer_list<uint64_t> ne, Bytes bytes, Bytes scales = {}) {
    return make(type, std::span<const uint64_t>(ne.begin(), ne.size()), bytes, scales);
  }

  // The rows taken as `planes` groups of equal size, of each group the rows
  // [first, first + count): [n_in, rows] -> [n_in, count, planes]. So one takes
  // keys and values out of MLA's kv_b_proj. REQUIRES: a 2-D view.
  Result<TensorView> groups(uint64_t planes, uint64_t first, uint64_t count) const;

  const uint8_t* row(uint64_t plane, uint64_t r) const {
    return bytes.data() + (first_row + plane * plane_rows + r) * row_stride;
  }
};

// A view of device memory; owns nothing. On the CPU backend `data` is a host
// pointer. Strides count elements; ne[0] is always contiguous.
struct Tensor {
  Type type = Type::f32;
  void* data = nullptr;
  std::array<int64_t, 3> ne = {0, 1, 1};
  std::array<int64_t, 3> stride = {1, 0, 0};

  // Contiguous. The caller answers for the bytes behind `data`.
  static Tensor contiguous(Type type, void* data, int64_t n0, int64_t n1 = 1, int64_t n2 = 1) {
    return Tensor{type, data, {n0, n1, n2}, {1, n0, n0 * n1}};
  }
  static Tensor f32(float* data, int64_t n0, int64_t n1 = 1, int64_t n2 = 1) {
    return contiguous(Type::f32, data, n0, n1, n2);
  }
  static Tensor i32(int32_t* data, int64_t n0, int64_t n1 = 1) { return contiguous(Type::i32, data, n0, n1); }

  int64_t elements() const { return ne[0] * ne[1] * ne[2]; }
  bool empty() const { return elements() == 0; }
  bool is_contiguous() const {
    return (ne[1] == 1 || stride[1] == ne[0]) && (ne[2] == 1 || stride[2] == ne[0] * ne[1]);
  }

  // [begin, begin + count) along `dim`. REQUIRES: inside; four-byte elements.
  Tensor slice(int dim, int64_t begin, int64_t count) const {
    Tensor t = *this;
    t.data = static_cast<uint32_t*>(data) + begin * stride[dim];
    t.ne[dim] = count;
    return t;
  }
  // Splits ne[0] of a [n0, n1] view into heads: [n0 / heads, heads, n1]. REQUIRES: ne[2] == 1, divisible.
  Tensor heads(int64_t heads) const {
    return Tensor{type, data, {ne[0] / heads, heads, ne[1]}, {1, ne[0] / heads, stride[1]}};
  }
};

}  // namespace vitrine
