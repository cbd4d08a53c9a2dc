// Key derivation from logged secrets: the TLS 1.2 PRF (RFC 5246, 5) and the
// TLS 1.3 HKDF-Expand-Label (RFC 8446, 7.1).
#pragma once

#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "capture/tls/cipher_suites.h"

namespace vitrine::tls {

size_t hash_size(Hash hash);  // 0 for none

std::vector<uint8_t> hmac(Hash hash, Bytes key, Bytes message);

// HKDF-Expand-Label(secret, label, "", length). REQUIRES: length <= 255 × hash size.
std::vector<uint8_t> expand_label(Hash hash, Bytes secret, std::string_view label, size_t length);

// PRF(secret, label, seed)[0, length).
std::vector<uint8_t> prf(Hash hash, Bytes secret, std::string_view label, Bytes seed, size_t length);

// Keys of one direction.
struct TrafficKey {
  std::vector<uint8_t> key;
  std::vector<uint8_t> iv;       // fixed part (TLS 1.2) or whole (TLS 1.3)
  std::vector<uint8_t> mac_key;  // CBC and NULL suites only
};

TrafficKey tls13_traffic_key(const CipherSuite& suite, Bytes secret);
// The secret after a KeyUpdate.
std::vector<uint8_t> next_traffic_secret(const CipherSuite& suite, Bytes secret);

// REQUIRES: master is 48 bytes, randoms 32 each.
TrafficKey tls12_traffic_key(const CipherSuite& suite, Bytes master, Bytes client_random, Bytes server_random,
                             bool of_client);

}  // namespace vitrine::tls
