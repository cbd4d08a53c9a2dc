#include "reports/terminal_page.h"

#include <algorithm>

#include "reports/plain_text.h"

namespace vitrine {

std::string TerminalPage::styled(std::string_view text, Style style) const {
  if (!colour_ || style == Style::plain || text.empty()) return std::string(text);
  static constexpr std::string_view kCodes[] = {"0", "1", "2", "1;31", "33", "32"};
  return "\x1b[" + std::string(kCodes[static_cast<size_t>(style)]) + "m" + std::string(text) + "\x1b[0m";
}

void TerminalPage::line(std::string_view text, Style style) { out_ += styled(text, style) + "\n"; }

void TerminalPage::wrapped(std::string_view prefix, std::string_view text, Style style) {
  const size_t indent = display_width(prefix);
  const std::vector<std::string> lines = wrap_text(text, width_ > indent + 20 ? width_ - indent : 20);
  for (size_t i = 0; i < lines.size(); ++i) {
    out_ += i == 0 ? std::string(prefix) : std::string(indent, ' ');
    out_ += styled(lines[i], style) + "\n";
  }
}

void TerminalPage::heading(std::string_view text) {
  out_ += "\n";
  line(text, Style::strong);
}

void TerminalPage::banner(std::string_view text) {
  for (const std::string& each : wrap_text(text, width_ - 4)) {
    line("| " + pad_to_width(each, width_ - 4) + " |", Style::notice);
  }
  out_ += "\n";
}

void TerminalPage::columns(const std::vector<std::pair<std::string, size_t>>& cells, Style style) {
  out_ += "  ";
  for (size_t i = 0; i < cells.size(); ++i) {
    const auto& [text, width] = cells[i];
    const std::string padded = width == 0 ? text : pad_to_width(cut_to_width(text, width), width);
    out_ += i == 0 ? styled(padded, style) : padded;
    if (i + 1 < cells.size()) out_ += " ";
  }
  out_ += "\n";
}

void TerminalPage::more(size_t count, size_t shown) {
  if (count <= shown) return;
  out_ += "  " + locale_.fill("list.more", {{"count", group_digits(count - shown)}}) + "\n";
}

}  // namespace vitrine
