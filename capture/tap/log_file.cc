#include "capture/tap/log_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace vitrine {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kBatch{20};         // lines wait so long for others
constexpr size_t kBatchBytes = 256 << 10;  // … unless they are so many
constexpr milliseconds kStall{2000};
constexpr milliseconds kRetry{1000};

uint64_t lines_in(std::string_view text) { return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')); }

Status refuse(const std::string& path, std::string why) { return fail(ErrorCode::usage, std::move(why), path); }

Status check_owner(const std::string& path, const struct stat& status) {
  if (!S_ISREG(status.st_mode)) return refuse(path, "cannot write an exchange log there: not a regular file");
  if (status.st_uid != geteuid()) return refuse(path, "cannot append to a log that belongs to another user");
  if ((status.st_mode & 077) != 0) return refuse(path, "cannot append to a log that others can read: chmod 600 first");
  return {};
}

}  // namespace

Result<std::unique_ptr<LogFile>> LogFile::open(const std::string& path, bool append, std::string head,
                                               std::string after_failure) {
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (append ? 0 : O_EXCL);
  const int descriptor = ::open(path.c_str(), flags, 0600);
  if (descriptor < 0 && errno == EEXIST) {
    return fail(ErrorCode::usage, "there is a file of this name already; append to it, or choose another", path);
  }
  if (descriptor < 0) return fail(ErrorCode::usage, std::string("cannot create: ") + std::strerror(errno), path);
  std::unique_ptr<LogFile> file(new LogFile);
  file->descriptor_ = descriptor;
  file->path_ = path;
  struct stat status {};
  if (fstat(descriptor, &status) != 0)
    return fail(ErrorCode::unreadable, std::string("cannot use: ") + std::strerror(errno), path);
  if (const Status owned = check_owner(path, status); !owned) return tl::unexpected(owned.error());
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::usage, "another program is writing this log", path);
  }
  file->offset_ = file->whole_lines_ = static_cast<uint64_t>(status.st_size);
  // A log whose writer was killed may end inside a line: an empty line is one too many, and allowed.
  const std::string first = (status.st_size > 0 ? "\n" : "") + head;
  file->head_ = std::move(head);
  file->after_failure_ = std::move(after_failure);
  if (!file->write_all(first)) {
    file->cut_back();
    if (!append) ::unlink(path.c_str());
    return fail(ErrorCode::unreadable, std::string("cannot write: ") + std::strerror(file->write_error_), path);
  }
  file->thread_ = std::thread([raw = file.get()] { raw->run(); });
  return file;
}

LogFile::~LogFile() { (void)close(); }

bool LogFile::moved() const {
  struct stat named {
  }, own{};
  if (fstat(descriptor_, &own) != 0) return true;
  return ::stat(path_.c_str(), &named) != 0 || named.st_dev != own.st_dev || named.st_ino != own.st_ino;
}

bool LogFile::append(uint64_t generation, std::string& text, bool ends_line) {
  std::unique_lock lock(mutex_);
  const bool continues = std::exchange(line_open_, !ends_line);
  const auto drop = [&] {
    counts_.dropped_lines += lines_in(text);
    text.clear();
    dropping_line_ = !ends_line;
    return false;
  };
  if ((dropping_line_ && continues) || failing_ || !stalled_.empty() || stopping_ || generation != generation_) {
    return drop();
  }
  dropping_line_ = false;
  if (pending_.size() >= kPending &&
      !drained_.wait_for(lock, kStall, [this] { return pending_.size() < kPending || failing_; })) {
    stalled_ = "the disk does not keep up";
    counts_.dropped_lines += lines_in(pending_);
    pending_.clear();
    ready_.notify_one();
    return drop();
  }
  if (failing_) return drop();
  const bool wake = pending_.empty() || pending_.size() + text.size() >= kBatchBytes;
  if (pending_.empty()) pending_.swap(text);
  else pending_ += text;
  text.clear();
  if (wake) ready_.notify_one();
  return true;
}

