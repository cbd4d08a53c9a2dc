// Which network sockets this process holds, measured: every second each of its
// open descriptors (/proc/self/fd) is asked what it is (SO_DOMAIN, SO_TYPE,
// SO_ACCEPTCONN, getsockname, getpeername). What neither listens nor was accepted
// on a port this process listens on counts as opened to elsewhere: connections,
// those that are being made, and every datagram or raw socket, since it could
// send. Unix and netlink sockets lead nowhere outside this machine and are
// counted apart; so are connections to the engine that a gateway was told to use.
//
// Limits: what is opened and closed between two looks, or during one, is missed, and so is a
// socket that is registered with an io_uring alone. A seccomp filter that forbids
// both closes this gap; whether a filter is on is read from /proc/self/task.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"

namespace vitrine::serve {

// The sockets of this process at one moment.
struct SocketCensus {
  struct Elsewhere {
    uint64_t inode = 0;
    std::string what;  // "tcp 192.0.2.7:443", "udp not connected"
  };
  bool complete = false;  // false: the descriptors could not be listed
  uint64_t listening = 0, accepted = 0, unix_sockets = 0, netlink = 0;
  std::vector<Elsewhere> elsewhere;
  std::vector<Elsewhere> upstream;  // connected to a declared address
};

// Addresses of the engine elsewhere: "192.0.2.7:443", "[2001:db8::1]:443".
using DeclaredAddresses = std::set<std::string>;

// `listened`: ports this process has listened on so far; added to.
SocketCensus take_census(std::set<uint16_t>& listened, const DeclaredAddresses& declared = {});

struct ConnectionReport {
  SocketCensus now;
  uint64_t elsewhere_total = 0;          // different sockets seen since `since`
  std::vector<std::string> recent;       // what they were; the last 16
  uint64_t looks = 0, failed_looks = 0;  // how often, and how often in vain
  int64_t interval_ms = 0, longest_gap_ms = 0;
  Timestamp since;
  unsigned threads = 0, filtered_threads = 0;  // of this process; with a seccomp filter
};

// Looks from a thread of its own, which is there to look on time whatever the
// server does. report() from any thread; it looks once more, at that moment.
class ConnectionWatch {
 public:
  explicit ConnectionWatch(std::chrono::milliseconds interval = std::chrono::milliseconds(1000),
                           DeclaredAddresses declared = {});
  ~ConnectionWatch();
  ConnectionWatch(const ConnectionWatch&) = delete;
  ConnectionWatch& operator=(const ConnectionWatch&) = delete;

  ConnectionReport report();

 private:
  void look();  // REQUIRES: mutex_ held

  const std::chrono::milliseconds interval_;
  const DeclaredAddresses declared_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::set<uint16_t> listened_;
  std::set<uint64_t> open_;  // inodes of the last look
  std::chrono::steady_clock::time_point last_look_;
  ConnectionReport report_;
  std::thread thread_;
};

// `locked`: lock_down() holds (serve/lockdown.h), which is more than that some filter is on. `upstream_opened`: how
// many connections to declared addresses there were, which a gateway knows better than whoever looks once a second.
std::string to_json(const ConnectionReport& report, bool locked, uint64_t upstream_opened = 0);

}  // namespace vitrine::serve
