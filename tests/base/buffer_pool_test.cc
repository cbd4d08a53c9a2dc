#include "base/buffer_pool.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

TEST(BufferPool, TheOneGivenBackLastIsHandedOutFirst) {
  BufferPool pool;
  std::string first(100, 'a'), second(200, 'b');
  const char* const memory = second.data();
  pool.put(first);
  pool.put(second);
  EXPECT_TRUE(first.empty());
  EXPECT_TRUE(second.empty());
  const std::string again = pool.get();
  EXPECT_EQ(again.data(), memory);
  EXPECT_EQ(again, std::string(200, 'b'));  // as it was left
  const std::string cleared = pool.get_empty();
  EXPECT_TRUE(cleared.empty());
  EXPECT_GE(cleared.capacity(), 100u);
  EXPECT_LT(pool.get().capacity(), 100u);  // none is left
}

TEST(BufferPool, WhatIsKeptIsBounded) {
  BufferPool pool;
  std::string huge(5 << 20, 'x');
  pool.put(huge);
  EXPECT_TRUE(huge.empty());
  EXPECT_LT(pool.get().capacity(), 1000u);
  for (int i = 0; i < 100; ++i) {
    std::string large(1 << 20, 'x');
    pool.put(large);
  }
  size_t kept = 0;
  for (;;) {
    const std::string buffer = pool.get();
    if (buffer.capacity() < 1000) break;
    kept += buffer.capacity();
  }
  EXPECT_GT(kept, size_t{8} << 20);
  EXPECT_LE(kept, size_t{16} << 20);
}

TEST(BufferPool, BorrowedForABlock) {
  BufferPool pool;
  {
    BorrowedBuffer borrowed(pool);
    borrowed.bytes.assign(300, 'z');
  }
  EXPECT_EQ(pool.get(), std::string(300, 'z'));
}

}  // namespace
}  // namespace vitrine
