// Methods of strings, dicts and loops. What would change a value does not exist,
// as in the immutable sandbox.
#include <algorithm>
#include <array>

#include "base/text.h"
#include "engine/template_run.h"
#include "engine/template_text.h"
#include "engine/unicode.h"

namespace vitrine {
namespace {

constexpr std::array<std::string_view, 24> kStringMethods = {
    "strip",   "lstrip",  "rstrip",  "split",   "rsplit",       "splitlines",   "startswith", "endswith",
    "replace", "title",   "upper",   "lower",   "capitalize",   "find",         "rfind",      "count",
    "join",    "isdigit", "isalpha", "isspace", "removeprefix", "removesuffix", "format",     "isalnum"};
constexpr std::array<std::string_view, 11> kDictMethods = {
    "get", "items", "keys", "values", "copy", "pop", "popitem", "update", "setdefault", "clear", "fromkeys"};
constexpr std::array<std::string_view, 10> kListMethods = {"append", "extend", "insert",  "pop",   "remove",
                                                           "clear",  "sort",   "reverse", "index", "count"};

template <class Names>
bool among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool all_characters(std::string_view text, bool (*holds)(char32_t)) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (!holds(step.code)) return false;
    at += step.length;
  }
  return !text.empty();
}
bool is_digit(char32_t code) { return code >= '0' && code <= '9'; }
bool is_letter(char32_t code) { return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || code >= 0x80; }
bool is_alphanumeric(char32_t code) { return is_digit(code) || is_letter(code); }

}  // namespace

bool TemplateRun::has_method(const TemplateValue& self, std::string_view name) {
  if (self.as_string() != nullptr) return among(kStringMethods, name);
  if (self.as_dict() != nullptr) return among(kDictMethods, name);
  if (self.as_list() != nullptr) return among(kListMethods, name);
  return self.as_loop() != nullptr && name == "cycle";
}

namespace {

// startswith, endswith: a string, or a list of them.
std::optional<bool> affix(const std::string& text, const TemplateValue& wanted, bool front) {
  if (const auto* list = wanted.as_list()) {
    for (const TemplateValue& item : list->items) {
      const auto found = affix(text, item, front);
      if (!found || *found) return found;
    }
    return false;
  }
  const auto* part = wanted.as_string();
  if (part == nullptr) return std::nullopt;
  return front ? text.starts_with(*part) : text.ends_with(*part);
}

}  // namespace

