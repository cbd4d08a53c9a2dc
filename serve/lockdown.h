// Nothing leaves: after lock_down() no thread of this process can reach another
// machine, start a program, or look into another process, whatever code it runs.
//
// What stays: the descriptors that are open (listeners, the tap's log, the model),
// accept(), reading and writing them, files, memory, threads. What goes: making
// sockets, connecting, binding, io_uring (it makes system calls that filters do not
// see), execve, ptrace and its like, other namespaces, foreign descriptors, the
// other system call tables of the machine (32-bit, x32).
//
// Linux seccomp-BPF (Documentation/userspace-api/seccomp_filter.rst), set with
// SECCOMP_FILTER_FLAG_TSYNC: threads that run already are held to it too, and so
// are those that start later. It cannot be undone.
#pragma once

#include "base/result.h"

namespace vitrine::serve {

// To be called first: closes what the parent left open beside standard input,
// output and error. A network socket among those three is replaced by /dev/null.
Status close_inherited_descriptors();

// unsupported: this kernel or machine has no such filter; nothing was changed then.
Status lock_down();

// Whether lock_down() holds for the calling thread: its own filter answers. Another's, as containers and service
// managers set, does not make it true, whatever it forbids.
bool locked_down();

}  // namespace vitrine::serve
