// Bodies of a HAR entry: exported as text, as base64, as parameters, as events,
// or not at all.
#include <algorithm>

#include "base/text.h"
#include "capture/http/content_coding.h"
#include "capture/input/har_entry.h"
#include "capture/input/request_line.h"
#include "capture/media_type.h"

namespace vitrine {
namespace {

constexpr Direction kRequest = Direction::client_to_server, kResponse = Direction::server_to_client;
constexpr uint64_t kBodyBound = 256ull << 20;
constexpr std::string_view kBoundary = "vitrine-har-parameters";

StreamSpan span_of(const JsonTree::Node* node) { return {node->offset, node->length}; }

void append_percent(std::string& out, std::string_view text) {
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

void append_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"') out += "%22";  // WHATWG HTML, multipart/form-data encoding
    else if (c == '\r') out += "%0D";
    else if (c == '\n') out += "%0A";
    else out.push_back(c);
  }
  out.push_back('"');
}

}  // namespace

void HarEntry::request_body(const Node* request) {
  const Node* post = tree_.find(request, "postData");
  const Node* text = tree_.find(post, "text");
  Message& message = exchange_.message(kRequest);
  if (message.content_type.empty()) assign_media_type(message.content_type, tree_.string(post, "mimeType"));
  if (text != nullptr && text->kind == JsonToken::Kind::string && !text->text.empty()) {
    // "encoding": Charles; "_encoding": other proxies.
    const double size = tree_.number(request, "bodySize", 0);
    return body(kRequest, text,
                tree_.string(post, "encoding") == "base64" || tree_.string(post, "_encoding") == "base64",
                size > 0 ? size : content_length_);
  }
  const Node* params = tree_.find(post, "params");
  if (tree_.first(params) != nullptr) return request_parameters(post, params);
  // Playwright gives no multipart body, and its size as 0.
  missing(kRequest, std::max(tree_.number(request, "bodySize", 0), content_length_));
}

// Some exporters give parsed parameters only: they are written back as the body
// that has them, which need not be the sent one byte by byte.
void HarEntry::request_parameters(const Node* post, const Node* params) {
  Message& message = exchange_.message(kRequest);
  const Node* first = tree_.first(params);
  const Cause cause = params->cut ? Cause::truncated : Cause::decoded;
  static constexpr Decoder kSteps[] = {Decoder::har};
  // Charles takes a JSON body that was sent with a form's content type for one
  // name without a value.
  const Node* name = tree_.find(first, "name");
  const std::string_view text = tree_.string(first, "name");
  if (tree_.next(first) == nullptr && tree_.string(first, "value").empty() && !text.empty() &&
      (text[0] == '{' || text[0] == '[')) {
    return deliver(kRequest, span_of(name), as_bytes(text), text.size(), kSteps, cause);
  }
  std::string content;
  const bool multipart = starts_with_ignoring_case(tree_.string(post, "mimeType"), "multipart/");
  for (const Node* item = first; item != nullptr; item = tree_.next(item)) {
    if (multipart) {
      content.append("--").append(kBoundary).append("\r\nContent-Disposition: form-data; name=");
      append_quoted(content, tree_.string(item, "name"));
      if (const std::string_view file = tree_.string(item, "fileName"); !file.empty()) {
        content += "; filename=";
        append_quoted(content, file);
      }
      if (const std::string_view type = tree_.string(item, "contentType"); !type.empty())
        content.append("\r\nContent-Type: ").append(type);
      content.append("\r\n\r\n").append(tree_.string(item, "value")).append("\r\n");
    } else {
      if (!content.empty()) content.push_back('&');
      append_percent(content, tree_.string(item, "name"));
      content.push_back('=');
      append_percent(content, tree_.string(item, "value"));
    }
  }
  if (multipart) {
    content.append("--").append(kBoundary).append("--\r\n");
    message.content_type = "multipart/form-data; boundary=" + std::string(kBoundary);
  } else {
    message.content_type = "application/x-www-form-urlencoded";
  }
  issue(Cause::decoded, "a request body was exported as parameters only; its exact bytes are not known");
  deliver(kRequest, span_of(params), as_bytes(content), content.size(), kSteps, cause);
}

void HarEntry::response_body(const Node* entry, const Node* response) {
  const Node* content = tree_.find(response, "content");
  const Node* text = tree_.find(content, "text");
  Message& message = exchange_.message(kResponse);
  if (message.content_type.empty()) assign_media_type(message.content_type, tree_.string(content, "mimeType"));
  if (text != nullptr && text->kind == JsonToken::Kind::string && !text->text.empty()) {
    return body(kResponse, text, tree_.string(content, "encoding") == "base64", 0);
  }
  // Chrome keeps the events of an EventSource, and not its body.
  const Node* events = tree_.find(entry, "_eventSourceMessages");
  if (tree_.first(events) != nullptr) return event_messages(events);
  const double size = tree_.number(content, "size", 0);
  const int status = exchange_.status;
  const bool bodiless = exchange_.method == "HEAD" || status < 200 || status == 204 || status == 304;
  // A browser that gave up ("_error"), or a proxy that says so.
  const std::string_view charles = tree_.string(response, "_charlesStatus");
  const bool broken = !tree_.string(response, "_error").empty() || (!charles.empty() && charles != "COMPLETE");
  if (broken) incomplete(kResponse, CloseReason::connection_closed);
  missing(kResponse, (size < 0 || broken) && !bodiless ? std::max(size, content_length_) : size);
  // Playwright does not keep an event stream, nor say how long it was.
  if (size < 0 && !bodiless && content_length_ <= 0 && message.content_type.starts_with("text/event-stream")) {
    issue(Cause::gap, "an event stream was not exported (neither its size nor its content is known)");
    incomplete(kResponse, CloseReason::gap);
  }
}

