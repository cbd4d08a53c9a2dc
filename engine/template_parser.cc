// Recursive descent over template tokens. Precedence as in Jinja 3.1:
// if-else, or, and, not, comparison, + -, ~, * / // %, **, unary, postfix, filter.
#include <algorithm>
#include <array>

#include "engine/quoted.h"
#include "engine/template_ast.h"
#include "engine/template_lexer.h"

namespace vitrine {
namespace {

using Kind = TemplateToken::Kind;
using Expression = TemplateExpression;
using Statement = TemplateStatement;

// An owned expression under construction; a null one means that an error was noted.
using Made = std::unique_ptr<Expression>;

class Parser {
 public:
  Parser(std::vector<TemplateToken> tokens, uint32_t nesting) : tokens_(std::move(tokens)), nesting_(nesting) {}

  Result<StatementList> run() {
    StatementList list = statements({});
    if (!failed() && peek().kind != Kind::end) note(ErrorCode::malformed, "a tag without its beginning");
    if (failed()) return tl::unexpected(error_);
    return list;
  }

 private:
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
    explicit Level(Parser& parser) : parser_(parser) {
      if (++parser_.level_ > parser_.nesting_) parser_.note(ErrorCode::limit, "nested too deeply");
    }
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Parser& parser_;
  };

  // ---- Expressions

  Made make(Expression::Kind kind) const {
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->line = peek().line;
    return made;
  }

  // Adds a child and keeps the depth: long chains nest although no bracket does.
  void adopt(Expression& parent, std::vector<ExpressionPtr>& to, Made child) {
    if (child) {
      parent.depth = std::max(parent.depth, child->depth + 1);
      if (parent.depth > 2 * nesting_) note(ErrorCode::limit, "an expression nested too deeply");
    }
    to.push_back(std::move(child));
  }
  void adopt(Expression& parent, Made child) { adopt(parent, parent.children, std::move(child)); }

  Made binary(Made left, std::string operation, Made right) {
    Made made = make(Expression::Kind::binary);
    made->text = std::move(operation);
    adopt(*made, std::move(left));
    adopt(*made, std::move(right));
    return made;
  }

  Made expression() {
    const Level level(*this);
    if (failed()) return nullptr;
    Made value = either();
    while (!failed() && take_name("if")) {
      Made made = make(Expression::Kind::condition);
      adopt(*made, std::move(value));
      adopt(*made, either());
      adopt(*made, take_name("else") ? expression() : nullptr);
      value = std::move(made);
    }
    return value;
  }

  Made either() {
    Made left = both();
    while (!failed() && take_name("or")) left = binary(std::move(left), "or", both());
    return left;
  }

  Made both() {
    Made left = negation();
    while (!failed() && take_name("and")) left = binary(std::move(left), "and", negation());
    return left;
  }

  Made negation() {
    if (!is_name("not")) return comparison();
    const Level level(*this);
    next();
    Made made = make(Expression::Kind::unary);
    made->text = "not";
    adopt(*made, negation());
    return made;
  }

  Made comparison() {
    Made first = sum();
    std::vector<std::string> operators;
    std::vector<Made> others;
    while (!failed()) {
      constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<", "<=", ">", ">="};
      std::string operation;
      if (peek().kind == Kind::symbol &&
          std::find(kOperators.begin(), kOperators.end(), peek().text) != kOperators.end()) {
        operation = next().text;
      } else if (take_name("in")) {
        operation = "in";
      } else if (is_name("not") && is_name("in", 1)) {
        next();
        next();
        operation = "not in";
      } else {
        break;
      }
      operators.push_back(operation);
      others.push_back(sum());
    }
    if (operators.empty()) return first;
    Made made = make(Expression::Kind::compare);
    made->operators = std::move(operators);
    adopt(*made, std::move(first));
    for (Made& other : others) adopt(*made, std::move(other));
    return made;
  }

  Made sum() {
    Made left = concatenation();
    while (!failed() && (is_symbol("+") || is_symbol("-"))) {
      const std::string operation = next().text;
      left = binary(std::move(left), operation, concatenation());
    }
    return left;
  }

  Made concatenation() {
    Made first = product();
    if (!is_symbol("~")) return first;
    Made made = make(Expression::Kind::concat);
    adopt(*made, std::move(first));
    while (!failed() && take_symbol("~")) adopt(*made, product());
    return made;
  }

