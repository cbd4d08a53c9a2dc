#include "cli/quantity.h"

#include <fmt/format.h>

namespace vitrine::cli {

std::string quantity(double value, const char* unit) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  const bool whole = prefix == 0 && value == static_cast<double>(static_cast<long long>(value));
  return fmt::format("{:.{}f} {}{}", value, whole ? 0 : value < 99.5 ? 2 : 1, kPrefixes[prefix], unit);
}

std::string parameter_count(double value) {
  if (value >= 1e9) return fmt::format("{:.{}f} B", value / 1e9, value < 1e10 ? 3 : 2);
  return fmt::format("{:.2f} M", value / 1e6);
}

std::string duration(double seconds) {
  if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.2f} us", seconds * 1e6);
}

}  // namespace vitrine::cli
