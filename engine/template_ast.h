// The parsed form of a chat template, and the parser's interface.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vitrine {

struct TemplateExpression;
using ExpressionPtr = std::unique_ptr<const TemplateExpression>;

struct TemplateExpression {
  enum class Kind : uint8_t {
    none,
    boolean,
    integer,
    real,
    string,
    name,       // text
    list,       // children
    dict,       // children: key, value, key, value …
    unary,      // text: not - +
    binary,     // text: and or + - * / // % ** in "not in"
    concat,     // children, by ~
    compare,    // children[0] operators[0] children[1] operators[1] …: a < b < c
    condition,  // children: then, if, else (else may be null)
    attribute,  // children[0].text
    subscript,  // children[0][children[1]]
    slice,      // children[0][children[1]:children[2]:children[3]], parts may be null
    call,       // children[0](arguments)
    filter,     // children[0]|text(arguments)
    test,       // children[0] is text(arguments)
  };
  Kind kind = Kind::none;
  uint32_t line = 0;
  uint32_t depth = 1;  // of this tree: bounds recursion over it
  std::string text;
  int64_t integer = 0;
  double real = 0;
  bool boolean = false;  // boolean: its value; list: it is a tuple
  std::vector<ExpressionPtr> children;
  std::vector<std::string> operators;  // compare
  std::vector<ExpressionPtr> arguments;
  std::vector<std::pair<std::string, ExpressionPtr>> named;  // keyword arguments
};

struct TemplateStatement;
using StatementList = std::vector<std::unique_ptr<const TemplateStatement>>;

struct TemplateStatement {
  enum class Kind : uint8_t {
    text,
    output,     // expression
    condition,  // branches: if/elif; otherwise: else
    loop,       // for targets in expression [if filter]: body; otherwise: when there was no item
    set,        // targets = expression, or target.attribute = expression, or a body
    macro,      // text(parameters): body
    filter,     // {% filter %}: expression is the filter over the body
    scope,      // {% with %}: sets, then body
    pass,       // {% generation %}: body
    break_loop,
    continue_loop,
  };
  struct Branch {
    ExpressionPtr test;
    StatementList body;
  };
  struct Parameter {
    std::string name;
    ExpressionPtr fallback;  // may be null
  };
  Kind kind = Kind::text;
  uint32_t line = 0;
  std::string text;
  std::vector<std::string> targets;
  std::string attribute;  // set: of the namespace targets[0]
  ExpressionPtr expression, filter;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  StatementList body, otherwise;
};

// `nesting` bounds blocks within blocks and the depth of expressions.
Result<StatementList> parse_template(std::string_view source, uint32_t nesting);

}  // namespace vitrine
