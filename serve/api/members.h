// Reads the members of a JSON object one by one, with errors that name them,
// and knows afterwards which nobody asked for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/chat_value.h"

namespace vitrine::serve {

// The first error stays; every call after it does nothing. Members that are null
// count as absent, as clients mean them.
class Members {
 public:
  // `where` stands in front of names in errors: "response_format". Borrows `object`.
  explicit Members(const ChatValue& object, std::string where = {});

  const ChatValue* any(std::string_view name);
  const ChatValue* list(std::string_view name);
  const ChatValue* object(std::string_view name);
  std::optional<std::string> text(std::string_view name);
  std::optional<bool> flag(std::string_view name);
  std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most);
  std::optional<double> real(std::string_view name, double least, double most);

  // Names that are known and change nothing here.
  void ignore(std::initializer_list<std::string_view> names);
  void refuse(std::string_view name, std::string message, ErrorCode code = ErrorCode::usage);
  // An error for a member that no call asked for: a misspelt option must not be taken for its default.
  void refuse_others();

  bool failed() const { return error_.has_value(); }
  tl::unexpected<Error> error() const { return tl::unexpected<Error>(*error_); }
  std::string place(std::string_view name) const;

 private:
  const ChatMap* members_ = nullptr;
  std::string where_;
  std::vector<std::string_view> known_;
  std::optional<Error> error_;
};

}  // namespace vitrine::serve
