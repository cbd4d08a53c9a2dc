#include "serve/gateway.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <charconv>

#include "base/text.h"
#include "serve/http/byte_stream.h"

namespace vitrine::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAnswerTime = std::chrono::minutes(10);  // between two pieces of an answer
constexpr size_t kBacklog = 256 << 10;

// Of one connection only (RFC 9110, 7.6.1), or made anew here.
bool hop_by_hop(std::string_view name) {
  for (const std::string_view hop :
       {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length", "expect"}) {
    if (equals_ignoring_case(name, hop)) return true;
  }
  return false;
}

}  // namespace

Result<Upstream> parse_upstream(const std::string& url) {
  Upstream out;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    out.tls = true;
    out.port = 443;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return fail(ErrorCode::usage,
                "--upstream takes http://HOST:PORT or https://HOST:PORT, with a path in front of /v1 if there is one");
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  out.prefix = std::string(rest.substr(slash));
  while (out.prefix.ends_with('/')) out.prefix.pop_back();
  std::string_view authority = rest.substr(0, slash);
  if (authority.find('@') != authority.npos)
    return fail(ErrorCode::usage, "a key belongs into --upstream-key FILE, not into the URL");
  const size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  const size_t colon = bracket == authority.npos ? authority.npos : authority.find(':', bracket);
  if (colon != authority.npos) {
    const std::string_view port = authority.substr(colon + 1);
    const auto read = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (read.ec != std::errc() || read.ptr != port.data() + port.size() || out.port == 0) {
      return fail(ErrorCode::usage, "not a port in " + url);
    }
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']')) authority = authority.substr(1, authority.size() - 2);
  out.host = std::string(authority);
  if (out.host.empty()) return fail(ErrorCode::usage, "no host in " + url);
  return out;
}

Result<std::vector<tcp::endpoint>> resolve(const Upstream& upstream) {
  asio::io_context io;
  tcp::resolver resolver(io);
  error_code error;
  const auto found = resolver.resolve(upstream.host, std::to_string(upstream.port), error);
  if (error) return fail(ErrorCode::unreadable, "no address: " + error.message(), upstream.host);
  std::vector<tcp::endpoint> out;
  for (const auto& entry : found) out.push_back(entry.endpoint());
  return out;
}

struct Gateway::State {
  State(asio::io_context& i, Connector& c, Upstream u) : io(i), connector(c), upstream(std::move(u)) {}
  asio::io_context& io;
  Connector& connector;
  const Upstream upstream;
  std::unique_ptr<asio::ssl::context> tls;
  bool asks_keys = false;
  uint64_t forwarded = 0, connected = 0, failed = 0;
};

namespace {

// What Beast's read operations need of a stream, over one of ours.
class Reading {
 public:
  using executor_type = tcp::socket::executor_type;
  explicit Reading(ByteStream& stream) : stream_(stream) {}
  executor_type get_executor() { return stream_.socket().get_executor(); }
  template <class Buffers, class Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    return asio::async_initiate<Handler, void(error_code, size_t)>(
        [this](auto done, asio::mutable_buffer into) {
          auto shared = std::make_shared<decltype(done)>(std::move(done));
          stream_.read_some(into, [shared](error_code error, size_t bytes) { (*shared)(error, bytes); });
        },
        handler, *asio::buffer_sequence_begin(buffers));
  }

 private:
  ByteStream& stream_;
};

// One request on its way. Owner: what is under way for it.
class Forward : public std::enable_shared_from_this<Forward> {
 public:
  template <class State>
  Forward(State& state, RouteCall call)
      : upstream_(state.upstream),
        tls_(state.tls.get()),
        connected_(state.connected),
        failed_(state.failed),
        call_(std::move(call)),
        timer_(state.io) {
    parser_.body_limit(boost::none);
    parser_.header_limit(64 << 10);
    request_ = request_text(state.asks_keys);
  }

  void start(Connector& connector) {
    call_.responder->on_gone([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->close();
    });
    connector.connect([self = shared_from_this()](Result<tcp::socket> socket) { self->connected(std::move(socket)); });
  }

 private:
  std::string request_text(bool asks_keys) const {
    const HttpRequest& request = call_.request;
    std::string out = fmt::format("{} {}{} HTTP/1.1\r\n", request.method, upstream_.prefix, request.target);
    const bool v6 = upstream_.host.find(':') != std::string::npos;
    out += fmt::format("Host: {}{}{}:{}\r\n", v6 ? "[" : "", upstream_.host, v6 ? "]" : "", upstream_.port);
    for (const auto& [name, value] : request.headers) {
      if (hop_by_hop(name) || equals_ignoring_case(name, "host")) continue;
      const bool key = equals_ignoring_case(name, "authorization") || equals_ignoring_case(name, "x-api-key");
      if (key && (asks_keys || !upstream_.key.empty())) continue;  // the client's key is for this server
      if (equals_ignoring_case(name, "origin") || equals_ignoring_case(name, "cookie")) continue;
      out += fmt::format("{}: {}\r\n", name, value);
    }
    if (!upstream_.key.empty()) out += "Authorization: Bearer " + upstream_.key + "\r\n";
    if (!request.body.empty() || request.method == "POST")
      out += fmt::format("Content-Length: {}\r\n", request.body.size());
    return out + "Connection: close\r\n\r\n" + request.body;
  }

