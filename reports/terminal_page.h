// Lines of a terminal page: wrapping, columns and colours.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reports/locale.h"

namespace vitrine {

class TerminalPage {
 public:
  enum class Style : uint8_t { plain, strong, faint, alarm, notice, calm };

  // Borrows `locale`.
  TerminalPage(bool colour, size_t width, const Locale& locale) : colour_(colour), width_(width), locale_(locale) {}

  size_t width() const { return width_; }
  void line(std::string_view text, Style style = Style::plain);
  // `text` behind `prefix`; further lines are indented to it.
  void wrapped(std::string_view prefix, std::string_view text, Style style = Style::plain);
  void heading(std::string_view text);
  void banner(std::string_view text);
  // Each cell padded to its width (0 = as long as it is); the first is coloured.
  void columns(const std::vector<std::pair<std::string, size_t>>& cells, Style style);
  // "and N more", when `count` is above `shown`.
  void more(size_t count, size_t shown);
  std::string take() { return std::move(out_); }

 private:
  std::string styled(std::string_view text, Style style) const;

  bool colour_;
  size_t width_;
  const Locale& locale_;
  std::string out_;
};

}  // namespace vitrine
