#include "serve/api/members.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace vitrine::serve {

Members::Members(const ChatValue& object, std::string where) : members_(object.as_map()), where_(std::move(where)) {
  if (members_ == nullptr) {
    error_ = Error{ErrorCode::usage, where_.empty() ? "the body must be a JSON object" : "must be an object", where_};
  }
}

std::string Members::place(std::string_view name) const {
  return where_.empty() ? std::string(name) : where_ + "." + std::string(name);
}

void Members::refuse(std::string_view name, std::string message, ErrorCode code) {
  if (!error_) error_ = Error{code, std::move(message), place(name)};
}

const ChatValue* Members::any(std::string_view name) {
  known_.push_back(name);
  if (error_) return nullptr;
  for (const auto& [key, value] : *members_) {
    if (key == name) return value.is_none() ? nullptr : &value;
  }
  return nullptr;
}

const ChatValue* Members::list(std::string_view name) {
  const ChatValue* value = any(name);
  if (value == nullptr || value->as_list() != nullptr) return value;
  refuse(name, "must be a list");
  return nullptr;
}

const ChatValue* Members::object(std::string_view name) {
  const ChatValue* value = any(name);
  if (value == nullptr || value->as_map() != nullptr) return value;
  refuse(name, "must be an object");
  return nullptr;
}

std::optional<std::string> Members::text(std::string_view name) {
  const ChatValue* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->as_string() != nullptr) return *value->as_string();
  refuse(name, "must be a string");
  return std::nullopt;
}

std::optional<bool> Members::flag(std::string_view name) {
  const ChatValue* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->as_bool() != nullptr) return *value->as_bool();
  refuse(name, "must be true or false");
  return std::nullopt;
}

std::optional<int64_t> Members::integer(std::string_view name, int64_t least, int64_t most) {
  const ChatValue* value = any(name);
  if (value == nullptr) return std::nullopt;
  std::optional<int64_t> number;
  if (value->as_integer() != nullptr) number = *value->as_integer();
  // 1e3 and 1.0 are integers too, for those who write JSON by other means.
  if (const double* real = value->as_real();
      real != nullptr && *real == std::floor(*real) && std::abs(*real) < 0x1p53) {
    number = static_cast<int64_t>(*real);
  }
  if (number && *number >= least && *number <= most) return number;
  refuse(name, fmt::format("must be an integer from {} to {}", least, most));
  return std::nullopt;
}

std::optional<double> Members::real(std::string_view name, double least, double most) {
  const ChatValue* value = any(name);
  if (value == nullptr) return std::nullopt;
  std::optional<double> number;
  if (value->as_integer() != nullptr) number = static_cast<double>(*value->as_integer());
  if (value->as_real() != nullptr) number = *value->as_real();
  if (number && *number >= least && *number <= most) return number;
  refuse(name, fmt::format("must be a number from {} to {}", least, most));
  return std::nullopt;
}

void Members::ignore(std::initializer_list<std::string_view> names) {
  known_.insert(known_.end(), names.begin(), names.end());
}

void Members::refuse_others() {
  if (error_) return;
  for (const auto& [key, value] : *members_) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    refuse(printable(key), "is not a parameter of this server");
    return;
  }
}

}  // namespace vitrine::serve
