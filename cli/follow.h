// A file that somebody else is writing, as its bytes come: `tail -f` for logs.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"

namespace vitrine::cli {

class FollowedFile {
 public:
  enum class Event : uint8_t {
    bytes,        // more came
    idle,         // nothing came within the time
    truncated,    // the file became shorter: what follows begins at its front
    replaced,     // another file has its name (log rotation): what follows is that one's
    end,          // of a pipe: nothing will come
    interrupted,  // SIGINT or SIGTERM
  };

  // "-" is standard input. Takes SIGINT and SIGTERM over from their handlers.
  // A file that is not there yet is waited for: next() gives idle until it is.
  static Result<FollowedFile> open(const std::string& path);
  FollowedFile(FollowedFile&&) noexcept;
  ~FollowedFile();

  bool there() const;  // the file has been opened
  // bytes: `out` holds them, 64 KiB at most. Everything of a file that was
  // replaced is given before the next one's. Error: reading failed.
  Result<Event> next(std::string& out, std::chrono::milliseconds wait);

 private:
  struct State;
  explicit FollowedFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vitrine::cli
