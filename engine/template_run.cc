#include "engine/template_run.h"

#include <algorithm>

#include "base/text.h"
#include "engine/unicode.h"

namespace vitrine {

namespace {
constexpr uint32_t kMaxValueDepth = 200;

}  // namespace

TemplateRun::TemplateRun(const ChatLimits& limits, int64_t now) : limits_(limits), now_(now) {
  root_.parent = &globals_;
  scope_ = &root_;
  const auto function = [&](const char* name, TemplateFunction::Kind kind) {
    auto made = std::make_shared<TemplateFunction>();
    made->kind = kind;
    define(name, TemplateValue::Variant(std::shared_ptr<const TemplateFunction>(std::move(made))));
  };
  function("namespace", TemplateFunction::Kind::name_space);
  function("raise_exception", TemplateFunction::Kind::raise_exception);
  function("strftime_now", TemplateFunction::Kind::strftime_now);
  function("range", TemplateFunction::Kind::range);
  function("dict", TemplateFunction::Kind::dict);
}

Result<std::string> TemplateRun::run(const StatementList& statements) {
  std::string out;
  out_ = &out;
  execute(statements);
  if (failed_) return tl::unexpected(error_);
  return out;
}

TemplateValue TemplateRun::fail(ErrorCode code, std::string message) {
  if (!failed_) error_ = Error{code, std::move(message), "chat template, line " + std::to_string(line_)};
  failed_ = true;
  return {};
}

bool TemplateRun::charge(uint64_t steps) {
  if (failed_) return false;
  steps_ += steps;
  if (steps_ <= limits_.steps) return true;
  fail(ErrorCode::limit, "more than " + std::to_string(limits_.steps) + " steps");
  return false;
}

TemplateValue TemplateRun::make_string(std::string text) {
  if (text.size() > limits_.output_bytes) return fail(ErrorCode::limit, "a text longer than the bound on output");
  if (!charge(1 + text.size() / 64)) return {};
  return TemplateValue::string(std::move(text));
}

TemplateValue TemplateRun::make_list(std::vector<TemplateValue> items, bool tuple) {
  if (!charge(1 + items.size())) return {};
  auto made = std::make_shared<TemplateList>();
  for (const TemplateValue& item : items) made->depth = std::max(made->depth, item.depth() + 1);
  if (made->depth > kMaxValueDepth) return fail(ErrorCode::limit, "a value nested too deeply");
  made->items = std::move(items);
  made->tuple = tuple;
  return TemplateValue::Variant(std::shared_ptr<const TemplateList>(std::move(made)));
}

TemplateValue TemplateRun::make_dict(std::vector<std::pair<std::string, TemplateValue>> members) {
  // Of a key that comes twice, the first place and the last value count.
  auto made = std::make_shared<TemplateDict>();
  std::map<std::string_view, size_t> places;
  std::vector<size_t> kept;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto [place, fresh] = places.emplace(members[i].first, i);
    if (fresh) {
      kept.push_back(i);
    } else {
      members[place->second].second = members[i].second;
    }
  }
  if (!charge(1 + members.size())) return {};
  for (const size_t i : kept) {
    made->depth = std::max(made->depth, members[i].second.depth() + 1);
    made->members.push_back(std::move(members[i]));
  }
  if (made->depth > kMaxValueDepth) return fail(ErrorCode::limit, "a value nested too deeply");
  return TemplateValue::Variant(std::shared_ptr<const TemplateDict>(std::move(made)));
}

std::shared_ptr<const TemplateList> TemplateRun::iterate(const TemplateValue& value) {
  if (const auto* shared = std::get_if<std::shared_ptr<const TemplateList>>(&value.variant())) return *shared;
  auto made = std::make_shared<TemplateList>();
  if (const auto* text = value.as_string()) {
    if (!charge(1 + text->size())) return nullptr;
    for (size_t at = 0; at < text->size();) {
      const size_t length = utf8_step(*text, at).length;
      made->items.push_back(TemplateValue::string(std::string_view(*text).substr(at, length)));
      at += length;
    }
  } else if (const auto* dict = value.as_dict()) {
    if (!charge(1 + dict->members.size())) return nullptr;
    for (const auto& member : dict->members) made->items.push_back(TemplateValue::string(member.first));
  } else if (!value.is_undefined()) {
    malformed(quoted_name(value.type_name()) + " is not iterable");
    return nullptr;
  }
  return made;
}

std::string TemplateRun::str(const TemplateValue& value) {
  std::string out;
  append_str(out, value);
  if (out.size() > limits_.output_bytes) fail(ErrorCode::limit, "a text longer than the bound on output");
  charge(out.size() / 64);
  return out;
}

void TemplateRun::write(std::string_view text) {
  if (!charge(text.size() / 64)) return;
  if (text.size() > limits_.output_bytes - std::min(limits_.output_bytes, out_->size())) {
    fail(ErrorCode::limit, "more than " + std::to_string(limits_.output_bytes) + " bytes of output");
    return;
  }
  out_->append(text);
}

const TemplateValue* TemplateRun::lookup(std::string_view name) const {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    const auto found = scope->variables.find(name);
    if (found != scope->variables.end()) return &found->second;
  }
  return nullptr;
}

// ---- Access to members

