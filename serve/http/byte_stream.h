// A connected socket, in the clear or under TLS.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "serve/http/message.h"

namespace vitrine::serve {

// One read and one write may be under way at a time. Callbacks come on the
// socket's executor and keep nothing alive: callers hold themselves.
class ByteStream {
 public:
  using Done = std::function<void(boost::system::error_code, size_t)>;
  virtual ~ByteStream() = default;

  virtual void handshake(std::function<void(boost::system::error_code)> done) = 0;
  virtual void read_some(boost::asio::mutable_buffer into, Done done) = 0;
  virtual void write(boost::asio::const_buffer bytes, Done done) = 0;  // all of them, or an error
  // Says the end (close_notify, FIN) and closes. What is under way ends with an error.
  virtual void close() = 0;
  virtual boost::asio::ip::tcp::socket& socket() = 0;
  // What the handshake showed; once, behind it. Nothing in the clear, and of a client's side.
  virtual std::optional<TlsHandshake> take_handshake() { return std::nullopt; }
};

std::unique_ptr<ByteStream> plain_stream(boost::asio::ip::tcp::socket socket);
// Borrows `context`.
std::unique_ptr<ByteStream> tls_stream(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context& context);

// The client's side of TLS: checks that the certificate is `host`'s.
std::unique_ptr<ByteStream> tls_client_stream(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context& context,
                                              const std::string& host);

}  // namespace vitrine::serve
