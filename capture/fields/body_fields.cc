// Bodies and messages: what the content type says they are, and what they are.
#include <algorithm>

#include "base/text.h"
#include "capture/fields/codecs.h"
#include "capture/fields/extraction.h"
#include "capture/withheld.h"

namespace vitrine {
namespace {

constexpr char kRecordSeparator = '\x1e';  // RFC 7464
constexpr size_t kMaxMultipartParts = 10'000;
constexpr size_t kMaxMultipartHead = 16 * 1024;

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// The essence of a media type, without parameters: "application/json".
std::string_view essence(std::string_view type) { return trim(type.substr(0, type.find(';'))); }

// The value of a parameter of a header value, unquoted (quoted pairs are kept as they are).
std::string_view parameter(std::string_view header, std::string_view name) {
  size_t at = header.find(';');
  while (at != std::string_view::npos) {
    std::string_view rest = header.substr(at + 1);
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
    const size_t equals = rest.find('=');
    const size_t next = rest.find(';');
    if (equals != std::string_view::npos && equals < next && equals_ignoring_case(trim(rest.substr(0, equals)), name)) {
      rest.remove_prefix(equals + 1);
      if (!rest.empty() && rest.front() == '"') {
        const size_t close = rest.find('"', 1);
        return rest.substr(1, close == std::string_view::npos ? close : close - 1);
      }
      return trim(rest.substr(0, rest.find(';')));
    }
    // A ';' inside a quoted value does not begin a parameter.
    const size_t quote = rest.find('"');
    size_t from = 0;
    if (quote < next) {
      const size_t close = rest.find('"', quote + 1);
      if (close == std::string_view::npos) break;
      from = close;
    }
    const size_t semicolon = rest.find(';', from);
    if (semicolon == std::string_view::npos) break;
    at = static_cast<size_t>(rest.data() - header.data()) + semicolon;
  }
  return {};
}

// What is put before JSON so that a script tag cannot read it.
size_t hijack_prefix(std::string_view text) {
  for (const std::string_view prefix :
       {std::string_view(")]}'"), std::string_view("for(;;);"), std::string_view("while(1);")}) {
    if (!text.starts_with(prefix)) continue;
    size_t at = prefix.size();
    while (at < text.size() && (text[at] == ',' || text[at] == '\n' || text[at] == '\r')) ++at;
    return at;
  }
  return 0;
}

// JSON lines: the first document ends, and another container follows.
bool is_json_lines(std::string_view text, uint32_t depth, bool cut) {
  if (text.empty() || (text[0] != '{' && text[0] != '[')) return false;
  JsonTokenizer json(text, depth);
  JsonToken token;
  while (json.next(token)) {
  }
  if (token.kind != JsonToken::Kind::end) return false;
  const size_t next = text.find_first_not_of(kRecordSeparator, token.offset);
  if (next == std::string_view::npos) return token.offset < text.size();  // one record
  return (text[next] == '{' || text[next] == '[') &&
         (cut || std::string_view("}]\n\x1e").find(text.back()) != std::string_view::npos);
}

// Engine.IO and socket.io put a packet type before the JSON: 42["event",{…}].
size_t engine_io_prefix(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && digits < 4 && text[digits] >= '0' && text[digits] <= '9') ++digits;
  return digits != 0 && digits < text.size() && (text[digits] == '[' || text[digits] == '{') ? digits : 0;
}

// Media that hold no fields of ours: the leaf is emitted without trying decoders.
bool is_closed_type(std::string_view type) {
  return type.starts_with("image/") || type.starts_with("video/") || type.starts_with("audio/") ||
         type.starts_with("font/") || type == "text/html" || type == "text/css" || contains(type, "javascript") ||
         type == "application/wasm";
}

std::string_view boundary_of(std::string_view text) {
  if (!text.starts_with("--")) return {};
  const size_t end = text.substr(0, 200).find('\n');
  if (end == std::string_view::npos) return {};
  std::string_view line = text.substr(2, end - 2);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  const std::string_view next = text.substr(end + 1, 20);
  return next.size() >= 9 && equals_ignoring_case(next.substr(0, 8), "content-") ? line : std::string_view{};
}

}  // namespace

