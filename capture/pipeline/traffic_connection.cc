#include "capture/pipeline/traffic_connection.h"

#include <algorithm>

namespace vitrine {
namespace {

constexpr size_t kDecisionBytes = 3;  // a TLS record's type and version

}  // namespace

TrafficConnection::TrafficConnection(ConnectionInfo info, const SecretStore& secrets, ExchangeSink& sink,
                                     StreamObserver* observer, HttpLimits http)
    : info_(std::move(info)),
      sink_(sink),
      secrets_(secrets),
      observer_(observer),
      limits_(http),
      tcp_(*this, *this, info_.id) {
  last_seen_ = info_.opened;
  sink_.connection(info_, ExchangeSink::ConnectionEvent::opened);
}

TrafficConnection::~TrafficConnection() = default;

void TrafficConnection::segment(Direction direction, const TcpHeader& tcp, Timestamp time, uint64_t packet) {
  last_seen_ = std::max(last_seen_, time);
  tcp_.segment(direction, tcp, time, packet);
}

void TrafficConnection::finish(StreamChunk::Close why, CloseReason reason, Timestamp time, uint64_t packet) {
  if (finished_) return;
  tcp_.finish(why, time, packet);
  info_.mid_stream = tcp_.mid_stream();
  if (layer_ == Layer::undecided) {
    for (Direction direction : {Direction::client_to_server, Direction::server_to_client}) {
      info_.overhead[static_cast<size_t>(direction)].add(Cause::unsupported,
                                                         held_[static_cast<size_t>(direction)].size());
    }
  }
  if (http_) http_->finish(reason, time, packet);
  if (info_.protocol.empty()) info_.protocol = info_.tls ? "tls" : "unknown";
  say_hello();
  finished_ = true;
  sink_.connection(info_, ExchangeSink::ConnectionEvent::closed);
}

void TrafficConnection::on_chunk(const StreamChunk& chunk) {
  if (observer_ != nullptr) observer_->raw(info_, chunk);
  if (layer_ != Layer::undecided) {
    forward(chunk);
    return;
  }
  const auto d = static_cast<size_t>(chunk.direction);
  if (chunk.kind == StreamChunk::Kind::data) {
    std::string& held = held_[d];
    if (held.empty()) held_chunk_[d] = chunk;
    if (held.size() + chunk.bytes.size() < kDecisionBytes) {
      held.append(as_text(chunk.bytes));
      return;
    }
    std::string first = held + std::string(as_text(chunk.bytes.first(std::min(chunk.bytes.size(), kDecisionBytes))));
    decide(as_bytes(first), chunk.direction);
  } else if (chunk.kind == StreamChunk::Kind::gap) {
    // Joining in the middle: the next data decides; a gap says nothing by
    // itself, but must reach the parser in its place.
    if (!held_[d].empty()) decide(as_bytes(held_[d]), chunk.direction);
    else {
      info_.overhead[d].add(chunk.gap_is_snaplen ? Cause::truncated : Cause::gap, chunk.gap_length);
      return;
    }
  } else {
    return;  // a close before any decision: finish() accounts what is held
  }
  for (const Direction direction : {chunk.direction, opposite(chunk.direction)}) {
    std::string& held = held_[static_cast<size_t>(direction)];
    if (held.empty()) continue;
    StreamChunk first = held_chunk_[static_cast<size_t>(direction)];
    first.bytes = as_bytes(held);
    forward(first);
    held.clear();
  }
  forward(chunk);
}

void TrafficConnection::decide(Bytes first, Direction) {
  if (looks_like_tls(first)) {
    layer_ = Layer::tls;
    info_.tls = true;
    tls_ = std::make_unique<TlsSession>(secrets_, static_cast<TlsSink&>(*this), info_.id);
  } else {
    layer_ = Layer::plain;
    http_ = std::make_unique<HttpConnection>(info_, sink_, limits_);
  }
}

void TrafficConnection::forward(const StreamChunk& chunk) {
  if (tls_) {
    tls_->on_chunk(chunk);
    return;
  }
  say_hello();
  if (observer_ != nullptr) observer_->plaintext(info_, chunk, {chunk.offset, chunk.bytes.size()});
  http_->on_chunk(chunk);
}

void TrafficConnection::on_tls_info(const TlsInfo& info) { info_.tls_info = info; }

void TrafficConnection::on_plaintext(const StreamChunk& chunk, StreamSpan record) {
  if (!http_) {
    http_ = std::make_unique<HttpConnection>(info_, sink_, limits_);
    http_->set_alpn(info_.tls_info.alpn);
  }
  if (chunk.kind == StreamChunk::Kind::data) say_hello();
  if (observer_ != nullptr) observer_->plaintext(info_, chunk, record);
  StreamChunk passed = chunk;
  passed.gap_accounted = chunk.kind == StreamChunk::Kind::gap;
  http_->on_chunk(passed);
}

void TrafficConnection::on_handshake(Direction direction, const tls::HandshakeMessage& message) {
  if (observer_ != nullptr) observer_->handshake(info_, direction, message);
}

void TrafficConnection::on_bytes(Direction direction, Cause cause, uint64_t bytes) {
  info_.overhead[static_cast<size_t>(direction)].add(cause, bytes);
}

void TrafficConnection::issue(Issue issue) {
  if (issue.connection == 0) issue.connection = info_.id;
  sink_.issue(std::move(issue));
}

// Late enough that the certificate has been read, early enough that the fields
// of the connection stand before those of its exchanges.
void TrafficConnection::say_hello() {
  if (hello_said_) return;
  hello_said_ = true;
  if (info_.tls) info_.tls_info = tls_->info();
  sink_.connection(info_, ExchangeSink::ConnectionEvent::hello);
}

}  // namespace vitrine