TemplateValue TemplateRun::attribute(const TemplateValue& value, const std::string& name) {
  if (value.is_undefined()) {
    const auto& undefined = std::get<Undefined>(value.variant());
    return malformed((undefined.name ? quoted_name(*undefined.name) : std::string("a value")) + " is undefined");
  }
  if (name.substr(0, 1) == "_" && value.member(name) == nullptr) {
    return fail(ErrorCode::unsupported, "access to " + quoted_name(name) + " is not allowed");
  }
  if (const TemplateNamespace* space = value.as_namespace()) {
    const auto found = space->members.find(name);
    return found != space->members.end() ? found->second : TemplateValue::undefined(name);
  }
  if (const TemplateLoop* loop = value.as_loop()) {
    const auto count = static_cast<int64_t>(loop->items->items.size()), index = static_cast<int64_t>(loop->index);
    if (name == "index") return TemplateValue::integer(index + 1);
    if (name == "index0") return TemplateValue::integer(index);
    if (name == "revindex") return TemplateValue::integer(count - index);
    if (name == "revindex0") return TemplateValue::integer(count - index - 1);
    if (name == "first") return TemplateValue::boolean(index == 0);
    if (name == "last") return TemplateValue::boolean(index + 1 == count);
    if (name == "length") return TemplateValue::integer(count);
    if (name == "previtem") return index > 0 ? loop->items->items[loop->index - 1] : TemplateValue::undefined(name);
    if (name == "nextitem")
      return index + 1 < count ? loop->items->items[loop->index + 1] : TemplateValue::undefined(name);
    if (name != "cycle") return fail(ErrorCode::unsupported, "loop." + name + " is not supported");
  }
  // Python objects have their methods first, then what they hold.
  if (has_method(value, name)) {
    auto made = std::make_shared<TemplateFunction>();
    made->kind = TemplateFunction::Kind::method;
    made->method = name;
    made->self = std::make_shared<const TemplateValue>(value);
    return TemplateValue::Variant(std::shared_ptr<const TemplateFunction>(std::move(made)));
  }
  if (const auto* dict = value.as_dict()) {
    if (!charge(dict->members.size() / 16)) return {};
    if (const TemplateValue* member = value.member(name)) return *member;
  }
  return TemplateValue::undefined(name);
}

TemplateValue TemplateRun::item(const TemplateValue& value, const TemplateValue& key) {
  if (value.is_undefined()) return attribute(value, "");
  const auto index = key.as_integer();
  const auto wrapped = [&](size_t count) -> std::optional<size_t> {
    const int64_t at = *index < 0 ? *index + static_cast<int64_t>(count) : *index;
    return at >= 0 && static_cast<uint64_t>(at) < count ? std::optional<size_t>(static_cast<size_t>(at)) : std::nullopt;
  };
  if (const auto* list = value.as_list(); list != nullptr && index) {
    const auto at = wrapped(list->items.size());
    return at ? list->items[*at] : TemplateValue();
  }
  if (const auto* text = value.as_string(); text != nullptr && index) {
    if (!charge(text->size() / 64)) return {};
    const auto at = wrapped(character_count(*text));
    if (!at) return {};
    const size_t begin = character_offset(*text, *at);
    return make_string(text->substr(begin, utf8_step(*text, begin).length));
  }
  if (const auto* name = key.as_string()) {
    if (const auto* dict = value.as_dict()) {
      if (!charge(dict->members.size() / 16)) return {};
      if (const TemplateValue* member = value.member(*name)) return *member;
    }
    return attribute(value, *name);
  }
  return {};
}

TemplateValue TemplateRun::path(TemplateValue value, std::string_view path) {
  while (!failed_) {
    const size_t dot = path.find('.');
    const std::string name(path.substr(0, dot));
    const bool number = !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    value = number ? item(value, TemplateValue::integer(std::stoi(name))) : item(value, TemplateValue::string(name));
    if (dot == path.npos) break;
    path.remove_prefix(dot + 1);
  }
  return value;
}

bool TemplateRun::contains(const TemplateValue& value, const TemplateValue& needle) {
  if (const auto* text = value.as_string()) {
    const auto* part = needle.as_string();
    if (part == nullptr) {
      malformed("'in' of a string needs a string");
      return false;
    }
    charge(text->size() / 64);
    return text->find(*part) != text->npos;
  }
  if (const auto* dict = value.as_dict()) {
    charge(dict->members.size() / 16);
    return needle.as_string() != nullptr && value.member(*needle.as_string()) != nullptr;
  }
  const auto items = iterate(value);
  if (!items || !charge(items->items.size())) return false;
  return std::any_of(items->items.begin(), items->items.end(),
                     [&](const TemplateValue& item) { return equal(item, needle); });
}

std::vector<const TemplateValue*> TemplateRun::take(const TemplateArguments& arguments, std::string_view who,
                                                    std::initializer_list<std::string_view> names) {
  std::vector<const TemplateValue*> taken(names.size(), nullptr);
  if (arguments.positional.size() > names.size()) malformed("too many arguments of " + quoted_name(who));
  for (size_t i = 0; i < std::min(names.size(), arguments.positional.size()); ++i) taken[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      malformed(quoted_name(who) + " has no argument " + quoted_name(name));
    } else {
      taken[static_cast<size_t>(found - names.begin())] = &value;
    }
  }
  return taken;
}

}  // namespace vitrine
