#include "audit/masking.h"

#include <openssl/rand.h>

#include <algorithm>

#include "audit/draft_detector.h"
#include "audit/value_checks.h"
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

// A value that names a person or a device by its form, whatever it was typed as.
bool identifies(std::string_view value) {
  const CheckSet checks = detect(value, ValueType::string);
  return checks.has(ValueCheck::email) || checks.has(ValueCheck::jwt) || checks.has(ValueCheck::uuid);
}

// Addresses of pages keep host and path: ids in it, query and fragment go.
bool is_page(std::string_view value) {
  return value.starts_with('/') || value.substr(0, 16).find("://") != std::string_view::npos;
}

std::string mask_page(std::string_view value) {
  const size_t scheme = value.find("://");
  size_t path = scheme == std::string_view::npos ? 0 : value.find_first_of("/?#", scheme + 3);
  if (path == std::string_view::npos) path = value.size();
  const size_t user = scheme == std::string_view::npos ? scheme : value.substr(0, path).find('@');
  std::string out = user == std::string_view::npos
                        ? std::string(value.substr(0, path))
                        : std::string(value.substr(0, scheme + 3)) + "…" + std::string(value.substr(user, path - user));
  const size_t end = std::min(value.find_first_of("?#", path), value.size());
  out += endpoint_path(value.substr(path, end - path));
  if (end != value.size()) out += std::string(value.substr(end, 1)) + "…";
  return out;
}

}  // namespace

std::string mask_path(std::string_view path) {
  std::string out;
  while (true) {
    const size_t end = std::min(path.find_first_of("/|:"), path.size());
    const std::string_view word = path.substr(0, end);
    out += word.size() >= 6 && identifies(word) ? std::string("*") : std::string(word);
    if (end == path.size()) return out;
    out += path[end];
    path.remove_prefix(end + 1);
  }
}

std::string mask(std::string_view value, Sensitivity sensitivity) {
  switch (sensitivity) {
    case Sensitivity::plain:
      if (identifies(value)) return mask_id(value);
      if (is_page(value)) {
        const std::string page = mask_page(value);
        return page.size() <= kShown
                   ? printable(page)
                   : printable(page.substr(0, character_start(page, kShown))) + "… " + length_only(value);
      }
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
