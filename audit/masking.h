// How a value is printed: by the sensitivity of its type (audit-model: secrets
// and content by length only, ids by their first and last two characters,
// addresses as /24 and /48). A printed digest is an HMAC under a key of the
// case, because a plain hash of an address, phone or e-mail can be reversed.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "audit/taxonomy.h"
#include "base/result.h"

namespace vitrine {

// Never longer than about 200 bytes; never holds control characters.
std::string mask(std::string_view value, Sensitivity sensitivity);

// By the type; a value without a type is masked as an id: what is not known
// may be anything.
std::string mask(std::string_view value, const Taxonomy& taxonomy, TypeId type);

// A path of a field, with names in it that are e-mail addresses, UUIDs or JWTs
// replaced by "*".
std::string mask_path(std::string_view path);

// The key of one case. Digests of two cases cannot be compared, by intention.
class CaseKey {
 public:
  static Result<CaseKey> random();
  // REQUIRES: 32 bytes of a key made by random() (kept with the case).
  static Result<CaseKey> from_bytes(Bytes key);
  // First 16 hex digits of HMAC-SHA-256; enough to tell the values of a case apart.
  std::string digest(std::string_view value) const;
  Bytes bytes() const { return key_; }

 private:
  std::array<uint8_t, 32> key_{};
};

}  // namespace vitrine
