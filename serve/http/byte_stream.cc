#include "serve/http/byte_stream.h"

#include <boost/asio/read.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

namespace vitrine::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

void close_socket(asio::ip::tcp::socket& socket) {
  error_code ignored;
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  socket.close(ignored);
}

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}
  void handshake(std::function<void(error_code)> done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}); });
  }
  void read_some(asio::mutable_buffer into, Done done) override { socket_.async_read_some(into, std::move(done)); }
  void write(asio::const_buffer bytes, Done done) override { asio::async_write(socket_, bytes, std::move(done)); }
  void close() override { close_socket(socket_); }
  asio::ip::tcp::socket& socket() override { return socket_; }

 private:
  asio::ip::tcp::socket socket_;
};

class TlsStream : public ByteStream {
 public:
  TlsStream(asio::ip::tcp::socket socket, asio::ssl::context& context, asio::ssl::stream_base::handshake_type side)
      : stream_(std::make_shared<Stream>(std::move(socket), context)), side_(side) {}
  asio::ssl::stream<asio::ip::tcp::socket>& tls() { return *stream_; }
  void handshake(std::function<void(error_code)> done) override { stream_->async_handshake(side_, std::move(done)); }
  void read_some(asio::mutable_buffer into, Done done) override { stream_->async_read_some(into, std::move(done)); }
  void write(asio::const_buffer bytes, Done done) override { asio::async_write(*stream_, bytes, std::move(done)); }
  // Sends close_notify; who does not answer it within a second is closed all the same.
  void close() override {
    error_code ignored;
    if (!stream_->next_layer().is_open()) return;
    stream_->next_layer().cancel(ignored);
    auto timer = std::make_shared<asio::steady_timer>(stream_->get_executor(), std::chrono::seconds(1));
    const auto end = [stream = stream_, timer](error_code) {
      timer->cancel();
      close_socket(stream->next_layer());
    };
    timer->async_wait(end);
    stream_->async_shutdown(end);
  }
  asio::ip::tcp::socket& socket() override { return stream_->next_layer(); }

 private:
  using Stream = asio::ssl::stream<asio::ip::tcp::socket>;
  std::shared_ptr<Stream> stream_;
  const asio::ssl::stream_base::handshake_type side_;
};

}  // namespace

std::unique_ptr<ByteStream> plain_stream(asio::ip::tcp::socket socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

std::unique_ptr<ByteStream> tls_stream(asio::ip::tcp::socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsStream>(std::move(socket), context, asio::ssl::stream_base::server);
}

std::unique_ptr<ByteStream> tls_client_stream(asio::ip::tcp::socket socket, asio::ssl::context& context,
                                              const std::string& host) {
  auto stream = std::make_unique<TlsStream>(std::move(socket), context, asio::ssl::stream_base::client);
  SSL_set_tlsext_host_name(stream->tls().native_handle(), host.c_str());
  stream->tls().set_verify_callback(asio::ssl::host_name_verification(host));
  return stream;
}

}  // namespace vitrine::serve
