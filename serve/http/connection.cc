#include "serve/http/connection.h"

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/text.h"

namespace vitrine::serve {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr size_t kReadBytes = 16 << 10;
constexpr size_t kReadAhead = 64 << 10;  // of a next request while one is answered
constexpr size_t kHeaderFields = 200;
constexpr size_t kLingerBytes = 256 << 20;
constexpr milliseconds kLingerTime{2000};

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

struct HeadError {
  int status;
  std::string_view why;
};

HeadError describe(const error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return {431, "the header fields are too large"};
  }
  if (error == http::error::body_limit) return {413, "the body is too large"};
  if (error == http::error::bad_version) return {505, "HTTP/1.0 and HTTP/1.1 are spoken here"};
  if (error == http::error::bad_transfer_encoding) {
    return {400, "a transfer coding other than chunked, or beside Content-Length"};
  }
  return {400, "not a valid HTTP/1.1 request"};
}

}  // namespace

Connection::Connection(std::unique_ptr<ByteStream> stream, Peer peer, ConnectionContext& context,
                       std::function<void(uint64_t)> on_end)
    : stream_(std::move(stream)),
      peer_(std::move(peer)),
      context_(context),
      on_end_(std::move(on_end)),
      timer_(stream_->socket().get_executor()) {}

Connection::~Connection() = default;

void Connection::begin(std::string program) {
  if (stage_ == Stage::closed) return;
  peer_.program = std::move(program);
  set_timer(context_.bounds.handshake);
  stream_->handshake([self = shared_from_this()](error_code error) {
    if (self->stage_ == Stage::closed) return;
    if (error) return self->close();
    const auto tls = self->stream_->take_handshake();
    if (self->context_.observer != nullptr) self->context_.observer->opened(self->peer_, tls ? &*tls : nullptr);
    self->next_request();
  });
}

void Connection::drain() {
  if (stage_ == Stage::idle || stage_ == Stage::handshake) close();
  keep_alive_ = false;
}

void Connection::close() {
  if (stage_ == Stage::closed) return;
  const bool was_open = stage_ != Stage::handshake;
  stage_ = Stage::closed;
  release_body();
  timer_.cancel();
  stream_->close();
  if (was_open && context_.observer != nullptr) context_.observer->closed(peer_);
  queued_.clear();
  drained_ = nullptr;
  if (auto gone = std::exchange(gone_, nullptr)) gone();
  on_end_(peer_.connection);
}

void Connection::set_timer(milliseconds time) {
  timer_.expires_after(time);
  timer_.async_wait([weak = weak_from_this()](error_code error) {
    if (error) return;
    const auto self = weak.lock();
    if (!self || self->stage_ == Stage::closed || self->timer_.expiry() > std::chrono::steady_clock::now()) return;
    if (self->stage_ == Stage::reading && self->parser_ && self->parser_->got_some()) {
      return self->refuse(408, "the request did not arrive in time");
    }
    self->close();
  });
}

// What a finished write leaves to be waited for.
void Connection::arm_timer() {
  switch (stage_) {
    case Stage::idle: return set_timer(context_.bounds.idle);
    case Stage::reading: return set_timer(context_.bounds.progress);
    default: timer_.cancel();  // how long an answer takes is the route's matter
  }
}

// A refused request may still be on its way; closing at once would reset the
// connection and take the answer with it (RFC 9112, 9.6).
void Connection::linger() {
  stage_ = Stage::lingering;
  error_code ignored;
  if (!peer_.tls) stream_->socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  set_timer(kLingerTime);
  input_.clear();
  read();
}

// ---- reading

void Connection::next_request() {
  stage_ = Stage::idle;
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(context_.bounds.header_bytes);
  parser_->body_limit(context_.bounds.body_bytes);
  head_checked_ = false;
  set_timer(context_.bounds.idle);
  if (input_.empty()) return read();
  parse();
}

