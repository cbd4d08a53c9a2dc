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

  // The next line in UTF-8, without its end. `more`: it continues a text. interrupted: a signal
  // whose handler returned came first (without SA_RESTART); what had been typed is dropped.
  virtual Event next(std::string& line, bool more) = 0;

 protected:
  LineReader() = default;
};

// Standard input as it comes, with no prompt.
std::unique_ptr<LineReader> read_pipe();
// Standard input as a terminal: a prompt, editing, and a history of this session that is never
// written down. Sets the process's LC_CTYPE to a UTF-8 one. REQUIRES: both are terminals; one of them.
std::unique_ptr<LineReader> read_terminal();

}  // namespace vitrine::cli
