#include "capture/input/har.h"

#include <algorithm>
#include <cmath>

#include "base/digest.h"
#include "capture/http/content_coding.h"
#include "capture/input/json_tree.h"
#include "capture/input/request_line.h"

namespace vitrine {
namespace {

using Node = JsonTree::Node;
constexpr uint64_t kBodyBound = 256ull << 20;

// One entry of log.entries. Spans are offsets in the file, so that every value
// replays from the bytes of the HAR itself.
class Entry {
 public:
  Entry(const JsonTree& tree, uint64_t index, ExchangeSink& sink) : tree_(tree), sink_(sink) {
    connection_.id = index;
    connection_.first_packet = index;
    connection_.transport = Transport::har;
    exchange_.id = {index, 1};
    exchange_.connection = &connection_;
    exchange_.first_packet = exchange_.last_packet = index;
  }

  void emit() {
    const Node* entry = &tree_.root();
    const Node* request = tree_.find(entry, "request");
    if (request == nullptr || !split_url(tree_.string(request, "url"), exchange_)) {
      sink_.issue({Cause::malformed, "har: entry without a request URL", connection_.id, connection_.id});
      return;
    }
    const auto started = parse_rfc3339(tree_.string(entry, "startedDateTime"));
    if (!started) sink_.issue({Cause::malformed, "har: entry without a readable startedDateTime", connection_.id, connection_.id});
    exchange_.opened = connection_.opened = started.value_or(Timestamp{});
    const double milliseconds = std::clamp(tree_.number(entry, "time", 0), 0.0, 1e12);
    exchange_.closed = Timestamp{exchange_.opened.ns + static_cast<int64_t>(milliseconds * 1e6)};
    exchange_.method = tree_.string(request, "method");
    exchange_.protocol = protocol_named(tree_.string(request, "httpVersion"));
    const Node* initiator = tree_.find(entry, "_initiator");
    exchange_.initiator = tree_.string(initiator, "url");
    describe_connection(entry);

    sink_.connection(connection_, ExchangeSink::ConnectionEvent::opened);
    sink_.connection(connection_, ExchangeSink::ConnectionEvent::hello);
    head(request, Direction::client_to_server);
    sink_.opened(exchange_);
    emit_headers(Direction::client_to_server);
    emit_request_body(request);
    const Node* response = tree_.find(entry, "response");
    const double status = tree_.number(response, "status", 0);
    if (response != nullptr && status >= 100 && status <= 999) {
      exchange_.status = static_cast<int>(status);
      head(response, Direction::server_to_client);
      emit_headers(Direction::server_to_client);
      emit_response_body(response);
    }
    emit_messages(tree_.find(entry, "_webSocketMessages"));
    const bool complete = exchange_.messages[0].complete && exchange_.messages[1].complete;
    sink_.closed(exchange_, complete ? CloseReason::complete : CloseReason::connection_closed);
    sink_.connection(connection_, ExchangeSink::ConnectionEvent::closed);
  }

 private:
  void describe_connection(const Node* entry) {
    std::string_view ip = tree_.string(entry, "serverIPAddress");
    if (ip.size() > 2 && ip.front() == '[') ip = ip.substr(1, ip.size() - 2);  // Chrome brackets IPv6
    connection_.server.ip = IpAddress::parse(ip);
    connection_.tls = exchange_.scheme == "https" || exchange_.scheme == "wss";
    connection_.server.port = connection_.tls ? 443 : 80;
    const std::string_view authority = exchange_.authority;
    if (const size_t colon = authority.rfind(':'); colon != authority.npos && authority.back() != ']') {
      unsigned port = 0;
      for (const char c : authority.substr(colon + 1)) port = c >= '0' && c <= '9' && port < 65536 ? port * 10 + static_cast<unsigned>(c - '0') : 65536;
      if (port < 65536) connection_.server.port = static_cast<uint16_t>(port);
    }
    connection_.protocol = exchange_.protocol == Protocol::http2 ? "h2" : "http/1.1";
  }

  // Collects a head: views into the tree, spans of the values' lexemes.
  void head(const Node* message, Direction direction) {
    headers_.clear();
    const Node* list = tree_.find(message, "headers");
    block_ = list == nullptr ? StreamSpan{} : StreamSpan{list->offset, list->length};
    for (const Node* item = tree_.first(list); item != nullptr; item = tree_.next(item)) {
      const Node* value = tree_.find(item, "value");
      const std::string_view name = tree_.string(item, "name");
      if (name.empty() || value == nullptr || value->kind != JsonToken::Kind::string) continue;
      HeaderField field{name, value->text, static_cast<uint32_t>(value->offset + 1 - block_.offset),
                        static_cast<uint32_t>(value->length >= 2 ? value->length - 2 : 0)};
      headers_.push_back(field);
      note_header(exchange_, direction, name, value->text);
    }
    Message& out = exchange_.message(direction);
    out.seen = true;
    out.complete = !(list != nullptr && list->cut);
    out.bytes.add(Cause::decoded, block_.length);
  }

