#include "audit/flow_text.h"

#include <algorithm>
#include <bit>

#include "base/digest.h"
#include "base/text.h"
#include "capture/fields/set_cookie.h"

namespace vitrine {
namespace {

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
    return end == std::string_view::npos ? std::string{} : ascii_lower(rest.substr(1, std::min<size_t>(end - 1, 255)));
  }
  return ascii_lower(rest.substr(0, rest.find(':')).substr(0, 255));
}

std::string url_path_of(std::string_view target) {
  return std::string(target.substr(0, target.find_first_of("?#")).substr(0, 512));
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

CookieAttributes read_set_cookie(std::string_view header, Timestamp now) {
  const SetCookie parsed = parse_set_cookie(header);
  CookieAttributes cookie;
  cookie.name = std::string(parsed.name.substr(0, 256));
  std::string_view max_age, expires;
  for (const SetCookie::Attribute& attribute : parsed.attributes) {
    std::string_view value = attribute.value;
    if (equals_ignoring_case(attribute.name, "max-age")) {
      max_age = value;
    } else if (equals_ignoring_case(attribute.name, "expires")) {
      expires = value;
    } else if (equals_ignoring_case(attribute.name, "domain")) {
      if (!value.empty() && value.front() == '.') value.remove_prefix(1);
      cookie.domain = ascii_lower(value.substr(0, 255));
    } else if (equals_ignoring_case(attribute.name, "secure")) {
      cookie.secure = true;
    } else if (equals_ignoring_case(attribute.name, "httponly")) {
      cookie.http_only = true;
    } else if (equals_ignoring_case(attribute.name, "samesite")) {
      cookie.same_site = ascii_lower(value.substr(0, 16));
    }
  }
  if (const auto lifetime = cookie_lifetime_seconds(max_age, expires, now))
    cookie.max_age = std::max<int64_t>(0, *lifetime);
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
