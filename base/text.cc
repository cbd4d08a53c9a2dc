#include "base/text.h"

#include <cstdint>

namespace vitrine {
namespace {

constexpr int kSkip = -1, kEnd = -2, kBad = -3;

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  switch (c) {
    case '+':
    case '-': return 62;
    case '/':
    case '_': return 63;
    case '\n':
    case '\r':
    case ' ':
    case '\t': return kSkip;
    case '=': return kEnd;
    default: return kBad;
  }
}

}  // namespace

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}

bool latin1_bytes(std::string_view utf8, std::string& out) {
  out.clear();
  for (size_t i = 0; i < utf8.size(); ++i) {
    const auto lead = static_cast<uint8_t>(utf8[i]);
    if (lead < 0x80) {
      out.push_back(utf8[i]);
      continue;
    }
    const uint8_t next = i + 1 < utf8.size() ? static_cast<uint8_t>(utf8[i + 1]) : uint8_t{0};
    if ((lead != 0xc2 && lead != 0xc3) || (next & 0xc0) != 0x80) {
      out.clear();
      return false;
    }
    out.push_back(static_cast<char>((lead & 3) << 6 | (next & 0x3f)));
    ++i;
  }
  return true;
}

bool decode_base64_lenient(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value == kSkip) continue;
    if (value == kEnd) return true;
    if (value == kBad) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return true;
}

std::string printable(std::string_view text, size_t limit) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\' && c != '"') {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  if (text.size() > limit) out += "…";
  return out;
}

std::string quoted_name(std::string_view text) { return "'" + printable(text) + "'"; }

}  // namespace vitrine
