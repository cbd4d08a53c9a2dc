#include "engine/template_expression_parser.h"

#include <array>

namespace vitrine {

std::unique_ptr<TemplateExpression> TemplateExpressionParser::make(Expression::Kind kind) const {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->line = peek().line;
  return made;
}

void TemplateExpressionParser::adopt(Expression& parent, std::vector<ExpressionPtr>& to, Made child) {
  if (child) {
    parent.depth = std::max(parent.depth, child->depth + 1);
    if (parent.depth > 2 * nesting_) note(ErrorCode::limit, "an expression nested too deeply");
  }
  to.push_back(std::move(child));
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::binary(Made left, std::string operation, Made right) {
  Made made = make(Expression::Kind::binary);
  made->text = std::move(operation);
  adopt(*made, std::move(left));
  adopt(*made, std::move(right));
  return made;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::expression() {
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::either() {
  Made left = both();
  while (!failed() && take_name("or")) left = binary(std::move(left), "or", both());
  return left;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::both() {
  Made left = negation();
  while (!failed() && take_name("and")) left = binary(std::move(left), "and", negation());
  return left;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::negation() {
  if (!is_name("not")) return comparison();
  const Level level(*this);
  next();
  Made made = make(Expression::Kind::unary);
  made->text = "not";
  adopt(*made, negation());
  return made;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::comparison() {
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::sum() {
  Made left = concatenation();
  while (!failed() && (is_symbol("+") || is_symbol("-"))) {
    const std::string operation = next().text;
    left = binary(std::move(left), operation, concatenation());
  }
  return left;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::concatenation() {
  Made first = product();
  if (!is_symbol("~")) return first;
  Made made = make(Expression::Kind::concat);
  adopt(*made, std::move(first));
  while (!failed() && take_symbol("~")) adopt(*made, product());
  return made;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::product() {
  Made left = power();
  while (!failed() && (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%"))) {
    const std::string operation = next().text;
    left = binary(std::move(left), operation, power());
  }
  return left;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::power() {
  Made left = unary(true);
  while (!failed() && take_symbol("**")) left = binary(std::move(left), "**", unary(true));
  return left;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::unary(bool with_filter) {
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::primary() {
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::postfix(Made value) {
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::subscript(Made value) {
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

void TemplateExpressionParser::arguments(Expression& to) {
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::call(Made value) {
  Made made = make(Expression::Kind::call);
  adopt(*made, std::move(value));
  arguments(*made);
  return made;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::one_filter(Made value) {
  Made made = make(Expression::Kind::filter);
  made->text = expect_name();
  adopt(*made, std::move(value));
  if (is_symbol("(")) arguments(*made);
  return made;
}

std::unique_ptr<TemplateExpression> TemplateExpressionParser::filters(Made value) {
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::test(Made value) {
  const bool negated = take_name("not");
  Made made = make(Expression::Kind::test);
  made->text = peek().kind == Kind::symbol ? next().text : expect_name();
  adopt(*made, std::move(value));
  const Kind kind = peek().kind;
  if (is_symbol("(")) {
    arguments(*made);
  } else if (kind == Kind::string || kind == Kind::integer || kind == Kind::real || is_symbol("[") || is_symbol("{") ||
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

std::unique_ptr<TemplateExpression> TemplateExpressionParser::tuple() {
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

}  // namespace vitrine
