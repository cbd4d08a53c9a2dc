#include <algorithm>

#include "base/digest.h"
#include "base/json_writer.h"
#include "capture/input/exchange_log.h"
#include "capture/input/request_line.h"

namespace vitrine {
namespace {

constexpr Direction kDirections[] = {Direction::client_to_server, Direction::server_to_client};

void write_counts(JsonWriter& json, const ByteCounts& counts) {
  json.begin();
  for (size_t i = 0; i < kCauses; ++i) {
    if (counts.by_cause[i] != 0) json.key(to_string(static_cast<Cause>(i))).number(counts.by_cause[i]);
  }
  json.end();
}

std::string_view kind_name(Part::Kind kind) {
  switch (kind) {
    case Part::Kind::headers: return "headers";
    case Part::Kind::body: return "body";
    case Part::Kind::message: return "message";
    case Part::Kind::trailers: return "trailers";
  }
  return "?";
}

// Text that is not UTF-8 is written as base64 under "<key>_base64": evidence is
// kept byte by byte.
void write_text(JsonWriter& json, std::string_view key, std::string_view text) {
  if (is_valid_utf8(text)) json.key(key).string(text);
  else json.key(std::string(key) + "_base64").plain(to_base64(as_bytes(text)));
}

void write_if(JsonWriter& json, std::string_view key, std::string_view text) {
  if (!text.empty()) write_text(json, key, text);
}

void write_request(JsonWriter& json, const Exchange& exchange) {
  write_text(json, "method", exchange.method);
  write_text(json, "scheme", exchange.scheme);
  write_text(json, "authority", exchange.authority);
  write_text(json, "path", exchange.path);
  if (exchange.host != host_of_authority(exchange.authority)) write_text(json, "host", exchange.host);
}

void write_tls(JsonWriter& json, const TlsInfo& tls) {
  json.key("tls").begin();
  if (tls.version != 0) json.key("version").number(static_cast<uint64_t>(tls.version));
  write_if(json, "sni", tls.sni);
  if (!tls.alpn_offered.empty()) {
    json.key("alpn_offered").begin_array();
    for (const std::string& name : tls.alpn_offered) json.string(name);
    json.end_array();
  }
  write_if(json, "alpn", tls.alpn);
  write_if(json, "cipher", tls.cipher_name);
  if (!tls.certificate_names.empty()) {
    json.key("certificate_names").begin_array();
    for (const std::string& name : tls.certificate_names) json.string(name);
    json.end_array();
  }
  write_if(json, "ja3", tls.ja3);
  write_if(json, "ja3_text", tls.ja3_text);
  write_if(json, "ja4", tls.ja4);
  const std::pair<std::string_view, bool> flags[] = {
      {"ech_offered", tls.ech_offered}, {"early_data", tls.early_data}, {"resumed", tls.resumed}, {"retry", tls.retry}};
  for (const auto& [name, set] : flags) {
    if (set) json.key(name).boolean(true);
  }
  json.key("client_hello_seen").boolean(tls.client_hello_seen);
  json.key("server_hello_seen").boolean(tls.server_hello_seen);
  json.key("decrypted").boolean(tls.decrypted);
  json.end();
}

}  // namespace

void ExchangeLogWriter::describe(const ConnectionInfo& info) {
  if (!described_.insert(info.id).second) return;
  JsonWriter json(out_);
  json.begin().key("type").plain("connection").key("connection").number(info.id);
  json.key("time").plain(to_rfc3339(info.opened));
  if (info.client.ip.family != 0) json.key("client").plain(info.client.to_string());
  if (info.server.ip.family != 0) json.key("server").plain(info.server.to_string());
  else if (info.server.port != 0) json.key("server_port").number(static_cast<uint64_t>(info.server.port));
  write_if(json, "protocol", info.protocol);
  write_if(json, "process", info.process);
  if (info.mid_stream) json.key("mid_stream").boolean(true);
  if (info.tls) write_tls(json, info.tls_info);
  json.end();
  out_.push_back('\n');
}

void ExchangeLogWriter::connection(const ConnectionInfo& info, ConnectionEvent event) {
  if (event == ConnectionEvent::opened) return;  // what it is shows with its hello
  describe(info);
  if (event != ConnectionEvent::closed) return;
  described_.erase(info.id);
  JsonWriter json(out_);
  json.begin().key("type").plain("connection-closed").key("connection").number(info.id);
  // What may have become known after the first line.
  write_if(json, "protocol", info.protocol);
  if (info.mid_stream) json.key("mid_stream").boolean(true);
  if (info.tls) write_tls(json, info.tls_info);
  for (const Direction d : kDirections) {
    json.key(to_string(d));
    write_counts(json, info.overhead[static_cast<size_t>(d)]);
  }
  json.end();
  out_.push_back('\n');
}

void ExchangeLogWriter::opened(const Exchange& exchange) {
  if (exchange.connection != nullptr) describe(*exchange.connection);
  JsonWriter json(out_);
  json.begin().key("type").plain("open").key("connection").number(exchange.id.connection);
  json.key("ordinal").number(exchange.id.ordinal).key("time").plain(to_rfc3339(exchange.opened));
  json.key("protocol").plain(to_string(exchange.protocol));
  if (exchange.stream != 0) json.key("stream").number(exchange.stream);
  write_request(json, exchange);
  write_if(json, "initiator", exchange.initiator);
  json.end();
  out_.push_back('\n');
  if (exchange.method.empty()) without_request_.insert(exchange.id);
}

void ExchangeLogWriter::part(const Exchange& exchange, const Part& part) {
  JsonWriter json(out_);
  json.begin().key("type").plain("part").key("connection").number(exchange.id.connection);
  json.key("ordinal").number(exchange.id.ordinal).key("kind").plain(kind_name(part.kind));
  json.key("direction").plain(to_string(part.direction)).key("time").plain(to_rfc3339(part.time));
  if (part.kind == Part::Kind::headers || part.kind == Part::Kind::trailers) {
    if (part.direction == Direction::server_to_client) {
      // 101 and 2xx may turn the exchange into a WebSocket.
      json.key("status").number(exchange.status).key("protocol").plain(to_string(exchange.protocol));
    } else if (!exchange.method.empty() && without_request_.erase(exchange.id) != 0) {
      write_request(json, exchange);
    }
    json.key("headers").begin_array();
    for (const HeaderField& field : part.headers) {
      const bool plain = is_valid_utf8(field.name) && is_valid_utf8(field.value);
      json.begin_array();
      if (plain) json.string(field.name).string(field.value);
      else json.plain(to_base64(as_bytes(field.name))).plain(to_base64(as_bytes(field.value))).plain("base64");
      json.end_array();
    }
    json.end_array();
  } else {
    if (part.kind == Part::Kind::message) json.key("protocol").plain(to_string(exchange.protocol));
    else write_if(json, "content_type", exchange.message(part.direction).content_type);
    if (part.text) json.key("text").boolean(true);
    write_content(json, part.content);
  }
  if (!part.complete || part.cause != Cause::decoded) {
    json.key("complete").boolean(part.complete).key("cause").plain(to_string(part.cause));
  }
  json.key("wire_bytes").number(part.wire_bytes).end();
  out_.push_back('\n');
}

// As write_text(), but in slices: a body may be larger than memory.
void ExchangeLogWriter::write_content(JsonWriter& json, Bytes content) {
  constexpr size_t kSlice = kDrain / 4 * 3;  // whole groups of base64
  const std::string_view text = as_text(content);
  const bool utf8 = is_valid_utf8(text);
  json.key(utf8 ? "content" : "content_base64").raw("\"");
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.size(), at + kSlice);
    // Not inside a character.
    while (utf8 && end < text.size() && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
    const std::string_view slice = text.substr(at, end - at);
    if (utf8) append_json_text(out_, slice);
    else out_ += to_base64(as_bytes(slice));
    at = end;
    if (drain_ && out_.size() >= kDrain) drain_();
  }
  out_.push_back('"');
}

