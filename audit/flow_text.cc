#include "audit/flow_text.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include "base/digest.h"

namespace vitrine {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool digit(char c) { return c >= '0' && c <= '9'; }

std::string lower_copy(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return text.front() == '-' ? INT64_MIN : INT64_MAX;
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Days from 1970-01-01 in the proleptic Gregorian calendar.
int64_t days_from_civil(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t of_era = year - era * 400;
  const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

// Cuts the next piece at `separator` off the front.
std::string_view next_piece(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  std::string_view piece = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view{} : rest.substr(at + 1);
  return piece;
}

}  // namespace

std::string host_of_url(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos || scheme == 0 || scheme > 16) return {};
  std::string_view rest = url.substr(scheme + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (size_t at = rest.rfind('@'); at != std::string_view::npos) rest = rest.substr(at + 1);
  if (!rest.empty() && rest.front() == '[') {
    const size_t end = rest.find(']');
    return end == std::string_view::npos ? std::string{} : lower_copy(rest.substr(1, std::min<size_t>(end - 1, 255)));
  }
  return lower_copy(rest.substr(0, rest.find(':')).substr(0, 255));
}

std::string url_path_of(std::string_view target) {
  return std::string(target.substr(0, target.find_first_of("?#")).substr(0, 512));
}

bool equals_fold(std::string_view left, std::string_view right) {
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

bool is_cleartext(const ConnectionInfo& connection, std::string_view scheme) {
  if (connection.tls) return false;
  return scheme == "http" || scheme == "ws" || connection.protocol == "dns";
}

std::string tls_version_name(uint16_t version) {
  switch (version) {
    case 0x0300: return "ssl 3.0";
    case 0x0301: return "tls 1.0";
    case 0x0302: return "tls 1.1";
    case 0x0303: return "tls 1.2";
    case 0x0304: return "tls 1.3";
    default: return "tls";
  }
}

std::optional<Timestamp> parse_cookie_date(std::string_view text) {
  static constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                                 "jul", "aug", "sep", "oct", "nov", "dec"};
  int hour = -1, minute = 0, second = 0, day = -1, month = -1;
  int64_t year = -1;
  size_t at = 0;
  auto delimiter = [](char c) {
    return !(digit(c) || c == ':' || (lower(c) >= 'a' && lower(c) <= 'z') || static_cast<uint8_t>(c) >= 0x7f);
  };
  while (at < text.size()) {
    while (at < text.size() && delimiter(text[at])) ++at;
    size_t end = at;
    while (end < text.size() && !delimiter(text[end])) ++end;
    std::string_view token = text.substr(at, end - at);
    at = end;
    if (token.empty()) continue;
    size_t digits = 0;
    while (digits < token.size() && digit(token[digits])) ++digits;
    const auto value = digits > 0 && digits <= 4 ? number(token.substr(0, digits)) : std::nullopt;
    if (hour < 0 && token.find(':') != std::string_view::npos) {
      std::string_view rest = token;
      int parts[3] = {-1, -1, -1};
      for (int& part : parts) {
        std::string_view piece = next_piece(rest, ':');
        auto got = piece.empty() || piece.size() > 2 ? std::nullopt : number(piece);
        if (!got) return std::nullopt;
        part = static_cast<int>(*got);
      }
      hour = parts[0];
      minute = parts[1];
      second = parts[2];
    } else if (day < 0 && value && digits <= 2) {
      day = static_cast<int>(*value);
    } else if (month < 0 && token.size() >= 3 && digits == 0) {
      const std::string name = lower_copy(token.substr(0, 3));
      for (int i = 0; i < 12; ++i) {
        if (name == kMonths[i]) month = i + 1;
      }
    } else if (year < 0 && value && digits >= 2) {
      year = *value;
    }
  }
  if (year >= 70 && year <= 99) year += 1900;
  if (year >= 0 && year <= 69) year += 2000;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 || day < 1 || day > 31 ||
      month < 1 || year < 1601 || year > 9999) {
    return std::nullopt;
  }
  // Beyond what nanoseconds since the epoch can say: as far as they reach.
  const int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
  constexpr int64_t kReach = INT64_MAX / 1'000'000'000;
  return Timestamp{std::clamp(seconds, -kReach, kReach) * 1'000'000'000};
}

SetCookie parse_set_cookie(std::string_view header, Timestamp now) {
  SetCookie cookie;
  std::string_view rest = header;
  std::string_view pair = next_piece(rest, ';');
  const size_t equals = pair.find('=');
  if (equals == std::string_view::npos) return cookie;
  cookie.name = std::string(trim(pair.substr(0, equals)).substr(0, 256));
  std::optional<int64_t> expires;
  while (!rest.empty()) {
    std::string_view attribute = next_piece(rest, ';');
    std::string_view name = trim(next_piece(attribute, '='));
    std::string_view value = trim(attribute);
    if (equals_fold(name, "max-age")) {
      if (!value.empty() && (digit(value[0]) || value[0] == '-')) {
        if (auto seconds = number(value)) cookie.max_age = std::max<int64_t>(0, *seconds);
      }
    } else if (equals_fold(name, "expires")) {
      if (auto date = parse_cookie_date(value)) {
        expires = date->ns <= now.ns ? 0 : (date->ns / 1'000'000'000 - now.ns / 1'000'000'000);
      }
    } else if (equals_fold(name, "domain")) {
      if (!value.empty() && value.front() == '.') value.remove_prefix(1);
      cookie.domain = lower_copy(value.substr(0, 255));
    } else if (equals_fold(name, "secure")) {
      cookie.secure = true;
    } else if (equals_fold(name, "httponly")) {
      cookie.http_only = true;
    } else if (equals_fold(name, "samesite")) {
      cookie.same_site = lower_copy(value.substr(0, 16));
    }
  }
  if (!cookie.max_age) cookie.max_age = expires;
  return cookie;
}

void for_each_cookie(std::string_view header, const std::function<void(std::string_view)>& found) {
  while (!header.empty()) {
    std::string_view pair = trim(next_piece(header, ';'));
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && equals > 0) found(trim(pair.substr(0, equals)));
  }
}

SipKey sip_key(std::string_view case_key) {
  const Sha256 digest = hmac_sha256(as_bytes(case_key), as_bytes("vitrine distinct values"));
  ByteReader reader(digest, false);
  return {reader.u64(), reader.u64()};
}

uint64_t sip_hash(const SipKey& key, std::string_view value) {
  uint64_t v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d;
  uint64_t v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;
  auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  };
  auto word = [](const char* bytes, size_t count) {
    uint64_t m = 0;
    for (size_t i = 0; i < count; ++i) m |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    return m;
  };
  size_t at = 0;
  for (; at + 8 <= value.size(); at += 8) {
    const uint64_t m = word(value.data() + at, 8);
    v3 ^= m;
    round(), round();
    v0 ^= m;
  }
  const uint64_t last = word(value.data() + at, value.size() - at) | static_cast<uint64_t>(value.size()) << 56;
  v3 ^= last;
  round(), round();
  v0 ^= last;
  v2 ^= 0xff;
  round(), round(), round(), round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace vitrine
