// The paged key-value cache: which sequence holds which pages.
//
// A page holds the keys and values of page_tokens consecutive positions, in every
// layer under the same number. Sequences that begin alike can share pages: a page
// is counted, and only pages with one holder are written to, because a fork copies
// the page its sequences part in.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"

namespace vitrine {

// Counts of holders per page, and the pages nobody holds.
class PagePool {
 public:
  explicit PagePool(int32_t pages);

  int32_t size() const { return static_cast<int32_t>(holders_.size()); }
  int32_t free() const { return static_cast<int32_t>(free_.size()); }
  int32_t holders(int32_t page) const { return holders_[page]; }

  std::optional<int32_t> take();  // with one holder; nothing when all are held
  void hold(int32_t page);        // one more holder. REQUIRES: it has some
  bool drop(int32_t page);        // one less; true when that was the last. REQUIRES: it has some

 private:
  std::vector<int32_t> holders_;
  std::vector<int32_t> free_;  // the last freed is taken first
};

// A sequence's part of the cache. Freed by PagedKvCache::release() only.
struct KvBlocks {
  std::vector<int32_t> pages;  // of positions [i * page_tokens, (i + 1) * page_tokens)
  int64_t tokens = 0;          // positions that are stored
};

struct KvOptions {
  int64_t tokens = 4096;  // room for so many in all; rounded up to pages
  int64_t page_tokens = 16;
  Type type = Type::f16;
  bool zero_freed_pages = false;  // a page is overwritten with zeros when its last holder leaves
};

class PagedKvCache {
 public:
  // `shape`: Model::kv_shape(); `ops`: the backend of each layer. limit: no memory.
  static Result<PagedKvCache> create(std::vector<Ops*> ops, KvShape shape, const KvOptions& options);
  static Result<PagedKvCache> create(Ops& ops, const KvShape& shape, uint32_t layers, const KvOptions& options) {
    return create(std::vector<Ops*>(layers, &ops), shape, options);
  }

  std::span<KvCache> layers() { return caches_; }
  int64_t page_tokens() const { return options_.page_tokens; }
  int64_t pages_for(int64_t tokens) const { return (tokens + page_tokens() - 1) / page_tokens(); }
  const PagePool& pool() const { return pool_; }
  uint64_t bytes() const { return bytes_; }

  // Room for positions 0 … tokens - 1, or no change at all and false.
  bool reserve(KvBlocks& blocks, int64_t tokens);
  // `to` (empty before) gets the first `tokens` positions of `from`: full pages shared, the
  // last one copied. False, and nothing done, when there is no page for the copy.
  // REQUIRES: tokens <= from.tokens.
  bool fork(const KvBlocks& from, int64_t tokens, KvBlocks& to);
  // As fork(), and `from` is released: what `to` has then takes the fewest pages. The page they part in
  // moves unless others hold it: then `to` gets a copy, or without a page for that the full pages alone.
  void take_over(KvBlocks& from, int64_t tokens, KvBlocks& to);
  // Gives back the pages behind the stored positions.
  void shrink(KvBlocks& blocks);
  void release(KvBlocks& blocks);

 private:
  PagedKvCache(std::vector<Ops*> ops, const KvOptions& options, int32_t pages)
      : ops_(std::move(ops)), options_(options), pool_(pages) {}
  void copy_page(int32_t from, int32_t to);
  void drop(int32_t page);

  std::vector<Ops*> ops_;  // of each layer
  KvOptions options_;
  PagePool pool_;
  std::vector<KvCache> caches_;
  uint64_t bytes_ = 0;
};

}  // namespace vitrine
