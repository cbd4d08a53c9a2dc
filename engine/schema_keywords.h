// The keywords of one schema object, checked: what they must be, and that none is unknown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/schema_value.h"

namespace vitrine {

struct SchemaKeywords {
  enum Type : uint32_t {
    kNull = 1,
    kBoolean = 2,
    kInteger = 4,
    kNumber = 8,
    kString = 16,
    kArray = 32,
    kObject = 64,
    kAll = 127,
  };
  std::optional<uint32_t> types;             // bits; kNumber without kInteger means both
  uint32_t spoken_of = 0;                    // types that other keywords speak of
  const SchemaValue* enumeration = nullptr;  // array
  const SchemaValue* constant = nullptr;
  // string
  std::optional<uint32_t> minimum_length, maximum_length;  // beyond 2^31 counts as 2^31
  const SchemaValue* pattern = nullptr;
  const SchemaValue* format = nullptr;
  // number
  const SchemaValue *minimum = nullptr, *maximum = nullptr;
  const SchemaValue *exclusive_minimum = nullptr, *exclusive_maximum = nullptr;
  const SchemaValue* multiple_of = nullptr;
  // array
  const SchemaValue* prefix_items = nullptr;  // array of schemas
  const SchemaValue* items = nullptr;
  std::optional<uint32_t> minimum_items, maximum_items;
  // object
  const SchemaValue* properties = nullptr;
  const SchemaValue* required = nullptr;  // array of strings
  const SchemaValue* additional = nullptr;
  // combinations
  const SchemaValue *all_of = nullptr, *any_of = nullptr, *one_of = nullptr;  // arrays of schemas
  const SchemaValue* reference = nullptr;
};

inline constexpr uint32_t kLongest = 1u << 31;

// unsupported: a keyword that is refused; malformed: one whose value is not what it must be.
// REQUIRES: an object.
Result<SchemaKeywords> read_keywords(const SchemaValue& schema);

// The regular expression that `format` stands for; nothing for other names.
std::optional<std::string_view> format_pattern(std::string_view name);

}  // namespace vitrine
