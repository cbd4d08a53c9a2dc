#include "cli/output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace vitrine::cli {
namespace {

constexpr size_t kAlignment = 4096;  // of O_DIRECT: any logical block size divides it
constexpr size_t kBlock = 2 << 20;   // a multiple of it; one huge page, so that O_DIRECT pins one and not 512
constexpr size_t kBlocks = 4;        // so much may wait for the disk

enum class Coding : uint8_t { none, zstd, gzip };

Coding coding_of(std::string_view path) {
  if (path.ends_with(".zst")) return Coding::zstd;
  if (path.ends_with(".gz")) return Coding::gzip;
  return Coding::none;
}

struct Block {
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  Block() : bytes(static_cast<char*>(std::aligned_alloc(kBlock, kBlock))) {
    if (bytes) madvise(bytes.get(), kBlock, MADV_HUGEPAGE);
  }
  std::unique_ptr<char, Free> bytes;
  size_t size = 0;
};

// Compresses blocks in the order they come; deterministic, as blocks are cut
// at the same places whatever the sizes of write().
class Compressor {
 public:
  explicit Compressor(Coding coding) : coding_(coding) {
    if (coding_ == Coding::zstd) {
      zstd_ = ZSTD_createCCtx();
      if (zstd_ != nullptr) {
        ZSTD_CCtx_setParameter(zstd_, ZSTD_c_compressionLevel, 1);
        ZSTD_CCtx_setParameter(zstd_, ZSTD_c_checksumFlag, 1);
      }
    } else if (coding_ == Coding::gzip) {
      gzip_open_ = deflateInit2(&gzip_, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    }
  }
  ~Compressor() {
    ZSTD_freeCCtx(zstd_);
    if (gzip_open_) deflateEnd(&gzip_);
  }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  bool active() const { return coding_ != Coding::none; }

  // Gives pieces of compressed text to `write`; false when either fails.
  template <class Write>
  bool add(std::string_view text, bool last, Write write) {
    return coding_ == Coding::zstd ? add_zstd(text, last, write) : add_gzip(text, last, write);
  }

 private:
  template <class Write>
  bool add_zstd(std::string_view text, bool last, Write write) {
    if (zstd_ == nullptr) return false;
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const size_t left = ZSTD_compressStream2(zstd_, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left) != 0 || !write(std::string_view(out_.data(), out.pos))) return false;
      if (last ? left == 0 : in.pos == in.size) return true;
    }
  }
  template <class Write>
  bool add_gzip(std::string_view text, bool last, Write write) {
    if (!gzip_open_) return false;
    gzip_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    gzip_.avail_in = static_cast<uInt>(text.size());
    for (;;) {
      gzip_.next_out = reinterpret_cast<Bytef*>(out_.data());
      gzip_.avail_out = static_cast<uInt>(out_.size());
      const int result = deflate(&gzip_, last ? Z_FINISH : Z_NO_FLUSH);
      const size_t made = out_.size() - gzip_.avail_out;
      if (result == Z_STREAM_ERROR || !write(std::string_view(out_.data(), made))) return false;
      if (last ? result == Z_STREAM_END : gzip_.avail_out != 0) return true;
    }
  }

  Coding coding_;
  ZSTD_CCtx* zstd_ = nullptr;
  z_stream gzip_{};
  bool gzip_open_ = false;
  std::vector<char> out_ = std::vector<char>(1 << 17);
};

}  // namespace

struct Output::State {
  explicit State(Coding coding) : compressor(coding) {}
  ~State() {
    stop_thread();
    if (owned) ::close(descriptor);
  }

