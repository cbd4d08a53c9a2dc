#include <algorithm>

#include "capture/tls/key_schedule.h"
#include "capture/tls/session_state.h"

namespace vitrine {

bool TlsSession::State::secrets_held(const Half& half) const {
  const Handshake& handshake = is13() || half.hellos == 0 ? only() : handshakes[half.hellos & 1];
  return handshake.have_client && secrets.knows(handshake.client_random);
}

TlsSession::State::KeySet& TlsSession::State::keys13(Half& half, Epoch epoch) {
  KeySet& keys = epoch == Epoch::early       ? half.early
                 : epoch == Epoch::handshake ? half.handshake_keys
                                             : half.application;
  if (!keys.built) build13(half, epoch, keys);
  return keys;
}

void TlsSession::State::build13(const Half& half, Epoch epoch, KeySet& keys) {
  const Handshake& handshake = only();
  if (!handshake.have_client) return;
  keys = {};
  keys.built = true;
  const bool client = of_client(half);
  SecretLabel label = client ? SecretLabel::client_traffic_0 : SecretLabel::server_traffic_0;
  if (epoch == Epoch::early) label = SecretLabel::client_early_traffic;
  if (epoch == Epoch::handshake)
    label = client ? SecretLabel::client_handshake_traffic : SecretLabel::server_handshake_traffic;

  // Early data is protected with the suite of the earlier connection, which the
  // hello does not name; only an acceptance says that it is the selected one.
  std::vector<uint16_t> suites;
  if (handshake.have_server && (epoch != Epoch::early || early_answer == Early::accepted)) suites = {handshake.suite};
  else suites = handshake.offered;
  const bool selected = suites.size() == 1;

  for (const Secret* secret : secrets.find(handshake.client_random, label)) {
    for (const uint16_t code : suites) {
      const tls::CipherSuite* suite = tls::find_suite(code);
      if (suite == nullptr || !tls::is_tls13(*suite)) {
        keys.unsupported |= selected;
        continue;
      }
      if (tls::hash_size(suite->prf) != secret->bytes.size()) continue;
      auto cipher = tls::RecordCipher::make(*suite, tls::tls13_traffic_key(*suite, secret->bytes), true, false);
      if (cipher == nullptr) keys.unsupported |= selected;
      else keys.candidates.push_back({suite, secret->bytes, std::move(cipher)});
    }
  }
}

void TlsSession::State::build12(Half& half) {
  half.keys12 = {};
  half.keys12.built = true;
  const Handshake& handshake = current(half);
  if (!handshake.have_client || !handshake.have_server) return;
  const auto held = secrets.find(handshake.client_random, SecretLabel::client_random);
  if (held.empty()) return;
  const tls::CipherSuite* suite = tls::find_suite(handshake.suite);
  if (suite == nullptr || tls::is_tls13(*suite) || info.version != 0x0303) {
    half.keys12.unsupported = true;
    return;
  }
  for (const Secret* secret : held) {
    const auto key = tls::tls12_traffic_key(*suite, secret->bytes, handshake.client_random, handshake.server_random,
                                            of_client(half));
    const bool encrypt_then_mac = handshake.encrypt_then_mac && tls::shape(suite->bulk).mode == tls::Mode::cbc;
    auto cipher = tls::RecordCipher::make(*suite, key, false, encrypt_then_mac);
    if (cipher == nullptr) half.keys12.unsupported = true;
    else half.keys12.candidates.push_back({suite, {}, std::move(cipher)});
  }
}

void TlsSession::State::update_key(Half& half) {
  KeySet& keys = half.application;
  for (Candidate& candidate : keys.candidates) {
    candidate.secret = tls::next_traffic_secret(*candidate.suite, candidate.secret);
    candidate.cipher = tls::RecordCipher::make(*candidate.suite,
                                               tls::tls13_traffic_key(*candidate.suite, candidate.secret), true, false);
  }
  std::erase_if(keys.candidates, [](const Candidate& candidate) { return candidate.cipher == nullptr; });
  keys.sequence = 0;
}

bool TlsSession::State::open(KeySet& keys, Bytes record, uint64_t sequence, tls::Opened& out) {
  for (size_t i = 0; i < keys.candidates.size(); ++i) {
    if (!keys.candidates[i].cipher->open(record, sequence, buffer, out)) continue;
    if (!keys.proven) {
      Candidate proven = std::move(keys.candidates[i]);
      keys.candidates.clear();
      keys.candidates.push_back(std::move(proven));
      keys.proven = true;
    }
    return true;
  }
  return false;
}

bool TlsSession::State::open_next(KeySet& keys, Bytes record, tls::Opened& out) {
  if (!open(keys, record, keys.sequence, out)) return false;
  ++keys.sequence;
  return true;
}

// Records were lost and nobody says how many: tries the numbers this record can
// have. Sets the sequence on success.
bool TlsSession::State::recover_with(Half& half, KeySet& keys, uint64_t from, Bytes record) {
  if (keys.candidates.empty()) return false;
  const uint64_t window = std::min<uint64_t>(64 + half.lost_bytes / 64, 1 << 16);
  tls::Opened opened;
  for (uint64_t sequence = from; sequence <= from + window; ++sequence) {
    const uint64_t cost = (record.size() + kTrialOverhead) * keys.candidates.size();
    if (half.trial_budget < cost) return false;
    half.trial_budget -= cost;
    if (!open(keys, record, sequence, opened)) continue;
    keys.sequence = sequence;
    return true;
  }
  return false;
}

bool TlsSession::State::recover(Half& half, Bytes record) {
  if (halves[0].hellos == 0) return false;
  if (half.protected12) return recover_with(half, half.keys12, half.keys12.sequence, record);
  if (record[0] != tls::application_data) return false;
  if (info.version == 0x0303) {
    // ChangeCipherSpec was lost with the gap.
    if (halves[1].hellos == 0 || half.hellos == 0) return false;
    if (!half.keys12.built) build12(half);
    if (!recover_with(half, half.keys12, 0, record)) return false;
    half.protected12 = true;
    return true;
  }
  if (!is13() && !hello.offers(0x0304)) return false;

  const auto enter = [&](Epoch epoch, uint64_t from) {
    if (!recover_with(half, keys13(half, epoch), from, record)) return false;
    half.epoch = epoch;
    return true;
  };
  switch (half.epoch) {
    case Epoch::plaintext:
      return (of_client(half) && early_offered && enter(Epoch::early, 0)) || enter(Epoch::handshake, 0) ||
             enter(Epoch::application, 0);
    case Epoch::early:
      return enter(Epoch::early, half.early.sequence) || enter(Epoch::handshake, 0) || enter(Epoch::application, 0);
    case Epoch::handshake: return enter(Epoch::handshake, half.handshake_keys.sequence) || enter(Epoch::application, 0);
    case Epoch::application: break;
  }
  KeySet& keys = keys13(half, Epoch::application);
  if (recover_with(half, keys, keys.sequence, record)) return true;
  // A KeyUpdate may have been among the lost records.
  KeySet next;
  next.built = true;
  for (const Candidate& candidate : keys.candidates) {
    std::vector<uint8_t> secret = tls::next_traffic_secret(*candidate.suite, candidate.secret);
    auto cipher =
        tls::RecordCipher::make(*candidate.suite, tls::tls13_traffic_key(*candidate.suite, secret), true, false);
    if (cipher != nullptr) next.candidates.push_back({candidate.suite, std::move(secret), std::move(cipher)});
  }
  if (!recover_with(half, next, 0, record)) return false;
  keys = std::move(next);
  return true;
}

// With Encrypted Client Hello the key log names the inner random, which never
// shows outside. Tries secrets until one opens this first protected record.
void TlsSession::State::find_inner_random(const Half& half, Bytes record) {
  Handshake& handshake = only();
  if (!handshake.have_client || !handshake.have_server || secrets.knows(handshake.client_random)) return;
  inner_random_sought = true;
  const tls::CipherSuite* suite = tls::find_suite(handshake.suite);
  if (suite == nullptr || !tls::is_tls13(*suite)) return;
  size_t trials = 0;
  const auto label = of_client(half) ? SecretLabel::client_handshake_traffic : SecretLabel::server_handshake_traffic;
  secrets.for_each(label, [&](const ClientRandom& random, const Secret& secret) {
    if (secret.bytes.size() != tls::hash_size(suite->prf)) return true;
    if (++trials > kMaxEchTrials) return false;
    const auto cipher = tls::RecordCipher::make(*suite, tls::tls13_traffic_key(*suite, secret.bytes), true, false);
    tls::Opened opened;
    if (cipher == nullptr || !cipher->open(record, 0, buffer, opened)) return true;
    handshake.client_random = random;
    for (Half& each : halves)
      for (KeySet* keys : {&each.early, &each.handshake_keys, &each.application}) *keys = KeySet{};
    return false;
  });
  if (trials > kMaxEchTrials)
    issue(half, Cause::no_key, "tls: more than 1024 secrets to try for an encrypted ClientHello");
}

}  // namespace vitrine
