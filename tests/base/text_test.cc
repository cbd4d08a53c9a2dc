#include "base/text.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

TEST(Text, LowersAsciiOnly) {
  EXPECT_EQ(ascii_lower("Content-TYPE [@`{] 0Z"), "content-type [@`{] 0z");
  EXPECT_EQ(ascii_lower("\xc3\x84\xff"), "\xc3\x84\xff");
  EXPECT_EQ(ascii_lower(std::string_view("A\0B", 3)), std::string("a\0b", 3));
}

TEST(Text, ComparesIgnoringCase) {
  EXPECT_TRUE(equals_ignoring_case("GZip", "gzIP"));
  EXPECT_TRUE(equals_ignoring_case("", ""));
  EXPECT_FALSE(equals_ignoring_case("gzip", "gzip "));
  EXPECT_FALSE(equals_ignoring_case("@", "`"));  // 32 apart, not letters
  EXPECT_TRUE(starts_with_ignoring_case("Multipart/Form-Data; x", "multipart/"));
  EXPECT_FALSE(starts_with_ignoring_case("multi", "multipart/"));
}

TEST(Text, Trims) {
  EXPECT_EQ(trim(" \t\r\na b\n "), "a b");
  EXPECT_EQ(trim(" \t "), "");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim("\va\f"), "\va\f");
}

TEST(Text, TakesCharactersForBytes) {
  std::string out;
  EXPECT_TRUE(latin1_bytes("a\xc2\x80\xc3\xbf\xc3\xa4", out));
  EXPECT_EQ(out, "a\x80\xff\xe4");
  EXPECT_TRUE(latin1_bytes(std::string_view("\0\x7f", 2), out));
  EXPECT_EQ(out, std::string("\0\x7f", 2));
  for (const char* other : {"\xc4\x80", "\xe2\x82\xac", "\xc3", "\xc3z", "\xff", "\xc1\xbf"}) {
    EXPECT_FALSE(latin1_bytes(other, out)) << other;
    EXPECT_EQ(out, "");
  }
}

TEST(Text, DecodesBase64AsFilesCarryIt) {
  std::string out;
  EXPECT_TRUE(decode_base64_lenient("AAH+/w==", out));
  EXPECT_EQ(out, std::string("\0\1\xfe\xff", 4));
  EXPECT_TRUE(decode_base64_lenient("AAH-_w", out));  // the other alphabet, not padded
  EXPECT_EQ(out, std::string("\0\1\xfe\xff", 4));
  EXPECT_TRUE(decode_base64_lenient("aGVs\r\nbG8 =", out));
  EXPECT_EQ(out, "hello");
  EXPECT_TRUE(decode_base64_lenient("", out));
  EXPECT_EQ(out, "");
  EXPECT_FALSE(decode_base64_lenient("aGVs*G8", out));
  EXPECT_EQ(out, "hel");
}

}  // namespace
}  // namespace vitrine
