#include "serve/lockdown.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

namespace vitrine::serve {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

// Numbers of calls newer than the headers are the same on all machines.
constexpr long kIoUringSetup = 425, kIoUringEnter = 426, kIoUringRegister = 427, kPidfdOpen = 434, kPidfdGetfd = 438,
               kProcessMadvise = 440, kMountSetattr = 442;

constexpr long kForbidden[] = {
    // ways to another machine
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, kIoUringSetup, kIoUringEnter, kIoUringRegister,
    // other programs
    SYS_execve, SYS_execveat,
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
    // other processes and their descriptors
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, kProcessMadvise, kPidfdOpen, kPidfdGetfd, SYS_kcmp,
    // the kernel and its namespaces
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_setns, SYS_unshare, SYS_mount, SYS_umount2, SYS_pivot_root,
    SYS_chroot, kMountSetattr, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
    SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_keyctl, SYS_add_key, SYS_request_key};

// prctl(2) with this option, which no kernel has, is how the filter is asked whether it is there: it answers with an
// error number that no kernel and no other filter gives.
constexpr uint32_t kAsk = 0x7674726e;  // "vtrn"
constexpr uint32_t kAnswer = 3142;

constexpr uint32_t kNumber = offsetof(seccomp_data, nr);
constexpr uint32_t kArch = offsetof(seccomp_data, arch);

std::vector<sock_filter> program() {
  constexpr uint32_t kDeny = SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA);
  std::vector<sock_filter> out;
  const auto add = [&](uint16_t code, uint32_t k, uint8_t yes = 0, uint8_t no = 0) {
    out.push_back({code, yes, no, k});
  };
  const auto load = [&](uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); };
  load(kArch);
  add(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  load(kNumber);
#if defined(__x86_64__)
  add(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);  // the x32 table
  add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
#endif
  for (const long number : kForbidden) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1);
    add(BPF_RET | BPF_K, kDeny);
  }
  // A datagram can name where it goes: sendto and sendmsg only without an address. sendmsg's lies in memory, which a
  // filter cannot read; but there is no datagram socket, and none can be made.
  add(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 0, 5);
  load(offsetof(seccomp_data, args[4]));
  add(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2);
  load(offsetof(seccomp_data, args[4]) + 4);
  add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
  add(BPF_RET | BPF_K, kDeny);
  // clone() may make threads, not processes; clone3()'s flags lie in memory: libc falls back to clone().
  load(kNumber);
  add(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
  add(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3);
  load(offsetof(seccomp_data, args[0]));
  add(BPF_JMP | BPF_JSET | BPF_K, 0x00010000 /* CLONE_THREAD */, 1, 0);
  add(BPF_RET | BPF_K, kDeny);
  load(kNumber);
  add(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3);
  load(offsetof(seccomp_data, args[0]));
  add(BPF_JMP | BPF_JEQ | BPF_K, kAsk, 0, 1);
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | kAnswer);
  add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  return out;
}

}  // namespace

Status close_inherited_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    const bool open = fcntl(fd, F_GETFD) >= 0;
    const bool network = open && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain != AF_UNIX;
    if (open && !network) continue;
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return fail(ErrorCode::unreadable, std::strerror(errno), "/dev/null");
    if (null != fd) {
      dup2(null, fd);
      ::close(null);
    }
  }
  if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0) return {};
  const long most = sysconf(_SC_OPEN_MAX);
  for (int fd = 3; fd < (most > 0 ? most : 65536); ++fd) ::close(fd);
  return {};
}

Status lock_down() {
  if (kArchitecture == 0) return fail(ErrorCode::unsupported, "no system call filter for this kind of machine");
  std::vector<sock_filter> filter = program();
  const sock_fprog loaded = {static_cast<unsigned short>(filter.size()), filter.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail(ErrorCode::unsupported, std::string("no_new_privs: ") + std::strerror(errno));
  }
  const long set = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &loaded);
  if (set > 0) return fail(ErrorCode::unsupported, "a thread has a filter of its own");
  if (set < 0) return fail(ErrorCode::unsupported, std::string("seccomp: ") + std::strerror(errno));
  return {};
}

bool locked_down() {
  errno = 0;
  return prctl(static_cast<int>(kAsk), 0, 0, 0, 0) == -1 && errno == static_cast<int>(kAnswer);
}

}  // namespace vitrine::serve
