// Heads: the request target, header fields, cookies.
#include <algorithm>

#include "capture/fields/codecs.h"
#include "capture/fields/extraction.h"
#include "capture/fields/set_cookie.h"

namespace vitrine {
namespace {

Decoder head_decoder(const Exchange& exchange) {
  if (exchange.connection != nullptr) {
    if (exchange.connection->transport == Transport::har) return Decoder::har;
    if (exchange.connection->transport == Transport::exchange_log) return Decoder::exchange_log;
  }
  return exchange.protocol == Protocol::http2 ? Decoder::hpack : Decoder::http1_head;
}

// Where tokens stand: headers that authenticate, and those that guard against
// forged or automated requests. 0 = not such a place.
uint16_t credential_bytes(std::string_view name) {
  if (name == "authorization" || name == "proxy-authorization" || name == "x-api-key" || name == "api-key")
    return kCredentialBytes;
  if (name.find("csrf") != std::string_view::npos || name.find("xsrf") != std::string_view::npos)
    return kCredentialBytes;
  return name.ends_with("-token") || name == "token" ? kClientTokenBytes : 0;
}

}  // namespace

void Extraction::headers(const Part& part) {
  const Decoder root = head_decoder(*exchange_);
  NameCounter::Scope scope = names_.begin();
  bool has_host = false;
  for (const HeaderField& field : part.headers) {
    has_host |= field.name.size() == 4 && (field.name[0] | 0x20) == 'h' && (field.name[1] | 0x20) == 'o' &&
                (field.name[2] | 0x20) == 's' && (field.name[3] | 0x20) == 't';
  }
  for (const HeaderField& field : part.headers) {
    if (field.name.starts_with(':')) {
      // The target is told by request_target(); Host says what :authority says.
      const bool extra = field.name == ":status" || (field.name == ":authority" && !has_host);
      if (!extra || field.value.empty()) continue;
    }
    lower_.assign(field.name);
    std::transform(lower_.begin(), lower_.end(), lower_.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    Value header;
    header.bytes = field.value;
    header.wire = root == Decoder::hpack ? field.length : field.value.size();
    header.origin = child(0, root, field.offset, field.length);
    header.origin.root = true;
    if (lower_ == "cookie" && direction_ == Direction::client_to_server) {
      cookies(header);
    } else if (lower_ == "set-cookie" && direction_ == Direction::server_to_client) {
      set_cookie(header);
    } else {
      header.credential = credential_bytes(lower_);
      const uint32_t nth = names_.count(scope, hash_key(lower_, 0));
      const Place place = name_place(Location::header, lower_, nth);
      if (header.credential != 0 && open_authorization(header, place)) continue;
      value(header, place);
    }
  }
  names_.end(scope);
}

// Cookie: a=1; b=2 (RFC 6265 section 4.2). Several Cookie fields (HTTP/2) each
// hold some of the pairs.
void Extraction::cookies(const Value& header) {
  const OriginId parent = node(header.origin);
  NameCounter::Scope scope = names_.begin();
  const std::string_view text = header.bytes;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(';', at), text.size());
    size_t begin = at;
    at = end + 1;
    while (begin < end && (text[begin] == ' ' || text[begin] == '\t')) ++begin;
    if (begin == end) continue;
    const std::string_view pair = text.substr(begin, end - begin);
    const size_t equals = pair.find('=');
    const bool named = equals != std::string_view::npos;
    const std::string_view name = named ? pair.substr(0, equals) : std::string_view{};
    const size_t value_at = named ? begin + equals + 1 : begin;
    Value cookie = header;
    cookie.bytes = text.substr(value_at, end - value_at);
    cookie.wire = share(header.wire, cookie.bytes.size(), text.size());
    cookie.origin = child(parent, Decoder::cookie, value_at, cookie.bytes.size());
    cookie.depth = header.depth + 1;
    cookie.credential = kCredentialBytes;
    value(cookie, name_place(Location::cookie, name, names_.count(scope, hash_key(name, 0))));
  }
  names_.end(scope);
}

void Extraction::set_cookie(const Value& header) {
  const OriginId parent = node(header.origin);
  const SetCookie parsed = parse_set_cookie(header.bytes);
  const auto make = [&](std::string_view bytes, size_t offset) {
    Value item = header;
    item.bytes = bytes;
    item.wire = share(header.wire, bytes.size(), header.bytes.size());
    item.origin = child(parent, Decoder::set_cookie, offset, bytes.size());
    item.depth = header.depth + 1;
    item.credential = kCredentialBytes;
    return item;
  };
  value(make(parsed.value, parsed.value_offset), name_place(Location::cookie, parsed.name, 0));
  for (const SetCookie::Attribute& attribute : parsed.attributes) {
    std::string name(attribute.name.substr(0, kMaxSegment));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const Place root = decoder_place(name_place(Location::header, "set-cookie", 0), Decoder::set_cookie);
    const Place cookie = key_place(root.pattern, parsed.name, 0);
    leaf(make(attribute.value, attribute.value_offset), char_classes(attribute.value),
         key_place(cookie.pattern, name, 0), -1);
  }
}

