#include "capture/types.h"

#include <arpa/inet.h>

#include <algorithm>
#include <numeric>

namespace vitrine {

std::string_view to_string(Direction direction) {
  return direction == Direction::client_to_server ? "client_to_server" : "server_to_client";
}

std::string_view to_string(Cause cause) {
  static constexpr std::string_view kNames[kCauses] = {"decoded",   "no_key", "unsupported", "gap",     "truncated",
                                                       "malformed", "opaque", "refused",     "withheld"};
  return kNames[static_cast<size_t>(cause)];
}

std::string_view to_string(RecordedContent content) {
  static constexpr std::string_view kNames[] = {"full", "hash", "none"};
  return kNames[static_cast<size_t>(content)];
}

IpAddress IpAddress::v4(Bytes four) {
  IpAddress ip;
  if (four.size() == 4) {
    std::copy(four.begin(), four.end(), ip.bytes.begin());
    ip.family = 4;
  }
  return ip;
}

IpAddress IpAddress::v6(Bytes sixteen) {
  IpAddress ip;
  if (sixteen.size() == 16) {
    std::copy(sixteen.begin(), sixteen.end(), ip.bytes.begin());
    ip.family = 6;
  }
  return ip;
}

IpAddress IpAddress::parse(std::string_view text) {
  const std::string copy(text.substr(0, 64));
  uint8_t buffer[16];
  if (inet_pton(AF_INET, copy.c_str(), buffer) == 1) return v4({buffer, 4});
  if (inet_pton(AF_INET6, copy.c_str(), buffer) == 1) return v6({buffer, 16});
  return {};
}

bool IpAddress::is_private() const {
  const auto& b = bytes;
  if (family == 4) {
    return b[0] == 10 || b[0] == 127 || b[0] == 0 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
           (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254) || (b[0] == 100 && (b[1] & 0xc0) == 64) ||
           (b[0] == 224 && b[1] == 0 && b[2] == 0) || (b[0] == 255 && b[1] == 255 && b[2] == 255 && b[3] == 255);
  }
  if (family == 6) {
    const bool zeros = std::all_of(b.begin(), b.begin() + 15, [](uint8_t x) { return x == 0; });
    return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || (b[0] == 0xff && (b[1] & 0x0f) <= 2) ||
           (zeros && b[15] <= 1);
  }
  return false;
}

std::string IpAddress::to_string() const {
  if (family == 0) return "";
  char buffer[INET6_ADDRSTRLEN];
  return inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes.data(), buffer, sizeof buffer);
}

std::string Endpoint::to_string() const {
  if (ip.family == 6) return "[" + ip.to_string() + "]:" + std::to_string(port);
  return ip.to_string() + ":" + std::to_string(port);
}

std::string ExchangeId::to_string() const { return std::to_string(connection) + "." + std::to_string(ordinal); }

uint64_t ByteCounts::total() const { return std::accumulate(by_cause.begin(), by_cause.end(), uint64_t{0}); }

ByteCounts& ByteCounts::operator+=(const ByteCounts& other) {
  for (size_t i = 0; i < kCauses; ++i) by_cause[i] += other.by_cause[i];
  return *this;
}

}  // namespace vitrine
