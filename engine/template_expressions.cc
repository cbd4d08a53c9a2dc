// Expressions of chat templates, and the functions they can call.
#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/text.h"
#include "engine/template_run.h"

namespace vitrine {
namespace {
constexpr int64_t kMaxRange = 100'000;  // the sandbox's bound
}  // namespace

TemplateArguments TemplateRun::arguments_of(const Expression& expression) {
  TemplateArguments arguments;
  for (const ExpressionPtr& argument : expression.arguments) arguments.positional.push_back(evaluate(*argument));
  for (const auto& [name, argument] : expression.named) arguments.named.emplace_back(name, evaluate(*argument));
  return arguments;
}

TemplateValue TemplateRun::evaluate_optional(const ExpressionPtr& expression) {
  return expression ? evaluate(*expression) : TemplateValue::none();
}

TemplateValue TemplateRun::evaluate(const Expression& expression) {
  const Entered entered(*this);
  line_ = expression.line;
  if (!charge(1)) return {};
  switch (expression.kind) {
    case Expression::Kind::none: return TemplateValue::none();
    case Expression::Kind::boolean: return TemplateValue::boolean(expression.boolean);
    case Expression::Kind::integer: return TemplateValue::integer(expression.integer);
    case Expression::Kind::real: return TemplateValue::real(expression.real);
    case Expression::Kind::string: return make_string(expression.text);
    case Expression::Kind::name: {
      const TemplateValue* value = lookup(expression.text);
      return value != nullptr ? *value : TemplateValue::undefined(expression.text);
    }
    case Expression::Kind::list: return list(expression);
    case Expression::Kind::dict: return dict(expression);
    case Expression::Kind::unary: return unary(expression);
    case Expression::Kind::binary: return binary(expression);
    case Expression::Kind::concat: return concat(expression);
    case Expression::Kind::compare: return compare(expression);
    case Expression::Kind::condition:
      if (evaluate(*expression.children[1]).truth()) return evaluate(*expression.children[0]);
      return expression.children[2] ? evaluate(*expression.children[2]) : TemplateValue();
    case Expression::Kind::attribute: return attribute(evaluate(*expression.children[0]), expression.text);
    case Expression::Kind::subscript: {
      const TemplateValue value = evaluate(*expression.children[0]);
      return item(value, evaluate(*expression.children[1]));
    }
    case Expression::Kind::slice: return slice(expression);
    case Expression::Kind::call: return call(expression);
    case Expression::Kind::filter: return filter(expression, nullptr);
    case Expression::Kind::test: {
      const TemplateValue value = evaluate(*expression.children[0]);
      const auto result = call_test(expression.text, value, arguments_of(expression));
      return result ? TemplateValue::boolean(*result) : TemplateValue();
    }
  }
  return {};
}

TemplateValue TemplateRun::list(const Expression& expression) {
  std::vector<TemplateValue> items;
  for (const ExpressionPtr& child : expression.children) items.push_back(evaluate(*child));
  return make_list(std::move(items), expression.boolean);
}

TemplateValue TemplateRun::dict(const Expression& expression) {
  std::vector<std::pair<std::string, TemplateValue>> members;
  for (size_t i = 0; i + 1 < expression.children.size() && !failed_; i += 2) {
    const TemplateValue key = evaluate(*expression.children[i]);
    if (key.as_string() == nullptr) return fail(ErrorCode::unsupported, "keys other than strings are not supported");
    members.emplace_back(*key.as_string(), evaluate(*expression.children[i + 1]));
  }
  return make_dict(std::move(members));
}

TemplateValue TemplateRun::unary(const Expression& expression) {
  const TemplateValue value = evaluate(*expression.children[0]);
  if (expression.text == "not") return TemplateValue::boolean(!value.truth());
  if (const auto integer = value.as_integer()) {
    int64_t negated = 0;
    if (expression.text == "+") return TemplateValue::integer(*integer);
    if (__builtin_sub_overflow(int64_t{0}, *integer, &negated))
      return fail(ErrorCode::limit, "a number beyond 64 bits");
    return TemplateValue::integer(negated);
  }
  if (const double* real = value.as_real()) return TemplateValue::real(expression.text == "-" ? -*real : *real);
  return malformed(quoted_name(expression.text) + " of " + quoted_name(value.type_name()));
}

TemplateValue TemplateRun::binary(const Expression& expression) {
  TemplateValue left = evaluate(*expression.children[0]);
  if (failed_) return {};
  if (expression.text == "and") return left.truth() ? evaluate(*expression.children[1]) : left;
  if (expression.text == "or") return left.truth() ? left : evaluate(*expression.children[1]);
  const TemplateValue right = evaluate(*expression.children[1]);
  if (failed_) return {};
  return arithmetic(expression.text, left, right);
}

TemplateValue TemplateRun::repeat(const TemplateValue& value, int64_t times) {
  const auto count = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  if (const auto* text = value.as_string()) {
    if (!text->empty() && count > limits_.output_bytes / text->size()) {
      return fail(ErrorCode::limit, "a text longer than the bound on output");
    }
    if (!charge(1 + count * text->size() / 64)) return {};
    std::string out;
    for (uint64_t i = 0; i < count && !text->empty(); ++i) out += *text;
    return make_string(std::move(out));
  }
  const TemplateList& list = *value.as_list();
  if (!list.items.empty() && count > limits_.steps / list.items.size())
    return fail(ErrorCode::limit, "a list too long");
  if (!charge(1 + count * list.items.size())) return {};
  std::vector<TemplateValue> out;
  for (uint64_t i = 0; i < count && !list.items.empty(); ++i)
    out.insert(out.end(), list.items.begin(), list.items.end());
  return make_list(std::move(out), list.tuple);
}

TemplateValue TemplateRun::arithmetic(const std::string& operation, const TemplateValue& left,
                                      const TemplateValue& right) {
  const auto x = left.as_integer(), y = right.as_integer();
  const auto beyond = [&] { return fail(ErrorCode::limit, "a number beyond 64 bits"); };
  if (operation == "+") {
    if (left.as_string() != nullptr && right.as_string() != nullptr) {
      if (!charge(1 + (left.as_string()->size() + right.as_string()->size()) / 64)) return {};
      return make_string(*left.as_string() + *right.as_string());
    }
    if (left.as_list() != nullptr && right.as_list() != nullptr && left.as_list()->tuple == right.as_list()->tuple) {
      std::vector<TemplateValue> items = left.as_list()->items;
      items.insert(items.end(), right.as_list()->items.begin(), right.as_list()->items.end());
      return make_list(std::move(items), left.as_list()->tuple);
    }
  }
  const auto is_sequence = [](const TemplateValue& value) {
    return value.as_string() != nullptr || value.as_list() != nullptr;
  };
  if (operation == "*" && is_sequence(left) && y) return repeat(left, *y);
  if (operation == "*" && is_sequence(right) && x) return repeat(right, *x);
  if (operation == "%" && left.as_string() != nullptr) {
    return fail(ErrorCode::unsupported, "formatting with '%' is not supported");
  }
  if (x && y && operation != "/") {
    int64_t result = 0;
    if (operation == "+") return __builtin_add_overflow(*x, *y, &result) ? beyond() : TemplateValue::integer(result);
    if (operation == "-") return __builtin_sub_overflow(*x, *y, &result) ? beyond() : TemplateValue::integer(result);
    if (operation == "*") return __builtin_mul_overflow(*x, *y, &result) ? beyond() : TemplateValue::integer(result);
    if (operation == "//" || operation == "%") {
      if (*y == 0) return malformed("division by zero");
      if (*y == -1) {  // the one quotient that overflows
        if (operation == "%") return TemplateValue::integer(0);
        return __builtin_sub_overflow(int64_t{0}, *x, &result) ? beyond() : TemplateValue::integer(result);
      }
      int64_t quotient = *x / *y, rest = *x % *y;  // Python rounds down
      if (rest != 0 && (rest < 0) != (*y < 0)) {
        --quotient;
        rest += *y;
      }
      return TemplateValue::integer(operation == "%" ? rest : quotient);
    }
    if (operation == "**" && *y >= 0) {
      result = 1;
      int64_t base = *x;
      for (int64_t exponent = *y; exponent > 0; exponent /= 2) {
        if (exponent % 2 != 0 && __builtin_mul_overflow(result, base, &result)) return beyond();
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return beyond();
      }
      return TemplateValue::integer(result);
    }
  }
  const auto a = left.as_number(), b = right.as_number();
  if (!a || !b) {
    for (const TemplateValue* value : {&left, &right}) {
      if (value->is_undefined()) return attribute(*value, "");
    }
    return malformed(quoted_name(operation) + " of " + quoted_name(left.type_name()) + " and " +
                     quoted_name(right.type_name()));
  }
  if (operation == "+") return TemplateValue::real(*a + *b);
  if (operation == "-") return TemplateValue::real(*a - *b);
  if (operation == "*") return TemplateValue::real(*a * *b);
  if (operation == "**") return TemplateValue::real(std::pow(*a, *b));
  if (*b == 0) return malformed("division by zero");
  if (operation == "/") return TemplateValue::real(*a / *b);
  const double quotient = std::floor(*a / *b);
  return TemplateValue::real(operation == "//" ? quotient : *a - quotient * *b);
}

TemplateValue TemplateRun::compare(const Expression& expression) {
  TemplateValue left = evaluate(*expression.children[0]);
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    const std::string& operation = expression.operators[i];
    TemplateValue right = evaluate(*expression.children[i + 1]);
    if (failed_) return {};
    bool holds = false;
    if (operation == "==" || operation == "!=") {
      holds = equal(left, right) == (operation == "==");
    } else if (operation == "in" || operation == "not in") {
      holds = contains(right, left) == (operation == "in");
    } else {
      const auto ordered = order(left, right);
      if (!ordered) {
        for (const TemplateValue* value : {&left, &right}) {
          if (value->is_undefined()) return attribute(*value, "");
        }
        return malformed(quoted_name(operation) + " of " + quoted_name(left.type_name()) + " and " +
                         quoted_name(right.type_name()));
      }
      holds = operation == "<"    ? *ordered < 0
              : operation == "<=" ? *ordered <= 0
              : operation == ">"  ? *ordered > 0
                                  : *ordered >= 0;
    }
    if (!holds || failed_) return TemplateValue::boolean(false);
    left = std::move(right);
  }
  return TemplateValue::boolean(true);
}

