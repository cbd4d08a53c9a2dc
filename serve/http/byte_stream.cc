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

constexpr size_t kMostMessage = 64 << 10;  // of a handshake; a longer one is not kept

// SSL_CTX_set_msg_callback(3): every handshake message, both ways, in the clear.
void keep_messages(int written, int, int content_type, const void* bytes, size_t length, SSL*, void* into) {
  auto& kept = *static_cast<TlsHandshake*>(into);
  if (content_type != SSL3_RT_HANDSHAKE || length == 0) return;
  const std::string_view message(static_cast<const char*>(bytes), length);
  const auto keep = [&](std::string& in) {
    if (in.empty() && length <= kMostMessage) in = message;
  };
  if (written == 0 && message[0] == SSL3_MT_CLIENT_HELLO) {
    kept.retried = !kept.client_hello.empty();
    keep(kept.client_hello);
  } else if (written == 1 && message[0] == SSL3_MT_CERTIFICATE) {
    keep(kept.certificate);
  }
}

class TlsStream : public ByteStream {
 public:
  TlsStream(asio::ip::tcp::socket socket, asio::ssl::context& context, asio::ssl::stream_base::handshake_type side)
      : held_(std::make_shared<Held>(std::move(socket), context)), side_(side) {
    if (side_ == asio::ssl::stream_base::client) return;
    SSL_set_msg_callback(native(), &keep_messages);
    SSL_set_msg_callback_arg(native(), &held_->handshake);
  }
  template <class Callback>
  void set_verify_callback(Callback callback) {
    held_->stream.set_verify_callback(std::move(callback));
  }
  SSL* native() { return held_->stream.native_handle(); }
  void handshake(std::function<void(error_code)> done) override {
    held_->stream.async_handshake(side_, std::move(done));
  }
  std::optional<TlsHandshake> take_handshake() override {
    if (side_ == asio::ssl::stream_base::client) return std::nullopt;
    SSL_set_msg_callback(native(), nullptr);
    TlsHandshake out = std::exchange(held_->handshake, {});
    out.version = static_cast<uint16_t>(SSL_version(native()));
    if (const SSL_CIPHER* cipher = SSL_get_current_cipher(native())) out.cipher = SSL_CIPHER_get_protocol_id(cipher);
    out.resumed = SSL_session_reused(native()) == 1;
    const unsigned char* protocol = nullptr;
    unsigned int length = 0;
    SSL_get0_alpn_selected(native(), &protocol, &length);
    if (length > 0) out.protocol.assign(reinterpret_cast<const char*>(protocol), length);
    return out;
  }
  void read_some(asio::mutable_buffer into, Done done) override {
    held_->stream.async_read_some(into, std::move(done));
  }
  void write(asio::const_buffer bytes, Done done) override { asio::async_write(held_->stream, bytes, std::move(done)); }
  // Sends close_notify; who does not answer it within a second is closed all the same.
  void close() override {
    error_code ignored;
    if (!socket().is_open()) return;
    socket().cancel(ignored);
    auto timer = std::make_shared<asio::steady_timer>(held_->stream.get_executor(), std::chrono::seconds(1));
    const auto end = [held = held_, timer](error_code) {
      timer->cancel();
      close_socket(held->stream.next_layer());
    };
    timer->async_wait(end);
    held_->stream.async_shutdown(end);
  }
  asio::ip::tcp::socket& socket() override { return held_->stream.next_layer(); }

 private:
  // Outlives this object while it says its end.
  struct Held {
    Held(asio::ip::tcp::socket socket, asio::ssl::context& context) : stream(std::move(socket), context) {}
    TlsHandshake handshake;  // the messages so far
    asio::ssl::stream<asio::ip::tcp::socket> stream;
  };
  const std::shared_ptr<Held> held_;
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
  SSL_set_tlsext_host_name(stream->native(), host.c_str());
  stream->set_verify_callback(asio::ssl::host_name_verification(host));
  return stream;
}

}  // namespace vitrine::serve
