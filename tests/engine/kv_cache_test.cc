#include "engine/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/scheduler.h"
#include "kernels/cpu/cpu_ops.h"

namespace vitrine {
namespace {

constexpr KvShape kShape = {.kind = KvShape::Kind::gqa, .kv_heads = 2, .k_dim = 4, .v_dim = 3};

class PagedKvCacheTest : public testing::Test {
 protected:
  PagedKvCache cache(int64_t tokens, bool zero = false) {
    auto out = PagedKvCache::create(*ops_, kShape, 2,
                                    {.tokens = tokens, .page_tokens = 16, .type = Type::f32, .zero_freed_pages = zero});
    EXPECT_TRUE(out.has_value()) << out.error().to_string();
    return std::move(*out);
  }
  std::unique_ptr<Ops> ops_ = std::move(*make_cpu_ops({.threads = 1, .isa = Isa::portable}));
};

TEST(PagePool, CountsHolders) {
  PagePool pool(2);
  const auto a = pool.take(), b = pool.take();
  ASSERT_TRUE(a && b);
  EXPECT_NE(*a, *b);
  EXPECT_FALSE(pool.take());
  pool.hold(*a);
  EXPECT_EQ(pool.holders(*a), 2);
  EXPECT_FALSE(pool.drop(*a));
  EXPECT_EQ(pool.free(), 0);
  EXPECT_TRUE(pool.drop(*a));
  EXPECT_EQ(pool.take(), a);
}

TEST_F(PagedKvCacheTest, ReservesAllOrNothing) {
  PagedKvCache kv = cache(64);
  KvBlocks one, two;
  EXPECT_TRUE(kv.reserve(one, 17));
  EXPECT_EQ(one.pages.size(), 2u);
  EXPECT_TRUE(kv.reserve(one, 32));
  EXPECT_EQ(one.pages.size(), 2u);
  EXPECT_FALSE(kv.reserve(two, 33));
  EXPECT_TRUE(two.pages.empty());
  EXPECT_EQ(kv.pool().free(), 2);
  EXPECT_TRUE(kv.reserve(two, 32));
  kv.release(one);
  EXPECT_EQ(kv.pool().free(), 2);
}

TEST_F(PagedKvCacheTest, ForkSharesFullPagesAndCopiesTheLast) {
  PagedKvCache kv = cache(80);
  KvBlocks from, to;
  ASSERT_TRUE(kv.reserve(from, 40));
  from.tokens = 40;
  ASSERT_TRUE(kv.fork(from, 35, to));
  EXPECT_EQ(to.tokens, 35);
  EXPECT_EQ(to.pages[0], from.pages[0]);
  EXPECT_EQ(to.pages[1], from.pages[1]);
  EXPECT_NE(to.pages[2], from.pages[2]);
  EXPECT_EQ(kv.pool().holders(from.pages[0]), 2);
  EXPECT_EQ(kv.pool().holders(to.pages[2]), 1);
  kv.release(from);
  EXPECT_EQ(kv.pool().free(), 2);  // `to` still holds three
  kv.release(to);
  EXPECT_EQ(kv.pool().free(), 5);
}

TEST_F(PagedKvCacheTest, ForkWithoutAPageForTheCopyDoesNothing) {
  PagedKvCache kv = cache(32);
  KvBlocks from, to;
  ASSERT_TRUE(kv.reserve(from, 32));
  from.tokens = 32;
  EXPECT_FALSE(kv.fork(from, 20, to));
  EXPECT_TRUE(to.pages.empty());
  EXPECT_TRUE(kv.fork(from, 16, to));  // at a page's end nothing is copied
  EXPECT_EQ(kv.pool().holders(from.pages[0]), 2);
}

TEST_F(PagedKvCacheTest, TakingOverNeedsNoPage) {
  PagedKvCache kv = cache(64);
  KvBlocks from, to;
  ASSERT_TRUE(kv.reserve(from, 64));
  from.tokens = 60;
  const std::vector<int32_t> pages = from.pages;
  kv.take_over(from, 20, to);
  EXPECT_TRUE(from.pages.empty());
  EXPECT_EQ(to.tokens, 20);
  EXPECT_EQ(to.pages, std::vector(pages.begin(), pages.begin() + 2));
  EXPECT_EQ(kv.pool().free(), 2);
  EXPECT_TRUE(kv.reserve(to, 64));
}

TEST_F(PagedKvCacheTest, WhatOthersReadIsCopiedWhenTakenOver) {
  PagedKvCache kv = cache(64);
  KvBlocks from, reader, to;
  ASSERT_TRUE(kv.reserve(from, 64));
  from.tokens = 64;
  ASSERT_TRUE(kv.fork(from, 32, reader));
  const std::vector<int32_t> pages = from.pages;
  kv.take_over(from, 20, to);
  EXPECT_EQ(to.tokens, 20);
  EXPECT_EQ(to.pages[0], pages[0]);
  EXPECT_NE(to.pages[1], pages[1]);
  EXPECT_EQ(kv.pool().holders(pages[1]), 1);  // the reader's
  EXPECT_EQ(kv.pool().free(), 1);
}

TEST_F(PagedKvCacheTest, WithoutAPageForTheCopyFullPagesAreTakenOver) {
  PagedKvCache kv = cache(64);
  KvBlocks from, reader, other, to;
  ASSERT_TRUE(kv.reserve(from, 48));
  from.tokens = 48;
  ASSERT_TRUE(kv.fork(from, 48, reader));
  ASSERT_TRUE(kv.reserve(other, 16));
  kv.take_over(from, 20, to);
  EXPECT_EQ(to.tokens, 16);
  EXPECT_EQ(to.pages, std::vector(reader.pages.begin(), reader.pages.begin() + 1));
  for (KvBlocks* blocks : {&reader, &other, &to}) kv.release(*blocks);
  EXPECT_EQ(kv.pool().free(), kv.pool().size());
}

TEST_F(PagedKvCacheTest, FreedPagesAreZeroedWhenAsked) {
  for (const bool zero : {false, true}) {
    PagedKvCache kv = cache(32, zero);
    KvBlocks blocks, shared;
    ASSERT_TRUE(kv.reserve(blocks, 16));
    blocks.tokens = 16;
    const auto page = static_cast<size_t>(blocks.pages[0]);
    const size_t bytes = ops_->kv_page_bytes(kv.layers()[0].shape);
    const auto first = [&](KvCache& layer) { return static_cast<uint8_t*>(layer.data.data()) + page * bytes; };
    for (KvCache& layer : kv.layers()) std::memset(first(layer), 1, bytes);
    ASSERT_TRUE(kv.fork(blocks, 16, shared));
    kv.release(blocks);
    EXPECT_EQ(*first(kv.layers()[1]), 1) << "a page with a holder stays";
    kv.release(shared);
    for (KvCache& layer : kv.layers()) {
      EXPECT_EQ(std::count(first(layer), first(layer) + bytes, 0), zero ? static_cast<long>(bytes) : 0);
    }
  }
}

TEST_F(PagedKvCacheTest, RefusesSizesThatCannotBe) {
  EXPECT_FALSE(PagedKvCache::create(*ops_, kShape, 1, {.tokens = 0}).has_value());
  EXPECT_FALSE(PagedKvCache::create(*ops_, kShape, 1, {.tokens = INT64_MAX}).has_value());
  EXPECT_FALSE(PagedKvCache::create(*ops_, kShape, 1, {.tokens = 64, .page_tokens = 24}).has_value());
}

std::vector<std::pair<size_t, int64_t>> shares(std::vector<int64_t> pending, const StepLimits& limits,
                                               size_t first = 0) {
  std::vector<std::pair<size_t, int64_t>> out;
  for (const Share& share : schedule(pending, limits, first)) out.emplace_back(share.sequence, share.tokens);
  return out;
}
using Shares = std::vector<std::pair<size_t, int64_t>>;

TEST(Schedule, GenerationIsNotHeldUpByPrompts) {
  EXPECT_EQ(shares({1000, 1, 1}, {.tokens = 16}), (Shares{{1, 1}, {2, 1}, {0, 14}}));
}
TEST(Schedule, PromptsShareInOrderOfArrival) {
  EXPECT_EQ(shares({10, 10, 10}, {.tokens = 16}), (Shares{{0, 10}, {1, 6}}));
  EXPECT_EQ(shares({10, 10, 10}, {.tokens = 16, .prompt_chunk = 4}), (Shares{{0, 4}, {1, 4}, {2, 4}}));
}
TEST(Schedule, PrecedenceGoesRound) {
  const StepLimits limits = {.tokens = 2, .sequences = 2};
  EXPECT_EQ(shares({1, 1, 1}, limits, 0), (Shares{{0, 1}, {1, 1}}));
  EXPECT_EQ(shares({1, 1, 1}, limits, 2), (Shares{{2, 1}, {0, 1}}));
}
TEST(Schedule, NothingPending) { EXPECT_TRUE(shares({0, 0}, {}).empty()); }

}  // namespace
}  // namespace vitrine
