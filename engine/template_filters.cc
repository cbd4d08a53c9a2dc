// Filters and tests: those of Jinja 3.1 that published chat templates use, and
// `tojson` as `transformers` defines it (json.dumps, nothing escaped for HTML).
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "engine/template_run.h"
#include "engine/template_text.h"
#include "engine/unicode.h"

namespace vitrine {
namespace {

using Value = TemplateValue;
using Arguments = TemplateArguments;

bool truth_of(const Value* value) { return value != nullptr && value->truth(); }

// The number at the start and end of `text`, without white space around it.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  text = strip(text, std::nullopt, true, true);
  if (text.substr(0, 1) == "+") text.remove_prefix(1);
  Number number{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

// What comparing filters (sort, unique, min, max) compare: strings without case unless asked.
Value comparable(const Value& value, bool case_sensitive) {
  const auto* text = value.as_string();
  return text == nullptr || case_sensitive ? value : Value::string(change_case(*text, Letters::lower));
}

}  // namespace

TemplateValue TemplateRun::call_filter(const std::string& name, const Value& value, const Arguments& arguments) {
  const auto list_of = [&](const Value& source) { return iterate(source); };
  const auto text_argument = [&](const Value* argument, std::string_view otherwise) {
    return argument != nullptr ? str(*argument) : std::string(otherwise);
  };
  const auto number_argument = [&](const Value* argument, int64_t otherwise) {
    if (argument == nullptr || argument->is_none()) return otherwise;
    const auto number = argument->as_integer();
    if (!number) malformed(quoted_name(name) + " needs a number");
    return number.value_or(otherwise);
  };

  if (name == "tojson") {
    const auto taken = take(arguments, name, {"ensure_ascii", "indent", "separators", "sort_keys"});
    JsonStyle style;
    style.ascii = truth_of(taken[0]);
    if (taken[1] != nullptr && !taken[1]->is_none())
      style.indent = std::clamp<int64_t>(number_argument(taken[1], 0), 0, 64);
    style.sort_keys = truth_of(taken[3]);
    if (taken[2] != nullptr && !taken[2]->is_none()) {
      const auto* pair = taken[2]->as_list();
      if (pair == nullptr || pair->items.size() != 2 || pair->items[0].as_string() == nullptr ||
          pair->items[1].as_string() == nullptr) {
        return malformed("separators are not two strings");
      }
      style.item_separator = *pair->items[0].as_string();
      style.key_separator = *pair->items[1].as_string();
    }
    if (failed()) return {};
    std::string out;
    if (!append_json(out, value, style)) return malformed("a value without JSON form");
    return make_string(std::move(out));
  }
  if (name == "trim") {
    const auto taken = take(arguments, name, {"chars"});
    const std::string text = str(value);
    if (failed()) return {};
    if (taken[0] == nullptr || taken[0]->is_none())
      return make_string(std::string(strip(text, std::nullopt, true, true)));
    const std::string characters = str(*taken[0]);
    if (!charge(characters.size() * text.size() / 64)) return {};
    return make_string(std::string(strip(text, characters, true, true)));
  }
  if (name == "length" || name == "count") {
    if (const auto* text = value.as_string()) {
      return charge(text->size() / 64) ? Value::integer(static_cast<int64_t>(character_count(*text))) : Value();
    }
    const auto items = list_of(value);
    return items ? Value::integer(static_cast<int64_t>(items->items.size())) : Value();
  }
  if (name == "default" || name == "d") {
    const auto taken = take(arguments, name, {"default_value", "boolean"});
    const bool missing = value.is_undefined() || (truth_of(taken[1]) && !value.truth());
    if (!missing) return value;
    return taken[0] != nullptr ? *taken[0] : make_string({});
  }
  if (name == "safe") return value.as_string() != nullptr ? value : make_string(str(value));
  if (name == "string") return make_string(str(value));
  if (name == "upper") return make_string(change_case(str(value), Letters::upper));
  if (name == "lower") return make_string(change_case(str(value), Letters::lower));
  if (name == "capitalize") return make_string(change_case(str(value), Letters::capitalize));
  if (name == "title") {
    // Unlike str.title(): words begin behind white space and opening brackets only.
    const std::string text = str(value);
    std::string out;
    size_t begin = 0;
    for (size_t at = 0; at <= text.size(); ++at) {
      const bool edge =
          at == text.size() || std::string_view("-({[<").find(text[at]) != std::string_view::npos ||
          is_unicode_space(static_cast<uint8_t>(text[at]) < 0x80 ? static_cast<char32_t>(text[at]) : U'x');
      if (!edge) continue;
      out += change_case(std::string_view(text).substr(begin, at - begin), Letters::capitalize);
      if (at < text.size()) out.push_back(text[at]);
      begin = at + 1;
    }
    return make_string(std::move(out));
  }
  if (name == "replace") {
    const auto taken = take(arguments, name, {"old", "new", "count"});
    if (taken[0] == nullptr || taken[1] == nullptr) return malformed("'replace' needs two strings");
    const std::string text = str(value), old = str(*taken[0]), by = str(*taken[1]);
    const int64_t limit = number_argument(taken[2], -1);
    if (failed()) return {};
    auto replaced = replace(text, old, by, limit, limits_.output_bytes);
    return replaced ? make_string(std::move(*replaced))
                    : fail(ErrorCode::limit, "a text longer than the bound on output");
  }
  if (name == "indent") {
    const auto taken = take(arguments, name, {"width", "first", "blank"});
    std::string pad;
    if (taken[0] != nullptr && taken[0]->as_string() != nullptr) {
      pad = *taken[0]->as_string();
    } else {
      pad.assign(static_cast<size_t>(std::clamp<int64_t>(number_argument(taken[0], 4), 0, 256)), ' ');
    }
    const std::string text = str(value) + "\n";
    if (failed()) return {};
    std::string out = truth_of(taken[1]) ? pad : "";
    const auto lines = split_lines(text);
    for (size_t i = 0; i < lines.size() && out.size() <= limits_.output_bytes; ++i) {
      if (i != 0) out += "\n";
      if (i != 0 && (truth_of(taken[2]) || !lines[i].empty())) out += pad;
      out += lines[i];
    }
    return make_string(std::move(out));
  }
  if (name == "int") {
    const auto taken = take(arguments, name, {"default", "base"});
    if (taken[1] != nullptr && taken[1]->as_integer() != 10)
      return fail(ErrorCode::unsupported, "'int' of another base");
    if (const auto integer = value.as_integer()) return Value::integer(*integer);
    std::optional<double> real = value.as_number();
    if (const auto* text = value.as_string()) {
      if (const auto integer = parse_number<int64_t>(*text)) return Value::integer(*integer);
      real = parse_number<double>(*text);
    }
    if (real && std::fabs(*real) < 9e18) return Value::integer(static_cast<int64_t>(*real));
    return taken[0] != nullptr ? *taken[0] : Value::integer(0);
  }
  if (name == "float") {
    const auto taken = take(arguments, name, {"default"});
    auto real = value.as_number();
    if (const auto* text = value.as_string()) real = parse_number<double>(*text);
    if (real) return Value::real(*real);
    return taken[0] != nullptr ? *taken[0] : Value::real(0);
  }
  if (name == "abs") {
    if (const auto integer = value.as_integer()) {
      return *integer == INT64_MIN ? fail(ErrorCode::limit, "a number beyond 64 bits")
                                   : Value::integer(std::abs(*integer));
    }
    const double* real = value.as_real();
    return real != nullptr ? Value::real(std::fabs(*real)) : malformed("'abs' needs a number");
  }
  if (name == "items") {
    if (value.is_undefined()) return make_list({});
    if (value.as_dict() == nullptr) return malformed("'items' needs a mapping");
    return call_method(value, "items", arguments);
  }
  if (name == "dictsort") {
    const auto taken = take(arguments, name, {"case_sensitive", "by", "reverse"});
    if (value.as_dict() == nullptr) return malformed("'dictsort' needs a mapping");
    const bool by_value = taken[1] != nullptr && taken[1]->as_string() != nullptr && *taken[1]->as_string() == "value";
    TemplateArguments sorting;
    sorting.named = {{"attribute", Value::integer(by_value ? 1 : 0)},
                     {"case_sensitive", Value::boolean(truth_of(taken[0]))},
                     {"reverse", Value::boolean(truth_of(taken[2]))}};
    return call_filter("sort", call_method(value, "items", {}), sorting);
  }

  // ---- Filters of sequences
  if (name == "list" || name == "first" || name == "last" || name == "reverse") {
    const auto items = list_of(value);
    if (!items) return {};
    if (name == "first") return items->items.empty() ? Value() : items->items.front();
    if (name == "last") return items->items.empty() ? Value() : items->items.back();
    std::vector<Value> copy = items->items;
    if (name == "reverse") {
      std::reverse(copy.begin(), copy.end());
      if (value.as_string() != nullptr) {
        std::string out;
        for (const Value& item : copy) out += *item.as_string();
        return make_string(std::move(out));
      }
    }
    return make_list(std::move(copy));
  }
  if (name == "join") {
    const auto taken = take(arguments, name, {"d", "attribute"});
    const std::string between = text_argument(taken[0], "");
    const auto items = list_of(value);
    std::string out;
    for (size_t i = 0; items && i < items->items.size() && charge(1 + between.size() / 64); ++i) {
      if (i != 0) out += between;
      out += str(taken[1] != nullptr ? path(items->items[i], str(*taken[1])) : items->items[i]);
      if (out.size() > limits_.output_bytes) break;
    }
    return make_string(std::move(out));
  }
  if (name == "map") {
    const auto items = list_of(value);
    std::vector<Value> out;
    TemplateArguments rest = arguments;
    std::string filter;
    std::optional<std::string> attribute;
    std::optional<Value> otherwise;
    if (rest.positional.empty()) {
      for (const auto& [key, argument] : rest.named) {
        if (key == "attribute") {
          attribute = str(argument);
        } else if (key == "default") {
          otherwise = argument;
        } else {
          return malformed("'map' has no argument " + quoted_name(key));
        }
      }
      if (!attribute) return malformed("'map' needs a filter or an attribute");
    } else {
      filter = str(rest.positional[0]);
      rest.positional.erase(rest.positional.begin());
    }
    for (size_t i = 0; items && i < items->items.size() && charge(2); ++i) {
      if (attribute) {
        Value found = path(items->items[i], *attribute);
        out.push_back(found.is_undefined() && otherwise ? *otherwise : std::move(found));
      } else {
        out.push_back(call_filter(filter, items->items[i], rest));
      }
    }
    return make_list(std::move(out));
  }
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") {
    const bool wanted = name.starts_with("select");
    const bool by_attribute = name.ends_with("attr");
    TemplateArguments rest = arguments;
    const auto shift = [&]() -> std::optional<std::string> {
      if (rest.positional.empty()) return std::nullopt;
      std::string first = str(rest.positional.front());
      rest.positional.erase(rest.positional.begin());
      return first;
    };
    const auto attribute = by_attribute ? shift() : std::optional<std::string>("");
    if (!attribute) return malformed(quoted_name(name) + " needs an attribute");
    const auto test = shift();
    const auto items = list_of(value);
    std::vector<Value> out;
    for (size_t i = 0; items && i < items->items.size() && charge(2); ++i) {
      const Value looked_at = by_attribute ? path(items->items[i], *attribute) : items->items[i];
      const auto holds = test ? call_test(*test, looked_at, rest) : std::optional<bool>(looked_at.truth());
      if (failed()) return {};
      if (holds == wanted) out.push_back(items->items[i]);
    }
    return make_list(std::move(out));
  }
  if (name == "sort" || name == "unique" || name == "min" || name == "max") {
    const bool sort = name == "sort";
    const auto taken = sort ? take(arguments, name, {"reverse", "case_sensitive", "attribute"})
                            : take(arguments, name, {"case_sensitive", "attribute"});
    const auto items = list_of(value);
    if (!items || failed()) return {};
    const Value* const attribute = taken[sort ? 2 : 1];
    std::vector<std::pair<Value, Value>> keyed;  // key, item
    for (const Value& item : items->items) {
      const Value key = attribute != nullptr ? path(item, str(*attribute)) : item;
      keyed.emplace_back(comparable(key, truth_of(taken[sort ? 1 : 0])), item);
    }
    const size_t count = keyed.size();
    if (!charge(count * (1 + static_cast<size_t>(std::log2(static_cast<double>(count + 1)))))) return {};
    if (name == "unique") {
      std::vector<std::pair<Value, Value>> kept;
      for (auto& pair : keyed) {
        if (!charge(1 + kept.size() / 4)) return {};
        if (std::none_of(kept.begin(), kept.end(), [&](const auto& other) { return equal(other.first, pair.first); }))
          kept.push_back(pair);
      }
      keyed = std::move(kept);
    } else {
      // Comparing what cannot be ordered is an error; so is it here, before
      // std::sort could be misled by it.
      for (size_t i = 1; i < count; ++i) {
        if (!order(keyed[0].first, keyed[i].first) || keyed[i].first.as_list() != nullptr) {
          return malformed(quoted_name(name) + " of values that have no order");
        }
      }
      const bool descending = name == "max" || (sort && truth_of(taken[0]));
      std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
        return order(a.first, b.first).value_or(0) * (descending ? -1 : 1) < 0;
      });
      if (!sort) return keyed.empty() ? Value() : keyed.front().second;
    }
    std::vector<Value> out;
    out.reserve(keyed.size());
    for (auto& pair : keyed) out.push_back(std::move(pair.second));
    return make_list(std::move(out));
  }
  if (name == "sum") {
    const auto taken = take(arguments, name, {"attribute", "start"});
    const auto items = list_of(value);
    Value total = taken[1] != nullptr ? *taken[1] : Value::integer(0);
    for (size_t i = 0; items && i < items->items.size() && charge(1) && !failed(); ++i) {
      total = arithmetic("+", total, taken[0] != nullptr ? path(items->items[i], str(*taken[0])) : items->items[i]);
    }
    return total;
  }
  return fail(ErrorCode::unsupported, "the filter " + quoted_name(name) + " is not supported");
}