void Connection::read() {
  if (read_pending_ || stage_ == Stage::closed) return;
  read_pending_ = true;
  chunk_.resize(kReadBytes);
  stream_->read_some(boost::asio::buffer(chunk_), [self = shared_from_this()](error_code error, size_t bytes) {
    self->read_pending_ = false;
    if (self->stage_ == Stage::closed) return;
    if (error) return self->close();
    self->on_read(bytes);
  });
}

void Connection::on_read(size_t bytes) {
  if (context_.observer != nullptr) context_.observer->bytes(peer_, true, std::string_view(chunk_).substr(0, bytes));
  input_.append(chunk_, 0, bytes);
  if (stage_ == Stage::lingering) {
    lingered_ += input_.size();
    input_.clear();
    return lingered_ < kLingerBytes ? read() : close();
  }
  if (!parser_) {
    // Part of a next request. Reading on is how the client's leaving is noticed.
    if (input_.size() < kReadAhead) read();
    return;
  }
  parse();
}

void Connection::parse() {
  if (stage_ == Stage::idle) {
    // Empty lines in front of a request are to be ignored (RFC 9112, 2.2).
    const size_t text = std::min(input_.find_first_not_of("\r\n"), input_.size());
    input_.erase(0, text);
    if (input_.empty()) return read();
    stage_ = Stage::reading;
  }
  set_timer(context_.bounds.progress);
  size_t done = 0;
  while (done < input_.size() && !parser_->is_done()) {
    error_code error;
    done += parser_->put(boost::asio::buffer(input_.data() + done, input_.size() - done), error);
    if (error == http::error::need_more) break;
    if (error) {
      const HeadError reason = describe(error);
      return refuse(reason.status, reason.why);
    }
    if (parser_->is_header_done() && !head_checked_) {
      head_checked_ = true;
      if (!check_head()) return;
    }
  }
  input_.erase(0, done);
  if (!parser_->is_header_done() && input_.size() > context_.bounds.header_bytes) {
    return refuse(431, "the header fields are too large");
  }
  if (!parser_->is_header_done()) return read();
  if (!head_checked_) {
    head_checked_ = true;
    if (!check_head()) return;
  }
  if (!parser_->is_done()) return read();
  dispatch();
}

