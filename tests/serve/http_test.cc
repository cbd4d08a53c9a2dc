// The HTTP front with real sockets: what it refuses, bounds, and notices.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <thread>

#include "serve/http/server.h"

namespace vitrine::serve {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// What the observer saw of all connections, by direction.
struct Seen : TrafficObserver {
  void opened(const Peer&, const TlsHandshake*) override { ++open; }
  void bytes(const Peer&, bool from_client, std::string_view bytes) override { (from_client ? in : out).append(bytes); }
  void closed(const Peer&) override { ++ended; }
  std::string in, out;
  int open = 0, ended = 0;
};

class HttpTest : public ::testing::Test {
 protected:
  void start(HttpBounds bounds = {}, uint32_t connections = 100) {
    ListenOptions options;
    options.port = 0;
    options.bounds = bounds;
    options.connections = connections;
    auto opened = HttpServer::open(
        io_, options,
        [this](HttpRequest request, std::shared_ptr<Responder> responder) { route(std::move(request), responder); },
        &seen_);
    ASSERT_TRUE(opened) << opened.error().to_string();
    server_ = std::move(*opened);
    port_ = server_->port();
    thread_ = std::thread([this] { io_.run(); });
  }
  template <class F>
  auto on_server(F f) {
    std::packaged_task<decltype(f())()> task(std::move(f));
    auto result = task.get_future();
    boost::asio::post(io_, [&] { task(); });
    return result.get();
  }

  void TearDown() override {
    if (!thread_.joinable()) return;
    on_server([this] {
      server_.reset();
      io_.stop();
    });
    thread_.join();
  }

  void route(HttpRequest request, const std::shared_ptr<Responder>& responder) {
    if (request.path == "/echo") {
      return responder->send(200, {{"X-Method", request.method}}, request.body);
    }
    if (request.path == "/stream") {
      responder->start(200, {});
      for (int i = 0; i < 3; ++i) responder->write("piece" + std::to_string(i));
      return responder->finish();
    }
    if (request.path == "/never") {
      responder->on_gone([this] { gone_.set_value(); });
      return held_.push_back(responder);
    }
    if (request.path == "/flood") {
      responder->start(200, {});
      responder->write(std::string(64 << 20, 'x'));
      backlog_.set_value(responder->backlog());
      responder->on_drained([this, responder] {
        drained_.set_value();
        responder->finish();
      });
      return;
    }
    if (request.path == "/cut") {
      responder->start(200, {});
      responder->write("half");
      return responder->abort();
    }
    responder->send(404, {}, "?");
  }

  int connect_client() const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    timeval limit = {10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  static void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return;  // refused midway: what was answered is read
      text.remove_prefix(static_cast<size_t>(n));
    }
  }
  static std::string read_all(int fd) {
    std::string out;
    char piece[65536];
    for (ssize_t n = 0; (n = recv(fd, piece, sizeof piece, 0)) > 0;) out.append(piece, static_cast<size_t>(n));
    return out;
  }
  static std::string read_until(int fd, std::string_view end) {
    std::string out;
    char c = 0;
    while (!out.ends_with(end) && recv(fd, &c, 1, 0) == 1) out += c;
    return out;
  }
  // Everything that comes back on a connection of its own.
  std::string ask(std::string_view text) const {
    const int fd = connect_client();
    write_all(fd, text);
    shutdown(fd, SHUT_WR);
    std::string out = read_all(fd);
    close(fd);
    return out;
  }
  std::string ask_open(std::string_view text) const {  // without saying that no more comes
    const int fd = connect_client();
    write_all(fd, text);
    std::string out = read_all(fd);
    close(fd);
    return out;
  }

  boost::asio::io_context io_;
  // run() goes on without a connection: after drain() a test still asks the server.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  Seen seen_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
  uint16_t port_ = 0;
  std::promise<void> gone_, drained_;
  std::promise<size_t> backlog_;
  std::vector<std::shared_ptr<Responder>> held_;
};

constexpr std::string_view kHost = "Host: localhost\r\n";