  bool write_bytes(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::write(descriptor, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EINVAL && direct) {  // a file system without O_DIRECT says so only now
        set_direct(false);
        continue;
      }
      if (n <= 0) {
        failed_errno = n < 0 ? errno : EIO;
        return false;
      }
      text.remove_prefix(static_cast<size_t>(n));
      // A short write leaves an unaligned rest.
      if (direct && n % static_cast<ssize_t>(kAlignment) != 0) set_direct(false);
    }
    return true;
  }

  void set_direct(bool on) {
#ifdef O_DIRECT
    const int flags = fcntl(descriptor, F_GETFL);
    direct = flags >= 0 && fcntl(descriptor, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0 && on;
#else
    (void)on;
#endif
  }

  bool write_block(const Block& block, bool last) {
    const std::string_view text(block.bytes.get(), block.size);
    if (compressor.active()) {
      return compressor.add(text, last, [this](std::string_view piece) { return write_bytes(piece); });
    }
    if (direct && block.size % kAlignment != 0) set_direct(false);  // the end of the file
    return write_bytes(text);
  }

  void loop() {
    std::unique_lock lock(mutex);
    for (;;) {
      filled.wait(lock, [this] { return stopping || !waiting.empty(); });
      if (waiting.empty()) return;
      Block block = std::move(waiting.front());
      waiting.pop_front();
      const bool skip = failed;
      lock.unlock();
      const bool ok = skip || write_block(block, false);
      block.size = 0;
      lock.lock();
      failed = failed || !ok;
      spare.push_back(std::move(block));
      emptied.notify_one();
    }
  }

  void stop_thread() {
    if (!thread.joinable()) return;
    {
      std::lock_guard lock(mutex);
      stopping = true;
      filled.notify_one();
    }
    thread.join();
  }

  // Hands the full block over and gets an empty one.
  bool rotate() {
    if (!thread.joinable()) {
      if (compressor.active() == false && regular) set_direct(true);
      thread = std::thread([this] { loop(); });
    }
    std::unique_lock lock(mutex);
    waiting.push_back(std::move(current));
    filled.notify_one();
    if (spare.empty() && made < kBlocks) {
      ++made;
      spare.emplace_back();
    }
    emptied.wait(lock, [this] { return !spare.empty(); });
    current = std::move(spare.back());
    spare.pop_back();
    return !failed;
  }

  Status error() const {
    return fail(ErrorCode::unreadable, std::string("cannot write: ") + std::strerror(failed_errno), path);
  }

  std::string path;
  int descriptor = -1;
  bool owned = false, regular = false;
  bool direct = false;     // of the writing thread once it runs
  int failed_errno = EIO;  // set before `failed`
  Compressor compressor;
  Block current;
  size_t made = 1;

  std::thread thread;
  std::mutex mutex;
  std::condition_variable filled, emptied;
  std::deque<Block> waiting;
  std::vector<Block> spare;
  bool stopping = false, failed = false;
};

Output::Output(std::unique_ptr<State> state) : state_(std::move(state)) {}
Output::Output(Output&&) noexcept = default;
Output::~Output() = default;

Result<Output> Output::open(const std::string& path) {
  auto state = std::make_unique<State>(coding_of(path));
  if (!state->current.bytes) return fail(ErrorCode::internal, "no memory for output", path);
  state->path = path.empty() || path == "-" ? "standard output" : path;
  if (path.empty() || path == "-") {
    state->descriptor = STDOUT_FILENO;
    return Output(std::move(state));
  }
  state->descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (state->descriptor < 0) return fail(ErrorCode::usage, std::string("cannot create: ") + std::strerror(errno), path);
  state->owned = true;
  state->regular = lseek(state->descriptor, 0, SEEK_CUR) >= 0;
  return Output(std::move(state));
}

Status Output::write(std::string_view text) {
  State& state = *state_;
  while (!text.empty()) {
    const size_t n = std::min(text.size(), kBlock - state.current.size);
    std::memcpy(state.current.bytes.get() + state.current.size, text.data(), n);
    state.current.size += n;
    text.remove_prefix(n);
    if (state.current.size == kBlock && !state.rotate()) return state.error();
  }
  return {};
}

Status Output::flush() {
  State& state = *state_;
  if (state.current.size == 0) return {};
  if (state.thread.joinable()) {
    // In order: behind the blocks that wait, by the same thread.
    if (!state.rotate()) return state.error();
    return {};
  }
  if (!state.failed && !state.write_block(state.current, false)) state.failed = true;
  state.current.size = 0;
  return state.failed ? state.error() : Status{};
}

Status Output::close() {
  State& state = *state_;
  state.stop_thread();
  if (!state.failed && !state.write_block(state.current, true)) state.failed = true;
  state.current.size = 0;
  if (state.owned) {
    state.owned = false;
    if (::close(state.descriptor) != 0 && !state.failed) {
      state.failed_errno = errno;
      state.failed = true;
    }
  }
  return state.failed ? state.error() : Status{};
}

}  // namespace vitrine::cli
