#include "audit/canary.h"

#include <algorithm>

#include "base/digest.h"
#include "base/text.h"

namespace vitrine {
namespace {

// The characters of base64 that depend on the secret alone when it starts
// `shift` bytes after a group boundary: the first and last ones mix with
// neighbours and are cut.
std::string base64_core(std::string_view secret, size_t shift) {
  std::string padded(shift, '\0');
  padded += secret;
  std::string encoded = to_base64(as_bytes(padded));
  const size_t skip = shift == 0 ? 0 : shift + 1;  // 1 byte touches 2 characters, 2 bytes touch 3
  const size_t whole = padded.size() * 8 / 6;      // characters wholly inside
  return encoded.substr(skip, whole > skip ? whole - skip : 0);
}

std::string percent_all(std::string_view secret) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (char c : secret) {
    out += '%';
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

std::string percent_reserved(std::string_view secret) {
  static constexpr std::string_view kUnreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string out;
  for (char c : secret) {
    if (kUnreserved.find(c) != std::string_view::npos) out += c;
    else out += percent_all(std::string_view(&c, 1));
  }
  return out;
}

bool contains(std::string_view value, std::string_view needle, bool fold_case) {
  if (!fold_case) return value.find(needle) != std::string_view::npos;
  return std::search(value.begin(), value.end(), needle.begin(), needle.end(),
                     [](char a, char b) { return ascii_lower(a) == ascii_lower(b); }) != value.end();
}

}  // namespace

CanaryMatcher::CanaryMatcher(const std::vector<Canary>& canaries) {
  for (const Canary& canary : canaries) {
    auto add = [&](const char* encoding, std::string bytes, bool fold_case) {
      if (bytes.size() >= 6) needles_.push_back({canary.id, encoding, std::move(bytes), fold_case});
    };
    add("plain", canary.value, false);
    add("reversed", std::string(canary.value.rbegin(), canary.value.rend()), false);
    if (auto some = percent_reserved(canary.value); some != canary.value) add("percent", some, true);
    add("percent", percent_all(canary.value), true);
    add("hex", to_hex(as_bytes(canary.value)), true);
    for (size_t shift = 0; shift < 3; ++shift) {
      const std::string core = base64_core(canary.value, shift);
      std::string url = core;
      std::replace(url.begin(), url.end(), '+', '-');
      std::replace(url.begin(), url.end(), '/', '_');
      add("base64", core, false);
      if (url != core) add("base64url", std::move(url), false);
    }
  }
}

void CanaryMatcher::find(std::string_view value, std::vector<Match>& matches) const {
  matches.clear();
  for (const Needle& needle : needles_) {
    if (!matches.empty() && matches.back().canary == needle.canary && matches.back().encoding == needle.encoding)
      continue;
    if (contains(value, needle.bytes, needle.fold_case)) matches.push_back({needle.canary, needle.encoding});
  }
}

}  // namespace vitrine
