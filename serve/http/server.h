// Listens, accepts, keeps count. All on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "serve/http/connection.h"

namespace vitrine::serve {

struct ListenOptions {
  std::string address = "127.0.0.1";  // an IP address
  uint16_t port = 11434;              // 0: any free one; see HttpServer::port()
  std::string certificate, key;       // PEM files; both empty: in the clear
  uint32_t connections = 4096;        // open at a time; further ones wait in the system's queue
  HttpBounds bounds;
};

// "127.0.0.1:80", "[::1]:80".
std::string to_text(const boost::asio::ip::tcp::endpoint& endpoint);

class HttpServer {
 public:
  // Listens at once; handles nothing before `io` runs. Borrows `io` and `observer`.
  // usage: not an address, a certificate that cannot be read; unreadable: the address cannot be had.
  static Result<std::unique_ptr<HttpServer>> open(boost::asio::io_context& io, const ListenOptions& options,
                                                  Handler handler, TrafficObserver* observer = nullptr);
  ~HttpServer();

  uint16_t port() const;
  bool tls() const { return tls_ != nullptr; }
  // Accepts nothing more; idle connections close, the others after their response.
  void drain();
  void close();  // cuts all

  struct Stats {
    uint64_t open = 0, accepted = 0, requests = 0, refused = 0;
  };
  Stats stats() const;

 private:
  HttpServer(boost::asio::io_context& io, const ListenOptions& options, Handler handler, TrafficObserver* observer);
  void accept();
  void add(boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& io_;
  ListenOptions options_;
  ConnectionContext context_;
  std::unique_ptr<boost::asio::ssl::context> tls_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  std::unordered_map<uint64_t, std::weak_ptr<Connection>> connections_;
  uint64_t next_ = 1;
  bool accepting_ = false;
};

}  // namespace vitrine::serve
