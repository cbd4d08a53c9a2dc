// Passive TLS 1.2/1.3 (RFC 5246, 8446) of one connection: two raw TCP streams
// in, two plaintext streams out. Without keys it still reads the hellos.
#pragma once

#include <functional>
#include <memory>

#include "capture/exchange.h"
#include "capture/stream.h"
#include "capture/tls/handshake.h"
#include "capture/tls/secrets.h"

namespace vitrine {

// True when the first bytes of a client's stream can be a TLS record.
bool looks_like_tls(Bytes first);  // needs >= 3 bytes; also accepts a record found mid-stream

class TlsSink : public IssueSink {
 public:
  // The ClientHello (and later the ServerHello, certificate) was read: info is
  // complete as far as it goes. Called again when it grows.
  virtual void on_tls_info(const TlsInfo& info) = 0;
  // The next plaintext chunk; offsets count plaintext application bytes of that
  // direction; gap when records were lost or could not be opened (length = the
  // plaintext bytes missing, best known), close at close_notify or stream end.
  // `record` = the TLS record(s) in the raw stream this chunk came from.
  virtual void on_plaintext(const StreamChunk& chunk, StreamSpan record) = 0;
  // A handshake message was put together, of whatever epoch could be opened.
  // Its span is where it lies in the raw stream; of a protected one the ciphertext.
  virtual void on_handshake(Direction, const tls::HandshakeMessage&) {}
  // Raw stream bytes that are not plaintext given to on_plaintext: record
  // headers, tags, padding, handshake, alerts (decoded), or no_key etc. Every
  // raw byte is either in some plaintext chunk's bytes or counted here once.
  // A record of 5+L raw bytes that yields P plaintext bytes counts 5+L-P.
  virtual void on_bytes(Direction direction, Cause cause, uint64_t bytes) = 0;
};

// Accounting of the special cases, beside the obvious ones:
//   no_key       whole record; also when the secrets held open nothing at all
//   unsupported  suite or version not read (named in an issue); early data the
//                server refused, which the client sends again after the handshake
//   gap          lost bytes, what they made useless of the record around them,
//                and later records whose number could not be recovered
//   truncated    bytes cut by the snap length or the end of the stream, and
//                handshake messages longer than 256 KiB
//   malformed    bytes that are no record, a record that does not open although
//                the one before did, data after close_notify
// A plaintext gap chunk is an estimate and never counted: its raw bytes are in on_bytes.
// Memory: per direction one record, 256 KiB of handshake message, and 256 KiB
// held while the other direction's hello is behind.
class TlsSession : public StreamSink {
 public:
  TlsSession(const SecretStore& secrets, TlsSink& sink, uint64_t connection);
  ~TlsSession() override;
  void on_chunk(const StreamChunk& chunk) override;  // raw stream; close chunks flush
  const TlsInfo& info() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
