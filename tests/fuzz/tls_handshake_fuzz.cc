// Handshake messages: reassembly, hellos, fingerprints, certificates. The first
// byte says how the rest is cut into records.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "capture/tls/client_hello.h"
#include "capture/tls/handshake.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  if (size == 0) return 0;
  const size_t step = size_t{data[0]} + 1;
  const Bytes all(data + 1, size - 1);
  tls::HandshakeBuffer buffer;
  tls::HandshakeMessage message;
  for (size_t at = 0; at < all.size(); at += step) {
    const Bytes part = all.subspan(at, std::min(step, all.size() - at));
    const std::vector<uint8_t> exact(part.begin(), part.end());
    buffer.add(exact, 5 + at);
    while (buffer.next(message)) {
      if (message.span.offset + message.span.length > 5 + at + part.size()) std::abort();
      const std::vector<uint8_t> body(message.body.begin(), message.body.end());
      tls::ClientHello client;
      tls::ServerHello server;
      tls::EncryptedExtensions extensions;
      std::vector<std::string> names;
      if (message.type == tls::client_hello && tls::parse_client_hello(body, client)) {
        (void)tls::ja3(client);
        if (tls::ja4(client).size() != 36) std::abort();
      }
      (void)tls::parse_server_hello(body, server);
      (void)tls::parse_encrypted_extensions(body, extensions);
      if (message.type == tls::certificate) {
        (void)tls::parse_certificate_names(body, true, names);
        (void)tls::parse_certificate_names(body, false, names);
      }
    }
  }
  return 0;
}
