#include "serve/page/connection_watch.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>

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

std::string describe(int socket, int domain, int type) {
  const bool internet = domain == AF_INET || domain == AF_INET6;
  std::string out;
  if (!internet) {
    out = "family " + std::to_string(domain);
  } else if (type == SOCK_STREAM) {
    out = "tcp";
  } else if (type == SOCK_DGRAM) {
    out = "udp";
  } else {
    out = "socket type " + std::to_string(type);
  }
  const Address peer = internet ? read_address(socket, getpeername) : Address();
  return out + " " + (peer.known ? peer.text : "not connected");
}

}  // namespace

SocketCensus take_census(std::set<uint16_t>& listened, const DeclaredAddresses& declared) {
  struct Stream {
    int socket, domain, type;
    uint64_t inode;
    uint16_t port;
  };
  SocketCensus census;
  std::vector<Stream> others;
  census.complete = each_number("/proc/self/fd", [&](int socket) {
    struct stat about = {};
    if (fstat(socket, &about) != 0 || !S_ISSOCK(about.st_mode)) return;
    const int domain = option(socket, SO_DOMAIN), type = option(socket, SO_TYPE);
    if (domain == AF_UNIX) {
      ++census.unix_sockets;
    } else if (domain == AF_NETLINK) {
      ++census.netlink;
    } else {
      const Address own = read_address(socket, getsockname);
      if (option(socket, SO_ACCEPTCONN) == 1) {
        ++census.listening;
        if (own.known) listened.insert(own.port);
      } else if (domain >= 0) {  // else it was closed while it was asked
        others.push_back({socket, domain, type, about.st_ino, own.port});
      }
    }
  });
  for (const Stream& one : others) {
    const bool internet = one.domain == AF_INET || one.domain == AF_INET6;
    if (internet && one.type == SOCK_STREAM && listened.contains(one.port)) {
      ++census.accepted;
    } else {
      const bool connected = internet && one.type == SOCK_STREAM;
      const Address peer = connected && !declared.empty() ? read_address(one.socket, getpeername) : Address();
      auto& side = peer.known && declared.contains(peer.text) ? census.upstream : census.elsewhere;
      side.push_back({one.inode, describe(one.socket, one.domain, one.type)});
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