bool Connection::check_head() {
  const auto& message = parser_->get();
  if (static_cast<size_t>(std::distance(message.begin(), message.end())) > kHeaderFields) {
    refuse(431, "more than 200 header fields");
    return false;
  }
  // One Host, and not both ways to end a body: what proxies disagree about is refused (RFC 9112, 3.2 and 6.3).
  if (message.count(http::field::host) != 1 && (message.version() >= 11 || message.count(http::field::host) > 1)) {
    refuse(400, "exactly one Host header is needed");
    return false;
  }
  if (message.count(http::field::transfer_encoding) > 0 && message.count(http::field::content_length) > 0) {
    refuse(400, "Content-Length and Transfer-Encoding in one request");
    return false;
  }
  if (const auto length = parser_->content_length_remaining()) {
    if (context_.bodies_bytes + *length > context_.bounds.bodies_bytes) {
      refuse(503, "too many large requests at once; try again");
      return false;
    }
    claimed_ = *length;
    context_.bodies_bytes += claimed_;
  } else if (message.chunked()) {  // unknown: counted as the most it may be
    if (context_.bodies_bytes + context_.bounds.body_bytes > context_.bounds.bodies_bytes) {
      refuse(503, "too many large requests at once; try again");
      return false;
    }
    claimed_ = context_.bounds.body_bytes;
    context_.bodies_bytes += claimed_;
  }
  if (equals_ignoring_case(view(message[http::field::expect]), "100-continue") && !parser_->is_done()) {
    put("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return true;
}

void Connection::release_body() {
  context_.bodies_bytes -= claimed_;
  claimed_ = 0;
}

void Connection::dispatch() {
  auto message = parser_->release();
  HttpRequest request;
  request.method = std::string(view(message.method_string()));
  request.target = std::string(view(message.target()));
  const size_t question = request.target.find('?');
  request.path = request.target.substr(0, question);
  if (question != std::string::npos) request.query = request.target.substr(question + 1);
  for (const auto& field : message) {
    request.headers.emplace_back(std::string(view(field.name_string())), std::string(view(field.value())));
  }
  request.body = std::move(message.body());
  request.peer = peer_;
  keep_alive_ = message.keep_alive() && !context_.draining;
  http_1_0_ = message.version() < 11;
  head_request_ = message.method() == http::verb::head;
  parser_.reset();
  stage_ = Stage::answering;
  ++context_.requests;
  arm_timer();
  read();
  context_.handler(std::move(request), shared_from_this());
}

// ---- writing

std::string Connection::head(int status, const Headers& headers, std::string_view framing) const {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", status, status_text(status));
  for (const auto& [name, value] : headers) out += fmt::format("{}: {}\r\n", name, value);
  out += framing;
  out += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return out;
}

void Connection::refuse(int status, std::string_view why) {
  ++context_.refused;
  keep_alive_ = false;
  lingers_ = true;
  parser_.reset();
  stage_ = Stage::answering;
  std::string body;
  JsonWriter(body).begin().key("error").begin().key("message").string(why).key("type").string("invalid_request_error");
  body += "}}";
  send(status, {{"Content-Type", "application/json"}}, std::move(body));
}

void Connection::send(int status, Headers headers, std::string body) {
  if (stage_ != Stage::answering) return;
  std::string out = head(status, headers, fmt::format("Content-Length: {}\r\n", body.size()));
  if (!head_request_) out += body;
  stage_ = Stage::streaming;
  put(out);
  response_done();
}

void Connection::start(int status, Headers headers) {
  if (stage_ != Stage::answering) return;
  if (http_1_0_) keep_alive_ = false;  // no chunks there: the end of the connection is the end of the body
  stage_ = Stage::streaming;
  put(head(status, headers, http_1_0_ ? "" : "Transfer-Encoding: chunked\r\n"));
}

void Connection::write(std::string_view piece) {
  if (stage_ != Stage::streaming || piece.empty() || head_request_) return;
  if (http_1_0_) return put(piece);
  std::string chunk = fmt::format("{:x}\r\n", piece.size());
  chunk.append(piece).append("\r\n");
  put(chunk);
}

void Connection::finish() {
  if (stage_ != Stage::streaming) return;
  if (!http_1_0_ && !head_request_) put("0\r\n\r\n");
  response_done();
}

void Connection::abort() {
  if (stage_ != Stage::streaming && stage_ != Stage::answering) return;
  keep_alive_ = false;
  close_after_write_ = true;
  drained_ = gone_ = nullptr;
  flush();
}

void Connection::response_done() {
  drained_ = gone_ = nullptr;
  release_body();
  close_after_write_ = !keep_alive_;
  if (!close_after_write_) stage_ = Stage::idle;
  flush();
}

void Connection::put(std::string_view bytes) {
  if (context_.observer != nullptr) context_.observer->bytes(peer_, false, bytes);
  queued_.append(bytes);
  flush();
}

void Connection::flush() {
  if (stage_ == Stage::closed || !writing_.empty()) return;
  if (queued_.empty()) {
    if (close_after_write_) return lingers_ ? linger() : close();
    if (stage_ == Stage::idle && !parser_) return next_request();
    return;
  }
  writing_.swap(queued_);
  set_timer(context_.bounds.progress);
  stream_->write(boost::asio::buffer(writing_), [self = shared_from_this()](error_code error, size_t) {
    self->writing_.clear();
    if (self->writing_.capacity() > (1 << 20)) self->writing_.shrink_to_fit();
    if (self->stage_ == Stage::closed) return;
    if (error) return self->close();
    self->arm_timer();
    if (self->queued_.empty() && self->drained_) std::exchange(self->drained_, nullptr)();
    self->flush();
  });
}

}  // namespace vitrine::serve
