// Lines a person types, or that come through a pipe.
#pragma once

#include <memory>
#include <string>

namespace vitrine::cli {

class LineReader {
 public:
  enum class Event { line, end, interrupted };

  virtual ~LineReader() = default;
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line in UTF-8, without its end. `more`: it continues a text. interrupted:
  // `interrupts` became readable while it waited; what had been typed is dropped.
  virtual Event next(std::string& line, bool more) = 0;

 protected:
  LineReader() = default;
};

// Standard input as it comes, with no prompt. `interrupts` is a non-blocking descriptor that a signal handler
// makes readable: the signal may reach any thread, and at any moment, so that EINTR alone would miss some.
std::unique_ptr<LineReader> read_pipe(int interrupts);
// Standard input as a terminal: a prompt, editing, and a history of this session that is never
// written down. Sets the process's LC_CTYPE to a UTF-8 one. REQUIRES: both are terminals; one of them.
std::unique_ptr<LineReader> read_terminal(int interrupts);

}  // namespace vitrine::cli
