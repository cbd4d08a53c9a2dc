#include "capture/withheld.h"

#include <charconv>

namespace vitrine {
namespace {

constexpr std::string_view kPrefix = "withheld.";
constexpr std::string_view kKinds[] = {"string", "number", "binary"};
constexpr size_t kDigits = 16;

}  // namespace

void append_withheld(std::string& out, const WithheldValue& value) {
  static constexpr char kHex[] = "0123456789abcdef";
  char number[24];
  char* const end = std::to_chars(number, number + sizeof number, value.bytes).ptr;
  out.append(kPrefix).append(kKinds[static_cast<size_t>(value.kind)]).push_back('.');
  out.append(number, end).push_back('.');
  for (size_t i = 0; i < kDigits; ++i) out.push_back(kHex[value.digest >> (60 - 4 * i) & 15]);
}

bool parse_withheld(std::string_view text, WithheldValue& out) {
  if (!text.starts_with(kPrefix)) return false;
  text.remove_prefix(kPrefix.size());
  WithheldValue value;
  size_t kind = 0;
  while (kind < std::size(kKinds) && !text.starts_with(kKinds[kind])) ++kind;
  if (kind == std::size(kKinds)) return false;
  value.kind = static_cast<WithheldKind>(kind);
  text.remove_prefix(kKinds[kind].size());
  if (text.size() < 3 + kDigits || text.front() != '.' || text[text.size() - kDigits - 1] != '.') return false;
  const std::string_view length = text.substr(1, text.size() - kDigits - 2);
  const std::string_view digest = text.substr(text.size() - kDigits);
  const auto whole = [](std::from_chars_result result, std::string_view digits) {
    return result.ec == std::errc{} && result.ptr == digits.data() + digits.size();
  };
  if (length.size() > 1 && length.front() == '0') return false;
  if (digest.find_first_not_of("0123456789abcdef") != digest.npos) return false;
  if (!whole(std::from_chars(length.data(), length.data() + length.size(), value.bytes), length)) return false;
  if (!whole(std::from_chars(digest.data(), digest.data() + digest.size(), value.digest, 16), digest)) return false;
  out = value;
  return true;
}

}  // namespace vitrine
