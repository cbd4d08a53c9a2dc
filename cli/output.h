// Where a command's text goes: a file, or standard output for "" and "-".
//
// Names that end in .zst and .gz are compressed (zstd level 1, gzip level 1):
// one frame or member, the same bytes for the same text. Field lines repeat
// their keys, so that a compressed file is both smaller and quicker to write.
//
// Text is collected in blocks. A second thread, started by the first full
// block, compresses and writes them; large plain files are written past the
// page cache (O_DIRECT), which would otherwise hold a copy of gigabytes that
// nobody is about to read, and push out the recording.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrine::cli {

// Used from one thread. Errors surface in a later write() and in close().
class Output {
 public:
  // The file is created 0600: recorded values are evidence.
  static Result<Output> open(const std::string& path);
  Output(Output&&) noexcept;
  ~Output();  // without close(): what was written stays, as far as it went

  Status write(std::string_view text);
  // Hands everything over to the system now: for readers that wait for it.
  // REQUIRES: the output is not compressed.
  Status flush();
  Status close();

 private:
  struct State;
  explicit Output(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vitrine::cli
