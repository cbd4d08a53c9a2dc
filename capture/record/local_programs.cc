#include "capture/record/local_programs.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "capture/record/proc.h"

namespace vitrine {
namespace {

constexpr timeval kAnswerTime = {1, 0};

}  // namespace

LocalPrograms::LocalPrograms() : kernel_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {
  if (kernel_ >= 0) setsockopt(kernel_, SOL_SOCKET, SO_RCVTIMEO, &kAnswerTime, sizeof kAnswerTime);
}

LocalPrograms::~LocalPrograms() {
  if (kernel_ >= 0) close(kernel_);
}

uint64_t LocalPrograms::socket_of_client(const LocalConnection& connection) const {
  struct {
    nlmsghdr head;
    inet_diag_req_v2 asked;
  } request = {};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST;
  inet_diag_req_v2& asked = request.asked;
  const size_t address = connection.client.ip.family == 4 ? 4 : 16;
  asked.sdiag_family = address == 4 ? AF_INET : AF_INET6;
  asked.sdiag_protocol = IPPROTO_TCP;
  asked.idiag_states = ~0u;
  asked.id.idiag_sport = htons(connection.client.port);
  asked.id.idiag_dport = htons(connection.server.port);
  std::memcpy(asked.id.idiag_src, connection.client.ip.bytes.data(), address);
  std::memcpy(asked.id.idiag_dst, connection.server.ip.bytes.data(), address);
  asked.id.idiag_cookie[0] = asked.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (send(kernel_, &request, sizeof request, 0) != sizeof request) return 0;
  alignas(nlmsghdr) char answer[8192];
  const ssize_t length = recv(kernel_, answer, sizeof answer, 0);
  nlmsghdr head = {};
  inet_diag_msg told = {};
  if (length < static_cast<ssize_t>(NLMSG_HDRLEN + sizeof told)) return 0;  // a refusal is shorter
  std::memcpy(&head, answer, sizeof head);
  if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY) return 0;
  std::memcpy(&told, answer + NLMSG_HDRLEN, sizeof told);
  // Where there is no such connection the kernel may tell of who listens there.
  const bool same = told.id.idiag_sport == asked.id.idiag_sport && told.id.idiag_dport == asked.id.idiag_dport;
  return same ? told.idiag_inode : 0;
}

std::vector<std::string> LocalPrograms::clients(std::span<const LocalConnection> connections) const {
  std::vector<std::string> programs(connections.size());
  if (kernel_ < 0) return programs;
  std::map<uint64_t, size_t> sockets;  // inode -> connection
  for (size_t i = 0; i < connections.size(); ++i) {
    if (const uint64_t inode = socket_of_client(connections[i]); inode != 0) sockets[inode] = i;
  }
  if (sockets.empty()) return programs;
  // The newest processes first: clients come and go, a system's services stay.
  std::vector<pid_t> processes;
  proc::each_entry("/proc", [&](std::string_view name) {
    pid_t pid = 0;
    if (proc::parse_number(name, pid)) processes.push_back(pid);
  });
  std::sort(processes.rbegin(), processes.rend());
  for (const pid_t pid : processes) {
    if (sockets.empty()) break;
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    proc::each_entry(folder, [&](std::string_view name) {
      const uint64_t inode = proc::socket_of(folder + "/" + std::string(name));
      const auto found = inode == 0 ? sockets.end() : sockets.find(inode);
      if (found == sockets.end()) return;
      pid_t parent = 0;
      std::string program;
      if (proc::parent_of(pid, parent, program)) programs[found->second] = std::move(program);
      sockets.erase(found);
    });
  }
  return programs;
}

}  // namespace vitrine