  void emit_headers(Direction direction) {
    Part part = make_part(Part::Kind::headers, direction, block_);
    part.headers = headers_;
    sink_.part(exchange_, part);
  }

  Part make_part(Part::Kind kind, Direction direction, StreamSpan span) {
    piece_ = span;
    Part part;
    part.kind = kind;
    part.direction = direction;
    part.time = direction == Direction::client_to_server ? exchange_.opened : exchange_.closed;
    part.first_packet = part.last_packet = connection_.id;
    part.pieces = std::span(&piece_, 1);
    part.wire_bytes = span.length;
    return part;
  }

  void emit_request_body(const Node* request) {
    const Node* post = tree_.find(request, "postData");
    const Node* text = tree_.find(post, "text");
    if (post == nullptr) {
      missing(Direction::client_to_server, tree_.number(request, "bodySize", 0), false);
      return;
    }
    Message& message = exchange_.message(Direction::client_to_server);
    if (message.content_type.empty()) message.content_type = lower(tree_.string(post, "mimeType"));
    if (text != nullptr && text->kind == JsonToken::Kind::string && !text->text.empty()) {
      emit_body(Direction::client_to_server, text, tree_.string(post, "encoding") == "base64");
      return;
    }
    // Some exporters give parsed parameters only: written back as a form.
    const Node* params = tree_.find(post, "params");
    if (tree_.first(params) == nullptr) {
      missing(Direction::client_to_server, tree_.number(request, "bodySize", 0), false);
      return;
    }
    std::string form;
    for (const Node* item = tree_.first(params); item != nullptr; item = tree_.next(item)) {
      if (!form.empty()) form.push_back('&');
      append_percent(form, tree_.string(item, "name"));
      form.push_back('=');
      append_percent(form, tree_.string(item, "value"));
    }
    message.content_type = "application/x-www-form-urlencoded";
    static constexpr Decoder kSteps[] = {Decoder::har, Decoder::form};
    deliver(Direction::client_to_server, {params->offset, params->length}, as_bytes(form), kSteps, !params->cut);
  }

  static void append_percent(std::string& out, std::string_view text) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    for (const char c : text) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte > 0x20 && byte < 0x7f && c != '&' && c != '=' && c != '%' && c != '+') {
        out.push_back(c);
      } else {
        const char escape[] = {'%', kDigits[byte >> 4], kDigits[byte & 15]};
        out.append(escape, 3);
      }
    }
  }

  void emit_response_body(const Node* response) {
    const Node* content = tree_.find(response, "content");
    const Node* text = tree_.find(content, "text");
    Message& message = exchange_.message(Direction::server_to_client);
    if (message.content_type.empty()) message.content_type = lower(tree_.string(content, "mimeType"));
    if (text == nullptr || text->kind != JsonToken::Kind::string) {
      missing(Direction::server_to_client, tree_.number(content, "size", 0), true);
      return;
    }
    if (text->text.empty()) return;
    emit_body(Direction::server_to_client, text, tree_.string(content, "encoding") == "base64");
  }

  void emit_body(Direction direction, const Node* text, bool base64) {
    const StreamSpan span{text->offset + 1, text->length >= 2 ? text->length - 2 : 0};
    std::string decoded;
    Bytes content = as_bytes(text->text);
    if (base64) {
      if (!decode_base64(text->text, decoded)) {
        sink_.issue({Cause::malformed, "har: body is not base64 though marked so", connection_.id, connection_.id});
        exchange_.message(direction).bytes.add(Cause::malformed, span.length);
        exchange_.message(direction).complete = false;
        return;
      }
      content = as_bytes(decoded);
    }
    static constexpr Decoder kPlain[] = {Decoder::har};
    static constexpr Decoder kBase64[] = {Decoder::har, Decoder::base64};
    static constexpr Decoder kGzip[] = {Decoder::har, Decoder::base64, Decoder::gzip};
    // HAR holds response content decoded; a request body that an exporter kept
    // as it was sent (base64 of gzip) is opened here.
    if (base64 && direction == Direction::client_to_server && content.size() > 2 && content[0] == 0x1f && content[1] == 0x8b) {
      Inflated inflated = decompress(Decoder::gzip, content, kBodyBound);
      exchange_.message(direction).content_codings = {"gzip"};
      deliver(direction, span, as_bytes(inflated.bytes), kGzip, inflated.complete);
      return;
    }
    deliver(direction, span, content, base64 ? std::span<const Decoder>(kBase64) : std::span<const Decoder>(kPlain), !text->cut);
  }

  void deliver(Direction direction, StreamSpan span, Bytes content, std::span<const Decoder> steps, bool complete) {
    Message& message = exchange_.message(direction);
    message.complete = message.complete && complete;
    message.wire_bytes = span.length;
    message.content_bytes = content.size();
    message.sha256 = to_hex(sha256(content));
    message.bytes.add(Cause::decoded, span.length);
    Part part = make_part(Part::Kind::body, direction, span);
    part.content = content;
    part.complete = complete;
    if (!complete) part.cause = Cause::truncated;
    part.decoders = steps;
    sink_.part(exchange_, part);
  }

  // A body that existed but was not exported.
  void missing(Direction direction, double size, bool say) {
    if (!(size > 0) || size > 1e15) return;
    exchange_.message(direction).complete = false;
    exchange_.message(direction).bytes.add(Cause::gap, static_cast<uint64_t>(size));
    if (say || direction == Direction::client_to_server) {
      sink_.issue({Cause::gap, "har: a body was not exported (its size is known, its content is not)", connection_.id, connection_.id});
    }
  }

  void emit_messages(const Node* list) {
    for (const Node* item = tree_.first(list); item != nullptr; item = tree_.next(item)) {
      const Node* data = tree_.find(item, "data");
      if (data == nullptr || data->kind != JsonToken::Kind::string) continue;
      exchange_.protocol = Protocol::websocket;
      const Direction direction =
          tree_.string(item, "type") == "send" ? Direction::client_to_server : Direction::server_to_client;
      const bool binary = tree_.number(item, "opcode", 1) == 2;
      std::string decoded;
      const bool opened = binary && decode_base64(data->text, decoded);
      static constexpr Decoder kText[] = {Decoder::har};
      static constexpr Decoder kBinary[] = {Decoder::har, Decoder::base64};
      Part part = make_part(Part::Kind::message, direction, {data->offset + 1, data->length >= 2 ? data->length - 2 : 0});
      part.time = Timestamp{static_cast<int64_t>(std::clamp(tree_.number(item, "time", 0), 0.0, 9e9) * 1e9)};
      part.text = !binary;
      part.content = opened ? as_bytes(decoded) : as_bytes(data->text);
      part.complete = !data->cut;
      if (data->cut) part.cause = Cause::truncated;
      part.decoders = opened ? std::span<const Decoder>(kBinary) : std::span<const Decoder>(kText);
      Message& message = exchange_.message(direction);
      message.seen = true;
      message.bytes.add(Cause::decoded, part.wire_bytes);
      message.content_bytes += part.content.size();
      message.wire_bytes += part.wire_bytes;
      sink_.part(exchange_, part);
    }
  }

  const JsonTree& tree_;
  ExchangeSink& sink_;
  ConnectionInfo connection_;
  Exchange exchange_;
  std::vector<HeaderField> headers_;
  StreamSpan block_, piece_;
};

