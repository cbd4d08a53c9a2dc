#include "capture/fields/codecs.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace vitrine {
namespace {

constexpr uint8_t kBad = 0xff;

constexpr std::array<uint8_t, 256> base64_table(bool url) {
  std::array<uint8_t, 256> table{};
  table.fill(kBad);
  for (uint8_t i = 0; i < 26; ++i) {
    table[static_cast<size_t>('A' + i)] = i;
    table[static_cast<size_t>('a' + i)] = static_cast<uint8_t>(26 + i);
  }
  for (uint8_t i = 0; i < 10; ++i) table[static_cast<size_t>('0' + i)] = static_cast<uint8_t>(52 + i);
  table[static_cast<size_t>(url ? '-' : '+')] = 62;
  table[static_cast<size_t>(url ? '_' : '/')] = 63;
  return table;
}
constexpr auto kBase64 = base64_table(false);
constexpr auto kBase64Url = base64_table(true);

constexpr std::array<uint8_t, 256> hex_table() {
  std::array<uint8_t, 256> table{};
  table.fill(kBad);
  for (uint8_t i = 0; i < 10; ++i) table[static_cast<size_t>('0' + i)] = i;
  for (uint8_t i = 0; i < 6; ++i) {
    table[static_cast<size_t>('a' + i)] = table[static_cast<size_t>('A' + i)] = static_cast<uint8_t>(10 + i);
  }
  return table;
}
constexpr auto kHex = hex_table();

uint8_t hex_at(std::string_view text, size_t i) { return kHex[static_cast<uint8_t>(text[i])]; }

bool escape_at(std::string_view text, size_t i) {
  return text.size() - i >= 3 && hex_at(text, i + 1) != kBad && hex_at(text, i + 2) != kBad;
}

}  // namespace

void percent_decode(std::string_view text, bool plus, std::string& out) {
  out.reserve(out.size() + text.size());
  size_t start = 0;
  size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (c == '%' && escape_at(text, i)) {
      out.append(text.data() + start, i - start);
      out.push_back(static_cast<char>(hex_at(text, i + 1) << 4 | hex_at(text, i + 2)));
      start = i += 3;
    } else if (c == '+' && plus) {
      out.append(text.data() + start, i - start);
      out.push_back(' ');
      start = ++i;
    } else {
      ++i;
    }
  }
  out.append(text.data() + start, text.size() - start);
}

bool is_percent_encoded(std::string_view text) {
  bool any = false;
  for (size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 3)) {
    if (!escape_at(text, i)) return false;
    any = true;
  }
  return any;
}

bool base64_decode(std::string_view text, bool url, std::string& out) {
  const auto& table = url ? kBase64Url : kBase64;
  size_t padding = 0;
  while (padding < 2 && !text.empty() && text.back() == '=') {
    text.remove_suffix(1);
    ++padding;
  }
  const size_t tail = text.size() % 4;
  if (tail == 1 || (padding != 0 && tail + padding != 4)) return false;
  const size_t before = out.size();
  out.resize(before + text.size() / 4 * 3 + (tail == 0 ? 0 : tail - 1));
  auto* place = reinterpret_cast<uint8_t*>(out.data()) + before;
  const auto* in = reinterpret_cast<const uint8_t*>(text.data());
  uint8_t bad = 0;
  for (size_t groups = text.size() / 4; groups > 0; --groups, in += 4, place += 3) {
    const uint8_t a = table[in[0]], b = table[in[1]], c = table[in[2]], d = table[in[3]];
    bad |= a | b | c | d;
    const uint32_t word =
        static_cast<uint32_t>(a) << 18 | static_cast<uint32_t>(b) << 12 | static_cast<uint32_t>(c) << 6 | d;
    place[0] = static_cast<uint8_t>(word >> 16);
    place[1] = static_cast<uint8_t>(word >> 8);
    place[2] = static_cast<uint8_t>(word);
  }
  if (tail != 0) {
    const uint8_t a = table[in[0]], b = table[in[1]], c = tail == 3 ? table[in[2]] : uint8_t{0};
    bad |= a | b | c;
    place[0] = static_cast<uint8_t>(a << 2 | b >> 4);
    if (tail == 3) place[1] = static_cast<uint8_t>(b << 4 | c >> 2);
  }
  // Values are below 64: the top bit is set by kBad only.
  if (bad & 0x80) {
    out.resize(before);
    return false;
  }
  return true;
}

bool hex_decode(std::string_view text, std::string& out) {
  if (text.size() % 2 != 0) return false;
  const size_t before = out.size();
  out.reserve(before + text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const uint8_t high = hex_at(text, i), low = hex_at(text, i + 1);
    if ((high | low) & 0x80) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(high << 4 | low));
  }
  return true;
}

void sse_data(std::string_view span, std::string& out) {
  for (bool first = true; first || !span.empty(); first = false) {
    size_t end = std::min(span.find_first_of("\r\n"), span.size());
    std::string_view line = span.substr(0, end);
    if (end < span.size()) end += span[end] == '\r' && end + 1 < span.size() && span[end + 1] == '\n' ? 2 : 1;
    span.remove_prefix(end);
    if (!first) {
      if (line.substr(0, 4) != "data" || (line.size() > 4 && line[4] != ':')) continue;
      line.remove_prefix(line.size() > 4 ? 5 : 4);
      if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
      out.push_back('\n');
    }
    out.append(line);
  }
}

}  // namespace vitrine
