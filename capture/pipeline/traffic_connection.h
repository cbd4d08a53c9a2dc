// One transport connection of a packet capture: reassembled bytes → TLS when it
// is TLS → HTTP. Finds out which by the first bytes, not by the port.
#pragma once

#include <memory>
#include <string>

#include "capture/exchange.h"
#include "capture/http/http_connection.h"
#include "capture/net/tcp.h"
#include "capture/tls/tls_session.h"

namespace vitrine {

// Sees the same bytes as the parsers do; used by replay to map a plaintext
// span back to raw stream bytes and packets.
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;
  virtual void raw(const ConnectionInfo&, const StreamChunk&) {}
  virtual void plaintext(const ConnectionInfo&, const StreamChunk&, StreamSpan /*record*/) {}
  virtual void handshake(const ConnectionInfo&, Direction, const tls::HandshakeMessage&) {}
};

// Owner: the shard that the connection hashes to; used from its thread only.
class TrafficConnection final : private StreamSink, private TlsSink {
 public:
  TrafficConnection(ConnectionInfo info, const SecretStore& secrets, ExchangeSink& sink, StreamObserver* observer,
                    HttpLimits http = {});
  ~TrafficConnection() override;

  void segment(Direction direction, const TcpHeader& tcp, Timestamp time, uint64_t packet);
  // Closes what is open; the connection(closed) event follows. Idempotent.
  void finish(StreamChunk::Close why, CloseReason reason, Timestamp time, uint64_t packet);

  const ConnectionInfo& info() const { return info_; }
  const TcpConnection& tcp() const { return tcp_; }
  Timestamp last_seen() const { return last_seen_; }
  void set_process(std::string process) { info_.process = std::move(process); }

 private:
  enum class Layer : uint8_t { undecided, plain, tls };

  void on_chunk(const StreamChunk& chunk) override;
  void on_tls_info(const TlsInfo& info) override;
  void on_plaintext(const StreamChunk& chunk, StreamSpan record) override;
  void on_handshake(Direction direction, const tls::HandshakeMessage& message) override;
  void on_bytes(Direction direction, Cause cause, uint64_t bytes) override;
  void issue(Issue issue) override;

  void decide(Bytes first, Direction direction);
  void forward(const StreamChunk& chunk);
  void say_hello();

  ConnectionInfo info_;
  ExchangeSink& sink_;
  const SecretStore& secrets_;
  StreamObserver* observer_;
  HttpLimits limits_;
  TcpConnection tcp_;
  Layer layer_ = Layer::undecided;
  std::string held_[2];  // < 3 bytes per direction, until the layer is known
  StreamChunk held_chunk_[2];
  std::unique_ptr<TlsSession> tls_;
  std::unique_ptr<HttpConnection> http_;
  Timestamp last_seen_;
  bool hello_said_ = false;
  bool finished_ = false;
};

}  // namespace vitrine
