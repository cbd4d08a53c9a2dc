#include "reports/plain_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace vitrine {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t length = 1;
  bool valid = true;
};

// The first code point of `text` (RFC 3629). REQUIRES: not empty.
CodePoint decode(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {lead, 1, true};
  const size_t length = lead >= 0xf0 && lead <= 0xf4  ? 4
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                                                      : 0;
  if (length == 0 || length > text.size()) return {0xfffd, 1, false};
  uint32_t value = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<uint8_t>(text[i]);
    if ((next & 0xc0) != 0x80) return {0xfffd, 1, false};
    value = value << 6 | (next & 0x3f);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || (value >= 0xd800 && value < 0xe000) || value > 0x10ffff) return {0xfffd, 1, false};
  return {value, length, true};
}

struct Range {
  uint32_t first, last;
};

template <size_t N>
bool in(const Range (&ranges)[N], uint32_t value) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [value](const Range& range) { return range.first <= value && value <= range.last; });
}

// Controls and format characters that change or hide what is around them.
constexpr Range kUnprintable[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e},   {0x200b, 0x200f},
    {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

// Unicode 15, EastAsianWidth.txt: W and F, in blocks.
constexpr Range kWide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff}, {0xa000, 0xa4cf},
    {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60}, {0xffe0, 0xffe6},
    {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};

constexpr Range kCombining[] = {{0x300, 0x36f},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
                                {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

size_t width_of(uint32_t value) { return in(kCombining, value) ? 0 : in(kWide, value) ? 2 : 1; }

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = decode(text);
    if (!point.valid) {
      out += "\xef\xbf\xbd";
    } else if (in(kUnprintable, point.value)) {
      fmt::format_to(std::back_inserter(out), "\\u{{{:04x}}}", point.value);
    } else {
      out += text.substr(0, point.length);
    }
    text.remove_prefix(point.length);
  }
  return out;
}

std::string group_digits(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  static constexpr std::string_view kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  uint64_t unit = 1000;
  size_t index = 0;
  while (index + 1 < std::size(kUnits) && bytes / 1000 >= unit) {
    unit *= 1000;
    ++index;
  }
  return fmt::format("{}.{} {}", group_digits(bytes / unit), bytes % unit / (unit / 10), kUnits[index]);
}

std::string percent_text(uint64_t part, uint64_t whole) {
  if (whole == 0) return "–";
  if (part >= whole) return "100 %";
  if (part == 0) return "0 %";
  const auto tenths = static_cast<uint64_t>(static_cast<unsigned __int128>(part) * 1000 / whole);
  return tenths == 0 ? "< 0.1 %" : fmt::format("{}.{} %", tenths / 10, tenths % 10);
}

std::string time_text(Timestamp time) {
  // Cut, not rounded, to milliseconds: a time must not move past a later one.
  std::string text = to_rfc3339(Timestamp{time.ns - (time.ns % 1'000'000 + 1'000'000) % 1'000'000});
  std::replace(text.begin(), text.end(), 'T', ' ');
  if (!text.empty() && text.back() == 'Z') text.replace(text.size() - 1, 1, " UTC");
  return text;
}

std::string time_of_day_text(Timestamp time) {
  const std::string text = to_rfc3339(time);
  const size_t at = text.find('T');
  return at == std::string::npos ? text : text.substr(at + 1, 8);
}

std::string duration_text(int64_t seconds) {
  if (seconds < 0) return fmt::format("{} s", seconds);
  if (seconds >= 2 * 86400) return group_digits(static_cast<uint64_t>(seconds / 86400)) + " d";
  if (seconds >= 2 * 3600) return fmt::format("{} h", seconds / 3600);
  if (seconds >= 120) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} s", seconds);
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const CodePoint point = decode(text);
    width += width_of(point.value);
    text.remove_prefix(point.length);
  }
  return width;
}

namespace {

// Bytes of the longest prefix that fits into `width` columns.
size_t prefix_within(std::string_view text, size_t width) {
  size_t used = 0, at = 0;
  while (at < text.size()) {
    const CodePoint point = decode(text.substr(at));
    used += width_of(point.value);
    if (used > width) break;
    at += point.length;
  }
  return at;
}

}  // namespace

std::string cut_to_width(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  return std::string(text.substr(0, prefix_within(text, width - 1))) + "…";
}

std::string pad_to_width(std::string_view text, size_t width) {
  const size_t used = display_width(text);
  return std::string(text) + std::string(used < width ? width - used : 0, ' ');
}

std::vector<std::string> wrap_text(std::string_view text, size_t width) {
  width = std::max<size_t>(width, 8);
  std::vector<std::string> lines(1);
  size_t used = 0;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    if (word.empty()) continue;
    size_t columns = display_width(word);
    if (used != 0 && used + 1 + columns > width) {
      lines.emplace_back();
      used = 0;
    }
    while (columns > width) {
      const size_t bytes = std::max<size_t>(prefix_within(word, width), 1);
      lines.back() += word.substr(0, bytes);
      word.remove_prefix(bytes);
      columns = display_width(word);
      lines.emplace_back();
    }
    if (used != 0) lines.back() += ' ';
    lines.back() += word;
    used += columns + (used != 0 ? 1 : 0);
  }
  if (lines.size() > 1 && lines.back().empty()) lines.pop_back();
  return lines;
}

std::string shorten(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::string cut = cut_to_width(text, width);
  const size_t space = cut.rfind(' ');
  if (space != std::string::npos && space > cut.size() / 2) cut = cut.substr(0, space) + " …";
  return cut;
}

}  // namespace vitrine
