// The paged cache as this backend lays it out, and how attention shares positions.
//
// A page holds, for its tokens, all keys and then all values; a row (one token, one
// head) is padded to 16 bytes, with zeros behind its numbers.
//   gqa  keys [kv_heads][page_tokens][k_dim], values [kv_heads][page_tokens][v_dim]
//   mla  latents [page_tokens][k_dim]
#pragma once

#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/ops.h"

namespace vitrine::cuda {

struct PageLayout {
  int64_t key_row = 0, value_row = 0;  // bytes; value_row 0: values are the first numbers of the keys
  int64_t values = 0;                  // bytes from a page's start to its values
  int64_t page = 0;                    // bytes of a page
  int32_t page_tokens = 16, kv_heads = 1;
  int64_t pages = 0;

  VITRINE_HOST_DEVICE int64_t key(int64_t page_number, int64_t head, int64_t offset) const {
    return page_number * page + (head * page_tokens + offset) * key_row;
  }
  VITRINE_HOST_DEVICE int64_t value(int64_t page_number, int64_t head, int64_t offset) const {
    return page_number * page + values + (head * page_tokens + offset) * value_row;
  }
};

// `element`: bytes of a number.
inline PageLayout page_layout(const KvShape& shape, int64_t element) {
  const auto row = [element](int64_t n) { return (n * element + 15) / 16 * 16; };
  PageLayout out;
  out.page_tokens = static_cast<int32_t>(shape.page_tokens);
  out.kv_heads = static_cast<int32_t>(shape.kv_heads);
  out.pages = shape.pages;
  out.key_row = row(shape.k_dim);
  out.value_row = shape.kind == KvShape::Kind::mla ? 0 : row(shape.v_dim);
  out.values = shape.kv_heads * shape.page_tokens * out.key_row;
  out.page = out.values + shape.kv_heads * shape.page_tokens * out.value_row;
  return out;
}

// The device side of Batch.
struct BatchMap {
  const int32_t* seq = nullptr;
  const int32_t* pos = nullptr;
  const int32_t* table = nullptr;
  int64_t table_stride = 0;
  int32_t blocks = 0, sequences = 0;

  enum Verdict : uint8_t { kGood, kPadding, kBadPosition, kBadPage };

  // Where token t stands. `page`: of its own position.
  VITRINE_HOST_DEVICE Verdict look(int64_t t, const PageLayout& layout, int32_t& page) const {
    const int32_t s = seq[t], p = pos[t];
    if (s == -1) return kPadding;
    if (s < 0 || s >= sequences || p < 0 || p / layout.page_tokens >= blocks) return kBadPosition;
    page = table[s * table_stride + p / layout.page_tokens];
    return page >= 0 && page < layout.pages ? kGood : kBadPage;
  }
};

// A query over positions [0, length) takes them in tiles of kPositions, which start at
// multiples of kPositions; the tiles are cut into at most kMostSplits equal stretches. All of it
// depends on the length alone, so that a token's sums have one order wherever it is computed.
inline constexpr int kPositions = 32;
inline constexpr int kMostSplits = 16;
VITRINE_HOST_DEVICE constexpr int tiles_of(int64_t length) {
  return static_cast<int>((length + kPositions - 1) / kPositions);
}
VITRINE_HOST_DEVICE constexpr int tiles_per_split(int64_t length) {
  return (tiles_of(length) + kMostSplits - 1) / kMostSplits;
}
VITRINE_HOST_DEVICE constexpr int splits_of(int64_t length) {
  return length == 0 ? 0 : (tiles_of(length) + tiles_per_split(length) - 1) / tiles_per_split(length);
}

}  // namespace vitrine::cuda