void ExchangeLogWriter::closed(const Exchange& exchange, CloseReason reason) {
  without_request_.erase(exchange.id);
  JsonWriter json(out_);
  json.begin().key("type").plain("close").key("connection").number(exchange.id.connection);
  json.key("ordinal").number(exchange.id.ordinal).key("time").plain(to_rfc3339(exchange.closed));
  json.key("reason").plain(to_string(reason));
  for (const Direction d : kDirections) {
    const Message& message = exchange.message(d);
    json.key(to_string(d)).begin().key("seen").boolean(message.seen).key("complete").boolean(message.complete);
    json.key("wire_bytes").number(message.wire_bytes).key("content_bytes").number(message.content_bytes);
    write_if(json, "content_type", message.content_type);
    if (!message.sha256.empty()) json.key("sha256").plain(message.sha256);
    if (!message.content_codings.empty()) {
      json.key("content_codings").begin_array();
      for (const std::string& coding : message.content_codings) json.string(coding);
      json.end_array();
    }
    json.key("bytes");
    write_counts(json, message.bytes);
    json.end();
  }
  json.end();
  out_.push_back('\n');
}

void ExchangeLogWriter::dns(const ConnectionInfo& info, const DnsName& name) {
  describe(info);
  JsonWriter json(out_);
  json.begin().key("type").plain("dns").key("connection").number(info.id);
  json.key("time").plain(to_rfc3339(name.time)).key("direction").plain(to_string(name.direction));
  write_text(json, "name", name.name);
  json.key("query_type").string(name.type).key("bytes").number(name.bytes).end();
  out_.push_back('\n');
}

void ExchangeLogWriter::resolved(const IpAddress& ip, std::string_view name) {
  JsonWriter json(out_);
  json.begin().key("type").plain("resolved").key("ip").plain(ip.to_string());
  write_text(json, "name", name);
  json.end();
  out_.push_back('\n');
}

void ExchangeLogWriter::issue(Issue issue) {
  JsonWriter json(out_);
  json.begin().key("type").plain("issue").key("cause").plain(to_string(issue.cause)).key("what").string(issue.what);
  if (issue.packet != 0) json.key("packet").number(issue.packet);
  json.end();
  out_.push_back('\n');
}

void ExchangeLogWriter::end(Timestamp time) {
  JsonWriter json(out_);
  json.begin().key("type").plain("end");
  if (time.ns != 0) json.key("time").plain(to_rfc3339(time));
  json.end();
  out_.push_back('\n');
}

}  // namespace vitrine
