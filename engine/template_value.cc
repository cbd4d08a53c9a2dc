#include "engine/template_value.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "engine/unicode.h"

namespace vitrine {

std::optional<int64_t> TemplateValue::as_integer() const {
  if (const auto* integer = std::get_if<int64_t>(&value_)) return *integer;
  if (const bool* boolean = as_bool()) return *boolean ? 1 : 0;
  return std::nullopt;
}

std::optional<double> TemplateValue::as_number() const {
  if (const double* real = as_real()) return *real;
  if (const auto integer = as_integer()) return static_cast<double>(*integer);
  return std::nullopt;
}

bool TemplateValue::truth() const {
  if (is_undefined() || is_none()) return false;
  if (const auto integer = as_integer()) return *integer != 0;
  if (const double* real = as_real()) return *real != 0;
  if (const auto* text = as_string()) return !text->empty();
  if (const auto* list = as_list()) return !list->items.empty();
  if (const auto* dict = as_dict()) return !dict->members.empty();
  return true;
}

std::string_view TemplateValue::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (as_bool() != nullptr) return "bool";
  if (std::holds_alternative<int64_t>(value_)) return "int";
  if (as_real() != nullptr) return "float";
  if (as_string() != nullptr) return "str";
  if (const auto* list = as_list()) return list->tuple ? "tuple" : "list";
  if (as_dict() != nullptr) return "dict";
  if (as_namespace() != nullptr) return "Namespace";
  if (as_loop() != nullptr) return "LoopContext";
  return "function";
}

uint32_t TemplateValue::depth() const {
  if (const auto* list = as_list()) return list->depth;
  if (const auto* dict = as_dict()) return dict->depth;
  return 0;
}

const TemplateValue* TemplateValue::member(std::string_view key) const {
  const auto* dict = as_dict();
  if (dict == nullptr) return nullptr;
  for (const auto& [name, value] : dict->members) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool equal(const TemplateValue& a, const TemplateValue& b) {
  const auto left = a.as_integer(), right = b.as_integer();
  if (left && right) return *left == *right;
  if (const auto x = a.as_number(), y = b.as_number(); x && y) return *x == *y;
  if (a.is_undefined() || a.is_none()) return a.is_undefined() ? b.is_undefined() : b.is_none();
  if (const auto* x = a.as_string(), *y = b.as_string(); x != nullptr && y != nullptr) return *x == *y;
  if (const auto* x = a.as_list(), *y = b.as_list(); x != nullptr && y != nullptr) {
    return x->tuple == y->tuple &&
           std::equal(x->items.begin(), x->items.end(), y->items.begin(), y->items.end(), equal);
  }
  if (const auto* x = a.as_dict(), *y = b.as_dict(); x != nullptr && y != nullptr) {
    return x->members.size() == y->members.size() &&
           std::all_of(x->members.begin(), x->members.end(), [&](const auto& member) {
             const TemplateValue* other = b.member(member.first);
             return other != nullptr && equal(member.second, *other);
           });
  }
  if (a.as_namespace() != nullptr) return a.as_namespace() == b.as_namespace();
  return false;
}

std::optional<int> order(const TemplateValue& a, const TemplateValue& b) {
  const auto sign = [](auto x, auto y) { return x < y ? -1 : y < x ? 1 : 0; };
  const auto left = a.as_integer(), right = b.as_integer();
  if (left && right) return sign(*left, *right);
  if (const auto x = a.as_number(), y = b.as_number(); x && y) return sign(*x, *y);
  if (const auto* x = a.as_string(), *y = b.as_string(); x != nullptr && y != nullptr) return sign(x->compare(*y), 0);
  if (const auto* x = a.as_list(), *y = b.as_list(); x != nullptr && y != nullptr && x->tuple == y->tuple) {
    for (size_t i = 0; i < x->items.size() && i < y->items.size(); ++i) {
      if (equal(x->items[i], y->items[i])) continue;
      return order(x->items[i], y->items[i]);
    }
    return sign(x->items.size(), y->items.size());
  }
  return std::nullopt;
}

std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // Python writes the shortest digits that read back, with an exponent below
  // 1e-4 and from 1e16 on.
  std::array<char, 64> buffer{};
  const double size = std::fabs(value);
  const bool scientific = size != 0 && (size < 1e-4 || size >= 1e16);
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 scientific ? std::chars_format::scientific : std::chars_format::fixed);
  std::string text(buffer.data(), end.ptr);
  if (!scientific && text.find('.') == text.npos) text += ".0";
  return text;
}

namespace {

bool is_printable(char32_t code) {
  if (code == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    default: return true;
  }
}

void append_hex(std::string& out, char32_t value, int digits) {
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[value >> shift & 15]);
}

void append_string_repr(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  out.push_back(quote);
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const char32_t code = step.code;
    if (code == '\\' || code == static_cast<unsigned char>(quote)) {
      out.push_back('\\');
      out.push_back(static_cast<char>(code));
    } else if (code == '\n' || code == '\r' || code == '\t') {
      out.append(code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
    } else if (is_printable(code)) {
      out.append(text.substr(at, step.length));
    } else if (code < 0x100) {
      out.append("\\x");
      append_hex(out, code, 2);
    } else {
      out.append(code < 0x10000 ? "\\u" : "\\U");
      append_hex(out, code, code < 0x10000 ? 4 : 8);
    }
    at += step.length;
  }
  out.push_back(quote);
}

