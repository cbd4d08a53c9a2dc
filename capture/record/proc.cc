#include "capture/record/proc.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace vitrine::proc {

// proc(5) stat: pid (comm) state ppid …; comm may hold anything, so from its last ')'.
bool parent_of(pid_t pid, pid_t& parent, std::string& name) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(in, line)) return false;
  const size_t open = line.find('('), close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 4 > line.size()) return false;
  name = line.substr(open + 1, close - open - 1);
  parent = static_cast<pid_t>(std::strtol(line.c_str() + close + 4, nullptr, 10));
  return true;
}

// "socket:[12345]" → 12345.
uint64_t socket_of(const std::string& link_path) {
  char target[64];
  const ssize_t n = readlink(link_path.c_str(), target, sizeof target);
  const std::string_view link(target, n > 0 ? static_cast<size_t>(n) : 0);
  uint64_t inode = 0;
  if (!link.starts_with("socket:[") || !link.ends_with("]")) return 0;
  return parse_number(link.substr(8, link.size() - 9), inode) ? inode : 0;
}

}  // namespace vitrine::proc
