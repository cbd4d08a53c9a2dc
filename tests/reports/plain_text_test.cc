#include "reports/plain_text.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

TEST(PlainText, ControlsAndBidiBecomeVisible) {
  EXPECT_EQ(printable("plain é 한글"), "plain é 한글");
  EXPECT_EQ(printable("\x1b[31m"), "\\u{001b}[31m");
  EXPECT_EQ(printable(std::string("a\0b\r\n", 5)), "a\\u{0000}b\\u{000d}\\u{000a}");
  EXPECT_EQ(printable("\xe2\x80\xaeright"), "\\u{202e}right");
  EXPECT_EQ(printable("\xc2\x9b"), "\\u{009b}");
  EXPECT_EQ(printable("\xe2\x80\x8b"), "\\u{200b}");
  EXPECT_EQ(printable("\xf3\xa0\x81\x81"), "\\u{e0041}");
}

TEST(PlainText, InvalidUtf8BecomesReplacements) {
  const std::string replacement = "\xef\xbf\xbd";
  EXPECT_EQ(printable("\xff"), replacement);
  EXPECT_EQ(printable("\xc0\xaf"), replacement + replacement);                    // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), replacement + replacement + replacement);  // surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80").substr(0, 3), replacement);             // beyond U+10FFFF
  EXPECT_EQ(printable("a\xe2\x82"), "a" + replacement + replacement);             // cut
}

TEST(PlainText, Numbers) {
  EXPECT_EQ(group_digits(0), "0");
  EXPECT_EQ(group_digits(999), "999");
  EXPECT_EQ(group_digits(1000), "1,000");
  EXPECT_EQ(group_digits(18446744073709551615u), "18,446,744,073,709,551,615");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(612'344), "612.3 kB");
  EXPECT_EQ(bytes_text(18446744073709551615u), "18.4 EB");
  EXPECT_EQ(percent_text(0, 0), "–");
  EXPECT_EQ(percent_text(0, 5), "0 %");
  EXPECT_EQ(percent_text(1, 100'000), "< 0.1 %");
  EXPECT_EQ(percent_text(99'999, 100'000), "99.9 %");
  EXPECT_EQ(percent_text(5, 5), "100 %");
  EXPECT_EQ(percent_text(18446744073709551614u, 18446744073709551615u), "99.9 %");
  EXPECT_EQ(duration_text(34'164'000), "395 d");
  EXPECT_EQ(duration_text(90), "90 s");
}

TEST(PlainText, Times) {
  EXPECT_EQ(time_text(Timestamp{1'764'000'000'123'456'789}), "2025-11-24 16:00:00.123 UTC");
  EXPECT_EQ(time_of_day_text(Timestamp{1'764'000'000'123'456'789}), "16:00:00");
}

TEST(PlainText, WidthsAndWrapping) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("한글"), 4u);
  EXPECT_EQ(display_width("e\xcc\x81"), 1u);
  EXPECT_EQ(cut_to_width("abcdef", 4), "abc…");
  EXPECT_EQ(cut_to_width("한글말", 5), "한글…");
  EXPECT_EQ(pad_to_width("한", 4), "한  ");
  for (const std::string& line : wrap_text("one two three " + std::string(50, 'x') + " 한글 한글 한글", 12)) {
    EXPECT_LE(display_width(line), 12u) << line;
  }
  EXPECT_EQ(wrap_text("", 20).size(), 1u);
  EXPECT_EQ(wrap_text("aa bb cc dd", 8), (std::vector<std::string>{"aa bb cc", "dd"}));
  EXPECT_EQ(shorten("some words to cut here", 12), "some words …");
}

}  // namespace
}  // namespace vitrine
