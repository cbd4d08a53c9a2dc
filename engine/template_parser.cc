// The statements of a template, by recursive descent over its tokens.
#include <algorithm>
#include <array>

#include "base/text.h"
#include "engine/template_ast.h"
#include "engine/template_expression_parser.h"
#include "engine/template_lexer.h"

namespace vitrine {
namespace {

using Statement = TemplateStatement;

class Parser final : TemplateExpressionParser {
 public:
  Parser(std::vector<TemplateToken> tokens, uint32_t nesting) : TemplateExpressionParser(std::move(tokens), nesting) {}

  Result<StatementList> run() {
    StatementList list = statements({});
    if (!failed() && peek().kind != Kind::end) note(ErrorCode::malformed, "a tag without its beginning");
    if (failed()) return tl::unexpected(error());
    return list;
  }

 private:
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

  uint32_t loops_ = 0, macros_ = 0;  // open ones
};

}  // namespace

Result<StatementList> parse_template(std::string_view source, uint32_t nesting) {
  auto tokens = tokenize_template(source);
  if (!tokens) return tl::unexpected(tokens.error());
  return Parser(std::move(*tokens), nesting).run();
}

}  // namespace vitrine