void Extraction::body(const Part& part) {
  const bool message = part.kind == Part::Kind::message;
  if (part.content.empty()) return;
  const bool frame = message && exchange_->protocol == Protocol::websocket;
  field_.location = frame ? Location::frame : Location::body;
  start_path(to_string(field_.location));
  Place place;
  place.pattern = patterns_.intern(PatternTable::kRoot, PatternTable::Step::location, path_);
  place.name = to_string(field_.location);

  // The chain from the stream to the content, as the part says it was made.
  uint64_t pieces = 0;
  for (const StreamSpan& piece : part.pieces) pieces += piece.length;
  Value content_value;
  content_value.bytes = as_text(part.content);
  content_value.cut = !part.complete;
  content_value.content = content_value.body_like = true;
  const bool rooted =
      !part.decoders.empty() && (part.decoders[0] == Decoder::har || part.decoders[0] == Decoder::exchange_log);
  OriginNode origin = child(0, rooted ? part.decoders[0] : Decoder::stream, 0, pieces);
  origin.root = true;
  bool sse = false;
  bool identity = true;
  for (size_t i = rooted ? 1 : 0; i < part.decoders.size(); ++i) {
    const Decoder decoder = part.decoders[i];
    sse |= decoder == Decoder::sse;
    identity &= decoder == Decoder::sse || decoder == Decoder::websocket;
    // Length 0 stands for all of the parent's output; an event's span is known.
    const StreamSpan span = decoder == Decoder::sse ? part.within : StreamSpan{};
    origin = child(node(origin), decoder, span.offset, span.length);
  }
  content_value.origin = origin;
  // Content that no decoder changed stands for itself, byte by byte.
  content_value.wire = identity ? std::min<uint64_t>(part.content.size(), part.wire_bytes) : part.wire_bytes;
  // Bytes that another cause took are not opaque as well.
  if (part.cause == Cause::unsupported || part.cause == Cause::malformed || part.cause == Cause::withheld)
    content_value.wire = 0;
  // What stands for a whole body has none of the forms that its type promises.
  if (WithheldValue left_out; part.cause == Cause::withheld && parse_withheld(as_text(part.content), left_out)) {
    if (sse || (message && !frame)) place = decoder_place(place, Decoder::sse);
    return leaf(content_value, char_classes(content_value.bytes), place, -1);
  }

  if (sse || (message && !frame)) {
    place = decoder_place(place, Decoder::sse);
    content(content_value, {}, place);
    return;
  }
  content(content_value, frame ? std::string_view{} : std::string_view(exchange_->message(part.direction).content_type),
          place);
}

void Extraction::content(const Value& value, std::string_view type, Place place) {
  const std::string_view text = value.bytes;
  const std::string_view media = essence(type);
  const Value& whole = value;
  const bool may_open = value.depth < limits_.depth;
  if (may_open && !is_closed_type(media)) {
    size_t first = text.find_first_not_of(" \t\r\n\x1e");
    if (first == std::string_view::npos) first = 0;
    if (text.starts_with("\xef\xbb\xbf")) first = 3;
    if (contains(media, "connect+")) return envelopes(whole, Decoder::connect_envelope, media, place);
    if (media.starts_with("application/grpc") && !media.starts_with("application/grpc-web-text")) {
      return envelopes(whole, Decoder::grpc_web, media, place);
    }
    if (media.starts_with("multipart/")) {
      const std::string_view boundary = parameter(type, "boundary");
      if (!boundary.empty()) return multipart(whole, boundary, place);
    }
    const bool container = first < text.size() && (text[first] == '{' || text[first] == '[');
    const bool says_json = contains(media, "json") || media.ends_with("/x-ndjson");
    if (says_json && first < text.size()) {
      const size_t prefix = hijack_prefix(text);
      if (container || prefix != 0 || text[first] == '"') return json(whole, prefix != 0 ? prefix : first, place);
    }
    if (container && (is_json_container(text.substr(first), limits_.json_depth, value.cut) ||
                      is_json_lines(text.substr(first), limits_.json_depth, value.cut))) {
      return json(whole, first, place);
    }
    if (const size_t prefix = hijack_prefix(text);
        prefix != 0 && is_json_container(text.substr(prefix), limits_.json_depth, value.cut)) {
      return json(whole, prefix, place);
    }
    if (field_.location == Location::frame) {
      const size_t prefix = engine_io_prefix(text);
      if (prefix != 0 && is_json_container(text.substr(prefix), limits_.json_depth, value.cut))
        return json(whole, prefix, place);
    }
    if (media == "application/x-www-form-urlencoded" && text.find('=') != std::string_view::npos &&
        is_printable_text(text, value.cut)) {
      return form(whole, place);
    }
    if (const std::string_view boundary = boundary_of(text); !boundary.empty())
      return multipart(whole, boundary, place);
    return this->value(whole, place);
  }
  leaf(whole, char_classes(text), place, -1);
}

