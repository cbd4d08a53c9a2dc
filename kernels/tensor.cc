#include "kernels/tensor.h"

#include <string>

namespace vitrine {
namespace {

struct TypeInfo {
  std::string_view name;
  uint32_t block_elements;
  uint32_t block_bytes;
  int ggml;  // tensor-type number in GGUF files; -1: none
};

// In the order of Type.
constexpr TypeInfo kTypes[kTypeCount] = {
    {"F32", 1, 4, 0},       {"F16", 1, 2, 1},       {"BF16", 1, 2, 30},     {"F8_E4M3", 1, 1, -1},
    {"Q4_0", 32, 18, 2},    {"Q4_1", 32, 20, 3},    {"Q5_0", 32, 22, 6},    {"Q5_1", 32, 24, 7},
    {"Q8_0", 32, 34, 8},    {"Q2_K", 256, 84, 10},  {"Q3_K", 256, 110, 11}, {"Q4_K", 256, 144, 12},
    {"Q5_K", 256, 176, 13}, {"Q6_K", 256, 210, 14}, {"MXFP4", 32, 17, 39},  {"I32", 1, 4, -1},
};

constexpr const TypeInfo& info(Type type) { return kTypes[static_cast<size_t>(type)]; }

std::optional<uint64_t> product(uint64_t a, uint64_t b) {
  uint64_t p = 0;
  if (__builtin_mul_overflow(a, b, &p)) return std::nullopt;
  return p;
}

}  // namespace

std::string_view type_name(Type type) { return info(type).name; }
uint32_t block_elements(Type type) { return info(type).block_elements; }
uint32_t block_bytes(Type type) { return info(type).block_bytes; }

std::optional<Type> type_from_ggml(uint32_t number) {
  for (int i = 0; i < kTypeCount; ++i) {
    if (kTypes[i].ggml >= 0 && static_cast<uint32_t>(kTypes[i].ggml) == number) return static_cast<Type>(i);
  }
  return std::nullopt;
}

std::optional<uint64_t> row_bytes(Type type, uint64_t elements) {
  const TypeInfo& t = info(type);
  if (elements % t.block_elements != 0) return std::nullopt;
  return product(elements / t.block_elements, t.block_bytes);
}

Result<TensorView> TensorView::make(Type type, std::span<const uint64_t> ne, Bytes bytes, Bytes scales) {
  const std::string name(type_name(type));
  if (type == Type::i32) return fail(ErrorCode::unsupported, "I32 is no weight type");
  if (ne.empty() || ne.size() > 3) return fail(ErrorCode::malformed, "a weight has 1 to 3 dimensions");
  TensorView view;
  view.type = type;
  for (size_t i = 0; i < ne.size(); ++i) {
    // The bound keeps every later sum and cast to int64_t far from overflow.
    if (ne[i] == 0 || ne[i] > (1ull << 40)) return fail(ErrorCode::malformed, "a dimension is zero or too large");
    view.ne[i] = ne[i];
  }
  const auto stride = vitrine::row_bytes(type, view.ne[0]);
  if (!stride) return fail(ErrorCode::malformed, "rows of " + name + " hold whole blocks only");
  const auto rows = product(view.ne[1], view.ne[2]);
  const auto total = rows ? product(*stride, *rows) : std::nullopt;
  if (!total || *total > bytes.size()) return fail(ErrorCode::malformed, name + " tensor is larger than its bytes");
  view.row_stride = *stride;
  view.plane_rows = view.ne[1];
  view.bytes = bytes.first(*total);
  if (type == Type::f8_e4m3) {
    if (view.ne[2] != 1) return fail(ErrorCode::unsupported, "F8_E4M3 with planes: give them one by one");
    const uint64_t across = (view.ne[0] + kScaleBlock - 1) / kScaleBlock;
    const uint64_t down = (view.ne[1] + kScaleBlock - 1) / kScaleBlock;
    const auto needed = product(across * 4, down);
    if (!needed || *needed > scales.size()) return fail(ErrorCode::malformed, "F8_E4M3 tensor lacks block factors");
    view.scales = scales.first(*needed);
  }
  return view;
}

Result<TensorView> TensorView::groups(uint64_t planes, uint64_t first, uint64_t count) const {
  if (ne[2] != 1 || planes == 0 || count == 0 || ne[1] % planes != 0) {
    return fail(ErrorCode::malformed, "rows do not divide into such groups");
  }
  const uint64_t size = ne[1] / planes;
  if (first > size || count > size - first) return fail(ErrorCode::malformed, "rows outside their group");
  TensorView view = *this;
  view.ne = {ne[0], count, planes};
  view.first_row = first_row + first;
  view.plane_rows = size;
  return view;
}

}  // namespace vitrine
