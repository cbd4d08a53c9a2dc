// The inside of TlsSession, shared by its source files:
//   tls_session.cc        chunks, order between the directions, accounting
//   session_records.cc    what one record is, in which epoch
//   session_handshake.cc  hellos and what they change
//   session_keys.cc       secrets → keys, trial decryption, recovery after loss
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "capture/tls/client_hello.h"
#include "capture/tls/handshake.h"
#include "capture/tls/record_cipher.h"
#include "capture/tls/record_framer.h"
#include "capture/tls/tls_session.h"

namespace vitrine {

struct TlsSession::State {
  // Bytes held per direction while the other direction's hello is behind
  // (its segments came out of order). Beyond it, what is held is read without.
  static constexpr size_t kMaxHeld = 256 << 10;
  // Ciphertext that may be tried to find out how many records were lost: what
  // opened earns new trials, so that hostile gaps cost no more than a multiple
  // of honest decryption. A trial of a short record costs as much as kTrialOverhead.
  static constexpr uint64_t kTrialBytes = 64 << 20, kTrialRefill = 16, kTrialOverhead = 1024;
  // Secrets tried for a client random that the key log does not have (ECH).
  static constexpr size_t kMaxEchTrials = 1024;

  enum class Epoch : uint8_t { plaintext, early, handshake, application };

  struct Candidate {
    const tls::CipherSuite* suite = nullptr;
    std::vector<uint8_t> secret;  // TLS 1.3: for KeyUpdate
    std::unique_ptr<tls::RecordCipher> cipher;
  };
  // Keys of one direction and epoch. Several candidates (secrets held twice, suite not yet
  // known) until the first record opens; then the one that opened it.
  struct KeySet {
    bool built = false, proven = false, unsupported = false;
    std::vector<Candidate> candidates;
    uint64_t sequence = 0;
  };

  struct Held {
    StreamChunk chunk;  // bytes unset
    std::vector<uint8_t> bytes;
  };

  struct Half {
    Direction direction = Direction::client_to_server;
    std::unique_ptr<tls::RecordFramer> framer;
    tls::HandshakeBuffer handshake;
    Epoch epoch = Epoch::plaintext;
    bool protected12 = false;
    KeySet keys12, early, handshake_keys, application;
    unsigned hellos = 0;     // handshakes begun by a hello of this side (retries not counted)
    bool blind = false;      // joined late or lost bytes before its first hello
    bool after_gap = false;  // plaintext handshake messages may be cut
    bool lost = false;       // records were lost: sequence unknown
    uint64_t lost_bytes = 0;
    uint64_t trial_budget = kTrialBytes;
    bool closed = false, busy = false, stalled = false, forced = false;
    bool close_sent = false, opened_any = false, tried_any = false;
    std::deque<Held> held;
    size_t held_bytes = 0;
    uint64_t plain_offset = 0;
    bool any_plaintext = false;
    uint64_t missing = 0;     // plaintext bytes lost since the last chunk, best known
    StreamSpan missing_span;  // … and where in the raw stream
    Timestamp time;
    uint64_t packet = 0;
    uint64_t raw_end = 0;  // raw stream offset after the last byte seen
  };

  // One handshake: in TLS 1.2 renegotiation a direction may be one ahead.
  struct Handshake {
    bool have_client = false, have_server = false;
    ClientRandom client_random{}, server_random{};
    std::vector<uint8_t> client_session_id;
    std::vector<uint16_t> offered;
    uint16_t suite = 0;
    bool encrypt_then_mac_offered = false, encrypt_then_mac = false;
  };

  enum class Early : uint8_t { unknown, accepted, rejected };

  State(const SecretStore& store, TlsSink& to, uint64_t id);

  // tls_session.cc
  void receive(const StreamChunk& chunk);
  void consume(Half& half, const StreamChunk& chunk);
  void drain(Half& half);
  void hold(Half& half, const StreamChunk& chunk, Bytes bytes);
  void resume(Half& half);
  void take_gap(Half& half, const StreamChunk& chunk);
  void finish(Half& half, StreamChunk::Close close);
  void send_plaintext(Half& half, Bytes content, StreamSpan record);
  void send_missing(Half& half);
  void send_close(Half& half, StreamChunk::Close close);
  void add_missing(Half& half, uint64_t plaintext, StreamSpan raw);
  void account(Half& half, Cause cause, uint64_t bytes) {
    if (bytes != 0) sink.on_bytes(half.direction, cause, bytes);
  }
  void issue(const Half& half, Cause cause, std::string what);

  // session_records.cc. False: cannot be judged before the other direction is.
  bool record(Half& half, Bytes bytes, uint64_t offset);
  bool change_cipher(Half& half, size_t size);
  bool client_epoch(Half& half, bool& discard);
  bool encrypted13(Half& half, Bytes bytes, uint64_t offset);
  void encrypted12(Half& half, Bytes bytes, uint64_t offset);
  void content(Half& half, const tls::Opened& opened, Bytes bytes, uint64_t offset);
  void unopened(Half& half, KeySet& keys, Bytes bytes);
  void alert(Half& half, Bytes content);

  // session_handshake.cc
  // Cause to account the record under.
  Cause handshake_content(Half& half, Bytes content, uint64_t offset);
  void message(Half& half, const tls::HandshakeMessage& message);
  void client_hello(Half& half, const tls::HandshakeMessage& message);
  void server_hello(Half& half, const tls::HandshakeMessage& message);
  void update_resumed();
  void update_info() { sink.on_tls_info(info); }

  // session_keys.cc
  bool secrets_held(const Half& half) const;
  KeySet& keys13(Half& half, Epoch epoch);
  void build13(const Half& half, Epoch epoch, KeySet& keys);
  void build12(Half& half);
  void update_key(Half& half);
  bool open(KeySet& keys, Bytes record, uint64_t sequence, tls::Opened& out);
  bool open_next(KeySet& keys, Bytes record, tls::Opened& out);
  bool recover(Half& half, Bytes record);
  bool recover_with(Half& half, KeySet& keys, uint64_t from, Bytes record);
  void find_inner_random(const Half& half, Bytes record);

  Half& half(Direction direction) { return halves[static_cast<size_t>(direction)]; }
  Half& other(const Half& half) { return halves[1 - static_cast<size_t>(half.direction)]; }
  bool of_client(const Half& half) const { return half.direction == Direction::client_to_server; }
  // Can the other direction still bring what this one waits for?
  bool must_wait(const Half& half) { return !half.forced && !other(half).closed && !other(half).blind; }
  bool is13() const { return info.version == 0x0304; }
  Handshake& current(const Half& half) { return handshakes[half.hellos & 1]; }
  // TLS 1.3 has one handshake per connection, named by its ClientHello.
  Handshake& only() { return handshakes[halves[0].hellos & 1]; }
  const Handshake& only() const { return handshakes[halves[0].hellos & 1]; }

  const SecretStore& secrets;
  TlsSink& sink;
  uint64_t connection;
  TlsInfo info;
  std::array<Half, 2> halves;
  std::array<Handshake, 2> handshakes;
  tls::ClientHello hello;  // the first
  bool early_offered = false, retry_hello_seen = false, server_psk = false;
  Early early_answer = Early::unknown;
  std::vector<uint8_t> server_session_id;
  bool inner_random_sought = false;
  std::vector<uint8_t> buffer;  // plaintext of the record being read
};

}  // namespace vitrine
