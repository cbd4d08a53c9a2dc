#include "capture/tls/hello_info.h"

#include "capture/tls/cipher_suites.h"
#include "capture/tls/handshake.h"

namespace vitrine::tls {
namespace {

// Hellos with more cipher suites or extensions than this are no client's; their
// fingerprint text would only waste memory.
constexpr size_t kMaxFingerprintItems = 1024;

}  // namespace

bool describe_hello(const ClientHello& hello, TlsInfo& info) {
  info.client_hello_seen = true;
  info.sni = hello.sni;
  info.alpn_offered = hello.alpn;
  info.ech_offered = hello.ech;
  info.early_data = hello.early_data;
  for (const auto* items : {&hello.ciphers, &hello.extensions, &hello.groups, &hello.signature_algorithms}) {
    if (items->size() > kMaxFingerprintItems) return false;
  }
  info.ja3_text = ja3_text(hello);
  info.ja3 = ja3(hello);
  info.ja4 = ja4(hello);
  return true;
}

TlsInfo handshake_info(Bytes client_hello_message, uint16_t version, uint16_t cipher, std::string_view alpn,
                       bool resumed) {
  TlsInfo info;
  info.server_hello_seen = info.decrypted = true;
  info.version = version;
  info.cipher = cipher;
  info.cipher_name = suite_name(cipher);
  info.alpn = alpn;
  info.resumed = resumed;
  ByteReader reader(client_hello_message);
  const bool is_hello = reader.u8() == client_hello && reader.u24() == reader.remaining();
  ClientHello hello;
  if (is_hello && !reader.failed() && parse_client_hello(reader.rest(), hello)) (void)describe_hello(hello, info);
  return info;
}

}  // namespace vitrine::tls