TemplateValue TemplateRun::call_method(const TemplateValue& self, const std::string& name,
                                       const TemplateArguments& arguments) {
  if (const TemplateLoop* loop = self.as_loop()) {
    if (arguments.positional.empty()) return malformed("cycle needs values");
    return arguments.positional[loop->index % arguments.positional.size()];
  }
  if (const auto* dict = self.as_dict()) {
    if (!charge(1 + dict->members.size())) return {};
    if (name == "get") {
      const auto taken = take(arguments, name, {"key", "default"});
      if (failed()) return {};
      const auto* key = taken[0] != nullptr ? taken[0]->as_string() : nullptr;
      const TemplateValue* found = key != nullptr ? self.member(*key) : nullptr;
      if (found != nullptr) return *found;
      return taken[1] != nullptr ? *taken[1] : TemplateValue::none();
    }
    if (name != "items" && name != "keys" && name != "values") {
      return fail(ErrorCode::unsupported, quoted_name(name) + " would change a value, which templates may not");
    }
    std::vector<TemplateValue> items;
    for (const auto& [key, value] : dict->members) {
      const TemplateValue text = TemplateValue::string(key);
      items.push_back(name == "items" ? make_list({text, value}, true) : name == "keys" ? text : value);
    }
    return make_list(std::move(items));
  }
  if (const auto* list = self.as_list()) {
    const bool count = name == "count";
    if (!count && name != "index")
      return fail(ErrorCode::unsupported, quoted_name(name) + " would change a value, which templates may not");
    const auto taken = take(arguments, name, {"value"});
    if (failed() || taken[0] == nullptr || !charge(list->items.size())) return {};
    int64_t found = 0;
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (!equal(list->items[i], *taken[0])) continue;
      if (!count) return TemplateValue::integer(static_cast<int64_t>(i));
      ++found;
    }
    return count ? TemplateValue::integer(found) : malformed("the value is not in the list");
  }

  const std::string& text = *self.as_string();
  if (!charge(1 + text.size() / 16)) return {};
  const auto string_argument = [&](const TemplateValue* value) -> std::optional<std::string_view> {
    if (value == nullptr || value->is_none()) return std::nullopt;
    const auto* argument = value->as_string();
    if (argument == nullptr) {
      malformed(quoted_name(name) + " needs a string");
      return std::nullopt;
    }
    return *argument;
  };
  const auto boolean = [](bool value) { return TemplateValue::boolean(value); };
  if (name == "upper") return make_string(change_case(text, Letters::upper));
  if (name == "lower") return make_string(change_case(text, Letters::lower));
  if (name == "title") return make_string(change_case(text, Letters::title));
  if (name == "capitalize") return make_string(change_case(text, Letters::capitalize));
  if (name == "isspace") return boolean(!text.empty() && strip(text, std::nullopt, true, false).empty());
  if (name == "isdigit") return boolean(all_characters(text, is_digit));
  if (name == "isalpha") return boolean(all_characters(text, is_letter));
  if (name == "isalnum") return boolean(all_characters(text, is_alphanumeric));
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const auto taken = take(arguments, name, {"characters"});
    const auto characters = string_argument(taken[0]);
    // Each character looks through the list.
    if (characters && !charge(characters->size() * text.size() / 64)) return {};
    return failed() ? TemplateValue()
                    : make_string(std::string(strip(text, characters, name != "rstrip", name != "lstrip")));
  }
  if (name == "split" || name == "rsplit") {
    const auto taken = take(arguments, name, {"sep", "maxsplit"});
    const auto separator = string_argument(taken[0]);
    const auto limit = taken[1] != nullptr ? taken[1]->as_integer() : std::optional<int64_t>(-1);
    if (failed()) return {};
    if (!limit) return malformed("maxsplit is no number");
    if (separator && separator->empty()) return malformed("an empty separator");
    std::vector<TemplateValue> parts;
    for (const std::string_view part : split(text, separator, *limit, name == "rsplit"))
      parts.push_back(TemplateValue::string(part));
    return make_list(std::move(parts));
  }
  if (name == "splitlines") {
    std::vector<TemplateValue> parts;
    for (const std::string_view part : split_lines(text)) parts.push_back(TemplateValue::string(part));
    return make_list(std::move(parts));
  }
  if (name == "startswith" || name == "endswith") {
    const auto taken = take(arguments, name, {"prefix"});
    if (failed()) return {};
    const auto found = taken[0] != nullptr ? affix(text, *taken[0], name == "startswith") : std::nullopt;
    return found ? boolean(*found) : malformed(quoted_name(name) + " needs a string");
  }
  if (name == "replace") {
    const auto taken = take(arguments, name, {"old", "new", "count"});
    const auto old = string_argument(taken[0]), by = string_argument(taken[1]);
    const auto limit = taken[2] != nullptr ? taken[2]->as_integer() : std::optional<int64_t>(-1);
    if (failed()) return {};
    if (!old || !by || !limit) return malformed("'replace' needs two strings");
    auto replaced = replace(text, *old, *by, *limit, limits_.output_bytes);
    if (!replaced) return fail(ErrorCode::limit, "a text longer than the bound on output");
    return make_string(std::move(*replaced));
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const auto taken = take(arguments, name, {"affix"});
    const auto part = string_argument(taken[0]);
    if (failed() || !part) return failed() ? TemplateValue() : malformed(quoted_name(name) + " needs a string");
    const bool front = name == "removeprefix";
    if (front ? !text.starts_with(*part) : !text.ends_with(*part)) return self;
    return make_string(front ? text.substr(part->size()) : text.substr(0, text.size() - part->size()));
  }
  if (name == "find" || name == "rfind" || name == "count") {
    const auto taken = take(arguments, name, {"sub"});
    const auto part = string_argument(taken[0]);
    if (failed() || !part) return failed() ? TemplateValue() : malformed(quoted_name(name) + " needs a string");
    if (name == "count") {
      if (part->empty()) return TemplateValue::integer(static_cast<int64_t>(character_count(text)) + 1);
      int64_t count = 0;
      for (size_t at = 0; (at = text.find(*part, at)) != text.npos; at += part->size()) ++count;
      return TemplateValue::integer(count);
    }
    const size_t hit = name == "find" ? text.find(*part) : text.rfind(*part);
    if (hit == text.npos) return TemplateValue::integer(-1);
    return TemplateValue::integer(static_cast<int64_t>(character_count(std::string_view(text).substr(0, hit))));
  }
  if (name == "join") {
    const auto taken = take(arguments, name, {"items"});
    if (failed() || taken[0] == nullptr) return failed() ? TemplateValue() : malformed("'join' needs a list");
    const auto items = iterate(*taken[0]);
    std::string out;
    for (size_t i = 0; items && i < items->items.size() && charge(1 + text.size() / 64); ++i) {
      const auto* part = items->items[i].as_string();
      if (part == nullptr) return malformed("'join' needs strings");
      if (i != 0) out += text;
      out += *part;
      if (out.size() > limits_.output_bytes) break;
    }
    return make_string(std::move(out));
  }
  // str.format reads attributes by name: a known way out of sandboxes.
  return fail(ErrorCode::unsupported, "the string method " + quoted_name(name) + " is not supported");
}

}  // namespace vitrine
