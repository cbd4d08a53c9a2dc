// The expressions of a template, and what every part of its parser needs: the tokens, the first error, a bound on
// recursion. Precedence as in Jinja 3.1: if-else, or, and, not, comparison, + -, ~, * / // %, **, unary, postfix,
// filter.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "engine/template_ast.h"
#include "engine/template_lexer.h"

namespace vitrine {

class TemplateExpressionParser {
 protected:
  using Kind = TemplateToken::Kind;
  using Expression = TemplateExpression;
  // An owned expression under construction; a null one means that an error was noted.
  using Made = std::unique_ptr<Expression>;

  TemplateExpressionParser(std::vector<TemplateToken> tokens, uint32_t nesting)
      : tokens_(std::move(tokens)), nesting_(nesting) {}

  // Errors: the first one counts; everything returns quickly once there is one.
  bool failed() const { return failed_; }
  std::nullptr_t note(ErrorCode code, std::string message) {
    if (!failed_) error_ = template_error(peek().line, code, std::move(message)).value();
    failed_ = true;
    at_ = tokens_.size() - 1;
    return nullptr;
  }
  std::nullptr_t malformed(std::string message) { return note(ErrorCode::malformed, std::move(message)); }

  const TemplateToken& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const TemplateToken& next() {
    const TemplateToken& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool is_symbol(std::string_view symbol, size_t ahead = 0) const {
    return peek(ahead).kind == Kind::symbol && peek(ahead).text == symbol;
  }
  bool is_name(std::string_view name, size_t ahead = 0) const {
    return peek(ahead).kind == Kind::name && peek(ahead).text == name;
  }
  bool take_symbol(std::string_view symbol) {
    if (!is_symbol(symbol)) return false;
    next();
    return true;
  }
  bool take_name(std::string_view name) {
    if (!is_name(name)) return false;
    next();
    return true;
  }
  bool expect_symbol(std::string_view symbol) {
    if (take_symbol(symbol)) return true;
    malformed(quoted_name(std::string(symbol)) + " is missing");
    return false;
  }
  std::string expect_name() {
    if (peek().kind == Kind::name) return next().text;
    malformed("a name is missing");
    return {};
  }
  void expect_block_end() {
    if (peek().kind == Kind::block_end) {
      next();
    } else {
      malformed("the tag should end here");
    }
  }

  // Counts open recursion of the parser itself.
  class Level {
   public:
    explicit Level(TemplateExpressionParser& parser) : parser_(parser) {
      if (++parser_.level_ > parser_.nesting_) parser_.note(ErrorCode::limit, "nested too deeply");
    }
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    TemplateExpressionParser& parser_;
  };

  Made make(Expression::Kind kind) const;
  // Adds a child and keeps the depth: long chains nest although no bracket does.
  void adopt(Expression& parent, std::vector<ExpressionPtr>& to, Made child);
  void adopt(Expression& parent, Made child) { adopt(parent, parent.children, std::move(child)); }
  Made expression();
  Made either();
  Made one_filter(Made value);
  // A tuple without brackets: `for x in a, b`, `set x = 1, 2`.
  Made tuple();

  const Error& error() const { return error_; }

 private:
  Made binary(Made left, std::string operation, Made right);
  Made both();
  Made negation();
  Made comparison();
  Made sum();
  Made concatenation();
  Made product();
  Made power();
  Made unary(bool with_filter);
  Made primary();
  Made postfix(Made value);
  Made subscript(Made value);
  void arguments(Expression& to);
  Made call(Made value);
  Made filters(Made value);
  Made test(Made value);

  std::vector<TemplateToken> tokens_;
  uint32_t nesting_;
  size_t at_ = 0;
  uint32_t level_ = 0;
  bool failed_ = false;
  Error error_;
};

}  // namespace vitrine
