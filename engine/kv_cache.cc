#include "engine/kv_cache.h"

namespace vitrine {

PagePool::PagePool(int32_t pages) : holders_(pages, 0) {
  for (int32_t page = pages; page-- > 0;) free_.push_back(page);
}

std::optional<int32_t> PagePool::take() {
  if (free_.empty()) return std::nullopt;
  const int32_t page = free_.back();
  free_.pop_back();
  holders_[page] = 1;
  return page;
}

void PagePool::hold(int32_t page) { ++holders_[page]; }

bool PagePool::drop(int32_t page) {
  if (--holders_[page] > 0) return false;
  free_.push_back(page);
  return true;
}

Result<PagedKvCache> PagedKvCache::create(std::vector<Ops*> ops, KvShape shape, const KvOptions& options) {
  constexpr int64_t kMostPages = int64_t{1} << 30;
  if (options.page_tokens <= 0 || options.tokens <= 0) return fail(ErrorCode::usage, "a cache without tokens");
  const int64_t pages = (options.tokens - 1) / options.page_tokens + 1;
  if (pages > kMostPages) return fail(ErrorCode::limit, "a cache with too many pages");
  PagedKvCache out(std::move(ops), options, static_cast<int32_t>(pages));
  // One page more, never handed out: zeros to clear others with.
  shape.pages = pages + (options.zero_freed_pages ? 1 : 0);
  shape.page_tokens = options.page_tokens;
  shape.type = options.type;
  for (Ops* layer : out.ops_) {
    auto cache = layer->alloc_kv(shape);
    if (!cache) return tl::make_unexpected(cache.error());
    out.bytes_ += cache->data.bytes();
    out.caches_.push_back(std::move(*cache));
  }
  return out;
}

void PagedKvCache::copy_page(int32_t from, int32_t to) {
  for (size_t layer = 0; layer < caches_.size(); ++layer) ops_[layer]->kv_copy_page(caches_[layer], from, to);
}

bool PagedKvCache::reserve(KvBlocks& blocks, int64_t tokens) {
  const int64_t wanted = pages_for(tokens) - static_cast<int64_t>(blocks.pages.size());
  if (wanted > pool_.free()) return false;
  for (int64_t i = 0; i < wanted; ++i) blocks.pages.push_back(*pool_.take());
  return true;
}

bool PagedKvCache::fork(const KvBlocks& from, int64_t tokens, KvBlocks& to) {
  const int64_t shared = tokens / page_tokens();
  const bool parts_in_page = tokens % page_tokens() != 0;
  if (parts_in_page && pool_.free() == 0) return false;
  for (int64_t i = 0; i < shared; ++i) {
    pool_.hold(from.pages[i]);
    to.pages.push_back(from.pages[i]);
  }
  if (parts_in_page) {
    to.pages.push_back(*pool_.take());
    copy_page(from.pages[shared], to.pages.back());
  }
  to.tokens = tokens;
  return true;
}

void PagedKvCache::take_over(KvBlocks& from, int64_t tokens, KvBlocks& to) {
  to = std::move(from);
  from = {};
  to.tokens = tokens;
  shrink(to);
  const int64_t behind = tokens % page_tokens();
  if (behind == 0 || pool_.holders(to.pages.back()) == 1) return;
  const int32_t read_by_others = to.pages.back();
  to.pages.pop_back();
  if (const auto page = pool_.take()) {
    copy_page(read_by_others, *page);
    to.pages.push_back(*page);
  } else {
    to.tokens -= behind;
  }
  drop(read_by_others);
}

void PagedKvCache::drop(int32_t page) {
  if (pool_.drop(page) && options_.zero_freed_pages) copy_page(pool_.size(), page);
}

void PagedKvCache::shrink(KvBlocks& blocks) {
  while (static_cast<int64_t>(blocks.pages.size()) > pages_for(blocks.tokens)) {
    drop(blocks.pages.back());
    blocks.pages.pop_back();
  }
}

void PagedKvCache::release(KvBlocks& blocks) {
  for (const int32_t page : blocks.pages) drop(page);
  blocks = {};
}

}  // namespace vitrine