void LogFile::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (failing_) {
      ready_.wait_for(lock, kRetry, [this] { return stopping_; });
      try_again(lock);
      if (stopping_) return;
      continue;
    }
    ready_.wait(lock, [this] { return stopping_ || hurry_ || !pending_.empty() || !stalled_.empty(); });
    ready_.wait_for(lock, kBatch,
                    [this] { return stopping_ || hurry_ || pending_.size() >= kBatchBytes || !stalled_.empty(); });
    write_batch(lock);
    if (stopping_ && pending_.empty() && !failing_) return;
  }
}

void LogFile::write_batch(std::unique_lock<std::mutex>& lock) {
  std::string batch;
  batch.swap(pending_);
  writing_ = true;
  lock.unlock();
  drained_.notify_all();
  const bool cut = was_cut();
  const bool written = !cut && write_all(batch);
  lock.lock();
  writing_ = false;
  if (!written) {
    counts_.dropped_lines += lines_in(std::string_view(batch));
    begin_failing(cut ? "it was made shorter by another program" : std::strerror(write_error_));
  } else {
    counts_.written += batch.size();
    if (!stalled_.empty()) begin_failing(stalled_);
  }
  if (pending_.empty()) {
    if (batch.capacity() <= kBatchBytes * 4) {  // its memory serves the next batch
      batch.clear();
      pending_.swap(batch);
    }
    hurry_ = false;
  }
  drained_.notify_all();
}

bool LogFile::write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(descriptor_, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      write_error_ = n < 0 ? errno : EIO;
      return false;
    }
    const std::string_view piece = text.substr(0, static_cast<size_t>(n));
    if (const size_t end = piece.rfind('\n'); end != piece.npos) whole_lines_ = offset_ + end + 1;
    offset_ += piece.size();
    text.remove_prefix(piece.size());
  }
  return true;
}

// REQUIRES: mutex_ held. Nothing of this generation is written any more.
void LogFile::begin_failing(std::string why) {
  counts_.dropped_lines += lines_in(pending_);
  pending_.clear();
  stalled_.clear();
  ++counts_.failures;
  counts_.error = path_ + ": " + why;
  failing_ = true;
  cut_back();
}

// Log rotation that copies and truncates leaves a file without a head.
bool LogFile::was_cut() {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0 || static_cast<uint64_t>(status.st_size) >= offset_) return false;
  offset_ = whole_lines_ = static_cast<uint64_t>(status.st_size);
  return true;
}

// A reader must not find half a line in the middle of a log.
void LogFile::cut_back() {
  struct stat status {};
  if (offset_ != whole_lines_ && fstat(descriptor_, &status) == 0 && static_cast<uint64_t>(status.st_size) == offset_ &&
      ftruncate(descriptor_, static_cast<off_t>(whole_lines_)) == 0) {
    offset_ = whole_lines_;
  }
}

void LogFile::try_again(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const std::string text = (offset_ != whole_lines_ ? "\n" : "") + head_ + after_failure_;
  const bool written = write_all(text);
  if (!written) cut_back();
  lock.lock();
  if (!written) return;
  counts_.written += text.size();
  // In this order: who sees that it works again must not write in the old generation.
  generation_.fetch_add(1, std::memory_order_release);
  failing_.store(false, std::memory_order_release);
  hurry_ = false;
  drained_.notify_all();
}

LogFile::Counts LogFile::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

void LogFile::flush() {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) return;
  hurry_ = true;
  ready_.notify_one();
  drained_.wait(lock, [this] { return failing_ || (pending_.empty() && !writing_ && stalled_.empty()); });
}

Status LogFile::close() {
  if (thread_.joinable()) {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      ready_.notify_one();
    }
    thread_.join();
  }
  if (descriptor_ >= 0) {
    const bool synced = fdatasync(descriptor_) == 0;
    const int error = errno;
    const bool closed = ::close(std::exchange(descriptor_, -1)) == 0;
    if (!synced || !closed) {
      ++counts_.failures;
      counts_.error = path_ + ": " + std::strerror(synced ? errno : error);
    }
  }
  if (counts_.failures == 0) return {};
  return fail(ErrorCode::unreadable, "the exchange log is not complete: " + counts_.error);
}

}  // namespace vitrine
