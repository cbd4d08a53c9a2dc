#include "engine/ggml_type.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "kernels/tensor.h"

namespace vitrine {
namespace {

// Types no kernel knows. Those some kernel does are kernels/tensor.h's.
constexpr GgmlType kOthers[] = {
    {9, "Q8_1", 32, 40},      {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},
};

}  // namespace

std::optional<GgmlType> ggml_type(uint32_t number) {
  if (const auto type = type_from_ggml(number)) {
    return GgmlType{number, type_name(*type), block_elements(*type), block_bytes(*type)};
  }
  const auto* found =
      std::find_if(std::begin(kOthers), std::end(kOthers), [&](const GgmlType& type) { return type.number == number; });
  if (found == std::end(kOthers)) return std::nullopt;
  return *found;
}

Result<uint64_t> ggml_bytes(uint32_t type, std::span<const uint64_t> ne) {
  const auto layout = ggml_type(type);
  if (!layout) return fail(ErrorCode::unsupported, "tensor type number " + std::to_string(type));
  if (ne.empty() || ne.size() > 4) return fail(ErrorCode::malformed, std::to_string(ne.size()) + " dimensions");
  uint64_t elements = 1;
  for (size_t d = 0; d < ne.size(); ++d) {
    if (ne[d] == 0) return fail(ErrorCode::malformed, "dimension " + std::to_string(d) + " is 0");
    if (__builtin_mul_overflow(elements, ne[d], &elements)) {
      return fail(ErrorCode::malformed, "its dimensions multiply to more than 64 bits");
    }
  }
  if (ne[0] % layout->block_elements != 0) {
    return fail(ErrorCode::malformed, "rows of " + std::to_string(ne[0]) +
                                          " elements are no multiple of the block of " + std::string(layout->name) +
                                          ", " + std::to_string(layout->block_elements));
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements / layout->block_elements, uint64_t{layout->block_bytes}, &bytes)) {
    return fail(ErrorCode::malformed, "its size in bytes needs more than 64 bits");
  }
  return bytes;
}

}  // namespace vitrine
