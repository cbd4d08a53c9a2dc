// The tensor types of GGUF files by number: also those this program cannot
// compute with, so that a file holding them can still be shown.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace vitrine {

// A tensor's elements lie in blocks of `block_elements` along the fastest
// dimension, `block_bytes` each.
struct GgmlType {
  uint32_t number = 0;
  std::string_view name;
  uint32_t block_elements = 1;
  uint32_t block_bytes = 1;
};

// Nothing for a number ggml never gave to a type, or has withdrawn.
std::optional<GgmlType> ggml_type(uint32_t number);

// Bytes of a tensor with `ne` elements per dimension, fastest first. An error,
// without `where`: an unknown type, no or more than four dimensions, one that is
// 0, a product beyond 64 bits, rows that are no multiple of the block.
Result<uint64_t> ggml_bytes(uint32_t type, std::span<const uint64_t> ne);

}  // namespace vitrine
