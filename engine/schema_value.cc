#include "engine/schema_value.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/json_tokenizer.h"
#include "base/json_writer.h"

namespace vitrine {
namespace {

constexpr size_t kDigits = 24;

// Lone surrogates: the only text that base's reader repairs instead of refusing.
bool has_lone_surrogate(std::string_view raw) {
  const auto unit = [&](size_t at) -> int {
    if (at + 6 > raw.size() || raw[at] != '\\' || raw[at + 1] != 'u') return -1;
    int value = 0;
    const auto end = std::from_chars(raw.data() + at + 2, raw.data() + at + 6, value, 16);
    return end.ptr == raw.data() + at + 6 ? value : -1;
  };
  for (size_t at = 0; at < raw.size(); ++at) {
    if (raw[at] != '\\') continue;
    const int code = unit(at);
    if (code >= 0xDC00 && code <= 0xDFFF) return true;
    if (code >= 0xD800 && code <= 0xDBFF) {
      const int low = unit(at + 6);
      if (low < 0xDC00 || low > 0xDFFF) return true;
      at += 10;
    }
    ++at;
  }
  return false;
}

// What base's reader lets pass and RFC 8259 does not.
bool is_strict_string(std::string_view raw) {
  for (size_t at = 0; at < raw.size(); ++at) {
    if (static_cast<uint8_t>(raw[at]) < 0x20) return false;
    if (raw[at] != '\\') continue;
    if (++at == raw.size()) return false;
    if (raw[at] == 'u') {
      if (at + 4 >= raw.size()) return false;
      for (size_t digit = at + 1; digit <= at + 4; ++digit) {
        if (std::string_view("0123456789abcdefABCDEF").find(raw[digit]) == std::string_view::npos) return false;
      }
      at += 4;
    } else if (std::string_view("\"\\/bfnrt").find(raw[at]) == std::string_view::npos) {
      return false;
    }
  }
  return !has_lone_surrogate(raw);
}

tl::unexpected<Error> malformed(const std::string& what, uint64_t offset) {
  return fail(ErrorCode::malformed, "the schema is not JSON: " + what + " at byte " + std::to_string(offset));
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    unsigned value = 0;
    if (text[at] == '%' && at + 2 < text.size() &&
        std::from_chars(text.data() + at + 1, text.data() + at + 3, value, 16).ptr == text.data() + at + 3) {
      out.push_back(static_cast<char>(value));
      at += 2;
    } else {
      out.push_back(text[at]);
    }
  }
  return out;
}

}  // namespace

const SchemaValue* SchemaValue::find(std::string_view name) const {
  const auto at = std::lower_bound(sorted.begin(), sorted.end(), name,
                                   [this](uint32_t index, std::string_view wanted) { return names[index] < wanted; });
  return at != sorted.end() && names[*at] == name ? values[*at] : nullptr;
}

std::string SchemaValue::pointer() const {
  std::vector<const SchemaValue*> chain;
  for (const SchemaValue* value = this; value->parent != nullptr; value = value->parent) chain.push_back(value);
  std::string out = "#";
  for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
    out.push_back('/');
    if (!(*at)->parent->is_object()) {
      out += std::to_string((*at)->place);
      continue;
    }
    for (const char c : (*at)->parent->names[(*at)->place]) {
      if (c == '~') {
        out += "~0";
      } else if (c == '/') {
        out += "~1";
      } else {
        out.push_back(c);
      }
    }
  }
  return out;
}

Result<SchemaDocument> SchemaDocument::parse(std::string_view text) {
  if (!is_valid_utf8(text)) return fail(ErrorCode::malformed, "the schema is not JSON: it is not UTF-8");
  SchemaDocument document;
  std::vector<SchemaValue*> open;
  std::string scratch, key;
  JsonTokenizer json(text, kMaxDepth);
  JsonToken token;
  // Names of a closed object, sorted, must differ.
  const auto close = [&](SchemaValue& value) -> bool {
    value.sorted.resize(value.names.size());
    std::iota(value.sorted.begin(), value.sorted.end(), 0u);
    std::sort(value.sorted.begin(), value.sorted.end(),
              [&](uint32_t a, uint32_t b) { return value.names[a] < value.names[b]; });
    return std::adjacent_find(value.sorted.begin(), value.sorted.end(), [&](uint32_t a, uint32_t b) {
             return value.names[a] == value.names[b];
           }) == value.sorted.end();
  };
  while (json.next(token)) {
    using Kind = JsonToken::Kind;
    if (token.kind == Kind::end_object || token.kind == Kind::end_array) {
      if (token.kind == Kind::end_object && !close(*open.back())) {
        return fail(ErrorCode::malformed, "a name appears twice in an object", open.back()->pointer());
      }
      open.pop_back();
      continue;
    }
    if (token.kind == Kind::key || token.kind == Kind::string) {
      if (!is_strict_string(token.raw)) return malformed("a string that RFC 8259 does not allow", token.offset);
    }
    if (token.kind == Kind::key) {
      key = unescaped(token, scratch);
      continue;
    }
    SchemaValue& value = document.values_.emplace_back();
    value.id = static_cast<uint32_t>(document.values_.size() - 1);
    if (!open.empty()) {
      SchemaValue& parent = *open.back();
      value.parent = &parent;
      value.place = static_cast<uint32_t>(parent.values.size());
      parent.values.push_back(&value);
      if (parent.is_object()) parent.names.push_back(key);
    }
    switch (token.kind) {
      case Kind::begin_object:
        value.kind = SchemaValue::Kind::object;
        open.push_back(&value);
        break;
      case Kind::begin_array:
        value.kind = SchemaValue::Kind::array;
        open.push_back(&value);
        break;
      case Kind::string:
        value.kind = SchemaValue::Kind::string;
        value.text = unescaped(token, scratch);
        break;
      case Kind::number:
        value.kind = SchemaValue::Kind::number;
        value.text = token.raw;
        break;
      case Kind::literal_true:
      case Kind::literal_false:
        value.kind = SchemaValue::Kind::boolean;
        value.truth = token.kind == Kind::literal_true;
        break;
      default: break;  // null
    }
  }
  if (token.kind == JsonToken::Kind::cut) return malformed("it ends too early", token.offset);
  if (token.kind == JsonToken::Kind::too_deep) {
    return fail(ErrorCode::limit, "the schema nests deeper than " + std::to_string(kMaxDepth));
  }
  if (token.kind != JsonToken::Kind::end) return malformed("an unexpected character", token.offset);
  if (token.offset != text.size()) return malformed("text behind its end", token.offset);
  return document;
}

