// What a TLS handshake shows, for programs that are an end of it: a server that
// taps its own connections has the ClientHello from OpenSSL's message callback
// (SSL_CTX_set_msg_callback: content type 22, first byte 1, not written by us).
#pragma once

#include <string_view>

#include "capture/exchange.h"
#include "capture/tls/client_hello.h"

namespace vitrine::tls {

// SNI, ALPN offered, ECH, early data, JA3 and JA4. False when there are too many
// items of a kind for a fingerprint; the rest is set all the same.
bool describe_hello(const ClientHello& hello, TlsInfo& info);

// The same of the handshake message with its 4-byte header, with what was
// selected. A message that does not parse leaves client_hello_seen false.
// `cipher` is the IANA code (SSL_CIPHER_get_protocol_id).
TlsInfo handshake_info(Bytes client_hello_message, uint16_t version, uint16_t cipher, std::string_view alpn,
                       bool resumed);

}  // namespace vitrine::tls
