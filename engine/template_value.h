// What a chat template computes with while it runs. Containers and strings are
// shared and never change, so that no value can hold itself; the one thing that
// changes, a namespace, lives in the run and is referred to by pointer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/chat_value.h"
#include "engine/template_ast.h"

namespace vitrine {

class TemplateValue;

struct TemplateList {
  std::vector<TemplateValue> items;
  uint32_t depth = 1;  // of nesting; bounded, so that walking a value is bounded recursion
  bool tuple = false;
};

struct TemplateDict {
  std::vector<std::pair<std::string, TemplateValue>> members;  // in order of insertion
  uint32_t depth = 1;
};

struct TemplateNamespace {
  std::map<std::string, TemplateValue, std::less<>> members;
};

struct TemplateLoop {  // the variable `loop`
  std::shared_ptr<const TemplateList> items;
  size_t index = 0;
};

struct Undefined {
  std::shared_ptr<const std::string> name;  // for messages; may be null
};
struct TemplateFunction {
  enum class Kind : uint8_t { name_space, raise_exception, strftime_now, range, dict, macro, method };
  Kind kind = Kind::name_space;
  const TemplateStatement* macro = nullptr;
  std::string method;  // of `self`
  std::shared_ptr<const TemplateValue> self;
};

class TemplateValue {
 public:
  using Variant =
      std::variant<Undefined, std::nullptr_t, bool, int64_t, double, std::shared_ptr<const std::string>,
                   std::shared_ptr<const TemplateList>, std::shared_ptr<const TemplateDict>, TemplateNamespace*,
                   std::shared_ptr<const TemplateLoop>, std::shared_ptr<const TemplateFunction>>;

  TemplateValue() = default;  // undefined
  TemplateValue(Variant value) : value_(std::move(value)) {}
  static TemplateValue none() { return Variant(nullptr); }
  static TemplateValue boolean(bool value) { return Variant(value); }
  static TemplateValue integer(int64_t value) { return Variant(value); }
  static TemplateValue real(double value) { return Variant(value); }
  static TemplateValue string(std::string value) {
    return Variant(std::make_shared<const std::string>(std::move(value)));
  }
  static TemplateValue string(std::string_view value) { return string(std::string(value)); }
  static TemplateValue undefined(std::string_view name) {
    return Variant(Undefined{std::make_shared<const std::string>(name)});
  }

  const Variant& variant() const { return value_; }
  bool is_undefined() const { return std::holds_alternative<Undefined>(value_); }
  bool is_none() const { return std::holds_alternative<std::nullptr_t>(value_); }
  const bool* as_bool() const { return std::get_if<bool>(&value_); }
  const double* as_real() const { return std::get_if<double>(&value_); }
  // Python's bool is an integer.
  std::optional<int64_t> as_integer() const;
  std::optional<double> as_number() const;  // integer or real
  const std::string* as_string() const { return shared<std::string>(); }
  const TemplateList* as_list() const { return shared<TemplateList>(); }
  const TemplateDict* as_dict() const { return shared<TemplateDict>(); }
  TemplateNamespace* as_namespace() const {
    const auto* pointer = std::get_if<TemplateNamespace*>(&value_);
    return pointer != nullptr ? *pointer : nullptr;
  }
  const TemplateLoop* as_loop() const { return shared<TemplateLoop>(); }
  const TemplateFunction* as_function() const { return shared<TemplateFunction>(); }

  bool truth() const;
  std::string_view type_name() const;  // as Python calls it
  uint32_t depth() const;
  const TemplateValue* member(std::string_view key) const;  // of a dict

 private:
  template <class T>
  const T* shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<const T>>(&value_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }
  Variant value_;
};

bool equal(const TemplateValue& a, const TemplateValue& b);
// -1, 0, 1; nothing when Python would not order them.
std::optional<int> order(const TemplateValue& a, const TemplateValue& b);

// Python's str() and repr().
void append_str(std::string& out, const TemplateValue& value);
void append_repr(std::string& out, const TemplateValue& value);

struct JsonStyle {
  std::optional<int64_t> indent;
  bool ascii = false, sort_keys = false;
  std::string item_separator, key_separator;  // empty: Python's default
};
// json.dumps. False when the value has no JSON form.
bool append_json(std::string& out, const TemplateValue& value, const JsonStyle& style, size_t level = 0);

std::string python_float(double value);

// Strings are counted in characters, as in Python.
size_t character_count(std::string_view text);
size_t character_offset(std::string_view text, size_t character);  // in bytes; text.size() when beyond

// Sanitizes strings (ill-formed UTF-8 becomes U+FFFD). Nothing beyond 128 levels.
std::optional<TemplateValue> to_template_value(const ChatValue& value, uint32_t level = 0);

}  // namespace vitrine
