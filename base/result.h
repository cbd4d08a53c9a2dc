// Errors are values. Code that reads captured or downloaded bytes returns
// Result<T>; nothing on that path throws.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace vitrine {

// The classes of failure a caller can act on; cli/ maps them to exit codes.
enum class ErrorCode {
  usage,        // the request itself is wrong: flags, option values (exit 2)
  unreadable,   // file missing, no permission, not a format we read (exit 3)
  malformed,    // the input breaks its own format (exit 3 when nothing could be read)
  unsupported,  // well formed, but a feature or value we refuse by name
  limit,        // a stated bound was reached
  internal,     // a defect of this program (exit 4)
};

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;  // one sentence: what is wrong and, where known, what to do next
  std::string where;    // "file:line", "file, packet 12", "file, key a.b"; may be empty

  std::string to_string() const { return where.empty() ? message : where + ": " + message; }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string where = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(where)});
}

}  // namespace vitrine