TEST_F(HttpTest, AnswersAndKeepsTheConnection) {
  start();
  const int fd = connect_client();
  for (int i = 0; i < 3; ++i) {
    write_all(fd, "POST /echo?q=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    const std::string head = read_until(fd, "\r\n\r\n");
    EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(head, HasSubstr("Content-Length: 5\r\n"));
    EXPECT_THAT(head, HasSubstr("Connection: keep-alive"));
    EXPECT_EQ(read_until(fd, "hello"), "hello");
  }
  close(fd);
}

TEST_F(HttpTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  const std::string request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n";
  const std::string out = ask_open(request + "\r\n1" + request + "\r\n2" + request + "Connection: close\r\n\r\n3");
  EXPECT_LT(out.find("\r\n\r\n1"), out.find("\r\n\r\n2"));
  EXPECT_LT(out.find("\r\n\r\n2"), out.find("\r\n\r\n3"));
  EXPECT_THAT(out, HasSubstr("\r\n\r\n3"));
}

TEST_F(HttpTest, RequestsArriveByteByByte) {
  start();
  const int fd = connect_client();
  for (const char c :
       std::string("\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                   "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")) {
    write_all(fd, std::string(1, c));
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_THAT(read_all(fd), HasSubstr("\r\n\r\nabcdefg"));
  close(fd);
}

TEST_F(HttpTest, StreamsInChunks) {
  start();
  EXPECT_THAT(ask_open("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              HasSubstr("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                        "6\r\npiece0\r\n6\r\npiece1\r\n6\r\npiece2\r\n0\r\n\r\n"));
  // HTTP/1.0 has no chunks: the end of the connection is the end.
  const std::string old = ask_open("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old, Not(HasSubstr("chunked")));
  EXPECT_TRUE(old.ends_with("\r\n\r\npiece0piece1piece2")) << old;
  const std::string head = ask_open("HEAD /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
  EXPECT_THAT(head, Not(HasSubstr("piece")));
}

TEST_F(HttpTest, AnAbortedStreamIsSeenAsCut) {
  start();
  const std::string out = ask_open("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(out.ends_with("4\r\nhalf\r\n")) << out;  // no last chunk
}

TEST_F(HttpTest, ContinueIsSaidBeforeTheBody) {
  start();
  const int fd = connect_client();
  write_all(fd,
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(read_until(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  write_all(fd, "ok");
  EXPECT_THAT(read_all(fd), HasSubstr("\r\n\r\nok"));
  close(fd);
}

// One answer, and the connection ends.
TEST_F(HttpTest, RefusesWhatProxiesDisagreeAbout) {
  start({.header_bytes = 4096, .body_bytes = 1000});
  const std::pair<std::string, std::string_view> cases[] = {
      {"GET /echo HTTP/1.1\r\n\r\n", "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost : a\r\n\r\n", "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "400"},
      {"GET /ec ho HTTP/1.1\r\nHost: a\r\n\r\n", "505"},
      {"GET /echo HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'), "413"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') +
           "\r\n0\r\n\r\n",
       "413"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nX: " + std::string(5000, 'x') + "\r\n\r\n", "431"},
      {"GET /" + std::string(5000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
  };
  for (const auto& [text, status] : cases) {
    const std::string out = ask(text);
    EXPECT_THAT(out, StartsWith("HTTP/1.1 " + std::string(status))) << text.substr(0, 120) << "\n-> " << out;
    EXPECT_THAT(out, HasSubstr("Connection: close")) << text.substr(0, 120);
    EXPECT_THAT(out, HasSubstr("{\"error\":{\"message\":")) << text.substr(0, 120);
  }
  std::string many = "GET /echo HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 300; ++i) many += "a: b\r\n";
  EXPECT_THAT(ask(many + "\r\n"), StartsWith("HTTP/1.1 431"));
}

// The answer to a body that is refused arrives although the client goes on sending.
TEST_F(HttpTest, ARefusedUploadReadsItsAnswer) {
  start({.body_bytes = 1 << 20});
  const int fd = connect_client();
  write_all(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n");
  write_all(fd, std::string(16 << 20, 'x'));
  EXPECT_THAT(read_all(fd), StartsWith("HTTP/1.1 413"));
  close(fd);
}

TEST_F(HttpTest, ManyLargeBodiesAtOnceAreRefused) {
  start({.body_bytes = 1000, .bodies_bytes = 1500});
  const int first = connect_client();
  write_all(first, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
  std::this_thread::sleep_for(50ms);
  EXPECT_THAT(ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n"), StartsWith("HTTP/1.1 503"));
  close(first);
  for (int i = 0; on_server([this] { return server_->stats().open; }) > 0 && i < 100; ++i)
    std::this_thread::sleep_for(10ms);
  EXPECT_THAT(ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"),
              StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpTest, SlowRequestsEnd) {
  start({.idle = 200ms, .progress = 100ms});
  const int fd = connect_client();
  EXPECT_EQ(read_all(fd), "");  // idle: closed without a word
  close(fd);
  EXPECT_THAT(ask_open("GET /echo HTT"), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(ask_open("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"), StartsWith("HTTP/1.1 408"));
}

TEST_F(HttpTest, NoticesThatAClientLeft) {
  start();
  const int fd = connect_client();
  write_all(fd, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
  auto gone = gone_.get_future();
  EXPECT_EQ(gone.wait_for(100ms), std::future_status::timeout);
  close(fd);
  EXPECT_EQ(gone.wait_for(5s), std::future_status::ready);
  EXPECT_TRUE(on_server([this] { return held_.at(0)->gone(); }));
}

TEST_F(HttpTest, SlowReadersAreABacklogNotAWait) {
  start();
  const int fd = connect_client();
  write_all(fd, "GET /flood HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  auto drained = drained_.get_future();
  EXPECT_GT(backlog_.get_future().get(), size_t{32} << 20);
  EXPECT_EQ(drained.wait_for(200ms), std::future_status::timeout);
  // Meanwhile others are served.
  EXPECT_THAT(ask_open("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"),
              HasSubstr("\r\n\r\nx"));
  EXPECT_GT(read_all(fd).size(), size_t{64} << 20);
  EXPECT_EQ(drained.wait_for(5s), std::future_status::ready);
  close(fd);
}

TEST_F(HttpTest, FurtherConnectionsWait) {
  start({}, 2);
  const int a = connect_client(), b = connect_client(), c = connect_client();
  write_all(c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(on_server([this] { return server_->stats().open; }), 2u);
  close(a);
  EXPECT_THAT(read_all(c), HasSubstr("\r\n\r\nx"));
  close(b);
  close(c);
}

TEST_F(HttpTest, DrainsWithoutCutting) {
  start();
  const int idle = connect_client(), busy = connect_client();
  write_all(busy, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
  std::this_thread::sleep_for(100ms);
  on_server([this] { server_->drain(); });
  EXPECT_EQ(read_all(idle), "");
  on_server([this] { held_.at(0)->send(200, {}, "done"); });
  EXPECT_THAT(read_all(busy), HasSubstr("done"));
  EXPECT_EQ(on_server([this] { return server_->stats().open; }), 0u);
  close(idle);
  close(busy);
}

TEST_F(HttpTest, TheObserverSeesEveryByteOnce) {
  start();
  const std::string request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
  const std::string out = ask_open(request);
  for (int i = 0; on_server([this] { return seen_.ended; }) == 0 && i < 100; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(on_server([this] { return seen_.in; }), request);
  EXPECT_EQ(on_server([this] { return seen_.out; }), out);
  EXPECT_EQ(seen_.open, 1);
}

TEST(HttpServerOpen, SaysWhatIsWrong) {
  boost::asio::io_context io;
  const auto open = [&](std::string address, uint16_t port, std::string certificate, std::string key) {
    ListenOptions options;
    options.address = std::move(address);
    options.port = port;
    options.certificate = std::move(certificate);
    options.key = std::move(key);
    return HttpServer::open(io, options, {});
  };
  EXPECT_THAT(open("localhost", 0, "", "").error().message, HasSubstr("not an IP address"));
  EXPECT_THAT(open("127.0.0.1", 0, "/nowhere", "").error().message, HasSubstr("its key"));
  EXPECT_EQ(open("127.0.0.1", 0, "/nowhere", "/nowhere").error().where, "/nowhere");
  EXPECT_EQ(open("192.0.2.1", 0, "", "").error().code, ErrorCode::unreadable);  // no address of this machine
  auto first = open("127.0.0.1", 0, "", "");
  ASSERT_TRUE(first);
  EXPECT_EQ(open("127.0.0.1", (*first)->port(), "", "").error().code, ErrorCode::unreadable);
}

}  // namespace
}  // namespace vitrine::serve
