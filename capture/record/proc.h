// What is read of /proc (proc(5)) to tie sockets to programs.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::proc {

// Calls `visit` with the name of each entry of a folder; nothing when it cannot be listed.
template <class Visit>
void each_entry(const std::string& folder, Visit visit) {
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return;
  while (const dirent* entry = readdir(open)) visit(std::string_view(entry->d_name));
  closedir(open);
}

bool parse_number(std::string_view text, auto& value, int base = 10) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return result.ec == std::errc{} && result.ptr == text.data() + text.size();
}

// A process's parent and the name of its program (15 characters at most). False when it is gone.
bool parent_of(pid_t pid, pid_t& parent, std::string& name);

// The socket's inode that a link in /proc/PID/fd names; 0 for every other link.
uint64_t socket_of(const std::string& link_path);

}  // namespace vitrine::proc
