// One rendering of a chat template: the interpreter's state, shared by the
// evaluator (template_run.cc: values and members, template_expressions.cc,
// template_statements.cc), filters, tests and methods. Internal to the engine.
//
// The first error stops everything: fail() notes it and every function returns
// soon after with an undefined value. Work is counted in steps (charge()).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/chat_template.h"
#include "engine/template_ast.h"
#include "engine/template_value.h"

namespace vitrine {

struct TemplateArguments {
  std::vector<TemplateValue> positional;
  std::vector<std::pair<std::string, TemplateValue>> named;
};

class TemplateRun {
 public:
  TemplateRun(const ChatLimits& limits, int64_t now);

  void define(std::string name, TemplateValue value) { globals_.variables[std::move(name)] = std::move(value); }
  Result<std::string> run(const StatementList& statements);

  bool failed() const { return failed_; }
  TemplateValue fail(ErrorCode code, std::string message);
  TemplateValue malformed(std::string message) { return fail(ErrorCode::malformed, std::move(message)); }
  // False, and failed(), when the steps are used up.
  bool charge(uint64_t steps);

  // Values made while running are bounded and counted.
  TemplateValue make_string(std::string text);
  TemplateValue make_list(std::vector<TemplateValue> items, bool tuple = false);
  TemplateValue make_dict(std::vector<std::pair<std::string, TemplateValue>> members);

  // What a `for` over `value` sees; null and failed() when it is not iterable.
  std::shared_ptr<const TemplateList> iterate(const TemplateValue& value);
  std::string str(const TemplateValue& value);

  TemplateValue attribute(const TemplateValue& value, const std::string& name);
  TemplateValue item(const TemplateValue& value, const TemplateValue& key);
  // "a.b.0" of map(attribute=…), selectattr(…).
  TemplateValue path(TemplateValue value, std::string_view path);

  TemplateValue call_filter(const std::string& name, const TemplateValue& value, const TemplateArguments& arguments);
  std::optional<bool> call_test(const std::string& name, const TemplateValue& value,
                                const TemplateArguments& arguments);
  TemplateValue call_method(const TemplateValue& self, const std::string& name, const TemplateArguments& arguments);
  static bool has_method(const TemplateValue& self, std::string_view name);

  // in: `needle` in `value`.
  bool contains(const TemplateValue& value, const TemplateValue& needle);

  // Takes arguments apart: positional, then by name; what is missing is null.
  // Fails on too many and on unknown names.
  std::vector<const TemplateValue*> take(const TemplateArguments& arguments, std::string_view who,
                                         std::initializer_list<std::string_view> names);

 private:
  using Expression = TemplateExpression;
  using Statement = TemplateStatement;
  static constexpr uint32_t kMaxFrames = 1500;
  enum class Flow : uint8_t { normal, break_loop, continue_loop };

  struct Scope {
    std::map<std::string, TemplateValue, std::less<>> variables;
    Scope* parent = nullptr;
  };
  // Counts evaluate() and execute() within each other: that bounds the stack.
  class Entered {
   public:
    explicit Entered(TemplateRun& run) : run_(run) {
      if (++run_.depth_ > kMaxFrames) run_.fail(ErrorCode::limit, "calls nested too deeply");
    }
    ~Entered() { --run_.depth_; }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    TemplateRun& run_;
  };
  // A scope for the time of a block.
  class Inner {
   public:
    Inner(TemplateRun& run, Scope* parent) : run_(run), before_(run.scope_) {
      scope_.parent = parent;
      run_.scope_ = &scope_;
    }
    ~Inner() { run_.scope_ = before_; }
    Inner(const Inner&) = delete;
    Inner& operator=(const Inner&) = delete;
    Scope& scope() { return scope_; }

   private:
    TemplateRun& run_;
    Scope* before_;
    Scope scope_;
  };

  const TemplateValue* lookup(std::string_view name) const;
  TemplateArguments arguments_of(const Expression& expression);

  TemplateValue evaluate(const Expression& expression);
  TemplateValue evaluate_optional(const ExpressionPtr& expression);
  TemplateValue unary(const Expression& expression);
  TemplateValue binary(const Expression& expression);
  TemplateValue arithmetic(const std::string& operation, const TemplateValue& left, const TemplateValue& right);
  TemplateValue repeat(const TemplateValue& value, int64_t times);
  TemplateValue compare(const Expression& expression);
  TemplateValue concat(const Expression& expression);
  TemplateValue list(const Expression& expression);
  TemplateValue dict(const Expression& expression);
  TemplateValue slice(const Expression& expression);
  TemplateValue call(const Expression& expression);
  TemplateValue call_function(const TemplateFunction& function, const TemplateArguments& arguments);
  TemplateValue call_macro(const Statement& macro, const TemplateArguments& arguments);
  TemplateValue filter(const Expression& expression, const TemplateValue* body);
  TemplateValue strftime_now(const TemplateArguments& arguments);

  Flow execute(const StatementList& statements);
  Flow execute(const Statement& statement);
  Flow loop(const Statement& statement);
  void set(const Statement& statement);
  void assign(const std::vector<std::string>& targets, const TemplateValue& value);
  TemplateValue capture(const StatementList& body);
  void write(std::string_view text);

  const ChatLimits& limits_;
  int64_t now_;
  uint64_t steps_ = 0;
  uint32_t depth_ = 0;
  uint32_t line_ = 1;
  bool failed_ = false;
  Error error_;
  std::string* out_ = nullptr;
  Scope globals_, root_;
  Scope* scope_ = nullptr;
  std::deque<TemplateNamespace> namespaces_;  // live as long as the run: values point to them
};

}  // namespace vitrine
