#include <algorithm>
#include <cstdio>

#include "base/digest.h"
#include "capture/tls/client_hello.h"

namespace vitrine::tls {
namespace {

std::vector<uint16_t> without_grease(const std::vector<uint16_t>& values) {
  std::vector<uint16_t> out;
  std::copy_if(values.begin(), values.end(), std::back_inserter(out), [](uint16_t value) { return !is_grease(value); });
  return out;
}

template <class Values>
std::string joined_decimal(const Values& values) {
  std::string out;
  for (const auto value : values) {
    if (!out.empty()) out.push_back('-');
    out += std::to_string(value);
  }
  return out;
}

std::string joined_hex(const std::vector<uint16_t>& values) {
  std::string out;
  for (const uint16_t value : values) {
    char text[8];
    std::snprintf(text, sizeof text, out.empty() ? "%04x" : ",%04x", value);
    out += text;
  }
  return out;
}

std::string short_hash(const std::string& text) {
  if (text.empty()) return "000000000000";
  return to_hex(sha256(as_bytes(text))).substr(0, 12);
}

std::string_view version_code(uint16_t version) {
  switch (version) {
    case 0x0304: return "13";
    case 0x0303: return "12";
    case 0x0302: return "11";
    case 0x0301: return "10";
    case 0x0300: return "s3";
    case 0x0002: return "s2";
    case 0xfeff: return "d1";
    case 0xfefd: return "d2";
    case 0xfefc: return "d3";
    default: return "00";
  }
}

bool alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

std::string alpn_code(const std::vector<std::string>& alpn) {
  if (alpn.empty() || alpn.front().empty()) return "00";
  const std::string& first = alpn.front();
  if (alphanumeric(first.front()) && alphanumeric(first.back())) return {first.front(), first.back()};
  const std::string hex = to_hex(as_bytes(first));
  return {hex.front(), hex.back()};
}

std::string two_digits(size_t count) {
  char text[4];
  std::snprintf(text, sizeof text, "%02u", static_cast<unsigned>(std::min<size_t>(count, 99)));
  return text;
}

}  // namespace

std::string ja3_text(const ClientHello& hello) {
  return std::to_string(hello.legacy_version) + ',' + joined_decimal(without_grease(hello.ciphers)) + ',' +
         joined_decimal(without_grease(hello.extensions)) + ',' + joined_decimal(without_grease(hello.groups)) + ',' +
         joined_decimal(hello.point_formats);
}

std::string ja3(const ClientHello& hello) { return to_hex(md5(as_bytes(ja3_text(hello)))); }

std::string ja4(const ClientHello& hello) {
  std::vector<uint16_t> ciphers = without_grease(hello.ciphers), extensions = without_grease(hello.extensions);
  const std::vector<uint16_t> versions = without_grease(hello.versions);
  const uint16_t version =
      versions.empty() ? hello.legacy_version : *std::max_element(versions.begin(), versions.end());
  const bool names_server = std::find(extensions.begin(), extensions.end(), 0) != extensions.end();

  std::string out = "t";
  out += version_code(version);
  out += names_server ? 'd' : 'i';
  out += two_digits(ciphers.size());
  out += two_digits(extensions.size());
  out += alpn_code(hello.alpn);

  std::sort(ciphers.begin(), ciphers.end());
  std::sort(extensions.begin(), extensions.end());
  // Server name and ALPN are in the first part already.
  std::erase_if(extensions, [](uint16_t type) { return type == 0x0000 || type == 0x0010; });
  std::string second = joined_hex(extensions);
  const std::vector<uint16_t> signatures = without_grease(hello.signature_algorithms);
  if (!second.empty() && !signatures.empty()) second += '_' + joined_hex(signatures);
  return out + '_' + short_hash(joined_hex(ciphers)) + '_' + short_hash(second);
}

}  // namespace vitrine::tls
