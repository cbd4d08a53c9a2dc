// A compiled grammar: the values a schema describes, resolved to alternatives that are told apart
// by what is read (internal to the engine). Made by json_schema.h, run by grammar_matcher.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/byte_dfa.h"

namespace vitrine {

using ValueId = uint32_t;
using LeafId = uint32_t;
inline constexpr uint32_t kNone = UINT32_MAX;
// Of minima and maxima of lengths: none, or larger than any text reaches.
inline constexpr uint32_t kUnbounded = UINT32_MAX;

// One kind of value: a string by length, a string or number or word by an automaton, an array, an object.
struct Leaf {
  enum class Kind : uint8_t { text, lexeme, number, array, object };
  Kind kind = Kind::text;
  uint32_t index = 0;   // into the program's list of that kind (number: lexemes); text: texts
  uint32_t height = 0;  // arrays and objects within each other that its smallest document needs; kNone: endless
};

// A place where a value stands: any of these alternatives.
struct Value {
  std::vector<LeafId> leaves;  // ascending
  uint32_t height = kNone;     // the least of theirs
};

struct TextRule {
  uint32_t minimum = 0, maximum = kUnbounded;  // characters
};

struct ArrayRule {
  std::vector<ValueId> prefix;
  ValueId items = kNone;                       // behind the prefix; kNone: nothing
  uint32_t minimum = 0, maximum = kUnbounded;  // elements
  ValueId at(uint32_t index) const { return index < prefix.size() ? prefix[index] : items; }
};

// Names of an object's properties as spelled, byte by byte.
struct NameTrie {
  struct Node {
    uint32_t first_edge = 0, edges = 0;  // in `children`
    uint32_t first_name = 0, names = 0;  // in `below`: properties whose names go through here, ascending
    uint32_t name = kNone;               // the property whose name ends here
    bool closed = false;                 // a name ends here that never may be written
    uint32_t inside = 0;                 // state of any_name() here
  };
  struct Child {
    uint8_t byte = 0;
    uint32_t node = 0;
  };
  std::vector<Node> nodes;
  std::vector<Child> children;  // per node ascending by byte
  std::vector<uint32_t> below;
  uint32_t child(uint32_t node, uint8_t byte) const;  // kNone
};

struct ObjectRule {
  struct Property {
    std::string name;
    ValueId value = kNone;
    bool required = false;
  };
  std::vector<Property> properties;  // in the order they are written
  std::vector<uint32_t>
      required_at;  // per index and one behind: the first required property from there on, or the number of properties
  ValueId additional = kNone;          // of names that are not declared; kNone: there are none
  std::vector<std::string> forbidden;  // declared names that no value can have
  NameTrie names;
};

// Names of additional properties: any string in JSON.stringify's spelling, quotes included.
const ByteDfa& any_name();
inline constexpr uint32_t kNameInside = 1;

// What stands around values: texts, and which of them may follow.
struct RootOp {
  enum class Kind : uint8_t { space, text, value, fork, again, done };
  Kind kind = Kind::done;
  std::string text;            // text
  ValueId value = kNone;       // value
  std::vector<uint32_t> next;  // again: {another call, the end}
};

struct GrammarProgram {
  std::vector<Leaf> leaves;
  std::vector<Value> values;
  std::vector<TextRule> texts;
  std::vector<ByteDfa> lexemes;
  std::vector<ArrayRule> arrays;
  std::vector<ObjectRule> objects;
  std::vector<RootOp> root;  // op 0 is the start
  uint32_t calls = 1;        // passes of `again`
  uint32_t document_depth = 64;
  uint32_t tallest = 0;  // the largest finite height of a value
};

}  // namespace vitrine
