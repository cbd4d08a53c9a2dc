// Output: the same text whatever the pieces, in every coding; across blocks and
// past the page cache.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>

#include "base/file.h"
#include "cli/output.h"

namespace vitrine::cli {
namespace {

std::string lines(size_t bytes) {
  std::string out;
  for (uint64_t i = 0; out.size() < bytes; ++i) out += "{\"n\":" + std::to_string(i * 2654435761u) + "}\n";
  return out;
}

class OutputTest : public ::testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/vitrine-output-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string written(const std::string& name, std::string_view text, size_t piece) {
    const std::string path = folder_ + "/" + name;
    auto output = Output::open(path);
    EXPECT_TRUE(output.has_value());
    while (!text.empty()) {
      const size_t n = std::min(piece, text.size());
      EXPECT_TRUE(output->write(text.substr(0, n)).has_value());
      text.remove_prefix(n);
    }
    EXPECT_TRUE(output->close().has_value());
    struct stat status {};
    EXPECT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    return *read_file(path);
  }
  std::string folder_;
};

TEST_P(OutputTest, KeepsEveryByte) {
  const std::string text = lines(GetParam()).substr(0, GetParam());
  EXPECT_EQ(written("plain", text, 777), text);
  EXPECT_EQ(written("again", text, 3 << 20), text);

  const std::string packed = written("a.zst", text, 777);
  EXPECT_EQ(packed, written("b.zst", text, 5 << 20)) << "bytes do not depend on the pieces";
  std::string out(text.size() + 1, '\0');
  const size_t n = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  ASSERT_FALSE(ZSTD_isError(n)) << ZSTD_getErrorName(n);
  EXPECT_EQ(out.substr(0, n), text);

  written("c.gz", text, 4096);
  gzFile file = gzopen((folder_ + "/c.gz").c_str(), "rb");
  const int m = gzread(file, out.data(), static_cast<unsigned>(out.size()));
  gzclose(file);
  ASSERT_GE(m, 0);
  EXPECT_EQ(out.substr(0, static_cast<size_t>(m)), text);
}

// Around the block size and its alignment.
INSTANTIATE_TEST_SUITE_P(Sizes, OutputTest,
                         ::testing::Values(0u, 1u, 4096u, (1u << 20) - 1, 1u << 20, (1u << 20) + 1, (1u << 20) + 4096,
                                           (9u << 20) + 5));

TEST(Output, ErrorsAreValues) {
  EXPECT_FALSE(Output::open("/nonexistent-folder/x").has_value());
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full";
  auto output = Output::open("/dev/full");
  ASSERT_TRUE(output.has_value());
  EXPECT_TRUE(output->write("kept until the end").has_value());
  EXPECT_FALSE(output->close().has_value());
}

}  // namespace
}  // namespace vitrine::cli
