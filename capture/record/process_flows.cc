#include "capture/record/process_flows.h"

#include <fstream>
#include <sstream>

#include "base/bytes.h"
#include "capture/record/proc.h"

namespace vitrine {

using proc::each_entry, proc::parent_of, proc::parse_number, proc::socket_of;

namespace {

// "0100007F:1F90" or 32 hex digits: 32-bit words in host order.
bool parse_address(std::string_view text, Endpoint& out) {
  const size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return false;
  uint8_t bytes[16];
  for (size_t word = 0; word < colon / 8; ++word) {
    uint32_t value = 0;
    if (!parse_number(text.substr(word * 8, 8), value, 16)) return false;
    std::memcpy(bytes + word * 4, &value, 4);
  }
  if (!parse_number(text.substr(colon + 1), out.port, 16)) return false;
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (colon == 8) {
    out.ip = IpAddress::v4({bytes, 4});
  } else if (std::memcmp(bytes, kMapped, sizeof kMapped) == 0) {
    out.ip = IpAddress::v4({bytes + 12, 4});
  } else {
    out.ip = IpAddress::v6({bytes, 16});
  }
  return true;
}

struct TableRow {
  Endpoint local, remote;
  uint64_t inode = 0;
};

// The rows of /proc/net/tcp and its like (proc(5)).
template <class Visit>
void each_row(std::ifstream& in, Visit visit) {
  std::string line;
  std::getline(in, line);  // heading
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, skip;
    TableRow row;
    words >> slot >> local >> remote;
    for (int i = 0; i < 6; ++i) words >> skip;  // st, queues, timers, retransmits, uid, timeout
    if (words >> row.inode && parse_address(local, row.local) && parse_address(remote, row.remote)) visit(row);
  }
}

}  // namespace

void ProcessFlows::find_tree() {
  std::map<pid_t, pid_t> parents;
  each_entry("/proc", [&](std::string_view name) {
    pid_t pid = 0, parent = 0;
    std::string program;
    if (parse_number(name, pid) && parent_of(pid, parent, program)) parents[pid] = parent;
  });
  tree_.insert(root_);
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& [pid, parent] : parents) {
      if (tree_.contains(parent) && tree_.insert(pid).second) grew = true;
    }
  }
}

void ProcessFlows::look() {
  find_tree();
  std::map<uint64_t, std::string> sockets;  // inode → program
  for (const pid_t pid : tree_) {
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    std::string program;
    pid_t parent = 0;
    if (!parent_of(pid, parent, program)) continue;
    each_entry(folder, [&](std::string_view name) {
      if (const uint64_t inode = socket_of(folder + "/" + std::string(name)); inode != 0)
        sockets.emplace(inode, program);
    });
  }
  if (sockets.empty()) return;
  read_table("tcp", "tcp", sockets);
  read_table("tcp6", "tcp", sockets);
  read_table("udp", "udp", sockets);
  read_table("udp6", "udp", sockets);
}

void ProcessFlows::read_table(const char* name, const char* protocol, const std::map<uint64_t, std::string>& sockets) {
  std::ifstream in("/proc/" + std::to_string(root_) + "/net/" + name);
  if (!in) in.open(std::string("/proc/self/net/") + name);
  each_row(in, [&](const TableRow& row) {
    const auto owner = sockets.find(row.inode);
    if (owner == sockets.end() || row.remote.port == 0) return;  // listening, or an unconnected datagram socket
    FlowComment flow;
    flow.client = row.local;
    flow.server = row.remote;
    flow.protocol = protocol;
    flow.process = owner->second;
    flows_.try_emplace({flow.client, flow.server}, flow);
  });
}

std::vector<FlowComment> ProcessFlows::flows() const {
  std::vector<FlowComment> out;
  for (const auto& [ends, flow] : flows_) out.push_back(flow);
  return out;
}

}  // namespace vitrine
