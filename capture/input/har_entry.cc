#include "capture/input/har_entry.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "capture/input/request_line.h"

namespace vitrine {
namespace {

constexpr Direction kRequest = Direction::client_to_server, kResponse = Direction::server_to_client;

StreamSpan span_of(const JsonTree::Node* node) { return {node->offset, node->length}; }

bool is_scalar(const JsonTree::Node* node) {
  using Kind = JsonToken::Kind;
  return node != nullptr && (node->kind == Kind::string || node->kind == Kind::number ||
                             node->kind == Kind::literal_true || node->kind == Kind::literal_false);
}

std::string_view trimmed_ip(std::string_view text) {
  // Chrome and Safari bracket IPv6.
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') return text.substr(1, text.size() - 2);
  return text;
}

}  // namespace

HarEntry::HarEntry(const JsonTree& tree, uint64_t index, Cause damage, ExchangeSink& sink)
    : tree_(tree), sink_(sink), damage_(damage) {
  connection_.id = index;
  connection_.first_packet = index;
  connection_.transport = Transport::har;
  exchange_.id = {index, 1};
  exchange_.connection = &connection_;
  exchange_.first_packet = exchange_.last_packet = index;
}

void HarEntry::issue(Cause cause, std::string what) {
  sink_.issue({cause, "har: " + std::move(what), connection_.id, connection_.id});
}

void HarEntry::incomplete(Direction direction, CloseReason reason) {
  exchange_.message(direction).complete = false;
  if (reason_ == CloseReason::complete) reason_ = reason;
}

bool HarEntry::transmitted(const Node* entry, std::string_view url) {
  const std::string scheme = ascii_lower(url.substr(0, std::min<size_t>(url.find(':'), 32)));
  if (scheme != "http" && scheme != "https" && scheme != "ws" && scheme != "wss") {
    if (scheme.empty() || url.find(':') == url.npos) issue(Cause::malformed, "entry without an absolute request URL");
    else issue(Cause::unsupported, "entry of scheme " + scheme + ": nothing was transmitted over HTTP");
    return false;
  }
  // Chrome: "_fromCache": "disk"|"memory"; Safari: "_fetchType": "Disk Cache"|"Memory Cache".
  if (!tree_.string(entry, "_fromCache").empty() ||
      tree_.string(entry, "_fetchType").find("Cache") != std::string_view::npos) {
    issue(Cause::decoded, "entry answered from the browser's cache: nothing was transmitted");
    return false;
  }
  const Node* response = tree_.find(entry, "response");
  const std::string_view error = tree_.string(response, "_error");
  if (error == "net::ERR_BLOCKED_BY_CLIENT" || error == "net::ERR_BLOCKED_BY_ADMINISTRATOR" ||
      error == "net::ERR_BLOCKED_BY_CSP") {
    issue(Cause::decoded, "entry blocked inside the browser: nothing was transmitted");
    return false;
  }
  return true;
}

void HarEntry::emit() {
  const Node* entry = &tree_.root();
  const Node* request = tree_.find(entry, "request");
  const Node* url = tree_.find(request, "url");
  if (url == nullptr || url->kind != JsonToken::Kind::string)
    return issue(Cause::malformed, "entry without a request URL");
  if (!transmitted(entry, url->text)) return;
  if (!split_url(url->text, exchange_)) return issue(Cause::malformed, "entry whose request URL names no host");
  const auto started = parse_rfc3339(tree_.string(entry, "startedDateTime"));
  if (!started) issue(Cause::malformed, "entry without a readable startedDateTime; its time is unknown");
  exchange_.opened = connection_.opened = started.value_or(Timestamp{});
  const double milliseconds = std::clamp(tree_.number(entry, "time", 0), 0.0, 1e12);
  exchange_.closed = bounded_time(exchange_.opened.ns + static_cast<int64_t>(milliseconds * 1e6));
  exchange_.method = tree_.string(request, "method");
  const Node* response = tree_.find(entry, "response");
  describe_connection(entry, response);
  const Node* initiator = tree_.find(entry, "_initiator");
  exchange_.initiator = tree_.string(initiator, "url");
  if (exchange_.initiator.empty()) {
    const Node* frames = tree_.find(tree_.find(initiator, "stack"), "callFrames");
    exchange_.initiator = tree_.string(tree_.first(frames), "url");
  }

  sink_.connection(connection_, ExchangeSink::ConnectionEvent::opened);
  sink_.connection(connection_, ExchangeSink::ConnectionEvent::hello);
  head(request, kRequest);
  sink_.opened(exchange_);
  emit_headers(kRequest);
  request_body(request);
  const double status = tree_.number(response, "status", 0);
  if (response != nullptr && status >= 100 && status <= 999) {
    exchange_.status = static_cast<int>(status);
    head(response, kResponse);
    emit_headers(kResponse);
    response_body(entry, response);
  } else {
    // Aborted or refused: status 0 (browsers) or -1 (Playwright).
    if (damage_ == Cause::decoded)
      issue(Cause::gap, "entry without a response: whether its request left the client is not known");
    incomplete(kResponse, CloseReason::connection_closed);
  }
  websocket_messages(tree_.find(entry, "_webSocketMessages"));
  if (damage_ != Cause::decoded) {
    const CloseReason why = damage_ == Cause::truncated ? CloseReason::end_of_capture : CloseReason::malformed;
    if (request->cut) incomplete(kRequest, why);
    incomplete(kResponse, why);
    if (reason_ == CloseReason::connection_closed) reason_ = why;
  }
  sink_.closed(exchange_, reason_);
  sink_.connection(connection_, ExchangeSink::ConnectionEvent::closed);
}

void HarEntry::describe_connection(const Node* entry, const Node* response) {
  const Node* request = tree_.find(entry, "request");
  std::string version(tree_.string(request, "httpVersion"));
  exchange_.protocol = protocol_named(version);
  if (exchange_.protocol == Protocol::unknown && !tree_.string(response, "httpVersion").empty()) {
    version = tree_.string(response, "httpVersion");
    exchange_.protocol = protocol_named(version);
  }
  switch (exchange_.protocol) {
    case Protocol::http2: connection_.protocol = "h2"; break;
    case Protocol::http11:
    case Protocol::websocket: connection_.protocol = "http/1.1"; break;
    case Protocol::http10: connection_.protocol = "http/1.0"; break;
    case Protocol::unknown:
      connection_.protocol =
          ascii_lower(version).starts_with("h3") || ascii_lower(version) == "http/3" ? "h3" : "unknown";
      break;
  }
  connection_.server.ip = IpAddress::parse(trimmed_ip(tree_.string(entry, "serverIPAddress")));
  connection_.tls = exchange_.scheme == "https" || exchange_.scheme == "wss";
  connection_.tls_info.decrypted = connection_.tls;
  connection_.server.port = port_of_authority(exchange_.authority, connection_.tls ? 443 : 80);
}

// Collects a head: views into the tree, spans of the values' lexemes.
void HarEntry::head(const Node* message, Direction direction) {
  headers_.clear();
  blocks_.clear();
  Message& out = exchange_.message(direction);
  out.seen = out.complete = true;
  const Node* list = tree_.find(message, "headers");
  uint64_t bytes = 0;
  bool cookie = false;
  content_length_ = 0;
  if (list != nullptr && list->kind == JsonToken::Kind::begin_array) blocks_.push_back(span_of(list));
  for (const Node* item = tree_.first(list); item != nullptr; item = tree_.next(item)) {
    const Node* value = tree_.find(item, "value");
    const std::string_view name = tree_.string(item, "name");
    if (name.empty() || !is_scalar(value)) continue;
    const uint64_t offset = value->offset - list->offset;
    if (offset > UINT32_MAX || value->length > UINT32_MAX) {
      issue(Cause::unsupported, "head longer than 4 GiB");
      break;
    }
    headers_.push_back({name, value->text, static_cast<uint32_t>(offset), static_cast<uint32_t>(value->length)});
    bytes += name.size() + value->text.size() + 4;
    cookie |= equals_ignoring_case(name, "cookie");
    if (equals_ignoring_case(name, "content-length"))
      std::from_chars(value->text.data(), value->text.data() + value->text.size(), content_length_);
    note_header(exchange_, direction, name, value->text);
  }
  if (list != nullptr && list->cut) out.complete = false;
  out.bytes.add(Cause::decoded, bytes);
  if (direction == kRequest && !cookie) cookies_without_header(message);
}

// Insomnia lists the cookies its jar adds, and not their header.
void HarEntry::cookies_without_header(const Node* message) {
  const Node* list = tree_.find(message, "cookies");
  if (tree_.first(list) == nullptr || list->length > UINT32_MAX) return;
  std::string value;
  for (const Node* item = tree_.first(list); item != nullptr; item = tree_.next(item)) {
    if (tree_.find(item, "name") == nullptr) continue;
    if (!value.empty()) value += "; ";
    value.append(tree_.string(item, "name")).append("=").append(tree_.string(item, "value"));
  }
  uint64_t before = 0;
  for (const StreamSpan& block : blocks_) before += block.length;
  if (value.empty() || before > UINT32_MAX) return;
  blocks_.push_back(span_of(list));
  made_.push_back(std::move(value));
  headers_.push_back({"cookie", made_.back(), static_cast<uint32_t>(before), static_cast<uint32_t>(list->length)});
  exchange_.message(kRequest).bytes.add(Cause::decoded, made_.back().size() + 10);
}

Part HarEntry::make_part(Part::Kind kind, Direction direction, StreamSpan span) {
  piece_ = span;
  Part part;
  part.kind = kind;
  part.direction = direction;
  part.time = direction == kRequest ? exchange_.opened : exchange_.closed;
  part.first_packet = part.last_packet = connection_.id;
  part.pieces = std::span(&piece_, 1);
  return part;
}

void HarEntry::emit_headers(Direction direction) {
  Part part = make_part(Part::Kind::headers, direction, {});
  part.pieces = blocks_;
  part.headers = headers_;
  part.wire_bytes = exchange_.message(direction).bytes[Cause::decoded];
  static constexpr Decoder kSteps[] = {Decoder::har};
  part.decoders = kSteps;
  sink_.part(exchange_, part);
}

Timestamp HarEntry::message_time(const Node* item) const {
  // Seconds since the epoch with a fraction: a double holds microseconds of it.
  return bounded_time(std::llround(std::clamp(tree_.number(item, "time", 0), 0.0, 9e9) * 1e6) * 1000);
}

void HarEntry::websocket_messages(const Node* list) {
  if (tree_.first(list) == nullptr) return;
  exchange_.protocol = Protocol::websocket;
  Sha256Stream digests[2];
  for (const Node* item = tree_.first(list); item != nullptr; item = tree_.next(item)) {
    const Node* data = tree_.find(item, "data");
    if (data == nullptr || data->kind != JsonToken::Kind::string) continue;
    const std::string_view type = tree_.string(item, "type");
    const bool sent = type == "send" || type == "request";
    if (!sent && type != "receive" && type != "response") {
      issue(Cause::unsupported,
            type == "error" ? "a WebSocket error, which is no message" : "WebSocket message of unknown type");
      continue;
    }
    const Direction direction = sent ? kRequest : kResponse;
    const double opcode = tree_.number(item, "opcode", 1);
    if (opcode >= 8) continue;  // close, ping, pong
    std::string decoded;
    const bool binary = opcode == 2;
    const bool opened = binary && decode_base64_lenient(data->text, decoded);
    if (binary && !opened) issue(Cause::malformed, "binary WebSocket message that is not base64");
    static constexpr Decoder kText[] = {Decoder::har};
    static constexpr Decoder kBinary[] = {Decoder::har, Decoder::base64};
    Part part = make_part(Part::Kind::message, direction, span_of(data));
    part.time = message_time(item);
    part.text = !binary;
    part.content = opened ? as_bytes(decoded) : as_bytes(data->text);
    part.complete = !data->cut;
    if (data->cut) part.cause = Cause::truncated;
    part.decoders = opened ? std::span<const Decoder>(kBinary) : std::span<const Decoder>(kText);
    part.wire_bytes = part.content.size();
    Message& message = exchange_.message(direction);
    message.seen = true;
    message.bytes.add(Cause::decoded, part.wire_bytes);
    message.content_bytes += part.content.size();
    message.wire_bytes += part.wire_bytes;
    digests[static_cast<size_t>(direction)].update(part.content);
    sink_.part(exchange_, part);
  }
  for (const Direction d : {kRequest, kResponse}) {
    exchange_.message(d).sha256 = to_hex(digests[static_cast<size_t>(d)].digest());
  }
}

}  // namespace vitrine
