// What a chat template computes with: JSON-like values, immutable and shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace vitrine {

class ChatValue;
using ChatList = std::vector<ChatValue>;
// Keeps the order of insertion, as Python's dict does: rendered JSON depends on it.
using ChatMap = std::vector<std::pair<std::string, ChatValue>>;

class ChatValue {
 public:
  ChatValue() : value_(nullptr) {}  // None
  ChatValue(bool value) : value_(value) {}
  ChatValue(int64_t value) : value_(value) {}
  ChatValue(int value) : value_(static_cast<int64_t>(value)) {}
  ChatValue(double value) : value_(value) {}
  ChatValue(std::string value) : value_(std::make_shared<const std::string>(std::move(value))) {}
  ChatValue(std::string_view value) : ChatValue(std::string(value)) {}
  ChatValue(const char* value) : ChatValue(std::string(value)) {}
  ChatValue(ChatList value) : value_(std::make_shared<const ChatList>(std::move(value))) {}
  ChatValue(ChatMap value) : value_(std::make_shared<const ChatMap>(std::move(value))) {}

  bool is_none() const { return std::holds_alternative<std::nullptr_t>(value_); }
  const bool* as_bool() const { return std::get_if<bool>(&value_); }
  const int64_t* as_integer() const { return std::get_if<int64_t>(&value_); }
  const double* as_real() const { return std::get_if<double>(&value_); }
  const std::string* as_string() const { return shared<std::string>(); }
  const ChatList* as_list() const { return shared<ChatList>(); }
  const ChatMap* as_map() const { return shared<ChatMap>(); }
  // The member of a map; nothing when this is no map or has no such member.
  const ChatValue* find(std::string_view key) const;

  // malformed when the document nests deeper than 64, holds more than `values` values, or a
  // number JSON's integers and doubles cannot. Keeps the order of members.
  static Result<ChatValue> from_json(std::string_view text, size_t values = 1'000'000);

 private:
  template <class T>
  const T* shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<const T>>(&value_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }
  std::variant<std::nullptr_t, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const ChatList>, std::shared_ptr<const ChatMap>>
      value_;
};

// Compact JSON, members in their order.
std::string to_json(const ChatValue& value);

}  // namespace vitrine