// HTML form encoding: name=value&…
void Extraction::form(const Value& value, Place outer) {
  const OriginId parent = node(value.origin);
  PathMark mark(path_);
  const Place form_place = decoder_place(outer, Decoder::form);
  NameCounter::Scope scope = names_.begin();
  std::string& decoded = scratch(value.depth).text;
  std::string name_scratch;
  const std::string_view text = value.bytes;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('&', at), text.size());
    const std::string_view pair = text.substr(at, end - at);
    const size_t equals = std::min(pair.find('='), pair.size());
    const size_t value_at = std::min(at + equals + 1, end);
    const std::string_view raw = text.substr(value_at, end - value_at);
    const bool last = end == text.size();
    at = end + 1;
    if (pair.empty()) continue;
    std::string_view name = pair.substr(0, equals);
    if (name.find_first_of("%+") != std::string_view::npos) {
      name_scratch.clear();
      percent_decode(name, true, name_scratch);
      name = name_scratch;
    }
    PathMark pair_mark(path_);
    const uint32_t nth = names_.count(scope, hash_key(name, 0));
    const Place place = key_place(form_place.pattern, name, nth);
    Value item;
    item.bytes = raw;
    item.wire = share(value.wire, raw.size(), text.size());
    item.origin = child(parent, Decoder::form, value_at, raw.size());
    item.depth = value.depth + 1;
    item.cut = value.cut && last;
    item.credential = value.credential;
    if (raw.find_first_of("%+") != std::string_view::npos) {
      decoded.clear();
      percent_decode(raw, true, decoded);
      item.bytes = decoded;
    }
    this->value(item, place);
  }
  names_.end(scope);
}

// RFC 2046 section 5.1, RFC 7578.
void Extraction::multipart(const Value& value, std::string_view boundary, Place outer) {
  const OriginId parent = node(value.origin);
  PathMark mark(path_);
  const Place place = decoder_place(outer, Decoder::multipart);
  NameCounter::Scope scope = names_.begin();
  const std::string_view text = value.bytes;
  std::string delimiter = "--";
  delimiter.append(boundary);
  size_t at = text.find(delimiter);
  size_t index = 0;
  while (at != std::string_view::npos && index < kMaxMultipartParts) {
    at += delimiter.size();
    if (text.substr(at, 2) == "--") break;
    const size_t line = text.find('\n', at);
    if (line == std::string_view::npos) break;
    const size_t begin = line + 1;
    size_t next = text.find(delimiter, begin);
    // A delimiter stands at the beginning of a line.
    while (next != std::string_view::npos && next != begin && text[next - 1] != '\n')
      next = text.find(delimiter, next + 1);
    size_t end = next == std::string_view::npos ? text.size() : next;
    if (next != std::string_view::npos) {
      if (end > begin && text[end - 1] == '\n') --end;
      if (end > begin && text[end - 1] == '\r') --end;
    }
    Value whole = value;
    whole.cut = value.cut && next == std::string_view::npos;
    multipart_part(text.substr(begin, end - begin), begin, whole, parent, index, place.pattern, scope, outer.name);
    ++index;
    at = next;
  }
  names_.end(scope);
  if (index == 0) {
    Value rest = value;
    rest.origin = child(parent, Decoder::text, 0, text.size());
    leaf(rest, char_classes(text), place, -1);
  } else if (index == kMaxMultipartParts) {
    issue(Cause::truncated, "fields: a multipart body has more parts than are kept");
  }
}