  void connected(Result<tcp::socket> socket) {
    if (!socket) return give_up(socket.error().message);
    ++connected_;
    if (call_.responder->gone()) return;
    error_code ignored;
    socket->set_option(tcp::no_delay(true), ignored);
    stream_ = tls_ != nullptr ? tls_client_stream(std::move(*socket), *tls_, upstream_.host)
                              : plain_stream(std::move(*socket));
    arm();
    stream_->handshake([self = shared_from_this()](error_code error) {
      if (error) return self->give_up("TLS: " + error.message());
      self->stream_->write(asio::buffer(self->request_), [self](error_code failed, size_t) {
        if (failed) return self->give_up(failed.message());
        self->read_head();
      });
    });
  }

  void read_head() {
    reading_.emplace(*stream_);
    http::async_read_header(*reading_, buffer_, parser_, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->give_up(error.message());
      self->send_head();
    });
  }

  void send_head() {
    const auto& head = parser_.get();
    Headers headers = call_.headers;
    for (const auto& field : head) {
      const std::string_view name(field.name_string().data(), field.name_string().size());
      if (hop_by_hop(name) || starts_with_ignoring_case(name, "access-control-") ||
          equals_ignoring_case(name, "set-cookie"))
        continue;
      headers.emplace_back(std::string(name), std::string(field.value().data(), field.value().size()));
    }
    begun_ = true;
    call_.responder->start(static_cast<int>(head.result_int()), std::move(headers));
    read_body();
  }

  void read_body() {
    if (call_.responder->gone()) return close();
    if (parser_.is_done()) {
      call_.responder->finish();
      return close();
    }
    arm();
    auto& body = parser_.get().body();
    body.data = piece_.data();
    body.size = piece_.size();
    http::async_read_some(*reading_, buffer_, parser_, [self = shared_from_this()](error_code error, size_t) {
      if (error == http::error::need_buffer) error = {};
      if (error) return self->give_up(error.message());
      const size_t count = self->piece_.size() - self->parser_.get().body().size;
      self->call_.responder->write(std::string_view(self->piece_.data(), count));
      if (self->call_.responder->backlog() < kBacklog) return self->read_body();
      self->timer_.cancel();  // the client's turn
      self->call_.responder->on_drained([self] { self->read_body(); });
    });
  }

  void give_up(const std::string& why) {
    if (stream_ && call_.responder->gone()) return close();
    ++failed_;
    if (begun_) {
      call_.responder->abort();
    } else {
      send_error(*call_.responder, api_of(call_.request.path),
                 {ErrorCode::unreadable, "the engine behind this server: " + why, {}}, call_.headers, 502,
                 "upstream_unreachable");
    }
    close();
  }

  void arm() {
    timer_.expires_after(kAnswerTime);
    timer_.async_wait([weak = weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (!error && self) self->give_up("no answer in time");
    });
  }

  void close() {
    timer_.cancel();
    if (stream_) stream_->close();
  }

  const Upstream& upstream_;
  asio::ssl::context* const tls_;
  uint64_t& connected_;
  uint64_t& failed_;
  RouteCall call_;
  std::string request_;
  std::unique_ptr<ByteStream> stream_;
  std::optional<Reading> reading_;
  asio::steady_timer timer_;
  beast::flat_buffer buffer_{256 << 10};
  http::response_parser<http::buffer_body> parser_;
  std::array<char, 32 << 10> piece_;
  bool begun_ = false;
};

}  // namespace

Gateway::Gateway(std::unique_ptr<State> state) : state_(std::move(state)) {}
Gateway::~Gateway() = default;

Result<std::unique_ptr<Gateway>> Gateway::create(asio::io_context& io, Connector& connector, Upstream upstream,
                                                 const std::string& certificates) {
  auto state = std::make_unique<State>(io, connector, std::move(upstream));
  if (state->upstream.tls) {
    state->tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(state->tls->native_handle(), TLS1_2_VERSION);
    error_code error;
    if (certificates.empty()) {
      state->tls->set_default_verify_paths(error);
    } else {
      state->tls->load_verify_file(certificates, error);
    }
    if (error) return fail(ErrorCode::usage, "cannot read the certificates: " + error.message(), certificates);
    state->tls->set_verify_mode(asio::ssl::verify_peer);
  }
  return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
}

void Gateway::add_routes(Router& router, bool asks_keys) {
  state_->asks_keys = asks_keys;
  for (const char* path : {"/v1/*", "/api/*"}) {
    for (const char* method : {"GET", "POST", "DELETE"}) {
      router.add(method, path, Router::Door::key, [this](RouteCall call) {
        ++state_->forwarded;
        std::make_shared<Forward>(*state_, std::move(call))->start(state_->connector);
      });
    }
  }
}

uint64_t Gateway::forwarded() const { return state_->forwarded; }
uint64_t Gateway::connected() const { return state_->connected; }
uint64_t Gateway::failed() const { return state_->failed; }

}  // namespace vitrine::serve
