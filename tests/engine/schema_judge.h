// The language of engine/grammar.h, written down a second time and slowly: reads a document into a
// tree as the language spells it, then holds the tree against the schema keyword by keyword, over all
// ways to choose alternatives. Knows what random_schema.h makes.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/engine/random_schema.h"

namespace vitrine {

// As read, with what its spelling says.
struct JudgedValue {
  std::string lexeme;    // of numbers and words
  std::u32string text;   // of strings
  bool shortest = true;  // a string as JSON.stringify spells it
  char kind = 'w';       // 'w'ord, 'n'umber, 's'tring, 'a'rray, 'o'bject
  std::vector<JudgedValue> values;
  std::vector<std::u32string> names;
};

class JudgeReader {
 public:
  explicit JudgeReader(std::string_view text) : text_(text) {}

  std::optional<JudgedValue> read() {
    for (const std::string_view space : {"\n\n", "\n", " "}) {
      if (text_.starts_with(space)) {
        at_ = space.size();
        break;
      }
    }
    auto out = value(0);
    return out && at_ == text_.size() ? out : std::nullopt;
  }

 private:
  bool take(std::string_view word) { return text_.substr(at_).starts_with(word) ? (at_ += word.size(), true) : false; }
  void gap() {
    if (take(" ")) return;
    if (!take("\n")) return;
    for (int i = 0; i < 32 && (take(" ") || take("\t")); ++i) {
    }
  }

  std::optional<JudgedValue> value(int depth) {
    JudgedValue out;
    if (at_ == text_.size()) return std::nullopt;
    const char c = text_[at_];
    if (c == '"') return string(out) ? std::optional(out) : std::nullopt;
    if (c == '[' || c == '{') {
      if (depth == 64) return std::nullopt;
      ++at_;
      out.kind = c == '[' ? 'a' : 'o';
      const char* close = c == '[' ? "]" : "}";
      gap();
      while (!take(close)) {
        if (!out.values.empty()) {
          const size_t back = at_;
          if (!take(",")) {
            gap();
            if (at_ == back || !take(close)) return std::nullopt;
            return out;
          }
          gap();
        }
        if (out.kind == 'o') {
          JudgedValue name;
          if (at_ == text_.size() || text_[at_] != '"' || !string(name) || !name.shortest || !take(":"))
            return std::nullopt;
          take(" ");
          out.names.push_back(name.text);
        }
        auto inner = value(depth + 1);
        if (!inner) return std::nullopt;
        out.values.push_back(std::move(*inner));
      }
      return out;
    }
    for (const char* word : {"null", "true", "false"}) {
      if (take(word)) {
        out.lexeme = word;
        return out;
      }
    }
    static const std::regex kNumber("-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?");
    std::match_results<std::string_view::const_iterator> match;
    const std::string_view rest = text_.substr(at_);
    if (!std::regex_search(rest.begin(), rest.end(), match, kNumber, std::regex_constants::match_continuous))
      return std::nullopt;
    out.kind = 'n';
    out.lexeme = match.str();
    at_ += out.lexeme.size();
    return out;
  }