void HarEntry::event_messages(const Node* list) {
  Message& message = exchange_.message(kResponse);
  Sha256Stream digest;
  for (const Node* item = tree_.first(list); item != nullptr; item = tree_.next(item)) {
    const Node* data = tree_.find(item, "data");
    if (data == nullptr || data->kind != JsonToken::Kind::string) continue;
    static constexpr Decoder kSteps[] = {Decoder::har};
    Part part = make_part(Part::Kind::message, kResponse, span_of(data));
    part.time = message_time(item);
    part.text = true;
    part.content = as_bytes(data->text);
    part.complete = !data->cut;
    if (data->cut) part.cause = Cause::truncated;
    part.decoders = kSteps;
    part.wire_bytes = part.content.size();
    message.bytes.add(Cause::decoded, part.wire_bytes);
    message.content_bytes += part.content.size();
    message.wire_bytes += part.wire_bytes;
    digest.update(part.content);
    sink_.part(exchange_, part);
  }
  message.sha256 = to_hex(digest.digest());
}

void HarEntry::body(Direction direction, const Node* text, bool base64, double size) {
  const Cause cause = text->cut ? (damage_ == Cause::malformed ? Cause::malformed : Cause::truncated) : Cause::decoded;
  static constexpr Decoder kPlain[] = {Decoder::har};
  static constexpr Decoder kBase64[] = {Decoder::har, Decoder::base64};
  static constexpr Decoder kGzip[] = {Decoder::har, Decoder::base64, Decoder::gzip};
  static constexpr Decoder kLatin1[] = {Decoder::har, Decoder::latin1};
  std::string decoded;
  if (!base64) {
    // Firefox and mitmproxy write a request body that they do not take for text
    // with one character for each byte: the size tells.
    if (size > 0 && size < static_cast<double>(text->text.size()) && latin1_bytes(text->text, decoded) &&
        size == static_cast<double>(decoded.size())) {
      return deliver(direction, span_of(text), as_bytes(decoded), decoded.size(), kLatin1, cause);
    }
    return deliver(direction, span_of(text), as_bytes(text->text), text->text.size(), kPlain, cause);
  }
  if (!decode_base64_lenient(text->text, decoded)) {
    issue(Cause::malformed, "body is not base64 though marked so");
    exchange_.message(direction).bytes.add(Cause::malformed, text->text.size());
    return incomplete(direction, CloseReason::malformed);
  }
  const Bytes bytes = as_bytes(decoded);
  // Bodies are exported decoded; a request body that an exporter kept as it was
  // sent (base64 of gzip) is opened here.
  if (direction == kRequest && bytes.size() > 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
    const Inflated inflated = decompress(Decoder::gzip, bytes, kBodyBound);
    exchange_.message(direction).content_codings = {"gzip"};
    const Cause inflating = inflated.complete                                  ? cause
                            : inflated.state == Decompressor::State::malformed ? Cause::malformed
                                                                               : Cause::truncated;
    return deliver(direction, span_of(text), as_bytes(inflated.bytes), bytes.size(), kGzip, inflating);
  }
  deliver(direction, span_of(text), bytes, bytes.size(), kBase64, cause);
}

void HarEntry::deliver(Direction direction, StreamSpan span, Bytes content, uint64_t wire,
                       std::span<const Decoder> steps, Cause cause) {
  Message& message = exchange_.message(direction);
  if (cause != Cause::decoded)
    incomplete(direction, cause == Cause::malformed ? CloseReason::malformed : CloseReason::end_of_capture);
  message.wire_bytes = wire;
  message.content_bytes = content.size();
  message.sha256 = to_hex(sha256(content));
  message.bytes.add(Cause::decoded, wire);
  if (direction == kResponse && message.content_type.starts_with("text/event-stream")) {
    event_steps_.assign(steps.begin(), steps.end());
    event_steps_.push_back(Decoder::sse);
    piece_ = span;
    SseParser events(*this);
    events.feed(content);
    events.finish();
    if (event_seen_) return;
  }
  Part part = make_part(Part::Kind::body, direction, span);
  part.content = content;
  part.complete = cause == Cause::decoded;
  part.cause = cause;
  part.wire_bytes = wire;
  part.decoders = steps;
  sink_.part(exchange_, part);
}

void HarEntry::on_event(std::string_view data, StreamSpan within, StreamSpan event, bool complete) {
  event_seen_ = true;
  Part part = make_part(Part::Kind::message, kResponse, piece_);
  part.content = as_bytes(data);
  part.text = true;
  part.complete = complete;
  part.cause = complete ? Cause::decoded : Cause::truncated;
  part.within = within;
  part.wire_bytes = event.length;
  part.decoders = event_steps_;
  sink_.part(exchange_, part);
}

// A message without a body, or a body that existed but was not exported.
void HarEntry::missing(Direction direction, double size) {
  Message& message = exchange_.message(direction);
  if (!(size > 0) || size > 1e15) {
    message.sha256 = to_hex(sha256({}));
    return;
  }
  message.bytes.add(Cause::gap, static_cast<uint64_t>(size));
  issue(Cause::gap, "a body was not exported (its size is known, its content is not)");
  incomplete(direction, CloseReason::gap);
}

}  // namespace vitrine
