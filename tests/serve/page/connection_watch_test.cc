#include "serve/page/connection_watch.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

namespace vitrine::serve {
namespace {

// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) { EXPECT_GE(fd, 0); }
  ~Fd() { reset(); }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

uint16_t listen_on(int fd) {
  sockaddr_in address = loopback(0);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(fd, 128), 0);
  socklen_t length = sizeof address;
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

void connect_to(int fd, uint16_t port) {
  const sockaddr_in address = loopback(port);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

// Both ends of each connection are this process's, so each counts twice: as accepted, and as opened.
TEST(SocketCensus, TellsClientsFromWhatWasOpened) {
  std::set<uint16_t> listened;
  const SocketCensus before = take_census(listened);
  ASSERT_TRUE(before.complete);
  Fd server(socket(AF_INET, SOCK_STREAM, 0));
  const uint16_t port = listen_on(server.get());
  EXPECT_EQ(take_census(listened).listening, before.listening + 1);
  EXPECT_TRUE(listened.contains(port));

  Fd client(socket(AF_INET, SOCK_STREAM, 0));
  connect_to(client.get(), port);
  Fd accepted(accept(server.get(), nullptr, nullptr));
  SocketCensus census = take_census(listened);
  EXPECT_EQ(census.accepted, before.accepted + 1);
  ASSERT_EQ(census.elsewhere.size(), before.elsewhere.size() + 1);
  EXPECT_EQ(census.elsewhere.back().what, "tcp 127.0.0.1:" + std::to_string(port));

  // The listener ends; what it accepted is still that.
  server.reset();
  EXPECT_EQ(take_census(listened).accepted, before.accepted + 1);
  client.reset();
  EXPECT_EQ(take_census(listened).elsewhere.size(), before.elsewhere.size());
}

TEST(SocketCensus, CountsWhateverCouldSend) {
  std::set<uint16_t> listened;
  const SocketCensus before = take_census(listened);
  Fd udp(socket(AF_INET, SOCK_DGRAM, 0)), udp6(socket(AF_INET6, SOCK_DGRAM, 0)), tcp(socket(AF_INET, SOCK_STREAM, 0));
  SocketCensus census = take_census(listened);
  ASSERT_EQ(census.elsewhere.size(), before.elsewhere.size() + 3);
  EXPECT_EQ(census.elsewhere.back().what, "tcp not connected");
  connect_to(udp.get(), 9);
  census = take_census(listened);
  EXPECT_EQ(census.elsewhere[before.elsewhere.size()].what, "udp 127.0.0.1:9");

  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Fd one(pair[0]), two(pair[1]), netlink(socket(AF_NETLINK, SOCK_RAW, 0));
  const SocketCensus more = take_census(listened);
  EXPECT_EQ(more.elsewhere.size(), census.elsewhere.size());
  EXPECT_EQ(more.unix_sockets, census.unix_sockets + 2);
  EXPECT_EQ(more.netlink, census.netlink + 1);
}

// A client's connection that is closed while it is asked about is not taken for one that leads elsewhere.
TEST(SocketCensus, ClientsMayLeaveMeanwhile) {
  constexpr size_t kTogether = 64;
  std::set<uint16_t> listened;
  Fd server(socket(AF_INET, SOCK_STREAM, 0));
  const uint16_t port = listen_on(server.get());
  const pid_t clients = fork();
  ASSERT_GE(clients, 0);
  while (clients == 0) {
    int client[kTogether];
    for (int& one : client) {
      one = socket(AF_INET, SOCK_STREAM, 0);
      const linger reset = {1, 0};  // no port is left waiting
      setsockopt(one, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
      const sockaddr_in address = loopback(port);
      if (connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) _exit(0);
    }
    for (const int one : client) {
      char byte;
      (void)recv(one, &byte, 1, 0);  // until the server has closed it
      close(one);
    }
  }
  const size_t elsewhere = take_census(listened).elsewhere.size();
  size_t left = 0;
  std::thread leaving([&] {
    std::vector<int> open;
    for (int client; (client = accept(server.get(), nullptr, nullptr)) >= 0;) {
      open.push_back(client);
      if (open.size() < kTogether) continue;
      for (const int one : open) close(one);
      left += open.size();
      open.clear();
    }
    for (const int one : open) close(one);
  });
  size_t most = 0;
  for (int i = 0; i < 5000; ++i) most = std::max(most, take_census(listened).elsewhere.size());
  shutdown(server.get(), SHUT_RDWR);  // accept() fails, and so does connect()
  leaving.join();
  EXPECT_EQ(waitpid(clients, nullptr, 0), clients);
  EXPECT_GT(left, kTogether);
  EXPECT_EQ(most, elsewhere);
}

TEST(ConnectionWatch, TheDeclaredEngineIsCountedApart) {
  Fd engine(socket(AF_INET, SOCK_STREAM, 0)), other(socket(AF_INET, SOCK_STREAM, 0));
  const uint16_t engine_port = listen_on(engine.get()), other_port = listen_on(other.get());
  std::set<uint16_t> listened;
  const DeclaredAddresses declared = {"127.0.0.1:" + std::to_string(engine_port)};
  const SocketCensus before = take_census(listened, declared);
  Fd to_engine(socket(AF_INET, SOCK_STREAM, 0)), to_other(socket(AF_INET, SOCK_STREAM, 0)),
      datagram(socket(AF_INET, SOCK_DGRAM, 0));
  connect_to(to_engine.get(), engine_port);
  connect_to(to_other.get(), other_port);
  connect_to(datagram.get(), engine_port);  // not what a gateway does: elsewhere
  const SocketCensus census = take_census(listened, declared);
  ASSERT_EQ(census.upstream.size(), before.upstream.size() + 1);
  EXPECT_EQ(census.upstream.back().what, "tcp " + *declared.begin());
  EXPECT_EQ(census.elsewhere.size(), before.elsewhere.size() + 2);
  EXPECT_TRUE(take_census(listened).upstream.empty());

  ConnectionWatch watch(std::chrono::milliseconds(10), declared);
  const auto json = nlohmann::json::parse(to_json(watch.report(), true, 7));
  EXPECT_EQ(json["upstream"]["now"], 1);
  EXPECT_EQ(json["upstream"]["total"], 7);
}

TEST(ConnectionWatch, CountsEachSocketOnceAndForgetsNone) {
  ConnectionWatch watch(std::chrono::milliseconds(10));
  const uint64_t before = watch.report().elsewhere_total;
  {
    Fd udp(socket(AF_INET, SOCK_DGRAM, 0));
    connect_to(udp.get(), 9);
    watch.report();
    watch.report();
    // Looks come by themselves.
    const uint64_t looks = watch.report().looks;
    while (watch.report().looks < looks + 10) usleep(2000);
    EXPECT_EQ(watch.report().elsewhere_total, before + 1);
  }
  ConnectionReport report = watch.report();
  EXPECT_EQ(report.elsewhere_total, before + 1);
  EXPECT_EQ(report.recent.back(), "udp 127.0.0.1:9");
  {
    Fd again(socket(AF_INET, SOCK_DGRAM, 0));
    EXPECT_EQ(watch.report().elsewhere_total, before + 2);
  }
  report = watch.report();
  EXPECT_GE(report.threads, 2u);
  const auto json = nlohmann::json::parse(to_json(report, true));
  EXPECT_EQ(json["elsewhere"]["total"], before + 2);
  EXPECT_EQ(json["measured"]["interval_ms"], 10);
  EXPECT_EQ(json["seccomp"]["threads"], report.threads);
  EXPECT_EQ(json["seccomp"]["locked"], true);
}

}  // namespace
}  // namespace vitrine::serve
