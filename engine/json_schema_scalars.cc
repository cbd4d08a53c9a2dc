// Strings, numbers, enum and const.
#include <algorithm>
#include <numeric>

#include "base/text.h"
#include "engine/json_schema.h"
#include "engine/unicode.h"

namespace vitrine {
namespace {

using Kind = SchemaValue::Kind;
using K = SchemaKeywords;

constexpr uint32_t kLargestMultiple = 1000;
constexpr uint32_t kHostNameLength = 253;  // RFC 1123, RFC 1035

uint32_t types_of(const SchemaValue& value) {
  switch (value.kind) {
    case Kind::null: return K::kNull;
    case Kind::boolean: return K::kBoolean;
    case Kind::number: return Decimal::parse(value.text).is_integer() ? K::kInteger | K::kNumber : K::kNumber;
    case Kind::string: return K::kString;
    case Kind::array: return K::kArray;
    case Kind::object: return K::kObject;
  }
  return 0;
}

uint32_t characters_in(std::string_view text) {
  return static_cast<uint32_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

TextRule length_of(const std::vector<const K*>& all) {
  TextRule out;
  for (const K* own : all) {
    if (own->minimum_length) out.minimum = std::max(out.minimum, *own->minimum_length);
    if (own->maximum_length && *own->maximum_length < kLongest)
      out.maximum = std::min(out.maximum, *own->maximum_length);
  }
  return out;
}

bool within(const Decimal& value, const NumberBounds& bounds) {
  if (bounds.minimum) {
    const int order = compare(value, bounds.minimum->value);
    if (order < 0 || (order == 0 && bounds.minimum->exclusive)) return false;
  }
  if (bounds.maximum) {
    const int order = compare(value, bounds.maximum->value);
    if (order > 0 || (order == 0 && bounds.maximum->exclusive)) return false;
  }
  if (bounds.multiple_of == 0) return true;
  if (!value.is_integer()) return false;
  uint32_t rest = 0;
  for (const char c : value.whole) rest = (rest * 10 + static_cast<uint32_t>(c - '0')) % bounds.multiple_of;
  return rest == 0;
}

std::string spelled(const std::string& text) {
  std::string out = "\"";
  append_spelled(out, text);
  return out + '"';
}

}  // namespace

// Patterns and formats, without lengths.
Result<CharDfa> SchemaCompiler::characters(const std::vector<const SchemaKeywords*>& all) {
  CharDfa out = any_text();
  const auto also = [&](std::string_view pattern, const SchemaValue& at) -> Status {
    auto own = compile_regex(pattern, budget_);
    if (own) own = intersect(out, *own, budget_);
    if (!own) return fail(own.error().code, own.error().message, at.pointer());
    out = std::move(*own);
    return {};
  };
  for (const K* own : all) {
    if (own->pattern != nullptr) {
      if (Status status = also(own->pattern->text, *own->pattern); !status) return tl::make_unexpected(status.error());
    }
    if (own->format == nullptr) continue;
    const auto pattern = format_pattern(own->format->text);
    if (!pattern) {
      return fail(ErrorCode::unsupported, "the format '" + printable(own->format->text) + "' is not supported",
                  own->format->pointer());
    }
    if (Status status = also(*pattern, *own->format); !status) return tl::make_unexpected(status.error());
    if (own->format->text == "hostname") {
      auto shorter = with_length(out, 0, kHostNameLength, budget_);
      if (!shorter) return fail(shorter.error().code, shorter.error().message, own->format->pointer());
      out = std::move(*shorter);
    }
  }
  return out;
}

Status SchemaCompiler::add_string(ValueId value, const std::vector<const SchemaKeywords*>& all) {
  const TextRule length = length_of(all);
  if (length.minimum > length.maximum) return {};
  std::string key = "string " + std::to_string(length.minimum) + " " + std::to_string(length.maximum);
  bool ruled = false;
  const SchemaValue* limited = nullptr;
  for (const K* own : all) {
    for (const SchemaValue* rule : {own->pattern, own->format}) {
      if (rule == nullptr) continue;
      key += (rule == own->pattern ? " pattern " : " format ") + std::to_string(rule->text.size()) + ' ' + rule->text;
      ruled = true;
      limited = rule;
    }
  }
  if (const auto found = scalars_.find(key); found != scalars_.end()) {
    if (found->second != kNone) program_.values[value].leaves.push_back(found->second);
    return {};
  }
  if (!ruled) {
    program_.texts.push_back(length);
    if (Status status = add_leaf(value, {Leaf::Kind::text, static_cast<uint32_t>(program_.texts.size() - 1), 0});
        !status) {
      return status;
    }
    scalars_.emplace(std::move(key), program_.values[value].leaves.back());
    return {};
  }
  auto allowed = characters(all);
  if (!allowed) return tl::make_unexpected(allowed.error());
  // Lengths that the pattern itself keeps need no counting.
  const auto [shortest, longest] = lengths(*allowed);
  auto counted = with_length(*allowed, length.minimum <= shortest ? 0 : length.minimum,
                             longest <= length.maximum ? kUnbounded : length.maximum, budget_);
  auto dfa = counted ? spell_json_string(*counted, budget_) : tl::make_unexpected(counted.error());
  if (!dfa) return fail(dfa.error().code, dfa.error().message, limited->pointer());
  const bool never = dfa->empty();
  if (Status status = add_lexeme(value, Leaf::Kind::lexeme, std::move(*dfa)); !status) return status;
  scalars_.emplace(std::move(key), never ? kNone : program_.values[value].leaves.back());
  return {};
}

Result<NumberBounds> SchemaCompiler::bounds(const std::vector<const SchemaKeywords*>& all, bool integer) const {
  NumberBounds out;
  out.integer = integer;
  const auto tighten = [](std::optional<NumberBounds::Bound>& bound, const SchemaValue* by, bool exclusive, int side) {
    if (by == nullptr) return;
    const Decimal value = Decimal::parse(by->text);
    const int order = bound ? side * compare(value, bound->value) : 1;
    if (order > 0) {
      bound = {value, exclusive};
    } else if (order == 0) {
      bound->exclusive = bound->exclusive || exclusive;
    }
  };
  for (const K* own : all) {
    tighten(out.minimum, own->minimum, false, 1);
    tighten(out.minimum, own->exclusive_minimum, true, 1);
    tighten(out.maximum, own->maximum, false, -1);
    tighten(out.maximum, own->exclusive_maximum, true, -1);
    if (own->multiple_of == nullptr) continue;
    const Decimal multiple = Decimal::parse(own->multiple_of->text);
    if (multiple.negative || multiple.is_zero()) {
      return fail(ErrorCode::malformed, "it must be a number above 0", own->multiple_of->pointer());
    }
    const uint64_t own_multiple = multiple.is_integer() && multiple.whole.size() <= 4 ? std::stoul(multiple.whole) : 0;
    const uint64_t together = std::lcm<uint64_t>(std::max<uint32_t>(out.multiple_of, 1), own_multiple);
    if (own_multiple == 0 || together > kLargestMultiple) {
      return fail(ErrorCode::unsupported,
                  "only multiples of whole numbers up to " + std::to_string(kLargestMultiple) + " are supported",
                  own->multiple_of->pointer());
    }
    out.multiple_of = static_cast<uint32_t>(together);
  }
  if (out.multiple_of != 0) out.integer = true;  // a multiple of a whole number is one
  return out;
}

Status SchemaCompiler::add_number(ValueId value, const std::vector<const SchemaKeywords*>& all, bool integer) {
  const auto rule = bounds(all, integer);
  if (!rule) return tl::make_unexpected(rule.error());
  std::string key = rule->integer ? "integer" : "number";
  for (const auto& bound : {rule->minimum, rule->maximum}) {
    key.push_back(' ');
    if (!bound) continue;
    key += (bound->value.negative ? "-" : "") + bound->value.whole + "." + bound->value.fraction;
    key.push_back(bound->exclusive ? '!' : '=');
  }
  key += std::to_string(rule->multiple_of);
  if (const auto found = scalars_.find(key); found != scalars_.end()) {
    if (found->second != kNone) program_.values[value].leaves.push_back(found->second);
    return {};
  }
  auto dfa = spell_number(*rule, budget_);
  if (!dfa) return tl::make_unexpected(dfa.error());
  const bool never = dfa->empty();
  if (Status status = add_lexeme(value, Leaf::Kind::number, std::move(*dfa)); !status) return status;
  scalars_.emplace(std::move(key), never ? kNone : program_.values[value].leaves.back());
  return {};
}

// enum and const: those of their values that the other keywords let pass.
Status SchemaCompiler::add_listed(ValueId value, const std::vector<const SchemaKeywords*>& all, uint32_t types) {
  std::vector<const SchemaValue*> kept;
  bool first = true;
  const SchemaValue* source = nullptr;
  const auto meet = [&](std::span<const SchemaValue* const> list, const SchemaValue* at) -> bool {
    if (first) {
      kept.assign(list.begin(), list.end());
      source = at;
      first = false;
      return budget_.spend(list.size());
    }
    if (!budget_.spend(kept.size() * list.size())) return false;
    std::erase_if(kept, [&](const SchemaValue* v) {
      return std::none_of(list.begin(), list.end(), [&](const SchemaValue* w) { return equal(*v, *w); });
    });
    return true;
  };
  for (const K* own : all) {
    if (own->enumeration != nullptr && !meet(own->enumeration->values, own->enumeration)) return over_budget();
    if (own->constant != nullptr && !meet({&own->constant, 1}, own->constant)) return over_budget();
  }
  std::erase_if(kept, [&](const SchemaValue* v) { return (types_of(*v) & types) == 0; });

  uint32_t present = 0, spoken_of = 0;
  for (const SchemaValue* v : kept) present |= types_of(*v);
  for (const K* own : all) spoken_of |= own->spoken_of;
  if (present & spoken_of & (K::kArray | K::kObject)) {
    return fail(ErrorCode::unsupported, "enum or const with arrays or objects beside other keywords for them",
                source->pointer());
  }
  if (present & spoken_of & K::kString) {
    const auto allowed = characters(all);
    if (!allowed) return tl::make_unexpected(allowed.error());
    const TextRule length = length_of(all);
    std::erase_if(kept, [&](const SchemaValue* v) {
      if (!v->is_string()) return false;
      const uint32_t own = characters_in(v->text);
      return own < length.minimum || own > length.maximum || !allowed->accepts_text(v->text);
    });
  }
  if (present & K::kNumber) {
    const auto rule = bounds(all, false);
    if (!rule) return tl::make_unexpected(rule.error());
    std::erase_if(
        kept, [&](const SchemaValue* v) { return v->kind == Kind::number && !within(Decimal::parse(v->text), *rule); });
  }
  std::vector<std::string> words, numbers;
  for (const SchemaValue* v : kept) {
    switch (v->kind) {
      case Kind::null: words.emplace_back("null"); break;
      case Kind::boolean: words.emplace_back(v->truth ? "true" : "false"); break;
      case Kind::string: words.push_back(spelled(v->text)); break;
      case Kind::number: numbers.push_back(v->text); break;
      default: {
        const auto whole = constant(*v);
        if (!whole) return tl::make_unexpected(whole.error());
        includes_[value].push_back(*whole);
      }
    }
  }
  Status status = add_texts(value, Leaf::Kind::lexeme, words);
  if (status) status = add_texts(value, Leaf::Kind::number, numbers);
  if (!status) return fail(status.error().code, status.error().message, source->pointer());
  return {};
}

Result<ValueId> SchemaCompiler::constant(const SchemaValue& value) {
  const auto id = static_cast<ValueId>(program_.values.size());
  program_.values.emplace_back();
  includes_.emplace_back();
  if (++parts_ > options_.nodes) {
    return fail(ErrorCode::limit, "the schema describes more than " + std::to_string(options_.nodes) + " values",
                value.pointer());
  }
  Status status;
  switch (value.kind) {
    case Kind::null: status = add_texts(id, Leaf::Kind::lexeme, {"null"}); break;
    case Kind::boolean: status = add_texts(id, Leaf::Kind::lexeme, {value.truth ? "true" : "false"}); break;
    case Kind::string: status = add_texts(id, Leaf::Kind::lexeme, {spelled(value.text)}); break;
    case Kind::number: status = add_texts(id, Leaf::Kind::number, {value.text}); break;
    case Kind::array: {
      ArrayRule array;
      for (const SchemaValue* element : value.values) {
        const auto own = constant(*element);
        if (!own) return own;
        array.prefix.push_back(*own);
      }
      array.minimum = array.maximum = static_cast<uint32_t>(array.prefix.size());
      program_.arrays.push_back(std::move(array));
      status = add_leaf(id, {Leaf::Kind::array, static_cast<uint32_t>(program_.arrays.size() - 1), 0});
      break;
    }
    case Kind::object: {
      ObjectRule object;
      for (size_t i = 0; i < value.values.size(); ++i) {
        const auto own = constant(*value.values[i]);
        if (!own) return own;
        object.properties.push_back({value.names[i], *own, true});
      }
      program_.objects.push_back(std::move(object));
      status = add_leaf(id, {Leaf::Kind::object, static_cast<uint32_t>(program_.objects.size() - 1), 0});
      break;
    }
  }
  if (!status) return tl::make_unexpected(status.error());
  return id;
}

}  // namespace vitrine
