// Pages of a mapped file that were warmed are in the page table: the kernel says so.
#include "engine/page_warmer.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "base/file.h"

namespace vitrine {
namespace {

// What of the mapping at `p` is mapped, in KiB ("Rss" in /proc/self/smaps).
long mapped_kib(const uint8_t* p) {
  std::ifstream maps("/proc/self/smaps");
  char begin[32];
  std::snprintf(begin, sizeof(begin), "%lx-", reinterpret_cast<unsigned long>(p));
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.rfind(begin, 0) == 0) inside = true;
    if (inside && line.rfind("Rss:", 0) == 0) return std::stol(line.substr(4));
  }
  return -1;
}

TEST(PageWarmer, MapsEveryPageOfItsRanges) {
  const std::string path = testing::TempDir() + "/page_warmer_test.bin";
  std::ofstream(path, std::ios::binary) << std::string(3 << 20, 'x');
  const auto file = MappedFile::open(path, FileAccess::random);
  ASSERT_TRUE(file);
  const Bytes bytes = file->bytes();
  ASSERT_EQ(mapped_kib(bytes.data()), 0);
  // Ranges as tensors lie: at any address, touching, the last one to the end of the file.
  PageWarmer({bytes.subspan(100, 5000), bytes.subspan(5100, 1 << 20), bytes.subspan(5100 + (1 << 20))}).wait();
  std::remove(path.c_str());
  const long mapped = mapped_kib(bytes.data());
  if (mapped == 0) GTEST_SKIP() << "this kernel has no MADV_POPULATE_READ";
  EXPECT_EQ(mapped, 3 << 10);
}

TEST(PageWarmer, StopsWhenItGoes) {
  const std::string bytes(64, 'x');
  for (int i = 0; i < 100; ++i) PageWarmer({as_bytes(bytes)});
  PageWarmer({}).wait();
}

}  // namespace
}  // namespace vitrine