TemplateValue TemplateRun::concat(const Expression& expression) {
  std::string out;
  for (const ExpressionPtr& child : expression.children) {
    out += str(evaluate(*child));
    if (failed_ || out.size() > limits_.output_bytes) break;
  }
  return make_string(std::move(out));
}

TemplateValue TemplateRun::slice(const Expression& expression) {
  const TemplateValue value = evaluate(*expression.children[0]);
  std::optional<int64_t> parts[3];
  for (size_t i = 0; i < 3; ++i) {
    const TemplateValue part = evaluate_optional(expression.children[i + 1]);
    if (failed_) return {};
    if (part.is_none()) continue;
    parts[i] = part.as_integer();
    if (!parts[i]) return malformed("a slice needs integers");
  }
  const auto* text = value.as_string();
  const auto* list = value.as_list();
  if (text == nullptr && list == nullptr) {
    if (value.is_undefined()) return attribute(value, "");
    return malformed(quoted_name(value.type_name()) + " cannot be sliced");
  }
  const int64_t step = parts[2].value_or(1);
  if (step == 0) return malformed("a slice with step 0");
  // As CPython's PySlice_AdjustIndices.
  std::shared_ptr<const TemplateList> characters;
  if (text != nullptr) {
    if (step == 1 && !charge(text->size() / 64)) return {};
    if (step != 1 && !(characters = iterate(value))) return {};
  }
  const auto count = static_cast<int64_t>(list != nullptr ? list->items.size() : character_count(*text));
  const auto bound = [&](std::optional<int64_t> at, int64_t otherwise) {
    if (!at) return otherwise;
    const int64_t wrapped = *at < 0 ? *at + count : *at;
    return std::clamp<int64_t>(wrapped, step < 0 ? -1 : 0, step < 0 ? count - 1 : count);
  };
  const int64_t begin = bound(parts[0], step < 0 ? count - 1 : 0), end = bound(parts[1], step < 0 ? -1 : count);
  if (text != nullptr && step == 1) {
    if (begin >= end) return make_string({});
    const size_t from = character_offset(*text, static_cast<size_t>(begin));
    const size_t length = character_offset(std::string_view(*text).substr(from), static_cast<size_t>(end - begin));
    return make_string(text->substr(from, length));
  }
  std::vector<TemplateValue> items;
  std::string joined;
  for (int64_t at = begin; step < 0 ? at > end : at < end;) {
    const TemplateValue& chosen = (list != nullptr ? *list : *characters).items[static_cast<size_t>(at)];
    if (list != nullptr) {
      items.push_back(chosen);
    } else {
      joined += *chosen.as_string();
    }
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return list != nullptr ? make_list(std::move(items), list->tuple) : make_string(std::move(joined));
}

TemplateValue TemplateRun::filter(const Expression& expression, const TemplateValue* body) {
  // The innermost filter of a {% filter %} or {% set %} block works on its body.
  const Expression* const inner = expression.children[0].get();
  TemplateValue value;
  if (inner == nullptr) {
    if (body == nullptr) return malformed("a filter without a value");
    value = *body;
  } else if (body != nullptr && inner->kind == Expression::Kind::filter) {
    const Entered entered(*this);
    value = filter(*inner, body);
  } else {
    value = evaluate(*inner);
  }
  const TemplateArguments arguments = arguments_of(expression);
  line_ = expression.line;
  return failed_ ? TemplateValue() : call_filter(expression.text, value, arguments);
}

TemplateValue TemplateRun::call(const Expression& expression) {
  const TemplateValue callee = evaluate(*expression.children[0]);
  const TemplateArguments arguments = arguments_of(expression);
  if (failed_) return {};
  line_ = expression.line;
  if (const TemplateFunction* function = callee.as_function()) return call_function(*function, arguments);
  if (callee.is_undefined()) return attribute(callee, "");
  return malformed(quoted_name(callee.type_name()) + " cannot be called");
}

TemplateValue TemplateRun::call_function(const TemplateFunction& function, const TemplateArguments& arguments) {
  switch (function.kind) {
    case TemplateFunction::Kind::method: return call_method(*function.self, function.method, arguments);
    case TemplateFunction::Kind::macro: return call_macro(*function.macro, arguments);
    case TemplateFunction::Kind::strftime_now: return strftime_now(arguments);
    case TemplateFunction::Kind::raise_exception: {
      const auto taken = take(arguments, "raise_exception", {"message"});
      return fail(ErrorCode::usage, taken[0] != nullptr ? str(*taken[0]) : "the template refuses these messages");
    }
    case TemplateFunction::Kind::name_space:
    case TemplateFunction::Kind::dict: {
      std::vector<std::pair<std::string, TemplateValue>> members;
      for (const TemplateValue& value : arguments.positional) {
        if (value.as_dict() == nullptr)
          return fail(ErrorCode::unsupported, "a namespace or dict is made of names or a dict");
        members.insert(members.end(), value.as_dict()->members.begin(), value.as_dict()->members.end());
      }
      members.insert(members.end(), arguments.named.begin(), arguments.named.end());
      if (function.kind == TemplateFunction::Kind::dict) return make_dict(std::move(members));
      if (!charge(1 + members.size())) return {};
      TemplateNamespace& space = namespaces_.emplace_back();
      for (auto& [name, value] : members) space.members[name] = value;
      return TemplateValue::Variant(&space);
    }
    case TemplateFunction::Kind::range: {
      int64_t numbers[3] = {0, 0, 1};
      const size_t count = arguments.positional.size();
      if (count == 0 || count > 3 || !arguments.named.empty()) return malformed("range takes one to three numbers");
      for (size_t i = 0; i < count; ++i) {
        const auto number = arguments.positional[i].as_integer();
        if (!number) return malformed("range needs integers");
        numbers[count == 1 ? 1 : i] = *number;
      }
      if (numbers[2] == 0) return malformed("range with step 0");
      std::vector<TemplateValue> items;
      for (int64_t at = numbers[0]; numbers[2] < 0 ? at > numbers[1] : at < numbers[1];) {
        if (static_cast<int64_t>(items.size()) >= kMaxRange)
          return fail(ErrorCode::limit, "a range of more than 100000 numbers");
        items.push_back(TemplateValue::integer(at));
        if (__builtin_add_overflow(at, numbers[2], &at)) break;
      }
      return make_list(std::move(items));
    }
  }
  return {};
}

TemplateValue TemplateRun::strftime_now(const TemplateArguments& arguments) {
  const auto taken = take(arguments, "strftime_now", {"format"});
  const auto* format = taken[0] != nullptr ? taken[0]->as_string() : nullptr;
  if (format == nullptr) return malformed("strftime_now needs a format");
  // One directive at a time, from a list: the C library's own are not all bounded.
  const std::time_t seconds = now_;
  std::tm time{};
  if (gmtime_r(&seconds, &time) == nullptr) return fail(ErrorCode::limit, "the time is out of range");
  std::string out;
  for (size_t i = 0; i < format->size(); ++i) {
    if ((*format)[i] != '%') {
      out.push_back((*format)[i]);
      continue;
    }
    char directive[3] = {'%', i + 1 < format->size() ? (*format)[++i] : ' ', 0};
    if (std::string_view("aAbBdHIjmMpSuwyY%").find(directive[1]) == std::string_view::npos) {
      return fail(ErrorCode::unsupported, "the time format " + quoted_name(directive) + " is not supported");
    }
    char buffer[32];
    out.append(buffer, std::strftime(buffer, sizeof buffer, directive, &time));
  }
  return make_string(std::move(out));
}

}  // namespace vitrine