void append_json_text(std::string& out, std::string_view text, bool ascii) {
  out.push_back('"');
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const char32_t code = step.code;
    switch (code) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default:
        if (code < 0x20 || (ascii && code > 0x7E && code < 0x10000)) {
          out += "\\u";
          append_hex(out, code, 4);
        } else if (ascii && code >= 0x10000) {
          out += "\\u";
          append_hex(out, 0xD800 + ((code - 0x10000) >> 10), 4);
          out += "\\u";
          append_hex(out, 0xDC00 + ((code - 0x10000) & 0x3FF), 4);
        } else {
          out.append(text.substr(at, step.length));
        }
    }
    at += step.length;
  }
  out.push_back('"');
}

}  // namespace

void append_str(std::string& out, const TemplateValue& value) {
  if (const auto* text = value.as_string()) {
    out += *text;
  } else if (!value.is_undefined()) {
    append_repr(out, value);
  }
}

void append_repr(std::string& out, const TemplateValue& value) {
  if (value.is_undefined()) {
    out += "Undefined";
  } else if (value.is_none()) {
    out += "None";
  } else if (const bool* boolean = value.as_bool()) {
    out += *boolean ? "True" : "False";
  } else if (const auto integer = value.as_integer()) {
    out += std::to_string(*integer);
  } else if (const double* real = value.as_real()) {
    out += python_float(*real);
  } else if (const auto* text = value.as_string()) {
    append_string_repr(out, *text);
  } else if (const auto* list = value.as_list()) {
    out += list->tuple ? "(" : "[";
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i != 0) out += ", ";
      append_repr(out, list->items[i]);
    }
    if (list->tuple && list->items.size() == 1) out += ",";
    out += list->tuple ? ")" : "]";
  } else if (const auto* dict = value.as_dict()) {
    out += "{";
    for (size_t i = 0; i < dict->members.size(); ++i) {
      if (i != 0) out += ", ";
      append_string_repr(out, dict->members[i].first);
      out += ": ";
      append_repr(out, dict->members[i].second);
    }
    out += "}";
  } else {
    out.append("<").append(value.type_name()).append(">");
  }
}

bool append_json(std::string& out, const TemplateValue& value, const JsonStyle& style, size_t level) {
  const auto line = [&](size_t depth) {
    if (!style.indent) return;
    out.push_back('\n');
    out.append(depth * static_cast<size_t>(*style.indent), ' ');
  };
  // Views, said so: a conditional between a string and a literal would make a temporary.
  const std::string_view own_between = style.item_separator, own_colon = style.key_separator;
  const std::string_view between = !own_between.empty() ? own_between : std::string_view(style.indent ? "," : ", ");
  const std::string_view colon = !own_colon.empty() ? own_colon : std::string_view(": ");
  if (value.is_none()) {
    out += "null";
  } else if (const bool* boolean = value.as_bool()) {
    out += *boolean ? "true" : "false";
  } else if (const auto integer = value.as_integer()) {
    out += std::to_string(*integer);
  } else if (const double* real = value.as_real()) {
    out += std::isfinite(*real) ? python_float(*real)
           : std::isnan(*real)  ? "NaN"
           : *real < 0          ? "-Infinity"
                                : "Infinity";
  } else if (const auto* text = value.as_string()) {
    append_json_text(out, *text, style.ascii);
  } else if (const auto* list = value.as_list()) {
    out += "[";
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i != 0) out += between;
      line(level + 1);
      if (!append_json(out, list->items[i], style, level + 1)) return false;
    }
    if (!list->items.empty()) line(level);
    out += "]";
  } else if (const auto* dict = value.as_dict()) {
    std::vector<const std::pair<std::string, TemplateValue>*> members;
    for (const auto& member : dict->members) members.push_back(&member);
    if (style.sort_keys) {
      std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
    }
    out += "{";
    for (size_t i = 0; i < members.size(); ++i) {
      if (i != 0) out += between;
      line(level + 1);
      append_json_text(out, members[i]->first, style.ascii);
      out += colon;
      if (!append_json(out, members[i]->second, style, level + 1)) return false;
    }
    if (!members.empty()) line(level);
    out += "}";
  } else {
    return false;
  }
  return true;
}

size_t character_count(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

size_t character_offset(std::string_view text, size_t character) {
  size_t at = 0;
  while (at < text.size() && character > 0) {
    at += utf8_step(text, at).length;
    --character;
  }
  return at;
}

std::optional<TemplateValue> to_template_value(const ChatValue& value, uint32_t level) {
  if (level > 128) return std::nullopt;
  std::string scratch;
  if (value.is_none()) return TemplateValue::none();
  if (const bool* boolean = value.as_bool()) return TemplateValue::boolean(*boolean);
  if (const int64_t* integer = value.as_integer()) return TemplateValue::integer(*integer);
  if (const double* real = value.as_real()) return TemplateValue::real(*real);
  if (const auto* text = value.as_string()) return TemplateValue::string(well_formed(*text, scratch));
  if (const auto* list = value.as_list()) {
    auto made = std::make_shared<TemplateList>();
    for (const ChatValue& item : *list) {
      auto inner = to_template_value(item, level + 1);
      if (!inner) return std::nullopt;
      made->depth = std::max(made->depth, inner->depth() + 1);
      made->items.push_back(std::move(*inner));
    }
    return TemplateValue::Variant(std::shared_ptr<const TemplateList>(std::move(made)));
  }
  auto made = std::make_shared<TemplateDict>();
  for (const auto& [key, member] : *value.as_map()) {
    auto inner = to_template_value(member, level + 1);
    if (!inner) return std::nullopt;
    made->depth = std::max(made->depth, inner->depth() + 1);
    made->members.emplace_back(std::string(well_formed(key, scratch)), std::move(*inner));
  }
  return TemplateValue::Variant(std::shared_ptr<const TemplateDict>(std::move(made)));
}

}  // namespace vitrine