// Reads up to the '[' of log.entries. False when there is none.
bool find_entries(JsonTokenizer& json, JsonToken& token) {
  using Kind = JsonToken::Kind;
  if (!json.next(token) || token.kind != Kind::begin_object) return false;
  for (const std::string_view wanted : {"log", "entries"}) {
    for (;;) {
      if (!json.next(token) || token.kind != Kind::key) return false;
      if (token.raw == wanted) break;
      if (!json.skip(token)) return false;
    }
    if (!json.next(token) || token.kind != (wanted == "log" ? Kind::begin_object : Kind::begin_array)) return false;
  }
  return true;
}

}  // namespace

bool looks_like_har(Bytes file) {
  const std::string_view head = as_text(file.first(std::min<size_t>(file.size(), 4096)));
  const size_t open = head.find_first_not_of("\xef\xbb\xbf \t\r\n");
  if (open == head.npos || head[open] != '{') return false;
  return head.find("\"log\"") != head.npos;
}

Status read_har(Bytes file, ExchangeSink& sink) {
  JsonTokenizer json(as_text(file));
  JsonToken token;
  if (!find_entries(json, token)) {
    return fail(ErrorCode::malformed, "no log.entries array found: this is not a HAR 1.2 file, or it is cut before its first entry");
  }
  const std::string_view text = as_text(file);
  uint64_t position = json.offset();
  uint64_t index = 0;
  JsonTree tree;
  for (;;) {
    position = text.find_first_not_of(" \t\r\n,", position);
    if (position == text.npos || text[position] == ']') break;
    // Each entry is a document of its own: a damaged one costs itself only.
    JsonTokenizer entry(text, 512, position);
    const bool whole = tree.read(entry);
    ++index;
    if (tree.overflowed()) sink.issue({Cause::truncated, "har: entry with more values than are read of one", index, index});
    if (!whole) {
      const bool cut = tree.last_token().kind == JsonToken::Kind::cut;
      sink.issue({cut ? Cause::truncated : Cause::malformed,
                  cut ? "har: the file ends inside an entry" : "har: an entry is not JSON; reading goes on at the next one", index, index});
    }
    if (!tree.empty() && tree.root().kind == JsonToken::Kind::begin_object) Entry(tree, index, sink).emit();
    if (whole) {
      position = entry.offset();
      continue;
    }
    // The next entry that starts like one.
    position = text.find("\"startedDateTime\"", std::max(position + 1, tree.last_token().offset));
    if (position == text.npos) break;
    position = text.rfind('{', position);
    if (position == text.npos || position < tree.last_token().offset) break;
  }
  return {};
}

}  // namespace vitrine
