#include <algorithm>

#include "capture/tls/session_state.h"

namespace vitrine {

using tls::kHeaderSize;

namespace {

// Bytes of a record that are not plaintext, for estimates only: header, tag, inner type.
constexpr uint64_t kOverhead13 = kHeaderSize + 16 + 1;

}  // namespace

bool TlsSession::State::record(Half& half, Bytes bytes, uint64_t offset) {
  const uint8_t type = bytes[0];
  const Bytes fragment = bytes.subspan(kHeaderSize);
  if (half.protected12) {
    // The end of a renegotiation: its keys need both hellos.
    if (type == tls::change_cipher_spec && other(half).hellos < half.hellos && must_wait(half)) return false;
    encrypted12(half, bytes, offset);
    return true;
  }
  switch (type) {
    case tls::change_cipher_spec: return change_cipher(half, bytes.size());
    case tls::alert:
      // TLS 1.3 never shows a protected alert as one.
      if (fragment.size() == 2) {
        account(half, Cause::decoded, bytes.size());
        alert(half, fragment);
        return true;
      }
      break;
    case tls::handshake:
      if (half.epoch == Epoch::plaintext || (of_client(half) && !half.handshake_keys.proven)) {
        account(half, handshake_content(half, fragment, offset + kHeaderSize), bytes.size());
        return true;
      }
      break;
    case tls::application_data: return encrypted13(half, bytes, offset);
    case tls::heartbeat: account(half, Cause::decoded, bytes.size()); return true;
    default: break;
  }
  // Protected under a cipher whose start was not seen, or damage.
  if (half.blind || half.lost) {
    account(half, secrets_held(half) ? Cause::gap : Cause::no_key, bytes.size());
  } else {
    issue(half, Cause::malformed, "tls: record of an unexpected type");
    account(half, Cause::malformed, bytes.size());
  }
  return true;
}

// TLS 1.2: the records that follow are protected. TLS 1.3: means nothing
// (RFC 8446, D.4), and may come before the version is known.
bool TlsSession::State::change_cipher(Half& half, size_t size) {
  const Half& peer = other(half);
  if (peer.hellos < half.hellos && !is13() && must_wait(half)) return false;
  account(half, Cause::decoded, size);
  if (is13() || (info.version == 0 && hello.offers(0x0304))) return true;
  half.protected12 = true;
  half.handshake.clear();
  build12(half);
  return true;
}

// Decides in which epoch the client's next protected record is. False: wait.
// `discard`: it is early data that the server asked to repeat (after a
// HelloRetryRequest) and no key but the early one fits.
bool TlsSession::State::client_epoch(Half& half, bool& discard) {
  const Half& server = halves[1];
  discard = false;
  if (half.epoch != Epoch::plaintext) return true;
  const bool server_answered = server.hellos > 0;
  if (!server_answered) {
    if (info.retry && !retry_hello_seen) {
      early_answer = Early::rejected;
      discard = true;
      return true;
    }
    if (must_wait(half)) return false;
    half.epoch = early_offered ? Epoch::early : Epoch::handshake;
    return true;
  }
  if (early_offered && early_answer == Early::unknown) {
    if (info.retry || !server_psk) {
      early_answer = Early::rejected;
    } else if (server.epoch == Epoch::handshake && !keys13(halves[1], Epoch::handshake).candidates.empty() &&
               must_wait(half)) {
      return false;  // EncryptedExtensions says
    } else {
      early_answer = Early::accepted;
    }
  }
  half.epoch = early_offered && early_answer == Early::accepted ? Epoch::early : Epoch::handshake;
  return true;
}

bool TlsSession::State::encrypted13(Half& half, Bytes bytes, uint64_t offset) {
  const bool client = of_client(half);
  if (is13() == false && info.version != 0 && half.hellos > 0) {
    // TLS 1.2 whose ChangeCipherSpec was lost.
    if (half.lost && recover(half, bytes)) {
      encrypted12(half, bytes, offset);
      return true;
    }
    account(half, half.lost ? (secrets_held(half) ? Cause::gap : Cause::no_key) : Cause::malformed, bytes.size());
    if (!half.lost) issue(half, Cause::malformed, "tls: application data before ChangeCipherSpec");
    return true;
  }
  bool discard = false;
  if (client) {
    if (half.hellos == 0) half.blind = true;  // joined late
    else if (!client_epoch(half, discard)) return false;
  } else {
    if (half.hellos == 0 && !half.lost) half.blind = true;
    else if (halves[0].hellos == 0 && must_wait(half)) return false;
    if (half.epoch == Epoch::plaintext) half.epoch = Epoch::handshake;  // its ServerHello was lost
  }
  if (halves[0].hellos == 0) {  // no client random, so no secret can be looked up
    account(half, Cause::no_key, bytes.size());
    return true;
  }

  if (info.ech_offered && !inner_random_sought && !discard) find_inner_random(half, bytes);
  tls::Opened opened;
  if (discard) {
    const bool known = open_next(keys13(half, Epoch::early), bytes, opened);
    if (known)
      issue(half, Cause::unsupported, "tls: early data the server refused is not shown; the client sends it again");
    account(half, known ? Cause::unsupported : Cause::no_key, bytes.size());
    return true;
  }
  if (half.lost && recover(half, bytes)) half.lost = false;

  if (half.epoch == Epoch::early) {
    if (open_next(keys13(half, Epoch::early), bytes, opened)) {
      content(half, opened, bytes, offset);
      return true;
    }
    if (open_next(keys13(half, Epoch::handshake), bytes, opened)) {
      half.epoch = Epoch::handshake;
      content(half, opened, bytes, offset);
      return true;
    }
    if (early_answer == Early::accepted && half.early.candidates.empty() && bytes.size() > kOverhead13 &&
        !half.handshake_keys.candidates.empty())
      add_missing(half, bytes.size() - kOverhead13, {offset, bytes.size()});
    unopened(half, half.early, bytes);
    return true;
  }
  if (half.epoch == Epoch::handshake) {
    KeySet& keys = keys13(half, Epoch::handshake);
    if (open_next(keys, bytes, opened)) {
      content(half, opened, bytes, offset);
      return true;
    }
    // The handshake secret may be missing or its last records lost: does the
    // application key open this as its first record?
    if (open_next(keys13(half, Epoch::application), bytes, opened)) {
      half.epoch = Epoch::application;
      content(half, opened, bytes, offset);
      return true;
    }
    if (client && early_answer == Early::rejected && !keys.proven &&
        open_next(keys13(half, Epoch::early), bytes, opened)) {
      issue(half, Cause::unsupported, "tls: early data the server refused is not shown; the client sends it again");
      account(half, Cause::unsupported, bytes.size());
      return true;
    }
    unopened(half, keys, bytes);
    return true;
  }
  KeySet& keys = keys13(half, Epoch::application);
  if (open_next(keys, bytes, opened)) {
    content(half, opened, bytes, offset);
    return true;
  }
  if (bytes.size() > kOverhead13) add_missing(half, bytes.size() - kOverhead13, {offset, bytes.size()});
  unopened(half, keys, bytes);
  return true;
}

void TlsSession::State::encrypted12(Half& half, Bytes bytes, uint64_t offset) {
  if (half.lost && recover(half, bytes)) half.lost = false;
  tls::Opened opened;
  if (open_next(half.keys12, bytes, opened)) {
    content(half, opened, bytes, offset);
    return;
  }
  if (bytes[0] == tls::application_data && bytes.size() > kOverhead13)
    add_missing(half, bytes.size() - kOverhead13, {offset, bytes.size()});
  unopened(half, half.keys12, bytes);
}

// A protected record that no key opened: says why.
void TlsSession::State::unopened(Half& half, KeySet& keys, Bytes bytes) {
  Cause cause = Cause::no_key;
  if (!keys.candidates.empty()) half.tried_any = true;
  if (keys.unsupported) {
    cause = Cause::unsupported;
    issue(
        half, cause,
        "tls: cipher suite " + (info.cipher_name.empty() ? std::string("unknown") : info.cipher_name) + " is not read");
  } else if (half.lost && secrets_held(half)) {
    cause = Cause::gap;
    issue(half, cause, "tls: records after a gap do not open");
  } else if (keys.proven) {
    cause = Cause::malformed;
    ++keys.sequence;
    issue(half, cause, "tls: record does not open with the key that opened the one before");
  }
  account(half, cause, bytes.size());
}

void TlsSession::State::content(Half& half, const tls::Opened& opened, Bytes bytes, uint64_t offset) {
  half.opened_any = true;
  half.trial_budget = std::min(kTrialBytes, half.trial_budget + kTrialRefill * bytes.size());
  half.lost_bytes = 0;
  uint64_t delivered = 0;
  Cause cause = Cause::decoded;
  switch (opened.type) {
    case tls::application_data:
      if (opened.content.empty()) break;
      if (half.close_sent) {
        issue(half, Cause::malformed, "tls: data after close_notify");
        cause = Cause::malformed;
        break;
      }
      delivered = opened.content.size();
      send_plaintext(half, opened.content, {offset, bytes.size()});
      break;
    case tls::handshake: cause = handshake_content(half, opened.content, offset + kHeaderSize); break;
    case tls::alert: alert(half, opened.content); break;
    case tls::change_cipher_spec:  // TLS 1.2 renegotiation
      if (half.protected12) {
        half.handshake.clear();
        build12(half);
      }
      break;
    case tls::heartbeat: break;
    default: issue(half, Cause::malformed, "tls: protected record of an unknown type"); cause = Cause::malformed;
  }
  account(half, cause, bytes.size() - delivered);
}

void TlsSession::State::alert(Half& half, Bytes content) {
  if (content.size() != 2) return;
  constexpr uint8_t kCloseNotify = 0, kUserCanceled = 90, kWarning = 1;
  const uint8_t level = content[0], description = content[1];
  if (description == kCloseNotify) {
    send_close(half, StreamChunk::Close::fin);
  } else if (description != kUserCanceled && (is13() || level != kWarning)) {
    issue(half, Cause::refused,
          std::string("tls: ") + (of_client(half) ? "client" : "server") + " ended the connection with alert " +
              std::to_string(description));
  }
}

}  // namespace vitrine
