// JSON texts → fields: one field a scalar, and one an empty container.
#include <charconv>

#include "capture/fields/byte_lists.h"
#include "capture/fields/extraction.h"

namespace vitrine {

using Kind = JsonToken::Kind;

// `start`: where the JSON begins in the value (behind an anti-hijacking prefix).
// Several documents in a row (JSON lines, RFC 7464) are json, json[1], …
void Extraction::json(const Value& value, uint64_t start, Place outer) {
  const OriginId parent = node(value.origin);
  for (uint32_t document = 0;; ++document) {
    PathMark mark(path_);
    const Place place = decoder_place(outer, Decoder::json);
    append_nth(document);
    JsonTokenizer tokenizer(value.bytes, limits_.json_depth, start);
    JsonToken last;
    json_document(tokenizer, value, parent, place, last);
    if (last.kind == Kind::end) {
      start = last.offset;
      while (start < value.bytes.size() && value.bytes[start] == '\x1e') ++start;
      if (start >= value.bytes.size()) return;
      if (document != UINT32_MAX) continue;
    }
    if (last.kind == Kind::cut) {
      if (!value.cut) issue(Cause::malformed, "fields: a JSON text ends early");
      return;
    }
    issue(last.kind == Kind::too_deep ? Cause::truncated : Cause::malformed,
          last.kind == Kind::too_deep ? "fields: a JSON text is nested too deep" : "fields: a JSON text is malformed");
    // What follows the defect is kept as text, so that nothing vanishes.
    const std::string_view rest = value.bytes.substr(last.offset);
    Value tail = value;
    tail.bytes = rest;
    tail.origin = child(parent, Decoder::text, last.offset, rest.size());
    tail.wire = share(value.wire, rest.size(), value.bytes.size());
    tail.content = tail.body_like = false;
    leaf(tail, char_classes(rest.substr(0, limits_.value_bytes)), decoder_place(place, Decoder::text), -1);
    return;
  }
}

bool Extraction::json_document(JsonTokenizer& tokenizer, const Value& value, OriginId parent, Place place,
                               JsonToken& token) {
  const size_t base = frames_.size();
  const size_t root = path_.size();
  Place here = place;
  const auto element = [&] {
    Frame& frame = frames_.back();
    path_.resize(frame.path);
    char digits[24];
    digits[0] = '/';
    path_.append(digits, std::to_chars(digits + 1, digits + sizeof digits, frame.index).ptr);
    here = {frame.element, frame.name};
    ++frame.index;
  };
  while (tokenizer.next(token)) {
    switch (token.kind) {
      case Kind::key: {
        Frame& frame = frames_.back();
        path_.resize(frame.path);
        std::string_view key = token.raw;
        if (token.escaped) key = unescaped(token, scratch(value.depth).text);
        const PatternTable::Member member = patterns_.member(frame.pattern, frame.member, key);
        frame.member = member.pattern;
        here = member_place(member.pattern, key, names_.count(frame.scope, member.key_hash));
        if (token.escaped) here.name = keep_name(key);
        ++frame.index;
        break;
      }
      case Kind::begin_object:
      case Kind::begin_array: {
        if (frames_.size() > base && frames_.back().array) element();
        Frame frame;
        frame.path = path_.size();
        frame.pattern = here.pattern;
        frame.name = here.name;
        frame.offset = token.offset;
        frame.array = token.kind == Kind::begin_array;
        if (frame.array && here.pattern != 0) frame.element = patterns_.intern(here.pattern, PatternTable::Step::index);
        frame.scope = names_.begin();
        frames_.push_back(frame);
        break;
      }
      case Kind::end_object:
      case Kind::end_array: {
        const Frame frame = frames_.back();
        names_.end(frame.scope);
        frames_.pop_back();
        const uint64_t length = token.offset + 1 - frame.offset;
        if (frame.index != 0) {
          if (frame.index < kMinListTexts) break;
          path_.resize(frame.path);
          json_list(value, {frame.offset, length}, frame.index, parent, {frame.pattern, frame.name});
          break;
        }
        path_.resize(frame.path);
        Value empty = value;
        empty.wire = share(value.wire, length, value.bytes.size());
        empty.cut = false;
        emit(value.bytes.substr(frame.offset, length), ValueType::container, empty, {frame.pattern, frame.name},
             node(child(parent, Decoder::json, frame.offset, length)), false, 0);
        break;
      }
      default:
        if (frames_.size() > base && frames_.back().array) element();
        json_scalar(token, value, parent, here);
    }
  }
  while (frames_.size() > base) {
    names_.end(frames_.back().scope);
    frames_.pop_back();
  }
  path_.resize(root);
  return token.kind == Kind::end;
}

void Extraction::json_scalar(const JsonToken& token, const Value& value, OriginId parent, Place place) {
  Value scalar;
  scalar.bytes = token.raw;
  scalar.origin = child(parent, Decoder::json, token.offset, token.length);
  scalar.wire = share(value.wire, token.raw.size(), value.bytes.size());
  scalar.depth = value.depth + 1;
  scalar.cut = token.cut;
  scalar.credential = value.credential;
  ValueType type = ValueType::null;
  switch (token.kind) {
    case Kind::string:
      if (token.escaped) scalar.bytes = unescaped(token, scratch(value.depth).text);
      this->value(scalar, place);
      return;
    case Kind::number: type = ValueType::number; break;
    case Kind::literal_true:
    case Kind::literal_false: type = ValueType::boolean; break;
    default: break;
  }
  // No quantity has this many digits: bytes written as a number.
  const bool blob = type == ValueType::number && scalar.bytes.size() >= 64;
  emit(scalar.bytes, type, scalar, place, node(scalar.origin), blob, blob ? byte_entropy(as_bytes(scalar.bytes)) : 0);
}

}  // namespace vitrine
