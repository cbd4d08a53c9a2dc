// Files that lie. Each case is refused with an error that names file and field,
// before anything of the claimed size is allocated or read. The numbers are those
// of vulnerabilities other GGUF parsers had.
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "engine/gguf.h"
#include "tests/engine/gguf_bytes.h"

namespace vitrine {
namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

// The error of parsing `file`, as "where: message"; "" when it parses.
std::string error_of(const GgufBytes& file) {
  // A buffer of exactly this size: a sanitizer sees the first byte read behind it.
  const std::string text = file.bytes();
  std::vector<uint8_t> exact(text.begin(), text.end());
  const auto parsed = GgufFile::parse(exact, "bad.gguf");
  return parsed ? "" : parsed.error().to_string();
}

GgufBytes with_tensor(const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset, size_t data = 64) {
  GgufBytes file;
  file.tensors = {gguf_tensor("w", ne, type, offset)};
  file.data.assign(data, 'x');
  return file;
}

TEST(GgufHostile, SoundFileParses) {
  EXPECT_EQ(error_of(with_tensor({16}, 0, 0)), "");
  EXPECT_EQ(error_of(with_tensor({4, 2, 2}, 0, 0)), "");
}

TEST(GgufHostile, NoGgufFile) {
  GgufBytes file;
  file.magic = "GGML";
  EXPECT_EQ(error_of(file), "bad.gguf: no GGUF file: it does not begin with GGUF");
  EXPECT_FALSE(GgufFile::parse({}, "empty").has_value());
}

TEST(GgufHostile, OtherVersionsAreNamed) {
  GgufBytes file;
  file.version = 1;
  EXPECT_EQ(error_of(file), "bad.gguf: GGUF version 1: versions 2 and 3 are read");
  file.version = 3u << 24;
  EXPECT_EQ(error_of(file), "bad.gguf: a big-endian GGUF file: only little-endian ones are read");
}

// CVE-2025-53630: the size of a tensor computed with an overflow passes as a small one.
TEST(GgufHostile, SizeOverflow) {
  const char* kTooMany = "bad.gguf, tensor w: its dimensions multiply to more than 64 bits";
  EXPECT_EQ(error_of(with_tensor({1ull << 32, 1ull << 32}, 0, 0)), kTooMany);
  EXPECT_EQ(error_of(with_tensor({1ull << 32, 1ull << 31, 4}, 0, 0)), kTooMany);
  EXPECT_EQ(error_of(with_tensor({kHuge, kHuge, kHuge, kHuge}, 0, 0)), kTooMany);
  // The product of elements fits, the bytes do not.
  EXPECT_EQ(error_of(with_tensor({1ull << 62}, 0, 0)), "bad.gguf, tensor w: its size in bytes needs more than 64 bits");
}

// CVE-2026-27940: the check of CVE-2025-53630, passed by padding a size close to 2^64 up to 0.
TEST(GgufHostile, SizeThatPaddingWouldWrap) {
  const std::string error = error_of(with_tensor({kHuge - 15}, 24, 0));  // I8: 2^64-16 bytes
  EXPECT_NE(error.find("are not in the file: 64 bytes of data are there"), std::string::npos) << error;
}

// CVE-2026-7482: offset and size not checked against the file; memory behind the mapping is read.
TEST(GgufHostile, OutsideTheFile) {
  const char* kOutside = " are not in the file";
  for (const auto& file : {
           with_tensor({17}, 0, 0),           // one element too long
           with_tensor({16}, 0, 32),          // begins inside, ends outside
           with_tensor({16}, 0, 64),          // begins at the end
           with_tensor({16}, 0, 1ull << 40),  // far outside
           with_tensor({16}, 0, kHuge - 31),  // offset + size wraps to inside
           with_tensor({16}, 0, 0, 63),       // one byte short
           with_tensor({16}, 0, 0, 0),        // no data at all
       }) {
    const std::string error = error_of(file);
    EXPECT_EQ(error.rfind("bad.gguf, tensor w: ", 0), 0u) << error;
    EXPECT_NE(error.find(kOutside), std::string::npos) << error;
  }
}

TEST(GgufHostile, DivideByZero) {
  EXPECT_EQ(error_of(with_tensor({0}, 0, 0)), "bad.gguf, tensor w: dimension 0 is 0");
  EXPECT_EQ(error_of(with_tensor({16, 0}, 2, 0)), "bad.gguf, tensor w: dimension 1 is 0");
  EXPECT_EQ(error_of(with_tensor({}, 0, 0)), "bad.gguf, tensor w: 0 dimensions");
  for (const uint32_t alignment : {0u, 3u, 48u, 0x80000000u}) {
    GgufBytes file = with_tensor({16}, 0, 0);
    file.keys = {gguf_u32("general.alignment", alignment)};
    EXPECT_EQ(error_of(file), "bad.gguf, key general.alignment: must be a power of two up to 1048576") << alignment;
  }
  GgufBytes file = with_tensor({16}, 0, 0);
  file.keys = {gguf_string("general.alignment", "32")};
  EXPECT_EQ(error_of(file), "bad.gguf, key general.alignment: must be a power of two up to 1048576");
}

TEST(GgufHostile, DimensionsAndBlocks) {
  EXPECT_EQ(error_of(with_tensor({1, 1, 1, 1, 1}, 0, 0)), "bad.gguf, tensor w: 5 dimensions");
  EXPECT_EQ(error_of(with_tensor({33}, 2, 0)),
            "bad.gguf, tensor w: rows of 33 elements are no multiple of the block of Q4_0, 32");
  EXPECT_EQ(error_of(with_tensor({16}, 4, 0)), "bad.gguf, tensor w: tensor type number 4");  // withdrawn
  EXPECT_EQ(error_of(with_tensor({16}, 0xffffffff, 0)), "bad.gguf, tensor w: tensor type number 4294967295");
  EXPECT_EQ(error_of(with_tensor({4}, 0, 8)), "bad.gguf, tensor w: offset 8 is no multiple of the alignment, 32");
}

// Counts far beyond the file: memory exhausted before the first read fails.
TEST(GgufHostile, CountExhaustion) {
  GgufBytes file;
  file.more_tensors = kHuge;
  EXPECT_EQ(error_of(file), "bad.gguf, tensor_count: 18446744073709551615 is more tensors than the file has room for");
  file.more_tensors = 0;
  file.more_keys = 1ull << 40;
  EXPECT_EQ(error_of(file), "bad.gguf, metadata_kv_count: 1099511627776 is more keys than the file has room for");
  for (const uint32_t element : {0u, 4u, 8u, 10u}) {
    for (const uint64_t count : {uint64_t{1} << 61, uint64_t{1} << 40, kHuge, uint64_t{4096}}) {
      GgufBytes array;
      array.keys = {gguf_key("a", 9, le(element, 4) + le(count, 8))};
      EXPECT_EQ(error_of(array),
                "bad.gguf, key a: an array of " + std::to_string(count) + " elements is longer than the file");
    }
  }
}

TEST(GgufHostile, LengthsBeyondTheFile) {
  GgufBytes file;
  file.keys = {gguf_key("s", 8, le(kHuge, 8))};
  EXPECT_EQ(error_of(file).rfind("bad.gguf, key s: the file ends inside it", 0), 0u);
  file.keys = {gguf_key("s", 9, le(8, 4) + le(2, 8) + gguf_text("one") + le(1ull << 63, 8))};
  EXPECT_EQ(error_of(file).rfind("bad.gguf, key s: the file ends inside it", 0), 0u);
  file.keys = {le(kHuge, 8) + std::string(16, 'k')};
  EXPECT_EQ(error_of(file), "bad.gguf, key 0: a name of 18446744073709551615 bytes");
  file.keys = {};
  file.tensors = {le(65, 8) + std::string(100, 'n')};
  EXPECT_EQ(error_of(file), "bad.gguf, tensor 0: a name of 65 bytes");
}

TEST(GgufHostile, NestedArraysAndUnknownTypes) {
  GgufBytes file;
  file.keys = {gguf_key("a", 9, le(9, 4) + le(1, 8) + le(4, 4) + le(1, 8) + le(0, 4))};
  EXPECT_EQ(error_of(file), "bad.gguf, key a: an array of arrays");
  file.keys = {gguf_key("a", 13, le(0, 8))};
  EXPECT_EQ(error_of(file), "bad.gguf, key a: value type 13");
  file.keys = {gguf_key("a", 9, le(77, 4) + le(0, 8))};
  EXPECT_EQ(error_of(file), "bad.gguf, key a: array of value type 77");
  file.keys = {gguf_key("a", 7, "\x02")};
  EXPECT_EQ(error_of(file), "bad.gguf, key a: a boolean that is neither 0 nor 1");
}

TEST(GgufHostile, DuplicatesAndOverlaps) {
  GgufBytes file;
  file.keys = {gguf_u32("a", 1), gguf_u32("b", 2), gguf_u32("a", 3)};
  EXPECT_EQ(error_of(file), "bad.gguf, key a: the key comes twice");
  GgufBytes twice;
  twice.tensors = {gguf_tensor("w", {8}, 0, 0), gguf_tensor("w", {8}, 0, 32)};
  twice.data.assign(64, 'x');
  EXPECT_EQ(error_of(twice), "bad.gguf, tensor w: the tensor comes twice");
  GgufBytes overlap;
  overlap.tensors = {gguf_tensor("a", {8}, 0, 32), gguf_tensor("b", {16}, 0, 0)};
  overlap.data.assign(64, 'x');
  EXPECT_EQ(error_of(overlap), "bad.gguf, tensor a: overlaps tensor b");
}

TEST(GgufHostile, NamesAreForeignText) {
  GgufBytes file;
  file.keys = {gguf_key("a\n\x1b[31mred\"", 77, "")};
  EXPECT_EQ(error_of(file), "bad.gguf, key a\\x0a\\x1b[31mred\\x22: value type 77");
}

// Whatever byte the file ends at: an error, never a read behind the end.
TEST(GgufHostile, CutAnywhere) {
  GgufBytes file = with_tensor({4, 4}, 0, 0);
  file.keys = {gguf_string("general.architecture", "llama"), gguf_u32("n", 7),
               gguf_key("list", 9, le(8, 4) + le(2, 8) + gguf_text("one") + gguf_text("two"))};
  const std::string whole = file.bytes();
  ASSERT_TRUE(GgufFile::parse(as_bytes(whole), "whole").has_value());
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(GgufFile::parse(cut, "cut").has_value()) << size;
  }
}

}  // namespace
}  // namespace vitrine
