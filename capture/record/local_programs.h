// Which programs of this machine hold the ends of its TCP connections.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "capture/types.h"

namespace vitrine {

// One connection, by its ends.
struct LocalConnection {
  Endpoint client, server;
};

// Asks the kernel for one socket at a time (sock_diag(7), which costs
// microseconds where the tables of /proc/net cost milliseconds), then looks
// through /proc once for all of them. Opens its one descriptor when it is made:
// a process that forbids itself sockets later can still ask.
class LocalPrograms {
 public:
  LocalPrograms();
  ~LocalPrograms();
  LocalPrograms(const LocalPrograms&) = delete;
  LocalPrograms& operator=(const LocalPrograms&) = delete;

  // For each connection the program whose socket is its `client` end; empty when
  // there is none, it is another user's and we are not root, or this kernel does
  // not say (then quickly). The name is the kernel's: 15 characters at most.
  std::vector<std::string> clients(std::span<const LocalConnection> connections) const;

 private:
  uint64_t socket_of_client(const LocalConnection& connection) const;  // its inode, 0: none

  int kernel_;  // netlink; -1: not to be had
};

}  // namespace vitrine
