// Every way out is tried, from a thread that was there before and from one that
// starts after. Each attempt runs in a process of its own: the lock cannot be undone.
#include "serve/lockdown.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>

namespace vitrine::serve {
namespace {

// The exit code of a child that runs `body`; 200 + n when it was ended by signal n.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 200 + WTERMSIG(status);
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

struct Attempt {
  const char* name;
  std::function<bool()> works;  // errno says why not
};

int stream_socket = -1, datagram_socket = -1;  // made before the lock: it must not help to have them

std::vector<Attempt> attempts() {
  static sockaddr_in to = loopback(9);
  return {
      {"socket", [] { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }},
      {"socket6", [] { return socket(AF_INET6, SOCK_DGRAM, 0) >= 0; }},
      {"socket unix", [] { return socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }},
      {"socket raw", [] { return socket(AF_PACKET, SOCK_RAW, 0) >= 0; }},
      {"socket netlink", [] { return socket(AF_NETLINK, SOCK_RAW, 0) >= 0; }},
      {"connect", [] { return connect(stream_socket, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0; }},
      {"connect datagram", [] { return connect(datagram_socket, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0; }},
      {"sendto", [] { return sendto(datagram_socket, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) == 1; }},
      {"bind",
       [] {
         sockaddr_in any = loopback(0);
         return bind(stream_socket, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0;
       }},
      {"io_uring",
       [] {
         char parameters[256] = {};
         return syscall(425, 4, parameters) >= 0;
       }},
      {"exec",
       [] {
         char* const arguments[] = {const_cast<char*>("/bin/true"), nullptr};
         execve("/bin/true", arguments, nullptr);
         return false;
       }},
      {"execveat",
       [] {
         char* const arguments[] = {const_cast<char*>("/bin/true"), nullptr};
         return syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, nullptr, 0) == 0;
       }},
      {"fork", [] { return fork() >= 0; }},
      {"vfork", [] { return syscall(SYS_vfork) >= 0; }},
      {"ptrace", [] { return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0; }},
      {"process_vm_readv",
       [] {
         iovec none = {};
         return process_vm_readv(getppid(), &none, 1, &none, 1, 0) >= 0;
       }},
      {"pidfd_open", [] { return syscall(434, getppid(), 0) >= 0; }},
      {"unshare", [] { return syscall(SYS_unshare, 0x10000000) == 0; }},
  };
}

TEST(Lockdown, EveryWayOutIsClosedForThreadsBeforeAndAfter) {
  for (const Attempt& attempt : attempts()) {
    const int result = in_child([&]() -> int {
      stream_socket = socket(AF_INET, SOCK_STREAM, 0);
      datagram_socket = socket(AF_INET, SOCK_DGRAM, 0);
      std::atomic<int> phase{0};
      std::atomic<int> bad{0};
      const auto attempt_it = [&](int who) {
        errno = 0;
        if (attempt.works()) bad = who;
        if (bad == 0 && errno != EPERM) bad = who + 10;
      };
      std::thread before([&] {
        while (phase == 0) std::this_thread::yield();
        attempt_it(1);
      });
      if (!lock_down()) return 99;
      phase = 1;
      before.join();
      std::thread after([&] { attempt_it(2); });
      after.join();
      attempt_it(3);
      return bad;
    });
    EXPECT_EQ(result, 0) << attempt.name
                         << ": 1-3 it worked (thread before, after, main); 11-13 it failed, but not by the lock";
  }
}

// The attempts are real: without the lock most of them work.
TEST(Lockdown, WithoutItTheyWork) {
  int works = 0;
  for (const Attempt& attempt : attempts()) {
    const std::string name = attempt.name;
    if (name == "exec" || name == "execveat" || name == "fork" || name == "vfork") continue;
    works += in_child([&]() -> int {
               stream_socket = socket(AF_INET, SOCK_STREAM, 0);
               datagram_socket = socket(AF_INET, SOCK_DGRAM, 0);
               return attempt.works() ? 0 : 1;
             }) == 0;
  }
  EXPECT_GE(works, 8);
}

#if defined(__x86_64__)
// The 32-bit table would reach socketcall(): the process ends instead.
TEST(Lockdown, OtherSystemCallTablesEndTheProcess) {
  EXPECT_EQ(in_child([]() -> int {
              if (!lock_down()) return 99;
              return syscall(0x40000000 | SYS_getpid) > 0 ? 1 : 2;
            }),
            200 + SIGSYS);
}
#endif

TEST(Lockdown, WhatAServerDoesGoesOn) {
  EXPECT_EQ(in_child([]() -> int {
              const int listener = socket(AF_INET, SOCK_STREAM, 0);
              sockaddr_in at = loopback(0);
              socklen_t size = sizeof at;
              if (bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || listen(listener, 5) != 0)
                return 1;
              getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
              const pid_t client = fork();
              if (client == 0) {
                const int fd = socket(AF_INET, SOCK_STREAM, 0);
                if (connect(fd, reinterpret_cast<sockaddr*>(&at), size) != 0) _exit(1);
                char byte = 0;
                _exit(write(fd, "x", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'y' ? 0 : 2);
              }
              if (!lock_down() || !locked_down()) return 2;
              const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
              char byte = 0;
              if (fd < 0 || recv(fd, &byte, 1, 0) != 1 || send(fd, "y", 1, MSG_NOSIGNAL) != 1) return 3;
              int status = 0;
              waitpid(client, &status, 0);
              if (status != 0) return 4;
              std::thread works([] {});
              works.join();
              const int file = open("/proc/self/status", O_RDONLY);
              return file >= 0 && read(file, &byte, 1) == 1 ? 0 : 5;
            }),
            0);
}

// A filter as containers bring along: `denied` fails with EPERM, everything else is allowed.
bool set_foreign_filter(long denied) {
  sock_filter code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
                        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(denied)},
                        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
                        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  const sock_fprog program = {4, code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

TEST(Lockdown, AnothersFilterIsNotTakenForIt) {
  for (const long denied : {SYS_keyctl, SYS_socket, SYS_prctl}) {
    EXPECT_EQ(in_child([&]() -> int {
                if (!set_foreign_filter(denied)) return 99;
                if (prctl(PR_GET_SECCOMP) != 2 && denied != SYS_prctl) return 1;  // a filter is on …
                if (locked_down()) return 2;                                      // … and it is not ours
                if (denied == SYS_prctl) return 0;  // where nothing can be asked, nothing is claimed
                if (!lock_down() || !locked_down()) return 3;
                bool in_thread = false;
                std::thread([&] { in_thread = locked_down(); }).join();
                return in_thread ? 0 : 4;
              }),
              0)
        << denied;
  }
}

TEST(Lockdown, InheritedDescriptorsAreClosed) {
  EXPECT_EQ(in_child([]() -> int {
              const int file = open("/proc/self/status", O_RDONLY);
              const int moved = fcntl(file, F_DUPFD, 500);
              const int network = socket(AF_INET, SOCK_STREAM, 0);
              dup2(network, 0);  // as a super-server would hand it over
              if (!close_inherited_descriptors()) return 1;
              if (fcntl(file, F_GETFD) >= 0 || fcntl(moved, F_GETFD) >= 0) return 2;
              int domain = 0;
              socklen_t size = sizeof domain;
              if (getsockopt(0, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0) return 3;
              return fcntl(1, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0 ? 0 : 4;
            }),
            0);
  EXPECT_FALSE(locked_down());
}

}  // namespace
}  // namespace vitrine::serve
