#include "serve/page/connection_watch.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/json_writer.h"

namespace vitrine::serve {
namespace {

constexpr size_t kRecent = 16;

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

// Calls `take` with every entry that is a number.
template <class Take>
bool each_number(const char* path, Take take) {
  const Folder folder(opendir(path));
  if (!folder) return false;
  while (const dirent* entry = readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    int number = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), number);
    if (read.ec == std::errc() && read.ptr == name.data() + name.size()) take(number);
  }
  return true;
}

int option(int socket, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(socket, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

struct Address {
  bool known = false;
  uint16_t port = 0;
  std::string text;
};

Address read_address(int socket, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  Address out;
  if (ask(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return out;
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &storage, sizeof v4);
    out.port = ntohs(v4.sin_port);
    out.text = std::string(inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text)) + ":" + std::to_string(out.port);
    out.known = true;
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &storage, sizeof v6);
    out.port = ntohs(v6.sin6_port);
    out.text =
        "[" + std::string(inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text)) + "]:" + std::to_string(out.port);
    out.known = true;
  }
  return out;
}

// Of a descriptor that is a socket; 0 of any other. By its name, since another thread may be closing it.
uint64_t socket_inode(int socket) {
  char link[64];
  const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(socket)).c_str(), link, sizeof link);
  constexpr std::string_view kBegin = "socket:[";
  const std::string_view name(link, length > 0 ? static_cast<size_t>(length) : 0);
  uint64_t inode = 0;
  if (name.starts_with(kBegin)) std::from_chars(name.data() + kBegin.size(), name.data() + name.size(), inode);
  return inode;
}

struct Socket {
  uint64_t inode = 0;
  int domain = -1, type = -1;
  bool listening = false;
  Address own, peer;

  bool stream() const { return (domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM; }
};

// Nothing when it is not a socket, or was closed while it was asked: its number may be another's by then, and answers
// of two must not be taken for those of one.
std::optional<Socket> ask(int descriptor) {
  Socket out;
  out.inode = socket_inode(descriptor);
  if (out.inode == 0) return std::nullopt;
  out.domain = option(descriptor, SO_DOMAIN);
  out.type = option(descriptor, SO_TYPE);
  out.listening = option(descriptor, SO_ACCEPTCONN) == 1;
  out.own = read_address(descriptor, getsockname);
  out.peer = read_address(descriptor, getpeername);
  if (socket_inode(descriptor) != out.inode) return std::nullopt;
  return out;
}

std::string describe(const Socket& socket) {
  std::string out;
  if (socket.domain != AF_INET && socket.domain != AF_INET6) {
    out = "family " + std::to_string(socket.domain);
  } else if (socket.type == SOCK_STREAM) {
    out = "tcp";
  } else if (socket.type == SOCK_DGRAM) {
    out = "udp";
  } else {
    out = "socket type " + std::to_string(socket.type);
  }
  return out + " " + (socket.peer.known ? socket.peer.text : "not connected");
}

}  // namespace

SocketCensus take_census(std::set<uint16_t>& listened, const DeclaredAddresses& declared) {
  SocketCensus census;
  std::vector<Socket> others;
  census.complete = each_number("/proc/self/fd", [&](int descriptor) {
    auto socket = ask(descriptor);
    if (!socket) return;
    if (socket->domain == AF_UNIX) {
      ++census.unix_sockets;
    } else if (socket->domain == AF_NETLINK) {
      ++census.netlink;
    } else if (socket->listening) {
      ++census.listening;
      if (socket->own.known) listened.insert(socket->own.port);
    } else {
      others.push_back(std::move(*socket));
    }
  });
  for (const Socket& one : others) {
    if (one.stream() && listened.contains(one.own.port)) {
      ++census.accepted;
    } else {
      const bool upstream = one.stream() && one.peer.known && declared.contains(one.peer.text);
      (upstream ? census.upstream : census.elsewhere).push_back({one.inode, describe(one)});
    }
  }
  return census;
}

ConnectionWatch::ConnectionWatch(std::chrono::milliseconds interval, DeclaredAddresses declared)
    : interval_(interval), declared_(std::move(declared)), last_look_(std::chrono::steady_clock::now()) {
  report_.interval_ms = interval.count();
  report_.since = now();
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      look();
      stop_.wait_for(lock, interval_, [this] { return stopping_; });
    }
  });
}

ConnectionWatch::~ConnectionWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void ConnectionWatch::look() {
  const auto now = std::chrono::steady_clock::now();
  const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_look_).count();
  SocketCensus census = take_census(listened_, declared_);
  if (!census.complete) {
    ++report_.failed_looks;  // the gap grows until one succeeds
    return;
  }
  last_look_ = now;
  report_.longest_gap_ms = std::max<int64_t>(report_.longest_gap_ms, gap);
  ++report_.looks;
  std::set<uint64_t> open;
  for (const SocketCensus::Elsewhere& one : census.elsewhere) {
    open.insert(one.inode);
    if (open_.contains(one.inode)) continue;
    ++report_.elsewhere_total;
    report_.recent.push_back(one.what);
    if (report_.recent.size() > kRecent) report_.recent.erase(report_.recent.begin());
  }
  open_ = std::move(open);
  report_.now = std::move(census);
}

ConnectionReport ConnectionWatch::report() {
  ConnectionReport out;
  {
    const std::lock_guard lock(mutex_);
    look();
    out = report_;
  }
  each_number("/proc/self/task", [&](int thread) {
    std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("Seccomp:")) continue;
      ++out.threads;
      if (line == "Seccomp:\t2") ++out.filtered_threads;  // SECCOMP_MODE_FILTER
    }
  });
  return out;
}

std::string to_json(const ConnectionReport& report, bool locked, uint64_t upstream_opened) {
  std::string out;
  JsonWriter json(out);
  json.begin().key("elsewhere").begin();
  json.key("now")
      .number(static_cast<uint64_t>(report.now.elsewhere.size()))
      .key("total")
      .number(report.elsewhere_total);
  json.key("recent").begin_array();
  for (const std::string& what : report.recent) json.string(what);
  json.end_array().end();
  json.key("upstream").begin().key("now").number(static_cast<uint64_t>(report.now.upstream.size()));
  json.key("total").number(upstream_opened).end();
  json.key("clients").number(report.now.accepted).key("listening").number(report.now.listening);
  json.key("unix").number(report.now.unix_sockets).key("netlink").number(report.now.netlink);
  json.key("measured").begin().key("since").string(to_rfc3339(report.since));
  json.key("interval_ms").number(report.interval_ms).key("longest_gap_ms").number(report.longest_gap_ms);
  json.key("looks").number(report.looks).key("failed").number(report.failed_looks).end();
  json.key("seccomp").begin().key("threads").number(report.threads);
  json.key("filtered").number(report.filtered_threads).key("locked").boolean(locked).end().end();
  return out;
}

}  // namespace vitrine::serve
