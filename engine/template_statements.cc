// Statements of chat templates: text, conditions, loops, variables, macros.
#include <algorithm>

#include "base/text.h"
#include "engine/template_run.h"

namespace vitrine {

TemplateRun::Flow TemplateRun::execute(const StatementList& statements) {
  for (const auto& statement : statements) {
    if (failed_) return Flow::normal;
    if (const Flow flow = execute(*statement); flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

TemplateValue TemplateRun::capture(const StatementList& body) {
  Inner inner(*this, scope_);
  std::string text, *const before = out_;
  out_ = &text;
  execute(body);
  out_ = before;
  return make_string(std::move(text));
}

TemplateRun::Flow TemplateRun::execute(const Statement& statement) {
  const Entered entered(*this);
  line_ = statement.line;
  if (!charge(1)) return Flow::normal;
  switch (statement.kind) {
    case Statement::Kind::text: write(statement.text); break;
    case Statement::Kind::output: write(str(evaluate(*statement.expression))); break;
    case Statement::Kind::condition:
      for (const Statement::Branch& branch : statement.branches) {
        const bool holds = evaluate(*branch.test).truth();
        if (failed_) return Flow::normal;
        if (holds) return execute(branch.body);
      }
      return execute(statement.otherwise);
    case Statement::Kind::loop: return loop(statement);
    case Statement::Kind::set: set(statement); break;
    case Statement::Kind::macro: {
      auto made = std::make_shared<TemplateFunction>();
      made->kind = TemplateFunction::Kind::macro;
      made->macro = &statement;
      scope_->variables[statement.text] =
          TemplateValue::Variant(std::shared_ptr<const TemplateFunction>(std::move(made)));
      break;
    }
    case Statement::Kind::filter: {
      const TemplateValue body = capture(statement.body);
      write(str(filter(*statement.expression, &body)));
      break;
    }
    case Statement::Kind::scope: {
      Inner inner(*this, scope_);
      for (const auto& parameter : statement.parameters) {
        TemplateValue value = evaluate(*parameter.fallback);
        inner.scope().variables[parameter.name] = std::move(value);
      }
      return execute(statement.body);
    }
    case Statement::Kind::pass: return execute(statement.body);
    case Statement::Kind::break_loop: return Flow::break_loop;
    case Statement::Kind::continue_loop: return Flow::continue_loop;
  }
  return Flow::normal;
}

TemplateRun::Flow TemplateRun::loop(const Statement& statement) {
  const auto source = iterate(evaluate(*statement.expression));
  if (!source || failed_) return Flow::normal;
  auto items = source;
  if (statement.filter) {
    auto chosen = std::make_shared<TemplateList>();
    for (const TemplateValue& item : source->items) {
      Inner inner(*this, scope_);
      assign(statement.targets, item);
      const bool holds = evaluate(*statement.filter).truth();
      if (failed_) return Flow::normal;
      if (holds) chosen->items.push_back(item);
    }
    items = chosen;
  }
  if (items->items.empty()) {
    Inner inner(*this, scope_);
    return execute(statement.otherwise);
  }
  auto state = std::make_shared<TemplateLoop>();
  state->items = items;
  for (size_t i = 0; i < items->items.size() && charge(1); ++i) {
    Inner inner(*this, scope_);
    state->index = i;
    inner.scope().variables["loop"] = TemplateValue::Variant(std::shared_ptr<const TemplateLoop>(state));
    assign(statement.targets, items->items[i]);
    const Flow flow = execute(statement.body);
    if (failed_ || flow == Flow::break_loop) break;
  }
  return Flow::normal;
}

void TemplateRun::assign(const std::vector<std::string>& targets, const TemplateValue& value) {
  if (targets.size() == 1) {
    scope_->variables[targets[0]] = value;
    return;
  }
  const auto items = iterate(value);
  if (!items) return;
  if (items->items.size() != targets.size()) {
    malformed(std::to_string(items->items.size()) + " values for " + std::to_string(targets.size()) + " names");
    return;
  }
  for (size_t i = 0; i < targets.size(); ++i) scope_->variables[targets[i]] = items->items[i];
}

void TemplateRun::set(const Statement& statement) {
  TemplateValue value;
  if (statement.expression) {
    value = evaluate(*statement.expression);
  } else {
    value = capture(statement.body);
    if (statement.filter) value = filter(*statement.filter, &value);
  }
  if (failed_) return;
  line_ = statement.line;
  if (statement.attribute.empty()) {
    assign(statement.targets, value);
    return;
  }
  const TemplateValue* const target = lookup(statement.targets[0]);
  TemplateNamespace* const space = target != nullptr ? target->as_namespace() : nullptr;
  if (space == nullptr) {
    malformed("only attributes of a namespace can be set");
    return;
  }
  space->members[statement.attribute] = value;
}

TemplateValue TemplateRun::call_macro(const Statement& macro, const TemplateArguments& arguments) {
  const Entered entered(*this);
  if (failed_) return {};
  if (arguments.positional.size() > macro.parameters.size())
    return malformed("too many arguments of " + quoted_name(macro.text));
  // Macros stand at the top level, so that is what they see.
  Inner inner(*this, &root_);
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Statement::Parameter& parameter = macro.parameters[i];
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& argument) { return argument.first == parameter.name; });
    TemplateValue value = TemplateValue::undefined(parameter.name);
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else if (named != arguments.named.end()) {
      value = named->second;
    } else if (parameter.fallback) {
      value = evaluate(*parameter.fallback);
    }
    inner.scope().variables[parameter.name] = std::move(value);
  }
  for (const auto& argument : arguments.named) {
    if (inner.scope().variables.count(argument.first) == 0) {
      return malformed(quoted_name(macro.text) + " has no argument " + quoted_name(argument.first));
    }
  }
  std::string text, *const before = out_;
  out_ = &text;
  execute(macro.body);
  out_ = before;
  return make_string(std::move(text));
}

}  // namespace vitrine
