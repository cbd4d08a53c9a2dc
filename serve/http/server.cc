#include "serve/http/server.h"

namespace vitrine::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

bool is_loopback(const asio::ip::address& address) {
  if (address.is_loopback()) return true;
  return address.is_v6() && address.to_v6().is_v4_mapped() &&
         asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
}

Result<std::unique_ptr<asio::ssl::context>> make_tls(const ListenOptions& options) {
  if (options.certificate.empty() && options.key.empty()) return std::unique_ptr<asio::ssl::context>();
  if (options.certificate.empty() || options.key.empty()) {
    return fail(ErrorCode::usage, "TLS needs a certificate and its key");
  }
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  error_code error;
  context->use_certificate_chain_file(options.certificate, error);
  if (error) return fail(ErrorCode::usage, "not a PEM certificate: " + error.message(), options.certificate);
  context->use_private_key_file(options.key, asio::ssl::context::pem, error);
  if (error) return fail(ErrorCode::usage, "not the certificate's PEM key: " + error.message(), options.key);
  SSL_CTX_set_alpn_select_cb(
      context->native_handle(),
      [](SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in, unsigned int in_length,
         void*) -> int {
        static constexpr unsigned char kHttp11[] = "\x08http/1.1";
        unsigned char* chosen = nullptr;
        if (SSL_select_next_proto(&chosen, length, kHttp11, sizeof kHttp11 - 1, in, in_length) !=
            OPENSSL_NPN_NEGOTIATED) {
          return SSL_TLSEXT_ERR_NOACK;
        }
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
      },
      nullptr);
  return context;
}

}  // namespace

std::string to_text(const tcp::endpoint& endpoint) {
  const bool v6 = endpoint.address().is_v6();
  return (v6 ? "[" : "") + endpoint.address().to_string() + (v6 ? "]:" : ":") + std::to_string(endpoint.port());
}

HttpServer::HttpServer(asio::io_context& io, const ListenOptions& options, Handler handler, TrafficObserver* observer)
    : io_(io), options_(options), acceptor_(io), retry_(io) {
  context_.bounds = options.bounds;
  context_.handler = std::move(handler);
  context_.observer = observer;
}

HttpServer::~HttpServer() { close(); }

Result<std::unique_ptr<HttpServer>> HttpServer::open(asio::io_context& io, const ListenOptions& options,
                                                     Handler handler, TrafficObserver* observer) {
  error_code error;
  const asio::ip::address address = asio::ip::make_address(options.address, error);
  if (error) return fail(ErrorCode::usage, "not an IP address: " + options.address);
  auto tls = make_tls(options);
  if (!tls) return tl::make_unexpected(tls.error());
  std::unique_ptr<HttpServer> server(new HttpServer(io, options, std::move(handler), observer));
  server->tls_ = std::move(*tls);
  const tcp::endpoint endpoint(address, options.port);
  tcp::acceptor& acceptor = server->acceptor_;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return fail(ErrorCode::unreadable, "cannot listen: " + error.message() + "; choose another with --listen",
                to_text(endpoint));
  }
  server->accept();
  return server;
}

uint16_t HttpServer::port() const {
  error_code error;
  const tcp::endpoint endpoint = acceptor_.local_endpoint(error);
  return error ? uint16_t{0} : endpoint.port();
}

void HttpServer::accept() {
  if (accepting_ || !acceptor_.is_open() || connections_.size() >= options_.connections) return;
  accepting_ = true;
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    accepting_ = false;
    if (!error) {
      add(std::move(socket));
      return accept();
    }
    // Out of descriptors, most likely: those that end make room.
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([this](error_code stopped) {
      if (!stopped) accept();
    });
  });
}

void HttpServer::add(tcp::socket socket) {
  error_code error;
  const tcp::endpoint client = socket.remote_endpoint(error);
  if (error) return;  // gone already
  const tcp::endpoint server = socket.local_endpoint(error);
  socket.set_option(tcp::no_delay(true), error);
  const uint64_t number = next_++;
  Peer peer{number, to_text(client), to_text(server), is_loopback(client.address()), tls_ != nullptr, {}};
  auto stream = tls_ ? tls_stream(std::move(socket), *tls_) : plain_stream(std::move(socket));
  auto connection = std::make_shared<Connection>(std::move(stream), peer, context_, [this](uint64_t ended) {
    connections_.erase(ended);
    accept();
  });
  connections_.emplace(number, connection);
  if (context_.observer == nullptr) return connection->begin({});
  context_.observer->identify(peer, [connection](std::string program) { connection->begin(std::move(program)); });
}

void HttpServer::drain() {
  context_.draining = true;
  error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
  const auto open = connections_;  // draining one erases it
  for (const auto& [number, weak] : open) {
    if (const auto connection = weak.lock()) connection->drain();
  }
}

void HttpServer::close() {
  drain();
  const auto open = connections_;
  for (const auto& [number, weak] : open) {
    if (const auto connection = weak.lock()) connection->close();
  }
}

HttpServer::Stats HttpServer::stats() const {
  return {connections_.size(), next_ - 1, context_.requests, context_.refused};
}

}  // namespace vitrine::serve
