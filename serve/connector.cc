#include "serve/connector.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vitrine::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr timeval kConnectTime = {10, 0};

// A connected socket, or -1 with errno.
int connect_to(const std::vector<tcp::endpoint>& addresses) {
  int error = EHOSTUNREACH;
  for (const tcp::endpoint& address : addresses) {
    const int fd = socket(address.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      error = errno;
      continue;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kConnectTime, sizeof kConnectTime);
    if (connect(fd, address.data(), static_cast<socklen_t>(address.size())) == 0) {
      const timeval never = {0, 0};
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof never);
      return fd;
    }
    error = errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
  }
  errno = error;
  return -1;
}

// One byte of errno, 0 with a descriptor.
bool hand_over(int channel, int fd, int error) {
  auto byte = static_cast<unsigned char>(error);
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return sendmsg(channel, &message, MSG_NOSIGNAL) == 1;
}

[[noreturn]] void serve_connections(int channel, const std::vector<tcp::endpoint>& addresses, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  signal(SIGINT, SIG_IGN);  // the parent says when
  signal(SIGHUP, SIG_IGN);
  char asked = 0;
  while (read(channel, &asked, 1) == 1) {
    const int fd = connect_to(addresses);
    const bool told = hand_over(channel, fd, fd < 0 ? errno : 0);
    if (fd >= 0) close(fd);
    if (!told) break;
  }
  _exit(0);
}

}  // namespace

Result<std::unique_ptr<Connector>> Connector::start(asio::io_context& io, std::vector<tcp::endpoint> addresses) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(ErrorCode::internal, std::string("socketpair: ") + std::strerror(errno));
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return fail(ErrorCode::internal, std::string("fork: ") + std::strerror(errno));
  if (child == 0) {
    close(ends[0]);
    serve_connections(ends[1], addresses, parent);
  }
  close(ends[1]);
  return std::unique_ptr<Connector>(new Connector(io, ends[0], child));
}

Connector::Connector(asio::io_context& io, int channel, int child)
    : channel_(io, asio::local::stream_protocol(), channel), child_(child) {}

Connector::~Connector() {
  boost::system::error_code ignored;
  channel_.close(ignored);
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
}

void Connector::connect(Done done) {
  const char ask = 'c';
  if (::send(channel_.native_handle(), &ask, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    return done(fail(ErrorCode::unreadable, "the connecting process is gone or overloaded"));
  }
  waiting_.push_back(std::move(done));
  if (waiting_.size() == 1) receive();
}

void Connector::receive() {
  channel_.async_wait(asio::socket_base::wait_read, [this](boost::system::error_code error) {
    if (error) return;
    unsigned char byte = 0;
    iovec data = {&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(channel_.native_handle(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return receive();
    int fd = -1;
    const cmsghdr* const header = got == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    if (got != 1) {
      for (const Done& done : std::exchange(waiting_, {})) {
        done(fail(ErrorCode::unreadable, "the connecting process has ended"));
      }
      return;
    }
    const Done done = std::move(waiting_.front());
    waiting_.pop_front();
    if (!waiting_.empty()) receive();
    if (fd < 0) return done(fail(ErrorCode::unreadable, std::strerror(byte)));
    sockaddr_storage own = {};
    socklen_t size = sizeof own;
    getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size);
    done(tcp::socket(channel_.get_executor(), own.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), fd));
  });
}

}  // namespace vitrine::serve
