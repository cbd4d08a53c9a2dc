#include "engine/chat_value.h"

#include <charconv>
#include <unordered_map>

#include "base/json_tokenizer.h"
#include "base/json_writer.h"

namespace vitrine {

const ChatValue* ChatValue::find(std::string_view key) const {
  const ChatMap* const map = as_map();
  if (map == nullptr) return nullptr;
  for (const auto& [name, value] : *map) {
    if (name == key) return &value;
  }
  return nullptr;
}

namespace {

using Kind = JsonToken::Kind;
constexpr uint32_t kMaxDepth = 64;

Result<ChatValue> number(const JsonToken& token) {
  const std::string_view text = token.raw;
  const char* const end = text.data() + text.size();
  if (text.find_first_of(".eE") == text.npos) {
    int64_t integer = 0;
    const auto read = std::from_chars(text.data(), end, integer);
    if (read.ec == std::errc() && read.ptr == end) return ChatValue(integer);
  }
  double real = 0;
  const auto read = std::from_chars(text.data(), end, real);
  if (read.ec != std::errc() || read.ptr != end) {
    return fail(ErrorCode::malformed, "the number " + std::string(text.substr(0, 40)) + " is out of range");
  }
  return ChatValue(real);
}

// The value that begins with `token`. Recursion is bounded by the tokenizer's depth.
Result<ChatValue> value(JsonTokenizer& json, const JsonToken& token, size_t& left) {
  if (left == 0) return fail(ErrorCode::malformed, "JSON of too many values");
  --left;
  std::string scratch;
  JsonToken next;
  switch (token.kind) {
    case Kind::string: return ChatValue(std::string(unescaped(token, scratch)));
    case Kind::number: return number(token);
    case Kind::literal_true: return ChatValue(true);
    case Kind::literal_false: return ChatValue(false);
    case Kind::literal_null: return ChatValue();
    case Kind::begin_array: {
      ChatList list;
      while (json.next(next) && next.kind != Kind::end_array) {
        auto item = value(json, next, left);
        if (!item) return item;
        list.push_back(std::move(*item));
      }
      if (next.kind != Kind::end_array) break;
      return ChatValue(std::move(list));
    }
    case Kind::begin_object: {
      ChatMap map;
      std::unordered_map<std::string, size_t> places;  // of a key that comes twice the last value counts
      while (json.next(next) && next.kind != Kind::end_object) {
        std::string name(unescaped(next, scratch));
        JsonToken first;
        if (!json.next(first)) return fail(ErrorCode::malformed, "not valid JSON");
        auto member = value(json, first, left);
        if (!member) return member;
        const auto [place, fresh] = places.emplace(name, map.size());
        if (fresh) {
          map.emplace_back(std::move(name), std::move(*member));
        } else {
          map[place->second].second = std::move(*member);
        }
      }
      if (next.kind != Kind::end_object) break;
      return ChatValue(std::move(map));
    }
    default: break;
  }
  return fail(ErrorCode::malformed, next.kind == Kind::too_deep ? "JSON nested deeper than 64" : "not valid JSON");
}

}  // namespace

Result<ChatValue> ChatValue::from_json(std::string_view text, size_t values) {
  JsonTokenizer json(text, kMaxDepth);
  JsonToken token;
  if (!json.next(token)) return fail(ErrorCode::malformed, "not valid JSON");
  auto made = value(json, token, values);
  if (!made) return made;
  if (json.next(token) || token.kind != Kind::end || token.offset != text.size()) {
    return fail(ErrorCode::malformed, "not valid JSON");
  }
  return made;
}

namespace {

void append(std::string& out, const ChatValue& value) {
  if (const auto* text = value.as_string()) return append_json_string(out, *text);
  if (const auto* list = value.as_list()) {
    out += '[';
    for (size_t i = 0; i < list->size(); ++i) {
      if (i > 0) out += ',';
      append(out, (*list)[i]);
    }
    out += ']';
    return;
  }
  if (const auto* map = value.as_map()) {
    out += '{';
    for (size_t i = 0; i < map->size(); ++i) {
      if (i > 0) out += ',';
      append_json_string(out, (*map)[i].first);
      out += ':';
      append(out, (*map)[i].second);
    }
    out += '}';
    return;
  }
  JsonWriter scalar(out);
  if (const bool* flag = value.as_bool()) {
    scalar.boolean(*flag);
  } else if (const int64_t* integer = value.as_integer()) {
    scalar.number(*integer);
  } else if (const double* real = value.as_real()) {
    scalar.real(*real);
  } else {
    scalar.null();
  }
}

}  // namespace

std::string to_json(const ChatValue& value) {
  std::string out;
  append(out, value);
  return out;
}

}  // namespace vitrine
