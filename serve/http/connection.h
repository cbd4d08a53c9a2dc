// One connection: requests in, responses out, one at a time (HTTP/1.1, RFC 9112;
// HTTP/1.0). Beast's parser reads; every bound is ours.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <deque>
#include <optional>

#include "serve/http/byte_stream.h"
#include "serve/http/responder.h"

namespace vitrine::serve {

struct HttpBounds {
  uint32_t header_bytes = 64 << 10;
  uint64_t body_bytes = 32 << 20;     // of one request; more: 413
  uint64_t bodies_bytes = 256 << 20;  // of all requests that are being read; more: 503
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds idle{300'000};     // between requests
  std::chrono::milliseconds progress{30'000};  // of a request that is arriving, of a response that is taken
};

// What a server's connections share. Outlives them.
struct ConnectionContext {
  HttpBounds bounds;
  Handler handler;
  TrafficObserver* observer = nullptr;
  uint64_t bodies_bytes = 0;  // being read or answered now
  bool draining = false;      // the server is stopping: no further request on a connection
  uint64_t requests = 0, refused = 0;
};

// Owner: itself, through what is under way on it; the server holds a weak reference.
class Connection : public Responder, public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::unique_ptr<ByteStream> stream, Peer peer, ConnectionContext& context,
             std::function<void(uint64_t)> on_end);
  ~Connection() override;

  void begin(std::string program);  // at the client's end; empty: not known
  void drain();                     // closes it as soon as it is between requests
  void close();                     // now

  void send(int status, Headers headers, std::string body) override;
  void start(int status, Headers headers) override;
  void write(std::string_view piece) override;
  void finish() override;
  void abort() override;
  size_t backlog() const override { return writing_.size() + queued_.size(); }
  bool gone() const override { return stage_ == Stage::closed; }
  void on_drained(std::function<void()> callback) override { drained_ = std::move(callback); }
  void on_gone(std::function<void()> callback) override { gone_ = std::move(callback); }

 private:
  enum class Stage : uint8_t { handshake, idle, reading, answering, streaming, lingering, closed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void read();
  void on_read(size_t bytes);
  void parse();
  void next_request();
  bool check_head();  // false: refused
  void refuse(int status, std::string_view why);
  void dispatch();
  void put(std::string_view bytes);  // into the queue, seen by the observer
  void flush();
  void response_done();
  void set_timer(std::chrono::milliseconds time);
  void arm_timer();
  void linger();
  void release_body();
  std::string head(int status, const Headers& headers, std::string_view framing) const;

  std::unique_ptr<ByteStream> stream_;
  Peer peer_;
  ConnectionContext& context_;
  std::function<void(uint64_t)> on_end_;
  boost::asio::steady_timer timer_;

  Stage stage_ = Stage::handshake;
  bool read_pending_ = false;
  bool head_checked_ = false;
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  bool head_request_ = false;
  bool close_after_write_ = false;
  bool lingers_ = false;
  uint64_t lingered_ = 0;  // bytes
  uint64_t claimed_ = 0;   // of context_.bodies_bytes
  std::string input_;      // read, not parsed
  std::string chunk_;      // where reads go
  std::optional<Parser> parser_;
  std::string writing_, queued_;  // under way; behind it
  std::function<void()> drained_, gone_;
};

}  // namespace vitrine::serve
