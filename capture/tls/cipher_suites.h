// The cipher suites of TLS 1.2 and 1.3 by IANA code: what is needed to derive
// keys and open records (RFC 5246, 5288, 5289, 6209, 6655, 7251, 7905, 8446).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace vitrine::tls {

enum class Bulk : uint8_t {
  unreadable,  // named only: stream ciphers, 3DES
  null,
  aes_128_gcm,
  aes_256_gcm,
  aes_128_ccm,
  aes_256_ccm,
  aes_128_ccm_8,
  aes_256_ccm_8,
  aria_128_gcm,
  aria_256_gcm,
  chacha20_poly1305,
  aes_128_cbc,
  aes_256_cbc,
  camellia_128_cbc,
  camellia_256_cbc,
};

enum class Hash : uint8_t { none, md5, sha1, sha256, sha384 };

struct CipherSuite {
  uint16_t code;
  const char* name;  // IANA
  Bulk bulk;
  Hash mac;  // none for AEAD
  Hash prf;  // TLS 1.2 PRF; TLS 1.3 HKDF hash
};

enum class Mode : uint8_t { none, null, aead, ccm, cbc };

// Sizes in bytes, as TLS 1.2 uses them; TLS 1.3 always has a 12-byte IV and no
// explicit part.
struct BulkShape {
  const char* evp_name;
  uint8_t key;
  uint8_t fixed_iv;        // from the key block
  uint8_t explicit_nonce;  // at the front of each record
  uint8_t tag;
  Mode mode;
};

const CipherSuite* find_suite(uint16_t code);  // null: unknown
std::string suite_name(uint16_t code);         // IANA name, or "0x1399"
std::span<const CipherSuite> all_suites();
const BulkShape& shape(Bulk bulk);
inline bool is_tls13(const CipherSuite& suite) { return suite.code >> 8 == 0x13; }

}  // namespace vitrine::tls