std::optional<bool> TemplateRun::call_test(const std::string& name, const Value& value, const Arguments& arguments) {
  const bool binary = name == "eq" || name == "equalto" || name == "==" || name == "ne" || name == "!=" ||
                      name == "lt" || name == "lessthan" || name == "<" || name == "le" || name == "<=" ||
                      name == "gt" || name == "greaterthan" || name == ">" || name == "ge" || name == ">=" ||
                      name == "in" || name == "divisibleby" || name == "sameas";
  if (arguments.positional.size() != (binary ? 1u : 0u) || !arguments.named.empty()) {
    malformed("the test " + quoted_name(name) + " takes " + (binary ? "one value" : "no value"));
    return std::nullopt;
  }
  if (!binary) {
    if (name == "defined") return !value.is_undefined();
    if (name == "undefined") return value.is_undefined();
    if (name == "none") return value.is_none();
    if (name == "string") return value.as_string() != nullptr;
    if (name == "mapping") return value.as_dict() != nullptr;
    if (name == "sequence" || name == "iterable") {
      return value.as_string() != nullptr || value.as_list() != nullptr || value.as_dict() != nullptr ||
             value.is_undefined();
    }
    if (name == "boolean") return value.as_bool() != nullptr;
    if (name == "integer") return value.as_integer() && value.as_bool() == nullptr;
    if (name == "float") return value.as_real() != nullptr;
    if (name == "number") return value.as_number().has_value();
    if (name == "true") return value.as_bool() != nullptr && *value.as_bool();
    if (name == "false") return value.as_bool() != nullptr && !*value.as_bool();
    if (name == "callable") return value.as_function() != nullptr;
    if (name == "odd" || name == "even") {
      const auto integer = value.as_integer();
      if (!integer) malformed("the test " + quoted_name(name) + " needs an integer");
      return integer.value_or(0) % 2 == 0 ? name == "even" : name == "odd";
    }
    if (name == "lower" || name == "upper") {
      const std::string text = str(value), cased = change_case(text, name == "lower" ? Letters::lower : Letters::upper);
      const std::string other = change_case(text, name == "lower" ? Letters::upper : Letters::lower);
      return text == cased && text != other;
    }
    fail(ErrorCode::unsupported, "the test " + quoted_name(name) + " is not supported");
    return std::nullopt;
  }
  const Value& other = arguments.positional[0];
  if (name == "eq" || name == "equalto" || name == "==") return equal(value, other);
  if (name == "ne" || name == "!=") return !equal(value, other);
  if (name == "in") return contains(other, value);
  if (name == "sameas") return value.type_name() == other.type_name() && equal(value, other);
  if (name == "divisibleby") {
    const auto a = value.as_integer(), b = other.as_integer();
    if (!a || !b || *b == 0) {
      malformed("'divisibleby' needs integers");
      return std::nullopt;
    }
    return *b == -1 || *a % *b == 0;
  }
  const auto ordered = order(value, other);
  if (!ordered) {
    malformed("values that have no order");
    return std::nullopt;
  }
  if (name == "lt" || name == "lessthan" || name == "<") return *ordered < 0;
  if (name == "le" || name == "<=") return *ordered <= 0;
  if (name == "gt" || name == "greaterthan" || name == ">") return *ordered > 0;
  return *ordered >= 0;
}

}  // namespace vitrine