  Made product() {
    Made left = power();
    while (!failed() && (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%"))) {
      const std::string operation = next().text;
      left = binary(std::move(left), operation, power());
    }
    return left;
  }

  Made power() {
    Made left = unary(true);
    while (!failed() && take_symbol("**")) left = binary(std::move(left), "**", unary(true));
    return left;
  }

  Made unary(bool with_filter) {
    const Level level(*this);
    if (failed()) return nullptr;
    Made value;
    if (is_symbol("-") || is_symbol("+")) {
      const std::string operation = next().text;
      Made made = make(Expression::Kind::unary);
      made->text = operation;
      adopt(*made, unary(false));
      value = std::move(made);
    } else {
      value = primary();
    }
    value = postfix(std::move(value));
    return with_filter ? filters(std::move(value)) : std::move(value);
  }

  Made primary() {
    const TemplateToken& token = peek();
    switch (token.kind) {
      case Kind::name: {
        next();
        if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
          Made made = make(Expression::Kind::boolean);
          made->boolean = token.text == "true" || token.text == "True";
          return made;
        }
        if (token.text == "none" || token.text == "None") return make(Expression::Kind::none);
        Made made = make(Expression::Kind::name);
        made->text = token.text;
        return made;
      }
      case Kind::string: {
        Made made = make(Expression::Kind::string);
        while (peek().kind == Kind::string) made->text += next().text;  // neighbours are one string
        return made;
      }
      case Kind::integer: {
        Made made = make(Expression::Kind::integer);
        made->integer = next().integer;
        return made;
      }
      case Kind::real: {
        Made made = make(Expression::Kind::real);
        made->real = next().real;
        return made;
      }
      default: break;
    }
    if (take_symbol("(")) {
      if (take_symbol(")")) {
        Made empty = make(Expression::Kind::list);
        empty->boolean = true;
        return empty;
      }
      Made first = expression();
      if (!is_symbol(",")) {
        expect_symbol(")");
        return first;
      }
      Made made = make(Expression::Kind::list);
      made->boolean = true;
      adopt(*made, std::move(first));
      while (!failed() && take_symbol(",")) {
        if (is_symbol(")")) break;
        adopt(*made, expression());
      }
      expect_symbol(")");
      return made;
    }
    if (take_symbol("[")) {
      Made made = make(Expression::Kind::list);
      while (!failed() && !is_symbol("]")) {
        adopt(*made, expression());
        if (!take_symbol(",")) break;
      }
      expect_symbol("]");
      return made;
    }
    if (take_symbol("{")) {
      Made made = make(Expression::Kind::dict);
      while (!failed() && !is_symbol("}")) {
        adopt(*made, expression());
        expect_symbol(":");
        adopt(*made, expression());
        if (!take_symbol(",")) break;
      }
      expect_symbol("}");
      return made;
    }
    return malformed(peek().kind == Kind::symbol ? quoted_name(peek().text) + " cannot be here"
                                                 : "an expression is missing");
  }

  Made postfix(Made value) {
    while (!failed()) {
      if (take_symbol(".")) {
        if (peek().kind == Kind::integer) {
          Made made = make(Expression::Kind::subscript);
          adopt(*made, std::move(value));
          adopt(*made, primary());
          value = std::move(made);
          continue;
        }
        Made made = make(Expression::Kind::attribute);
        made->text = expect_name();
        adopt(*made, std::move(value));
        value = std::move(made);
      } else if (take_symbol("[")) {
        value = subscript(std::move(value));
      } else if (is_symbol("(")) {
        value = call(std::move(value));
      } else {
        break;
      }
    }
    return value;
  }

  Made subscript(Made value) {
    Made parts[3];
    size_t count = 0;
    bool slice = false;
    while (!failed() && !is_symbol("]") && count < 3) {
      if (!is_symbol(":")) parts[count] = expression();
      if (!take_symbol(":")) {
        ++count;
        break;
      }
      slice = true;
      ++count;
    }
    if (!expect_symbol("]")) return nullptr;
    if (!slice && !parts[0]) return malformed("a subscript is missing");
    Made made = make(slice ? Expression::Kind::slice : Expression::Kind::subscript);
    adopt(*made, std::move(value));
    for (size_t i = 0; i < (slice ? 3u : 1u); ++i) adopt(*made, std::move(parts[i]));
    return made;
  }

  void arguments(Expression& to) {
    if (!expect_symbol("(")) return;
    while (!failed() && !is_symbol(")")) {
      if (is_symbol("*") || is_symbol("**")) {
        note(ErrorCode::unsupported, "argument lists from values (*, **) are not supported");
        return;
      }
      if (peek().kind == Kind::name && is_symbol("=", 1)) {
        std::string name = next().text;
        next();
        std::vector<ExpressionPtr> holder;
        adopt(to, holder, expression());
        to.named.emplace_back(std::move(name), std::move(holder[0]));
      } else if (!to.named.empty()) {
        malformed("a positional argument behind a named one");
      } else {
        adopt(to, to.arguments, expression());
      }
      if (!take_symbol(",")) break;
    }
    expect_symbol(")");
  }