void Extraction::multipart_part(std::string_view part, uint64_t offset, const Value& whole, OriginId parent,
                                size_t index, PatternId pattern, NameCounter::Scope& scope,
                                std::string_view outer_name) {
  std::string_view name, filename, type;
  size_t at = 0;
  // The head: lines up to an empty one.
  while (at < part.size() && at < kMaxMultipartHead) {
    const size_t end = part.find('\n', at);
    std::string_view line = part.substr(at, end == std::string_view::npos ? end : end - at);
    at = end == std::string_view::npos ? part.size() : end + 1;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) break;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view header = line.substr(0, colon);
    if (equals_ignoring_case(header, "content-disposition")) {
      name = parameter(line, "name");
      filename = parameter(line, "filename");
    } else if (equals_ignoring_case(header, "content-type")) {
      type = trim(line.substr(colon + 1));
    }
  }
  const auto make = [&](std::string_view bytes) {
    Value value = whole;
    value.bytes = bytes;
    const auto inside = static_cast<uint64_t>(bytes.data() - part.data());
    value.origin = child(parent, Decoder::multipart, offset + inside, bytes.size());
    value.wire = share(whole.wire, bytes.size(), whole.bytes.size());
    value.depth = whole.depth + 1;
    value.content = value.body_like = false;
    return value;
  };
  PathMark mark(path_);
  Place place;
  if (name.empty()) {
    path_.push_back('/');
    path_.append(std::to_string(index));
    place.pattern = pattern == 0 ? 0 : patterns_.intern(pattern, PatternTable::Step::index);
    place.name = outer_name;
  } else {
    place = key_place(pattern, name, names_.count(scope, hash_key(name, 0)));
  }
  for (const auto& [key, text] :
       {std::pair{std::string_view("filename"), filename}, std::pair{std::string_view("content-type"), type}}) {
    if (text.empty()) continue;
    PathMark attribute(path_);
    Value value = make(text);
    value.cut = false;
    leaf(value, char_classes(text), key_place(place.pattern, key, 0), -1);
  }
  std::string lower_type = ascii_lower(type.substr(0, 256));
  // Boundaries are case sensitive: keep the parameters as they came.
  const size_t parameters = std::min(lower_type.find(';'), lower_type.size());
  lower_type.replace(parameters, std::string::npos, type.substr(std::min(parameters, type.size())));
  const Value value = make(part.substr(at));
  if (lower_type.starts_with("multipart/") || contains(lower_type, "json")) {
    content(value, lower_type, place);
  } else if (is_closed_type(essence(lower_type))) {
    leaf(value, char_classes(value.bytes), place, -1);
  } else {
    this->value(value, place);
  }
}

// Length-prefixed messages: [flags 1][length 4, big endian][payload]
// (gRPC over HTTP/2, gRPC-web, Connect streaming).
void Extraction::envelopes(const Value& value, Decoder decoder, std::string_view type, Place outer) {
  const OriginId parent = node(value.origin);
  ByteReader reader(as_bytes(value.bytes));
  const bool is_json = contains(type, "json");
  for (uint32_t index = 0; !reader.empty(); ++index) {
    PathMark mark(path_);
    const Place place = decoder_place(outer, decoder);
    append_nth(index);
    const size_t start = reader.position();
    const uint8_t flags = reader.u8();
    const uint32_t length = reader.u32();
    const size_t at = reader.position();
    const bool header_cut = reader.failed();
    const bool fits = !header_cut && length <= value.bytes.size() - at;
    Value message = value;
    message.depth = value.depth + 1;
    message.content = message.body_like = false;
    if (header_cut || (!fits && !value.cut)) {
      // No envelope: the rest as it stands.
      message.bytes = value.bytes.substr(start);
      message.origin = child(parent, Decoder::text, start, message.bytes.size());
      message.wire = share(value.wire, message.bytes.size(), value.bytes.size());
      issue(Cause::malformed, "fields: a message envelope ends early");
      leaf(message, char_classes(message.bytes), place, -1);
      return;
    }
    message.bytes = value.bytes.substr(at, length);
    message.cut = !fits;
    message.origin = child(parent, decoder, at, message.bytes.size());
    message.wire = share(value.wire, message.bytes.size(), value.bytes.size());
    reader.skip(message.bytes.size());
    if (message.bytes.empty()) continue;
    if (is_json && (flags & 1) == 0) {
      content(message, "application/json", place);
    } else {
      this->value(message, place);
    }
    if (!fits) return;
  }
}

}  // namespace vitrine