// The request line's method and target: from the pseudo-headers, which have an
// origin; else from the exchange.
void Extraction::request_target(const Part& part) {
  const Decoder root = head_decoder(*exchange_);
  Value target, method;
  // Without pseudo-headers the root is the text "METHOD target" of the exchange.
  method.bytes = exchange_->method;
  method.origin = child(0, Decoder::request_target, 0, method.bytes.size());
  target.bytes = exchange_->path;
  target.origin = child(0, Decoder::request_target, method.bytes.size() + 1, target.bytes.size());
  for (const HeaderField& field : part.headers) {
    if (!field.name.starts_with(':')) continue;
    Value* value = field.name == ":method" ? &method : field.name == ":path" ? &target : nullptr;
    if (value == nullptr) continue;
    value->bytes = field.value;
    value->origin = child(0, root, field.offset, field.length);
  }
  method.origin.root = target.origin.root = true;
  method.wire = method.bytes.size();
  target.wire = target.bytes.size();
  if (!method.bytes.empty()) {
    emit(method.bytes, ValueType::string, method, name_place(Location::path, "method", 0), node(method.origin), false,
         0);
  }
  if (target.bytes.empty()) return;
  path_fields(target);
}

void Extraction::path_fields(const Value& target) {
  const OriginId parent = node(target.origin);
  const std::string_view text = target.bytes;
  // absolute-form (RFC 9112 section 3.2.2): the path begins behind the authority.
  size_t begin = 0;
  if (!text.starts_with('/')) {
    const size_t scheme = text.find("://");
    if (scheme != std::string_view::npos && scheme < text.find('?'))
      begin = std::min(text.find_first_of("/?", scheme + 3), text.size());
  }
  const size_t question = std::min(text.find('?', begin), text.size());
  const auto make = [&](Decoder decoder, size_t at, size_t length) {
    Value part = target;
    part.bytes = text.substr(at, length);
    part.origin = child(parent, decoder, at, length);
    part.wire = share(target.wire, length, text.size());
    part.depth = target.depth + 1;
    return part;
  };
  field_.location = Location::path;
  start_path(to_string(Location::path));
  const Place whole{patterns_.intern(PatternTable::kRoot, PatternTable::Step::location, path_), "path"};
  const Value path = make(Decoder::text, begin, question - begin);
  emit(path.bytes, ValueType::string, path, whole, node(path.origin), false, 0);

  const PatternId segment_pattern =
      whole.pattern == 0 ? 0 : patterns_.intern(whole.pattern, PatternTable::Step::any_name);
  size_t index = 0;
  for (size_t at = begin; at < question;) {
    const size_t end = std::min(text.find('/', at), question);
    if (end > at) {
      start_path("path:");
      path_.append(std::to_string(index++));
      value(make(Decoder::text, at, end - at), {segment_pattern, "path"});
    }
    at = end + 1;
  }
  if (question < text.size())
    query(make(Decoder::text, question + 1, text.size() - question - 1), question + 1, parent);
}

// `offset`: of the query in the target, whose node is `parent`.
void Extraction::query(const Value& query_value, uint64_t offset, OriginId parent) {
  const std::string_view text = query_value.bytes;
  NameCounter::Scope scope = names_.begin();
  std::string& decoded = scratch(query_value.depth).text;
  std::string name_scratch;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('&', at), text.size());
    const std::string_view pair = text.substr(at, end - at);
    const size_t equals = pair.find('=');
    const bool named = equals != std::string_view::npos;
    // "?word": a name without a value is a value without a name when it stands alone.
    const bool bare = !named && pair.size() == text.size();
    const size_t value_at = bare ? at : named ? at + equals + 1 : end;
    const std::string_view raw = text.substr(value_at, end - value_at);
    std::string_view name = bare ? std::string_view{} : pair.substr(0, equals);
    at = end + 1;
    if (pair.empty()) continue;
    if (name.find_first_of("%+") != std::string_view::npos) {
      name_scratch.clear();
      percent_decode(name, true, name_scratch);
      name = name_scratch;
    }
    Value item = query_value;
    item.bytes = raw;
    item.wire = share(query_value.wire, raw.size(), text.size());
    item.origin = child(parent, Decoder::query, offset + value_at, raw.size());
    item.depth = query_value.depth + 1;
    if (raw.find_first_of("%+") != std::string_view::npos) {
      decoded.clear();
      percent_decode(raw, true, decoded);
      item.bytes = decoded;
    }
    if (bare) {
      field_.location = Location::query;
      start_path(to_string(Location::query));
      value(item, {patterns_.intern(PatternTable::kRoot, PatternTable::Step::location, path_), "query"});
    } else {
      value(item, name_place(Location::query, name, names_.count(scope, hash_key(name, 0))));
    }
  }
  names_.end(scope);
}

}  // namespace vitrine
