#include "audit/masking.h"

#include <openssl/rand.h>

#include <algorithm>

#include "base/digest.h"

namespace vitrine {
namespace {

constexpr size_t kShown = 160;  // bytes of a plain value

// Start of the UTF-8 character that `at` lies in.
size_t character_start(std::string_view s, size_t at) {
  while (at > 0 && at < s.size() && (static_cast<uint8_t>(s[at]) & 0xc0) == 0x80) --at;
  return at;
}

std::string length_only(std::string_view value) { return "[" + std::to_string(value.size()) + " bytes]"; }

std::string printable(std::string_view value) {
  std::string out(value);
  for (char& c : out)
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) c = ' ';
  return out;
}

std::string mask_id(std::string_view value) {
  // The ends of a short value would be most of it.
  if (value.size() < 8) return length_only(value);
  size_t head = 0, tail = value.size();
  for (int i = 0; i < 2 && head < value.size(); ++i) {
    ++head;
    while (head < value.size() && (static_cast<uint8_t>(value[head]) & 0xc0) == 0x80) ++head;
  }
  for (int i = 0; i < 2 && tail > 0; ++i) tail = character_start(value, tail - 1);
  if (head + 4 > tail) return length_only(value);
  return printable(value.substr(0, head)) + "…" + printable(value.substr(tail)) + " " + length_only(value);
}

std::string mask_ip(std::string_view value) {
  IpAddress ip = IpAddress::parse(value);
  if (ip.family == 0) return mask_id(value);
  const size_t kept = ip.family == 4 ? 3 : 6;
  std::fill(ip.bytes.begin() + kept, ip.bytes.end(), uint8_t{0});
  return ip.to_string() + (ip.family == 4 ? "/24" : "/48");
}

}  // namespace

std::string mask(std::string_view value, Sensitivity sensitivity) {
  switch (sensitivity) {
    case Sensitivity::plain:
      if (value.size() <= kShown) return printable(value);
      return printable(value.substr(0, character_start(value, kShown))) + "… " + length_only(value);
    case Sensitivity::id: return mask_id(value);
    case Sensitivity::ip: return mask_ip(value);
    case Sensitivity::secret:
    case Sensitivity::content: break;
  }
  return length_only(value);
}

std::string mask(std::string_view value, const Taxonomy& taxonomy, TypeId type) {
  if (type == 0 || type > taxonomy.size()) return mask(value, Sensitivity::id);
  return mask(value, taxonomy.node(type).sensitivity);
}

Result<CaseKey> CaseKey::random() {
  CaseKey key;
  if (RAND_bytes(key.key_.data(), static_cast<int>(key.key_.size())) != 1)
    return fail(ErrorCode::internal, "no random bytes for the key of this case");
  return key;
}

Result<CaseKey> CaseKey::from_bytes(Bytes bytes) {
  CaseKey key;
  if (bytes.size() != key.key_.size()) return fail(ErrorCode::malformed, "the key of a case has 32 bytes");
  std::copy(bytes.begin(), bytes.end(), key.key_.begin());
  return key;
}

std::string CaseKey::digest(std::string_view value) const {
  const Sha256 mac = hmac_sha256(key_, as_bytes(value));
  return to_hex(Bytes(mac).first(8));
}

}  // namespace vitrine
