#include "cli/follow.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vitrine::cli {
namespace {

constexpr size_t kPiece = 64 << 10;
constexpr int kLook = 250;  // ms between looks at the name: rotation has no event of the file that is read

void close_if_open(int descriptor) {
  if (descriptor >= 0) ::close(descriptor);
}

}  // namespace

struct FollowedFile::State {
  std::string path;
  bool pipe = false;  // no file that could grow: a pipe or terminal
  int descriptor = -1;
  int changes = -1;  // inotify; -1: only looked at now and then
  int watch = -1;
  int signals = -1;
  uint64_t offset = 0;

  ~State() {
    if (descriptor != STDIN_FILENO) close_if_open(descriptor);
    close_if_open(changes);
    close_if_open(signals);
  }

  Status fail_with(const char* what) const {
    return fail(ErrorCode::unreadable, std::string(what) + ": " + std::strerror(errno), path);
  }

  void watch_file() {
    if (changes < 0) return;
    if (watch >= 0) inotify_rm_watch(changes, watch);
    watch = inotify_add_watch(changes, path.c_str(), IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF);
  }

  // False: there is no file of this name yet.
  Result<bool> open_file() {
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 && errno == ENOENT) return false;
    if (descriptor < 0) return tl::unexpected(fail_with("cannot open").error());
    struct stat status {};
    if (fstat(descriptor, &status) != 0) return tl::unexpected(fail_with("cannot read").error());
    if (S_ISDIR(status.st_mode)) return fail(ErrorCode::usage, "this is a folder", path);
    pipe = !S_ISREG(status.st_mode);
    offset = 0;
    if (!pipe) watch_file();
    return true;
  }

  // The end of what is there has been read. Did it become shorter, or is it another file by now?
  Result<Event> look() {
    struct stat here {
    }, named{};
    if (fstat(descriptor, &here) != 0) return tl::unexpected(fail_with("cannot read").error());
    if (static_cast<uint64_t>(here.st_size) < offset) {
      if (lseek(descriptor, 0, SEEK_SET) != 0) return tl::unexpected(fail_with("cannot read").error());
      offset = 0;
      return Event::truncated;
    }
    // Between two names of a rotation there may be none.
    if (stat(path.c_str(), &named) != 0 || (named.st_ino == here.st_ino && named.st_dev == here.st_dev))
      return Event::idle;
    // A last line may have been written between the read and the look.
    if (static_cast<uint64_t>(here.st_size) > offset) return Event::idle;
    const int before = descriptor;
    const Result<bool> opened = open_file();
    if (!opened) return tl::unexpected(opened.error());
    if (!*opened) {
      descriptor = before;
      return Event::idle;
    }
    ::close(before);
    return Event::replaced;
  }

  Result<Event> sleep(int milliseconds) {
    // A file is always ready to be read: only its watch tells of more.
    pollfd waits[2] = {{signals, POLLIN, 0}, {pipe ? descriptor : changes, POLLIN, 0}};
    const int ready = poll(waits, 2, milliseconds);
    if (ready < 0 && errno != EINTR) return tl::unexpected(fail_with("cannot wait").error());
    if (ready > 0 && (waits[0].revents & POLLIN) != 0) return Event::interrupted;
    if (ready > 0 && !pipe && waits[1].revents != 0) {
      char events[4096];
      while (read(changes, events, sizeof events) > 0) {
      }
    }
    return ready > 0 ? Event::bytes : Event::idle;
  }
};

FollowedFile::FollowedFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
FollowedFile::FollowedFile(FollowedFile&&) noexcept = default;
FollowedFile::~FollowedFile() = default;

bool FollowedFile::there() const { return state_->descriptor >= 0; }

Result<FollowedFile> FollowedFile::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->path = path == "-" ? "standard input" : path;
  state->changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (path == "-") {
    state->descriptor = STDIN_FILENO;
    state->pipe = true;
  } else if (const Result<bool> opened = state->open_file(); !opened) {
    return tl::unexpected(opened.error());
  }
  // Behind the opening, which waits for the writer of a named pipe.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  state->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return FollowedFile(std::move(state));
}

Result<FollowedFile::Event> FollowedFile::next(std::string& out, std::chrono::milliseconds wait) {
  State& state = *state_;
  out.clear();
  auto left = static_cast<int>(wait.count());
  for (;;) {
    if (!there()) {
      if (const Result<bool> opened = state.open_file(); !opened) return tl::unexpected(opened.error());
    } else {
      const Result<Event> asked = state.sleep(state.pipe ? std::min(left, kLook) : 0);
      if (!asked || *asked == Event::interrupted) return asked;
      if (!state.pipe || *asked == Event::bytes) {
        out.resize(kPiece);
        const ssize_t n = read(state.descriptor, out.data(), out.size());
        out.resize(n > 0 ? static_cast<size_t>(n) : 0);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return tl::unexpected(state.fail_with("cannot read").error());
        if (n > 0) {
          state.offset += static_cast<uint64_t>(n);
          return Event::bytes;
        }
        if (state.pipe && n == 0) return Event::end;
        if (!state.pipe && n == 0) {
          const Result<Event> looked = state.look();
          if (!looked || *looked != Event::idle) return looked;
        }
      }
    }
    if (left <= 0) return Event::idle;
    const int step = std::min(left, kLook);
    left -= step;
    if (state.pipe) continue;  // it has slept above
    const Result<Event> slept = state.sleep(step);
    if (!slept || *slept == Event::interrupted) return slept;
  }
}

}  // namespace vitrine::cli
