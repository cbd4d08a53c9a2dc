#include "capture/tap/content_filter.h"

#include <algorithm>

#include "base/text.h"

namespace vitrine {
namespace {

constexpr Direction kDirections[] = {Direction::client_to_server, Direction::server_to_client};

constexpr size_t kKept = 1 << 20;  // memory of a large body is given back

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool holds_url(std::string_view name) {
  return one_of(name, {":path", "referer", "location", "content-location", "x-original-url", "x-rewrite-url"});
}

bool is_withheld(std::string_view value) {
  WithheldValue ignored;
  return parse_withheld(value, ignored);
}

}  // namespace

bool is_credential_header(std::string_view any_case) {
  const std::string name = ascii_lower(any_case);
  // Browsers pass keys of realtime APIs as a WebSocket subprotocol.
  if (one_of(name, {"authorization", "proxy-authorization", "sec-websocket-protocol", "authentication-info"}))
    return true;
  for (const std::string_view end :
       {"authorization", "-key", "apikey", "token", "secret", "password", "signature", "credential", "credentials"}) {
    if (std::string_view(name).ends_with(end)) return name != "sec-websocket-key";
  }
  return false;
}

// What changes with parts is taken over anew; what is left out stays out.
void ContentFilter::copy(Open& open, const Exchange& exchange) {
  open.exchange = exchange;
  open.exchange.path.clear();
  (void)values_.append_url(open.exchange.path, exchange.path);
  if (const size_t user = exchange.authority.rfind('@'); user != std::string::npos)
    open.exchange.authority.erase(0, user + 1);
}

void ContentFilter::opened(const Exchange& exchange) {
  Open& open = open_[exchange.id];
  copy(open, exchange);
  next_.opened(open.exchange);
}

void ContentFilter::part(const Exchange& exchange, const Part& part) {
  const auto found = open_.find(exchange.id);
  if (found == open_.end()) return;
  if (part.kind == Part::Kind::headers || part.kind == Part::Kind::trailers) headers(found->second, exchange, part);
  else content(found->second, part);
}

void ContentFilter::headers(Open& open, const Exchange& exchange, const Part& part) {
  copy(open, exchange);
  uint64_t& left_out = open.headers[static_cast<size_t>(part.direction)];
  fields_.clear();
  texts_.clear();
  bool target = false;  // its pseudo-header stands in the head
  for (HeaderField field : part.headers) {
    const std::string name = ascii_lower(field.name);
    if (holds_url(name)) {
      left_out += values_.append_url(texts_.emplace_back(), field.value);
      field.value = texts_.back();
      target |= name == ":path";
    } else if (!field.value.empty() && (is_credential_header(name) || is_withheld(field.value))) {
      left_out += field.value.size();
      values_.append(texts_.emplace_back(), WithheldKind::string, field.value);
      field.value = texts_.back();
    }
    fields_.push_back(field);
  }
  if (part.kind == Part::Kind::headers && part.direction == Direction::client_to_server && !target) {
    text_.clear();
    left_out += values_.append_url(text_, exchange.path);
  }
  Part out = part;
  out.headers = fields_;
  next_.part(open.exchange, out);
}

void ContentFilter::content(Open& open, const Part& part) {
  Part out = part;
  text_.clear();
  const std::string_view text = as_text(part.content);
  if (text.empty()) return next_.part(open.exchange, part);
  bool kept_names = false;
  if (mode_ == RecordedContent::hash && part.complete) {
    const std::string_view type = open.exchange.message(part.direction).content_type;
    const bool form = part.kind == Part::Kind::body && type.starts_with("application/x-www-form-urlencoded");
    kept_names = form ? (values_.append_pairs(text_, text), true) : values_.append_json(text_, text);
  }
  if (!kept_names) values_.append_content(text_, part.content);
  if (text_ != text) {
    open.content[static_cast<size_t>(part.direction)] = true;
    if (part.cause == Cause::decoded) out.cause = Cause::withheld;
    out.content = as_bytes(text_);
  }
  next_.part(open.exchange, out);
  if (text_.capacity() > kKept) std::string().swap(text_);
}

void ContentFilter::closed(const Exchange& exchange, CloseReason reason) {
  const auto found = open_.find(exchange.id);
  if (found == open_.end()) return;
  Open& open = found->second;
  copy(open, exchange);
  for (const Direction d : kDirections) {
    const auto index = static_cast<size_t>(d);
    Message& message = open.exchange.message(d);
    message.sha256.clear();
    uint64_t& decoded = message.bytes.by_cause[static_cast<size_t>(Cause::decoded)];
    const uint64_t moved = std::min(decoded, open.headers[index] + (open.content[index] ? message.wire_bytes : 0));
    decoded -= moved;
    message.bytes.add(Cause::withheld, moved);
  }
  next_.closed(open.exchange, reason);
  open_.erase(found);
}

}  // namespace vitrine
