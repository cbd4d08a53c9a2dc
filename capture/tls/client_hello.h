// The ClientHello (RFC 5246, 7.4.1.2; RFC 8446, 4.1.2) and its fingerprints.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "capture/tls/secrets.h"

namespace vitrine::tls {

struct ClientHello {
  uint16_t legacy_version = 0;
  ClientRandom random{};
  std::vector<uint8_t> session_id;
  // In the order sent, GREASE values (RFC 8701) included.
  std::vector<uint16_t> ciphers, extensions, groups, signature_algorithms, versions;
  std::vector<uint8_t> point_formats;
  std::string sni;
  std::vector<std::string> alpn;  // at most kMaxAlpn kept
  bool early_data = false, ech = false, pre_shared_key = false, encrypt_then_mac = false;

  bool offers(uint16_t version) const;  // by supported_versions
};

inline constexpr size_t kMaxAlpn = 64;

// `body` is the message without its 4-byte header. False: malformed.
bool parse_client_hello(Bytes body, ClientHello& out);

// 0x0a0a, 0x1a1a … 0xfafa.
bool is_grease(uint16_t value);

// version,ciphers,extensions,groups,formats in decimal, GREASE removed; JA3 is
// its MD5 in hex (Althouse, Atkinson, Atkins: "TLS Fingerprinting with JA3").
std::string ja3_text(const ClientHello& hello);
std::string ja3(const ClientHello& hello);

// JA4 of TLS over TCP: "t13d1516h2_8daaf6152771_e5627efa2ab1" (FoxIO, JA4.md, BSD 3-clause).
std::string ja4(const ClientHello& hello);

}  // namespace vitrine::tls