  bool string(JudgedValue& out) {
    out.kind = 's';
    for (++at_; at_ < text_.size();) {
      const auto c = static_cast<uint8_t>(text_[at_]);
      if (c == '"') return ++at_, true;
      if (c < 0x20) return false;
      if (c == '\\') {
        if (!escape(out)) return false;
        continue;
      }
      const int more = c < 0x80 ? 0 : c < 0xC0 ? -1 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF8 ? 3 : -1;
      if (more < 0 || at_ + static_cast<size_t>(more) >= text_.size()) return false;
      char32_t code = more == 0 ? c : c & (0x3F >> more);
      for (int i = 1; i <= more; ++i) {
        const auto next = static_cast<uint8_t>(text_[at_ + static_cast<size_t>(i)]);
        if ((next & 0xC0) != 0x80) return false;
        code = code << 6 | (next & 0x3F);
      }
      static constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
      if (code < kLeast[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
      out.text.push_back(code);
      at_ += static_cast<size_t>(more) + 1;
    }
    return false;
  }

  int hex4() {
    if (at_ + 4 > text_.size()) return -1;
    int out = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[at_++];
      if (!std::isxdigit(static_cast<unsigned char>(c))) return -1;
      out = out * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return out;
  }

  bool escape(JudgedValue& out) {
    if (at_ + 1 >= text_.size()) return false;
    const char c = text_[at_ + 1];
    at_ += 2;
    const std::string_view letters = "\"\\bfnrt/", codes = "\"\\\b\f\n\r\t/";
    if (const size_t index = letters.find(c); index != std::string_view::npos) {
      out.text.push_back(static_cast<char32_t>(codes[index]));
      if (c == '/') out.shortest = false;
      return true;
    }
    if (c != 'u') return false;
    const size_t digits = at_;
    int code = hex4();
    if (code < 0 || (code >= 0xDC00 && code < 0xE000)) return false;
    // JSON.stringify writes so only control characters without a letter, in lower case.
    const std::string_view spelled = text_.substr(digits, 4);
    out.shortest = out.shortest && code < 0x20 && codes.find(static_cast<char>(code)) == std::string_view::npos &&
                   std::none_of(spelled.begin(), spelled.end(), [](char d) { return d >= 'A' && d <= 'F'; });
    if (code >= 0xD800 && code < 0xDC00) {
      if (!take("\\u")) return false;
      const int low = hex4();
      if (low < 0xDC00 || low > 0xDFFF) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    out.text.push_back(static_cast<char32_t>(code));
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

class SchemaJudge {
 public:
  explicit SchemaJudge(const SchemaJson& root) : root_(root) {}

  bool accepts(std::string_view text) const {
    const auto value = JudgeReader(text).read();
    return value && valid({&root_}, *value);
  }

 private:
  using Schemas = std::vector<const SchemaJson*>;

  static std::u32string wide(const std::string& text) {
    std::u32string out;
    for (size_t i = 0; i < text.size();) {
      const auto c = static_cast<uint8_t>(text[i]);
      const int more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
      char32_t code = more == 0 ? c : c & (0x3F >> more);
      for (int k = 1; k <= more; ++k)
        code = code << 6 | (static_cast<uint8_t>(text[i + static_cast<size_t>(k)]) & 0x3F);
      out.push_back(code);
      i += static_cast<size_t>(more) + 1;
    }
    return out;
  }

  // All of `schemas` hold: replaces the first thing that can be replaced, then checks what is left.
  bool valid(Schemas schemas, const JudgedValue& value) const { return resolve({}, std::move(schemas), value); }

  bool resolve(Schemas plain, Schemas rest, const JudgedValue& value) const {
    // Order of properties: own ones, then $ref, allOf; alternatives come last.
    std::vector<const SchemaJson*> choices;
    std::function<bool(const SchemaJson*)> add = [&](const SchemaJson* schema) -> bool {
      if (schema->is_boolean()) return schema->get<bool>();
      if (std::find(plain.begin(), plain.end(), schema) != plain.end()) return true;
      plain.push_back(schema);
      if (schema->contains("$ref") && !add(&root_["$defs"]["tree"])) return false;
      if (schema->contains("allOf")) {
        for (const SchemaJson& member : (*schema)["allOf"]) {
          if (!add(&member)) return false;
        }
      }
      if (schema->contains("anyOf")) choices.push_back(&(*schema)["anyOf"]);
      return true;
    };
    for (const SchemaJson* schema : rest) {
      if (!add(schema)) return false;
    }
    return choose(plain, choices, value);
  }

  bool choose(const Schemas& plain, std::vector<const SchemaJson*> choices, const JudgedValue& value) const {
    if (choices.empty()) return leaf(plain, value);
    const SchemaJson* first = choices.front();
    choices.erase(choices.begin());
    for (const SchemaJson& branch : *first) {
      Schemas more = plain;
      std::vector<const SchemaJson*> next = choices;
      std::function<bool(const SchemaJson*)> add = [&](const SchemaJson* schema) -> bool {
        if (schema->is_boolean()) return schema->get<bool>();
        if (std::find(more.begin(), more.end(), schema) != more.end()) return true;
        more.push_back(schema);
        if (schema->contains("$ref") && !add(&root_["$defs"]["tree"])) return false;
        if (schema->contains("allOf")) {
          for (const SchemaJson& member : (*schema)["allOf"]) {
            if (!add(&member)) return false;
          }
        }
        if (schema->contains("anyOf")) next.push_back(&(*schema)["anyOf"]);
        return true;
      };
      if (add(&branch) && choose(more, next, value)) return true;
    }
    return false;
  }

  static bool has_type(const std::string& type, const JudgedValue& value) {
    switch (value.kind) {
      case 's': return type == "string";
      case 'a': return type == "array";
      case 'o': return type == "object";
      case 'n':
        return type == "number" || (type == "integer" && value.lexeme.find_first_of(".eE") == std::string::npos);
      default: return type == (value.lexeme == "null" ? "null" : "boolean");
    }
  }

  // As a constant of the schema, in its one spelling.
  static bool is(const SchemaJson& constant, const JudgedValue& value) {
    switch (value.kind) {
      case 's': return constant.is_string() && value.shortest && wide(constant.get<std::string>()) == value.text;
      case 'n':
      case 'w': return !constant.is_string() && !constant.is_structured() && constant.dump() == value.lexeme;
      case 'a':
        if (!constant.is_array() || constant.size() != value.values.size()) return false;
        for (size_t i = 0; i < value.values.size(); ++i) {
          if (!is(constant[i], value.values[i])) return false;
        }
        return true;
      default: {
        if (!constant.is_object() || constant.size() != value.values.size()) return false;
        size_t i = 0;
        for (const auto& [name, member] : constant.items()) {
          if (wide(name) != value.names[i] || !is(member, value.values[i])) return false;
          ++i;
        }
        return true;
      }
    }
  }

  bool leaf(const Schemas& schemas, const JudgedValue& value) const {
    bool typed = false, listed = false, multiple = false, bounded = false, ruled = false;
    std::set<char> spoken_of;
    for (const SchemaJson* s : schemas) {
      typed = typed || s->contains("type");
      listed = listed || s->contains("enum") || s->contains("const");
      multiple = multiple || s->contains("multipleOf");
      ruled = ruled || s->contains("pattern") || s->contains("format");
      for (const char* word : {"properties", "required", "additionalProperties"}) {
        if (s->contains(word)) spoken_of.insert('o');
      }
      for (const char* word : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"})
        bounded = bounded || s->contains(word);
    }
    if (!typed && !listed && !spoken_of.empty() && spoken_of.count(value.kind) == 0) return false;
    for (const SchemaJson* s : schemas) {
      if (s->contains("enum") &&
          std::none_of((*s)["enum"].begin(), (*s)["enum"].end(), [&](const auto& c) { return is(c, value); }))
        return false;
      if (s->contains("const") && !is((*s)["const"], value)) return false;
      if (s->contains("type")) {
        const SchemaJson& type = (*s)["type"];
        if (type.is_string() ? !has_type(type, value) : std::none_of(type.begin(), type.end(), [&](const auto& t) {
              return has_type(t, value);
            }))
          return false;
      }
      if (value.kind == 's' && !string(*s, value)) return false;
      if (value.kind == 'n' && !number(*s, value)) return false;
    }
    if (listed) return true;
    if (value.kind == 's') return !ruled || value.shortest;
    if (value.kind == 'n') {
      if (multiple && value.lexeme.find_first_of(".eE") != std::string::npos) return false;
      return !bounded || value.lexeme.find_first_of("eE") == std::string::npos;
    }
    if (value.kind == 'a') return array(schemas, value);
    if (value.kind == 'o') return object(schemas, value);
    return true;
  }

  static bool string(const SchemaJson& s, const JudgedValue& value) {
    if (s.contains("minLength") && value.text.size() < s["minLength"].get<size_t>()) return false;
    if (s.contains("maxLength") && value.text.size() > s["maxLength"].get<size_t>()) return false;
    if (s.contains("pattern")) {
      // std::wregex: 32-bit characters on the platforms of the tests.
      std::wstring pattern, text;
      for (const char32_t c : wide(s["pattern"])) pattern.push_back(static_cast<wchar_t>(c));
      for (const char32_t c : value.text) text.push_back(static_cast<wchar_t>(c));
      if (!std::regex_search(text, std::wregex(pattern))) return false;
    }
    if (s.contains("format")) {
      std::string text;
      for (const char32_t c : value.text) text.push_back(c < 0x80 ? static_cast<char>(c) : '?');
      return format(s["format"], text);
    }
    return true;
  }

  static bool format(const std::string& name, const std::string& text) {
    std::smatch m;
    const auto number = [&](size_t group) { return std::stoi(m[group].str()); };
    const auto date = [&](const std::string& t) {
      static const std::regex kDate("(\\d{4})-(\\d\\d)-(\\d\\d)");
      if (!std::regex_match(t, m, kDate)) return false;
      const int year = number(1), month = number(2), day = number(3);
      if (year == 0 || month < 1 || month > 12 || day < 1) return false;
      const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
      const int days[] = {31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
      return day <= days[month - 1];
    };
    const auto time = [&](const std::string& t) {
      static const std::regex kTime("(\\d\\d):(\\d\\d):(\\d\\d)(\\.\\d{1,9})?(?:[zZ]|[+-](\\d\\d):(\\d\\d))");
      if (!std::regex_match(t, m, kTime)) return false;
      return number(1) < 24 && number(2) < 60 && number(3) < 60 &&
             (!m[5].matched || (number(5) < 24 && number(6) < 60));
    };
    if (name == "date") return date(text);
    if (name == "time") return time(text);
    if (name == "date-time")
      return text.size() > 10 && (text[10] == 'T' || text[10] == 't') && date(text.substr(0, 10)) &&
             time(text.substr(11));
    if (name == "uuid") return std::regex_match(text, std::regex("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"));
    static const std::regex kIpv4("(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})");
    if (!std::regex_match(text, m, kIpv4)) return false;
    for (size_t i = 1; i <= 4; ++i) {
      if (number(i) > 255 || (m[i].length() > 1 && m[i].str()[0] == '0')) return false;
    }
    return true;
  }

  static bool number(const SchemaJson& s, const JudgedValue& value) {
    const double v = std::stod(value.lexeme);  // exact for the few digits of random documents
    if (s.contains("minimum") && v < s["minimum"].get<double>()) return false;
    if (s.contains("exclusiveMinimum") && v <= s["exclusiveMinimum"].get<double>()) return false;
    if (s.contains("maximum") && v > s["maximum"].get<double>()) return false;
    if (s.contains("exclusiveMaximum") && v >= s["exclusiveMaximum"].get<double>()) return false;
    return !s.contains("multipleOf") || std::fmod(v, s["multipleOf"].get<double>()) == 0;
  }

  bool array(const Schemas& schemas, const JudgedValue& value) const {
    for (const SchemaJson* s : schemas) {
      if (s->contains("minItems") && value.values.size() < (*s)["minItems"].get<size_t>()) return false;
      if (s->contains("maxItems") && value.values.size() > (*s)["maxItems"].get<size_t>()) return false;
    }
    for (size_t i = 0; i < value.values.size(); ++i) {
      Schemas own;
      for (const SchemaJson* s : schemas) {
        if (s->contains("prefixItems") && i < (*s)["prefixItems"].size()) {
          own.push_back(&(*s)["prefixItems"][i]);
        } else if (s->contains("items")) {
          own.push_back(&(*s)["items"]);
        }
      }
      if (!valid(own, value.values[i])) return false;
    }
    return true;
  }

  bool object(const Schemas& schemas, const JudgedValue& value) const {
    std::vector<std::u32string> order;
    const auto note = [&](const std::string& name) {
      if (std::find(order.begin(), order.end(), wide(name)) == order.end()) order.push_back(wide(name));
    };
    bool closed = false, open = false;
    for (const SchemaJson* s : schemas) {
      open = open || s->contains("additionalProperties");
      if (!s->contains("properties")) continue;
      closed = true;
      for (const auto& [name, schema] : (*s)["properties"].items()) note(name);
    }
    for (const SchemaJson* s : schemas) {
      if (!s->contains("required")) continue;
      for (const auto& name : (*s)["required"]) {
        note(name);
        if (std::find(value.names.begin(), value.names.end(), wide(name)) == value.names.end()) return false;
      }
    }
    size_t last = 0;  // one behind the place of the last declared name
    bool others = false;
    for (size_t i = 0; i < value.names.size(); ++i) {
      const auto place = std::find(order.begin(), order.end(), value.names[i]);
      if (place == order.end()) {
        others = true;
        if (closed && !open) return false;
      } else {
        const auto index = static_cast<size_t>(place - order.begin());
        if (others || index < last) return false;
        last = index + 1;
      }
      Schemas own;
      for (const SchemaJson* s : schemas) {
        const SchemaJson* declared = nullptr;
        if (s->contains("properties")) {
          for (const auto& [name, schema] : (*s)["properties"].items()) {
            if (wide(name) == value.names[i]) declared = &schema;
          }
        }
        if (declared != nullptr) {
          own.push_back(declared);
        } else if (s->contains("additionalProperties")) {
          own.push_back(&(*s)["additionalProperties"]);
        }
      }
      if (!valid(own, value.values[i])) return false;
    }
    return true;
  }

  const SchemaJson& root_;
};

}  // namespace vitrine
