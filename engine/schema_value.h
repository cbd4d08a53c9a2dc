// A JSON Schema as it was written: a tree that keeps the order of members, the
// spelling of numbers, and every value's place (RFC 6901 pointers for errors).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vitrine {

struct SchemaValue {
  enum class Kind : uint8_t { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  bool truth = false;                      // boolean
  std::string text;                        // string: unescaped; number: as spelled
  std::vector<std::string> names;          // object: of its members
  std::vector<const SchemaValue*> values;  // array: elements; object: members, as `names`
  std::vector<uint32_t> sorted;            // object: indices of members by name
  const SchemaValue* parent = nullptr;
  uint32_t place = 0;  // index in the parent's `values`
  uint32_t id = 0;     // in order of the text

  bool is_object() const { return kind == Kind::object; }
  bool is_array() const { return kind == Kind::array; }
  bool is_string() const { return kind == Kind::string; }
  const SchemaValue* find(std::string_view name) const;  // member; nothing for other kinds
  std::string pointer() const;                           // "#/properties/a"
};

// Owns the values of one document.
class SchemaDocument {
 public:
  static constexpr uint32_t kMaxDepth = 256;

  // malformed: not JSON (RFC 8259), ill-formed UTF-8 or lone surrogates, a name twice in an object,
  // nesting beyond kMaxDepth.
  static Result<SchemaDocument> parse(std::string_view text);

  const SchemaValue& root() const { return values_.front(); }
  size_t size() const { return values_.size(); }
  // What a "$ref" names: "#", or "#/…" as a JSON pointer, percent-encoded. Nothing when there is no such value.
  const SchemaValue* resolve(std::string_view reference) const;

 private:
  std::deque<SchemaValue> values_;
};

// Exact decimal numbers: (-1)^negative * whole.fraction, without leading zeros of `whole`
// ("0" when there is nothing else) and trailing zeros of `fraction`. Beyond 24 digits before
// the point or 24 behind it only the order against shorter numbers is kept.
struct Decimal {
  bool negative = false;  // never for zero
  std::string whole = "0", fraction;

  static Decimal parse(std::string_view json_number);  // REQUIRES: JSON's spelling
  bool is_zero() const { return whole == "0" && fraction.empty(); }
  bool is_integer() const { return fraction.empty(); }
  Decimal negated() const;
  friend bool operator==(const Decimal&, const Decimal&) = default;
};
int compare(const Decimal& a, const Decimal& b);  // -1, 0, 1

// Whether two values are the same to JSON Schema: numbers by value, objects without order.
bool equal(const SchemaValue& a, const SchemaValue& b);

}  // namespace vitrine
