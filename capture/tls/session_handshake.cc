#include <algorithm>
#include <cstdio>

#include "capture/tls/hello_info.h"
#include "capture/tls/session_state.h"

namespace vitrine {
namespace {

bool known_type(uint8_t type) {
  switch (type) {
    case 0:
    case 1:
    case 2:
    case 4:
    case 5:
    case 8:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
    case 20:
    case 21:
    case 22:
    case 24:
    case 25: return true;
    default: return false;
  }
}

// Could `content` be the beginning of a message, rather than its middle?
bool begins_message(Bytes content) {
  return content.size() >= 4 && known_type(content[0]) &&
         ByteReader(content.subspan(1, 3)).u24() <= std::max<size_t>(content.size(), 64 << 10);
}

}  // namespace

Cause TlsSession::State::handshake_content(Half& half, Bytes content, uint64_t offset) {
  if (half.after_gap && half.handshake.empty()) {
    if (!begins_message(content)) return half.blind && !secrets_held(half) ? Cause::no_key : Cause::gap;
    half.after_gap = false;
  }
  const bool whole = half.handshake.add(content, offset);
  tls::HandshakeMessage next;
  while (half.handshake.next(next)) message(half, next);
  if (whole) return Cause::decoded;
  issue(half, Cause::truncated, "tls: handshake message longer than 262144 bytes is not read");
  return Cause::truncated;
}

void TlsSession::State::message(Half& half, const tls::HandshakeMessage& message) {
  const bool client = of_client(half);
  bool key_change = false;
  sink.on_handshake(half.direction, message);
  switch (message.type) {
    case tls::client_hello:
      if (client) client_hello(half, message);
      break;
    case tls::server_hello:
      if (!client) {
        const Epoch before = half.epoch;
        server_hello(half, message);
        key_change = half.epoch != before;
      }
      break;
    case tls::encrypted_extensions: {
      tls::EncryptedExtensions extensions;
      if (client || half.epoch != Epoch::handshake) break;
      if (!tls::parse_encrypted_extensions(message.body, extensions)) {
        issue(half, Cause::malformed, "tls: malformed EncryptedExtensions");
        break;
      }
      info.alpn = extensions.alpn;
      early_answer = extensions.early_data ? Early::accepted : Early::rejected;
      update_info();
      break;
    }
    case tls::certificate:
    case tls::compressed_certificate:
      if (client || half.hellos != 1 || !info.certificate_names.empty()) break;
      if (message.type == tls::compressed_certificate) {
        std::vector<uint8_t> inflated;
        if (!tls::decompress_certificate(message.body, inflated) ||
            !tls::parse_certificate_names(inflated, true, info.certificate_names))
          issue(half, Cause::malformed, "tls: compressed certificate does not decode");
      } else if (!tls::parse_certificate_names(message.body, is13(), info.certificate_names))
        issue(half, Cause::malformed, "tls: malformed certificate");
      if (!info.certificate_names.empty()) update_info();
      break;
    case tls::finished:
      if (is13() && half.epoch == Epoch::handshake) {
        half.epoch = Epoch::application;
        key_change = true;
      }
      break;
    case tls::end_of_early_data:
      if (client && half.epoch == Epoch::early) {
        half.epoch = Epoch::handshake;
        key_change = true;
      }
      break;
    case tls::key_update:
      if (is13() && half.epoch == Epoch::application) {
        update_key(half);
        key_change = true;
      }
      break;
    default: break;
  }
  // Messages must not span a key change (RFC 8446, 5.1).
  if (key_change && !half.handshake.empty()) {
    issue(half, Cause::malformed, "tls: handshake message across a key change");
    half.handshake.clear();
  }
}

void TlsSession::State::client_hello(Half& half, const tls::HandshakeMessage& message) {
  tls::ClientHello parsed;
  if (!tls::parse_client_hello(message.body, parsed)) {
    issue(half, Cause::malformed, "tls: malformed ClientHello");
    return;
  }
  if (half.hellos > 0 && !half.protected12) {
    // The second one after a HelloRetryRequest keeps its random.
    if (parsed.random == hello.random && !is13()) info.retry = true;
    if (parsed.random == hello.random) retry_hello_seen = true;
    else issue(half, Cause::malformed, "tls: second ClientHello");
    return;
  }
  ++half.hellos;
  Handshake& handshake = current(half);
  handshake.have_client = true;
  handshake.client_random = parsed.random;
  handshake.client_session_id = parsed.session_id;
  handshake.offered = parsed.ciphers;
  handshake.encrypt_then_mac_offered = parsed.encrypt_then_mac;
  if (half.hellos > 1) return;  // renegotiation: the first hello is the one reported

  hello = std::move(parsed);
  early_offered = hello.early_data;
  info.client_hello = message.span;
  if (!tls::describe_hello(hello, info))
    issue(half, Cause::truncated, "tls: ClientHello with more than 1024 items of a kind has no fingerprint");
  update_resumed();
  update_info();
}

void TlsSession::State::server_hello(Half& half, const tls::HandshakeMessage& message) {
  tls::ServerHello parsed;
  if (!tls::parse_server_hello(message.body, parsed)) {
    issue(half, Cause::malformed, "tls: malformed ServerHello");
    return;
  }
  if (half.epoch != Epoch::plaintext || (half.hellos > 0 && !half.protected12)) {
    issue(half, Cause::malformed, "tls: second ServerHello");
    return;
  }
  if (half.hellos == 0) {
    info.version = parsed.version;
    info.cipher = parsed.cipher;
    info.cipher_name = tls::suite_name(parsed.cipher);
  }
  if (parsed.retry) {
    info.retry = true;
    update_info();
    return;
  }
  ++half.hellos;
  Handshake& handshake = current(half);
  handshake.have_server = true;
  handshake.server_random = parsed.random;
  handshake.suite = parsed.cipher;
  handshake.encrypt_then_mac = parsed.encrypt_then_mac;
  if (half.hellos > 1) return;

  server_psk = parsed.pre_shared_key;
  info.server_hello_seen = true;
  if (!parsed.alpn.empty()) info.alpn = parsed.alpn;
  if (parsed.version == 0x0304) {
    half.epoch = Epoch::handshake;
  } else if (parsed.version != 0x0303) {
    char text[64];
    std::snprintf(text, sizeof text, "tls: version 0x%04x is not read", parsed.version);
    issue(half, Cause::unsupported, text);
  }
  server_session_id = std::move(parsed.session_id);
  update_resumed();
  update_info();
}

// TLS 1.2: the server repeats the session id the client offered. TLS 1.3
// always repeats it, and says so by choosing a pre-shared key.
void TlsSession::State::update_resumed() {
  if (!info.client_hello_seen || !info.server_hello_seen) return;
  info.resumed = is13() ? server_psk : !server_session_id.empty() && server_session_id == hello.session_id;
}

}  // namespace vitrine
