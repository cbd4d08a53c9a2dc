// Text for people: what came from a capture made harmless to print, numbers,
// and the width of characters in a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace vitrine {

// Foreign text as it may be shown: bytes that are not UTF-8 become U+FFFD;
// controls (C0, C1, DEL), line and paragraph separators, bidirectional controls
// and invisible characters become \u{…}, so that no value can move a cursor,
// turn a line around or hide in it. Markup is not touched: that is the page's work.
std::string printable(std::string_view text);

std::string group_digits(uint64_t value);  // 1234567 → "1,234,567"
std::string bytes_text(uint64_t bytes);    // "812 B", "12.3 kB", "4.0 MB" (powers of ten)
// Tenths of a per cent, rounded down; never "100 %" unless all, never "0 %" unless none.
std::string percent_text(uint64_t part, uint64_t whole);
std::string time_text(Timestamp time);         // "2026-11-23 10:00:00.123 UTC"
std::string time_of_day_text(Timestamp time);  // "10:00:00"
std::string duration_text(int64_t seconds);    // "395 d", "2 h", "90 s"

// Columns in a terminal: 2 for East Asian wide and full-width, 0 for combining marks.
// REQUIRES: printable text.
size_t display_width(std::string_view text);
std::string cut_to_width(std::string_view text, size_t width);  // ends in "…" when cut
std::string pad_to_width(std::string_view text, size_t width);  // spaces behind; never cuts
// Breaks at spaces, and inside words longer than a line. At least one line.
std::vector<std::string> wrap_text(std::string_view text, size_t width);

// The text shortened to at most `width` columns at a word, for quotes.
std::string shorten(std::string_view text, size_t width);

}  // namespace vitrine
