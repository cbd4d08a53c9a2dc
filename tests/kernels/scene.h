// A paged cache with sequences, for tests of storing and attention.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "tests/kernels/support.h"

namespace vitrine::test {

// Sequences of some length whose pages lie scattered over a cache full of NaN.
struct Scene {
  Scene(Ops& backend, KvShape shape, std::vector<int64_t> counts, uint32_t seed)
      : ops(backend), random(seed), lengths(std::move(counts)) {
    int64_t blocks = 0, pages = 3;
    for (const int64_t n : lengths) {
      blocks = std::max(blocks, (n + shape.page_tokens - 1) / shape.page_tokens);
      pages += (n + shape.page_tokens - 1) / shape.page_tokens;
    }
    shape.pages = pages;
    auto made = ops.alloc_kv(shape);
    EXPECT_TRUE(made);
    cache = std::move(*made);
    const std::vector<uint32_t> nan(cache.data.bytes() / 4, 0xffffffff);  // in every type
    ops.copy_in(cache.data.i32(0, static_cast<int64_t>(nan.size())), nan.data());
    EXPECT_TRUE(ops.sync());
    std::vector<int32_t> free(pages), entries;
    for (int64_t i = 0; i < pages; ++i) free[i] = i;
    std::shuffle(free.begin(), free.end(), random);
    for (size_t s = 0; s < lengths.size(); ++s) {
      for (int64_t b = 0; b < blocks; ++b) {
        const bool used = b * shape.page_tokens < lengths[s];
        entries.push_back(used ? free.back() : -1);
        if (used) free.pop_back();
      }
    }
    table = SharedNumbers<int32_t>(entries);
    block_table = Tensor::i32(table.data(), blocks, lengths.size());
  }

  // Tokens [begin, end) of sequence s as one step's batch.
  Batch batch(int64_t s, int64_t begin, int64_t end) {
    seq.assign(end - begin, s);
    pos.resize(end - begin);
    for (int64_t p = begin; p < end; ++p) pos[p - begin] = p;
    return whole_batch();
  }
  Batch whole_batch() {
    return {Tensor::i32(seq.data(), seq.size()), Tensor::i32(pos.data(), pos.size()), block_table};
  }

  Ops& ops;
  std::mt19937 random;
  std::vector<int64_t> lengths;
  KvCache cache;
  SharedNumbers<int32_t> table, seq, pos;
  Tensor block_table;
};

}  // namespace vitrine::test
