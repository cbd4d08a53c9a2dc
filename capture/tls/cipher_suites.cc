#include "capture/tls/cipher_suites.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

namespace vitrine::tls {
namespace {

using enum Bulk;
using enum Hash;

// Sorted by code. The IANA names of every suite OpenSSL 3.0 can negotiate, and
// of the commonest older ones, which are named but not opened.
constexpr CipherSuite kSuites[] = {
    {0x0001, "TLS_RSA_WITH_NULL_MD5", null, md5, sha256},
    {0x0002, "TLS_RSA_WITH_NULL_SHA", null, sha1, sha256},
    {0x0004, "TLS_RSA_WITH_RC4_128_MD5", unreadable, none, sha256},
    {0x0005, "TLS_RSA_WITH_RC4_128_SHA", unreadable, none, sha256},
    {0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", unreadable, none, sha256},
    {0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", unreadable, none, sha256},
    {0x002c, "TLS_PSK_WITH_NULL_SHA", null, sha1, sha256},
    {0x002d, "TLS_DHE_PSK_WITH_NULL_SHA", null, sha1, sha256},
    {0x002e, "TLS_RSA_PSK_WITH_NULL_SHA", null, sha1, sha256},
    {0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0x003a, "TLS_DH_anon_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0x003b, "TLS_RSA_WITH_NULL_SHA256", null, sha256, sha256},
    {0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", aes_256_cbc, sha256, sha256},
    {0x0040, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", camellia_128_cbc, sha1, sha256},
    {0x0044, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA", camellia_128_cbc, sha1, sha256},
    {0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", camellia_128_cbc, sha1, sha256},
    {0x0046, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA", camellia_128_cbc, sha1, sha256},
    {0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0x006a, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256", aes_256_cbc, sha256, sha256},
    {0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", aes_256_cbc, sha256, sha256},
    {0x006c, "TLS_DH_anon_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0x006d, "TLS_DH_anon_WITH_AES_256_CBC_SHA256", aes_256_cbc, sha256, sha256},
    {0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", camellia_256_cbc, sha1, sha256},
    {0x0087, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA", camellia_256_cbc, sha1, sha256},
    {0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", camellia_256_cbc, sha1, sha256},
    {0x0089, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA", camellia_256_cbc, sha1, sha256},
    {0x008c, "TLS_PSK_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0x008d, "TLS_PSK_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0x0090, "TLS_DHE_PSK_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0x0091, "TLS_DHE_PSK_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0x0094, "TLS_RSA_PSK_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0x0095, "TLS_RSA_PSK_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x00a2, "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x00a3, "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x00a6, "TLS_DH_anon_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x00a7, "TLS_DH_anon_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x00a9, "TLS_PSK_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x00aa, "TLS_DHE_PSK_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x00ab, "TLS_DHE_PSK_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x00ac, "TLS_RSA_PSK_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x00ad, "TLS_RSA_PSK_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x00ae, "TLS_PSK_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0x00af, "TLS_PSK_WITH_AES_256_CBC_SHA384", aes_256_cbc, sha384, sha384},
    {0x00b0, "TLS_PSK_WITH_NULL_SHA256", null, sha256, sha256},
    {0x00b1, "TLS_PSK_WITH_NULL_SHA384", null, sha384, sha384},
    {0x00b2, "TLS_DHE_PSK_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0x00b3, "TLS_DHE_PSK_WITH_AES_256_CBC_SHA384", aes_256_cbc, sha384, sha384},
    {0x00b4, "TLS_DHE_PSK_WITH_NULL_SHA256", null, sha256, sha256},
    {0x00b5, "TLS_DHE_PSK_WITH_NULL_SHA384", null, sha384, sha384},
    {0x00b6, "TLS_RSA_PSK_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0x00b7, "TLS_RSA_PSK_WITH_AES_256_CBC_SHA384", aes_256_cbc, sha384, sha384},
    {0x00b8, "TLS_RSA_PSK_WITH_NULL_SHA256", null, sha256, sha256},
    {0x00b9, "TLS_RSA_PSK_WITH_NULL_SHA384", null, sha384, sha384},
    {0x00ba, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0x00bd, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0x00be, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0x00bf, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0x00c0, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA256", camellia_256_cbc, sha256, sha256},
    {0x00c3, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA256", camellia_256_cbc, sha256, sha256},
    {0x00c4, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256", camellia_256_cbc, sha256, sha256},
    {0x00c5, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA256", camellia_256_cbc, sha256, sha256},
    {0x00c6, "TLS_SM4_GCM_SM3", unreadable, none, sha256},
    {0x00c7, "TLS_SM4_CCM_SM3", unreadable, none, sha256},
    {0x1301, "TLS_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0x1302, "TLS_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
    {0x1304, "TLS_AES_128_CCM_SHA256", aes_128_ccm, none, sha256},
    {0x1305, "TLS_AES_128_CCM_8_SHA256", aes_128_ccm_8, none, sha256},
    {0xc006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA", null, sha1, sha256},
    {0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", unreadable, none, sha256},
    {0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", unreadable, none, sha256},
    {0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0xc010, "TLS_ECDHE_RSA_WITH_NULL_SHA", null, sha1, sha256},
    {0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", unreadable, none, sha256},
    {0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", unreadable, none, sha256},
    {0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0xc015, "TLS_ECDH_anon_WITH_NULL_SHA", null, sha1, sha256},
    {0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0xc019, "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0xc01d, "TLS_SRP_SHA_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0xc01e, "TLS_SRP_SHA_RSA_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0xc01f, "TLS_SRP_SHA_DSS_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0xc020, "TLS_SRP_SHA_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0xc021, "TLS_SRP_SHA_RSA_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0xc022, "TLS_SRP_SHA_DSS_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", aes_256_cbc, sha384, sha384},
    {0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", aes_256_cbc, sha384, sha384},
    {0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", aes_128_gcm, none, sha256},
    {0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", aes_256_gcm, none, sha384},
    {0xc035, "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA", aes_128_cbc, sha1, sha256},
    {0xc036, "TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA", aes_256_cbc, sha1, sha256},
    {0xc037, "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256", aes_128_cbc, sha256, sha256},
    {0xc038, "TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA384", aes_256_cbc, sha384, sha384},
    {0xc039, "TLS_ECDHE_PSK_WITH_NULL_SHA", null, sha1, sha256},
    {0xc03a, "TLS_ECDHE_PSK_WITH_NULL_SHA256", null, sha256, sha256},
    {0xc03b, "TLS_ECDHE_PSK_WITH_NULL_SHA384", null, sha384, sha384},
    {0xc050, "TLS_RSA_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc051, "TLS_RSA_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc052, "TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc053, "TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc056, "TLS_DHE_DSS_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc057, "TLS_DHE_DSS_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc05c, "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc05d, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc060, "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc061, "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc06a, "TLS_PSK_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc06b, "TLS_PSK_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc06c, "TLS_DHE_PSK_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc06d, "TLS_DHE_PSK_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc06e, "TLS_RSA_PSK_WITH_ARIA_128_GCM_SHA256", aria_128_gcm, none, sha256},
    {0xc06f, "TLS_RSA_PSK_WITH_ARIA_256_GCM_SHA384", aria_256_gcm, none, sha384},
    {0xc072, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0xc073, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384", camellia_256_cbc, sha384, sha384},
    {0xc076, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0xc077, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384", camellia_256_cbc, sha384, sha384},
    {0xc094, "TLS_PSK_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0xc095, "TLS_PSK_WITH_CAMELLIA_256_CBC_SHA384", camellia_256_cbc, sha384, sha384},
    {0xc096, "TLS_DHE_PSK_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0xc097, "TLS_DHE_PSK_WITH_CAMELLIA_256_CBC_SHA384", camellia_256_cbc, sha384, sha384},
    {0xc098, "TLS_RSA_PSK_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0xc099, "TLS_RSA_PSK_WITH_CAMELLIA_256_CBC_SHA384", camellia_256_cbc, sha384, sha384},
    {0xc09a, "TLS_ECDHE_PSK_WITH_CAMELLIA_128_CBC_SHA256", camellia_128_cbc, sha256, sha256},
    {0xc09b, "TLS_ECDHE_PSK_WITH_CAMELLIA_256_CBC_SHA384", camellia_256_cbc, sha384, sha384},
    {0xc09c, "TLS_RSA_WITH_AES_128_CCM", aes_128_ccm, none, sha256},
    {0xc09d, "TLS_RSA_WITH_AES_256_CCM", aes_256_ccm, none, sha256},
    {0xc09e, "TLS_DHE_RSA_WITH_AES_128_CCM", aes_128_ccm, none, sha256},
    {0xc09f, "TLS_DHE_RSA_WITH_AES_256_CCM", aes_256_ccm, none, sha256},
    {0xc0a0, "TLS_RSA_WITH_AES_128_CCM_8", aes_128_ccm_8, none, sha256},
    {0xc0a1, "TLS_RSA_WITH_AES_256_CCM_8", aes_256_ccm_8, none, sha256},
    {0xc0a2, "TLS_DHE_RSA_WITH_AES_128_CCM_8", aes_128_ccm_8, none, sha256},
    {0xc0a3, "TLS_DHE_RSA_WITH_AES_256_CCM_8", aes_256_ccm_8, none, sha256},
    {0xc0a4, "TLS_PSK_WITH_AES_128_CCM", aes_128_ccm, none, sha256},
    {0xc0a5, "TLS_PSK_WITH_AES_256_CCM", aes_256_ccm, none, sha256},
    {0xc0a6, "TLS_DHE_PSK_WITH_AES_128_CCM", aes_128_ccm, none, sha256},
    {0xc0a7, "TLS_DHE_PSK_WITH_AES_256_CCM", aes_256_ccm, none, sha256},
    {0xc0a8, "TLS_PSK_WITH_AES_128_CCM_8", aes_128_ccm_8, none, sha256},
    {0xc0a9, "TLS_PSK_WITH_AES_256_CCM_8", aes_256_ccm_8, none, sha256},
    {0xc0aa, "TLS_PSK_DHE_WITH_AES_128_CCM_8", aes_128_ccm_8, none, sha256},
    {0xc0ab, "TLS_PSK_DHE_WITH_AES_256_CCM_8", aes_256_ccm_8, none, sha256},
    {0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", aes_128_ccm, none, sha256},
    {0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", aes_256_ccm, none, sha256},
    {0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", aes_128_ccm_8, none, sha256},
    {0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", aes_256_ccm_8, none, sha256},
    {0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
    {0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
    {0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
    {0xccab, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
    {0xccac, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
    {0xccad, "TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
    {0xccae, "TLS_RSA_PSK_WITH_CHACHA20_POLY1305_SHA256", chacha20_poly1305, none, sha256},
};
static_assert(std::is_sorted(std::begin(kSuites), std::end(kSuites),
                             [](const CipherSuite& a, const CipherSuite& b) { return a.code < b.code; }));

}  // namespace

const CipherSuite* find_suite(uint16_t code) {
  const auto* found = std::lower_bound(std::begin(kSuites), std::end(kSuites), code,
                                       [](const CipherSuite& suite, uint16_t wanted) { return suite.code < wanted; });
  return found != std::end(kSuites) && found->code == code ? found : nullptr;
}

std::string suite_name(uint16_t code) {
  if (const CipherSuite* suite = find_suite(code)) return suite->name;
  char text[8];
  std::snprintf(text, sizeof text, "0x%04x", code);
  return text;
}

std::span<const CipherSuite> all_suites() { return kSuites; }

const BulkShape& shape(Bulk bulk) {
  static constexpr BulkShape kShapes[] = {
      {"", 0, 0, 0, 0, Mode::none},                      // unreadable
      {"", 0, 0, 0, 0, Mode::null},                      // null
      {"AES-128-GCM", 16, 4, 8, 16, Mode::aead},         // aes_128_gcm
      {"AES-256-GCM", 32, 4, 8, 16, Mode::aead},         // aes_256_gcm
      {"AES-128-CCM", 16, 4, 8, 16, Mode::ccm},          // aes_128_ccm
      {"AES-256-CCM", 32, 4, 8, 16, Mode::ccm},          // aes_256_ccm
      {"AES-128-CCM", 16, 4, 8, 8, Mode::ccm},           // aes_128_ccm_8
      {"AES-256-CCM", 32, 4, 8, 8, Mode::ccm},           // aes_256_ccm_8
      {"ARIA-128-GCM", 16, 4, 8, 16, Mode::aead},        // aria_128_gcm
      {"ARIA-256-GCM", 32, 4, 8, 16, Mode::aead},        // aria_256_gcm
      {"ChaCha20-Poly1305", 32, 12, 0, 16, Mode::aead},  // chacha20_poly1305
      {"AES-128-CBC", 16, 0, 16, 0, Mode::cbc},          // aes_128_cbc
      {"AES-256-CBC", 32, 0, 16, 0, Mode::cbc},          // aes_256_cbc
      {"CAMELLIA-128-CBC", 16, 0, 16, 0, Mode::cbc},     // camellia_128_cbc
      {"CAMELLIA-256-CBC", 32, 0, 16, 0, Mode::cbc},     // camellia_256_cbc
  };
  return kShapes[static_cast<size_t>(bulk)];
}

}  // namespace vitrine::tls