const SchemaValue* SchemaDocument::resolve(std::string_view reference) const {
  if (reference.empty() || reference[0] != '#') return nullptr;
  const std::string path = percent_decoded(reference.substr(1));
  const SchemaValue* value = &root();
  size_t at = 0;
  while (at < path.size()) {
    if (path[at] != '/') return nullptr;
    const size_t end = std::min(path.find('/', at + 1), path.size());
    std::string name = path.substr(at + 1, end - at - 1);
    for (size_t tilde = 0; (tilde = name.find('~', tilde)) != std::string::npos; ++tilde) {
      if (tilde + 1 == name.size() || (name[tilde + 1] != '0' && name[tilde + 1] != '1')) return nullptr;
      name.replace(tilde, 2, name[tilde + 1] == '0' ? "~" : "/");
    }
    if (value->is_array()) {
      size_t index = 0;
      const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
      if (read.ec != std::errc() || read.ptr != name.data() + name.size() || index >= value->values.size())
        return nullptr;
      value = value->values[index];
    } else {
      value = value->find(name);
    }
    if (value == nullptr) return nullptr;
    at = end;
  }
  return value;
}

Decimal Decimal::parse(std::string_view text) {
  Decimal out;
  if (!text.empty() && text[0] == '-') {
    out.negative = true;
    text.remove_prefix(1);
  }
  // An exponent beyond these bounds says as much as the bounds do.
  int64_t exponent = 0;
  if (const size_t at = text.find_first_of("eE"); at != std::string_view::npos) {
    std::string_view digits = text.substr(at + 1);
    const bool below = digits[0] == '-';
    if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (read.ec != std::errc() || exponent > (1 << 24)) exponent = 1 << 24;
    if (below) exponent = -exponent;
    text = text.substr(0, at);
  }
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits(text.substr(0, point));
  if (point < text.size()) digits += text.substr(point + 1);
  // value = 0.digits * 10^(weight)
  int64_t weight = static_cast<int64_t>(point) + exponent;
  const size_t zeros = std::min(digits.find_first_not_of('0'), digits.size());
  digits.erase(0, zeros);
  weight -= static_cast<int64_t>(zeros);
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.empty()) return {};
  if (weight > static_cast<int64_t>(kDigits)) {
    out.whole = "1" + std::string(kDigits, '0');
    return out;
  }
  if (weight > 0) {
    out.whole = digits.substr(0, static_cast<size_t>(weight));
    out.whole.resize(static_cast<size_t>(weight), '0');
    if (digits.size() > static_cast<size_t>(weight)) out.fraction = digits.substr(static_cast<size_t>(weight));
  } else {
    out.fraction = std::string(static_cast<size_t>(std::min<int64_t>(-weight, kDigits)), '0') + digits;
  }
  if (out.fraction.size() > kDigits) {
    out.fraction.resize(kDigits);
    out.fraction.push_back('1');  // more than the digits before it, less than any other
  }
  return out;
}

Decimal Decimal::negated() const {
  Decimal out = *this;
  if (!is_zero()) out.negative = !negative;
  return out;
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int sign = a.negative ? -1 : 1;
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -sign : sign;
  if (const int order = a.whole.compare(b.whole); order != 0) return order < 0 ? -sign : sign;
  const int order = a.fraction.compare(b.fraction);  // no trailing zeros: a prefix is smaller
  return order == 0 ? 0 : order < 0 ? -sign : sign;
}

bool equal(const SchemaValue& a, const SchemaValue& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case SchemaValue::Kind::null: return true;
    case SchemaValue::Kind::boolean: return a.truth == b.truth;
    case SchemaValue::Kind::number: return Decimal::parse(a.text) == Decimal::parse(b.text);
    case SchemaValue::Kind::string: return a.text == b.text;
    case SchemaValue::Kind::array:
      return std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(),
                        [](const SchemaValue* x, const SchemaValue* y) { return equal(*x, *y); });
    case SchemaValue::Kind::object:
      if (a.values.size() != b.values.size()) return false;
      for (size_t i = 0; i < a.sorted.size(); ++i) {
        const uint32_t x = a.sorted[i], y = b.sorted[i];
        if (a.names[x] != b.names[y] || !equal(*a.values[x], *b.values[y])) return false;
      }
      return true;
  }
  return false;
}

}  // namespace vitrine
