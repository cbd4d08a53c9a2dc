// The file a tap writes: lines are handed over by the caller's thread and
// written by a thread of its own, in batches. Fails loudly, drops whole lines
// only, and goes on by itself when there is room again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"

namespace vitrine {

class LogFile {
 public:
  struct Counts {
    uint64_t written = 0;  // bytes
    uint64_t dropped_lines = 0;
    uint64_t failures = 0;  // times writing began to fail
    std::string error;      // of the last one
  };

  // Mode 0600, locked against a second writer. `head` is written before
  // anything else, and again, followed by `after_failure`, whenever writing
  // works again: what stood open in between is gone.
  static Result<std::unique_ptr<LogFile>> open(const std::string& path, bool append, std::string head,
                                               std::string after_failure);
  ~LogFile();  // close()

  // A piece of text made in `generation`, emptied by the call. `ends_line`: it
  // ends at a line's end; a line may come in several pieces. False when it was
  // dropped, since the log is failing or another generation has begun. Waits
  // while kPending bytes are waiting, kStall at most: then the log is failing.
  bool append(uint64_t generation, std::string& text, bool ends_line);

  // Counts how often the log had to begin anew. Lines of one generation make
  // sense together only.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  bool failing() const { return failing_.load(std::memory_order_acquire); }
  // The path names another file than this one by now, or none.
  bool moved() const;
  Counts counts() const;

  void flush();  // until everything appended is written or dropped
  // Writes what waits, syncs, closes. Error: the last failure, if lines are missing. Idempotent.
  Status close();

 private:
  static constexpr size_t kPending = 16 << 20;
  LogFile() = default;
  void run();
  void write_batch(std::unique_lock<std::mutex>& lock);
  bool write_all(std::string_view text);
  void begin_failing(std::string why);
  void try_again(std::unique_lock<std::mutex>& lock);
  void cut_back();
  bool was_cut();

  std::string path_, head_, after_failure_;
  int descriptor_ = -1;
  // Of the writing thread.
  uint64_t offset_ = 0;       // bytes in the file, as far as this writer knows
  uint64_t whole_lines_ = 0;  // up to here the file ends with a line
  int write_error_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable ready_, drained_;
  std::string pending_;
  bool line_open_ = false;      // pending_ or the file ends inside a line
  bool dropping_line_ = false;  // the rest of a line whose beginning was dropped
  bool writing_ = false, stopping_ = false, hurry_ = false;
  std::string stalled_;  // set by append(): why the writer has to begin anew
  Counts counts_;
  std::atomic<uint64_t> generation_{1};
  std::atomic<bool> failing_{false};
  std::thread thread_;
};

}  // namespace vitrine