  Made call(Made value) {
    Made made = make(Expression::Kind::call);
    adopt(*made, std::move(value));
    arguments(*made);
    return made;
  }

  Made one_filter(Made value) {
    Made made = make(Expression::Kind::filter);
    made->text = expect_name();
    adopt(*made, std::move(value));
    if (is_symbol("(")) arguments(*made);
    return made;
  }

  Made filters(Made value) {
    while (!failed()) {
      if (take_symbol("|")) {
        value = one_filter(std::move(value));
      } else if (take_name("is")) {
        value = test(std::move(value));
      } else if (is_symbol("(")) {
        value = call(std::move(value));
      } else {
        break;
      }
    }
    return value;
  }

  Made test(Made value) {
    const bool negated = take_name("not");
    Made made = make(Expression::Kind::test);
    made->text = peek().kind == Kind::symbol ? next().text : expect_name();
    adopt(*made, std::move(value));
    const Kind kind = peek().kind;
    if (is_symbol("(")) {
      arguments(*made);
    } else if (kind == Kind::string || kind == Kind::integer || kind == Kind::real || is_symbol("[") ||
               is_symbol("{") ||
               (kind == Kind::name && !is_name("else") && !is_name("or") && !is_name("and") && !is_name("if") &&
                !is_name("is") && !is_name("in") && !is_name("not"))) {
      const Level level(*this);
      if (!failed()) adopt(*made, made->arguments, postfix(primary()));
    }
    if (!negated) return made;
    Made inverted = make(Expression::Kind::unary);
    inverted->text = "not";
    adopt(*inverted, std::move(made));
    return inverted;
  }

  // A tuple without brackets: `for x in a, b`, `set x = 1, 2`.
  Made tuple() {
    Made first = expression();
    if (!is_symbol(",")) return first;
    Made made = make(Expression::Kind::list);
    made->boolean = true;
    adopt(*made, std::move(first));
    while (!failed() && take_symbol(",")) {
      if (peek().kind == Kind::block_end || peek().kind == Kind::output_end) break;
      adopt(*made, expression());
    }
    return made;
  }

  // ---- Statements

  // Until a block begins with one of `ends`; its {% and name are not taken.
  StatementList statements(std::initializer_list<std::string_view> ends) {
    StatementList list;
    const Level level(*this);
    while (!failed()) {
      const TemplateToken& token = peek();
      if (token.kind == Kind::end) {
        if (ends.size() != 0) malformed(quoted_name(std::string(*(ends.end() - 1))) + " is missing");
        break;
      }
      if (token.kind == Kind::text) {
        auto made = statement(Statement::Kind::text);
        made->text = next().text;
        list.push_back(std::move(made));
      } else if (token.kind == Kind::output_begin) {
        auto made = statement(Statement::Kind::output);
        next();
        made->expression = tuple();
        if (peek().kind != Kind::output_end) {
          malformed("the expression should end here");
          break;
        }
        next();
        list.push_back(std::move(made));
      } else {
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view name) { return is_name(name, 1); })) break;
        next();
        if (auto made = block()) list.push_back(std::move(made));
      }
    }
    return list;
  }

  std::unique_ptr<Statement> statement(Statement::Kind kind) const {
    auto made = std::make_unique<Statement>();
    made->kind = kind;
    made->line = peek().line;
    return made;
  }

  // Takes {% NAME %} at the end of a block.
  void close(std::string_view name) {
    if (failed()) return;
    next();
    if (!take_name(name)) {
      malformed(quoted_name(std::string(name)) + " is missing");
      return;
    }
    expect_block_end();
  }

  std::unique_ptr<Statement> block() {
    const std::string name = expect_name();
    if (failed()) return nullptr;
    if (name == "if") return condition();
    if (name == "for") return loop();
    if (name == "set") return set();
    if (name == "macro") return macro();
    if (name == "filter") return filter_block();
    if (name == "with") return with();
    if (name == "generation") {  // marks what a model wrote, for training
      auto made = statement(Statement::Kind::pass);
      expect_block_end();
      made->body = statements({"endgeneration"});
      close("endgeneration");
      return made;
    }
    if (name == "break" || name == "continue") {
      auto made = statement(name == "break" ? Statement::Kind::break_loop : Statement::Kind::continue_loop);
      if (loops_ == 0) return malformed(quoted_name(name) + " outside of a loop");
      expect_block_end();
      return made;
    }
    constexpr std::array<std::string_view, 12> kOurs = {"endif",         "elif",     "else",      "endfor",
                                                        "endset",        "endmacro", "endfilter", "endwith",
                                                        "endgeneration", "endcall",  "endblock",  "endraw"};
    if (std::find(kOurs.begin(), kOurs.end(), name) != kOurs.end())
      return malformed(quoted_name(name) + " without its beginning");
    return note(ErrorCode::unsupported, "the statement " + quoted_name(name) + " is not supported");
  }

  std::unique_ptr<Statement> condition() {
    auto made = statement(Statement::Kind::condition);
    while (!failed()) {
      Statement::Branch branch;
      branch.test = tuple();
      expect_block_end();
      branch.body = statements({"elif", "else", "endif"});
      made->branches.push_back(std::move(branch));
      if (failed()) return nullptr;
      if (is_name("elif", 1)) {
        next();
        next();
        continue;
      }
      if (is_name("else", 1)) {
        next();
        next();
        expect_block_end();
        made->otherwise = statements({"endif"});
      }
      close("endif");
      break;
    }
    return made;
  }

  std::unique_ptr<Statement> loop() {
    auto made = statement(Statement::Kind::loop);
    const bool bracket = take_symbol("(");
    do {
      made->targets.push_back(expect_name());
    } while (!failed() && take_symbol(",") && !is_name("in"));
    if (bracket) expect_symbol(")");
    if (!take_name("in")) return malformed("'in' is missing");
    // The condition of a loop is no part of its expression.
    made->expression = loop_source();
    if (take_name("if")) made->filter = expression();
    if (is_name("recursive")) return note(ErrorCode::unsupported, "recursive loops are not supported");
    expect_block_end();
    ++loops_;
    made->body = statements({"else", "endfor"});
    --loops_;
    if (failed()) return nullptr;
    if (is_name("else", 1)) {
      next();
      next();
      expect_block_end();
      made->otherwise = statements({"endfor"});
    }
    close("endfor");
    return made;
  }

  Made loop_source() {
    Made first = either();
    if (!is_symbol(",")) return first;
    Made made = make(Expression::Kind::list);
    made->boolean = true;
    adopt(*made, std::move(first));
    while (!failed() && take_symbol(",")) adopt(*made, either());
    return made;
  }

  std::unique_ptr<Statement> set() {
    auto made = statement(Statement::Kind::set);
    do {
      made->targets.push_back(expect_name());
    } while (!failed() && take_symbol(","));
    if (made->targets.size() == 1 && take_symbol(".")) made->attribute = expect_name();
    if (take_symbol("=")) {
      made->expression = tuple();
      expect_block_end();
      return made;
    }
    if (made->targets.size() != 1) return malformed("'=' is missing");
    Made filter;
    while (!failed() && take_symbol("|")) filter = one_filter(std::move(filter));
    made->filter = std::move(filter);
    expect_block_end();
    made->body = statements({"endset"});
    close("endset");
    return made;
  }

  std::unique_ptr<Statement> macro() {
    auto made = statement(Statement::Kind::macro);
    if (macros_ != 0 || loops_ != 0)
      return note(ErrorCode::unsupported, "a macro within a loop or macro is not supported");
    made->text = expect_name();
    if (!expect_symbol("(")) return nullptr;
    while (!failed() && !is_symbol(")")) {
      Statement::Parameter parameter;
      parameter.name = expect_name();
      if (take_symbol("=")) parameter.fallback = expression();
      made->parameters.push_back(std::move(parameter));
      if (!take_symbol(",")) break;
    }
    expect_symbol(")");
    expect_block_end();
    ++macros_;
    made->body = statements({"endmacro"});
    --macros_;
    close("endmacro");
    return made;
  }

  std::unique_ptr<Statement> filter_block() {
    auto made = statement(Statement::Kind::filter);
    Made filter = one_filter(nullptr);
    while (!failed() && take_symbol("|")) filter = one_filter(std::move(filter));
    made->expression = std::move(filter);
    expect_block_end();
    made->body = statements({"endfilter"});
    close("endfilter");
    return made;
  }

  std::unique_ptr<Statement> with() {
    auto made = statement(Statement::Kind::scope);
    while (!failed() && peek().kind == Kind::name) {
      Statement::Parameter parameter;
      parameter.name = expect_name();
      expect_symbol("=");
      parameter.fallback = expression();
      made->parameters.push_back(std::move(parameter));
      if (!take_symbol(",")) break;
    }
    expect_block_end();
    made->body = statements({"endwith"});
    close("endwith");
    return made;
  }

  std::vector<TemplateToken> tokens_;
  uint32_t nesting_;
  size_t at_ = 0;
  uint32_t level_ = 0, loops_ = 0, macros_ = 0;
  bool failed_ = false;
  Error error_;
};

}  // namespace

Result<StatementList> parse_template(std::string_view source, uint32_t nesting) {
  auto tokens = tokenize_template(source);
  if (!tokens) return tl::unexpected(tokens.error());
  return Parser(std::move(*tokens), nesting).run();
}

}  // namespace vitrine
