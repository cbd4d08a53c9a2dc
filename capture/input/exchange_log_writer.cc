#include "base/digest.h"
#include "base/json_writer.h"
#include "capture/input/exchange_log.h"

namespace vitrine {
namespace {

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

}  // namespace

std::string exchange_log_head(bool simulated, std::string_view comment) {
  std::string out;
  JsonWriter json(out);
  json.begin().key("type").plain("vitrine-exchange-log").key("version").number(1);
  if (simulated) json.key("simulated").boolean(true);
  if (!comment.empty()) json.key("comment").string(comment);
  json.end();
  return out + "\n";
}

void ExchangeLogWriter::connection(const ConnectionInfo& info, ConnectionEvent event) {
  JsonWriter json(out_);
  if (event == ConnectionEvent::hello) {
    json.begin().key("type").plain("connection").key("connection").number(info.id);
    json.key("time").plain(to_rfc3339(info.opened));
    if (info.client.ip.family != 0) json.key("client").plain(info.client.to_string());
    if (info.server.ip.family != 0) json.key("server").plain(info.server.to_string());
    if (!info.protocol.empty()) json.key("protocol").string(info.protocol);
    if (!info.process.empty()) json.key("process").string(info.process);
    if (info.tls) {
      const TlsInfo& tls = info.tls_info;
      json.key("tls").begin().key("version").number(static_cast<uint64_t>(tls.version));
      if (!tls.sni.empty()) json.key("sni").string(tls.sni);
      if (!tls.alpn.empty()) json.key("alpn").string(tls.alpn);
      if (!tls.cipher_name.empty()) json.key("cipher").string(tls.cipher_name);
      if (!tls.ja3.empty()) json.key("ja3").string(tls.ja3);
      if (!tls.ja4.empty()) json.key("ja4").string(tls.ja4);
      if (tls.ech_offered) json.key("ech_offered").boolean(true);
      json.end();
    }
    json.end();
    out_.push_back('\n');
  } else if (event == ConnectionEvent::closed) {
    json.begin().key("type").plain("connection-closed").key("connection").number(info.id);
    for (const Direction d : {Direction::client_to_server, Direction::server_to_client}) {
      json.key(to_string(d));
      write_counts(json, info.overhead[static_cast<size_t>(d)]);
    }
    json.end();
    out_.push_back('\n');
  }
}

void ExchangeLogWriter::opened(const Exchange& exchange) {
  JsonWriter json(out_);
  json.begin().key("type").plain("open").key("connection").number(exchange.id.connection);
  json.key("ordinal").number(exchange.id.ordinal).key("time").plain(to_rfc3339(exchange.opened));
  json.key("protocol").plain(to_string(exchange.protocol)).key("method").string(exchange.method);
  json.key("url").string(exchange.url()).end();
  out_.push_back('\n');
}

void ExchangeLogWriter::part(const Exchange& exchange, const Part& part) {
  JsonWriter json(out_);
  json.begin().key("type").plain("part").key("connection").number(exchange.id.connection);
  json.key("ordinal").number(exchange.id.ordinal).key("kind").plain(kind_name(part.kind));
  json.key("direction").plain(to_string(part.direction)).key("time").plain(to_rfc3339(part.time));
  if (part.kind == Part::Kind::headers || part.kind == Part::Kind::trailers) {
    if (part.direction == Direction::server_to_client) json.key("status").number(exchange.status);
    json.key("headers").begin_array();
    for (const HeaderField& field : part.headers) {
      json.begin_array().string(field.name).string(field.value).end_array();
    }
    json.end_array();
  } else {
    if (part.text) json.key("text").boolean(true);
    if (is_valid_utf8(as_text(part.content))) json.key("content").string(as_text(part.content));
    else json.key("content_base64").plain(to_base64(part.content));
  }
  if (!part.complete) json.key("complete").boolean(false).key("cause").plain(to_string(part.cause));
  json.key("wire_bytes").number(part.wire_bytes).end();
  out_.push_back('\n');
}

void ExchangeLogWriter::closed(const Exchange& exchange, CloseReason reason) {
  JsonWriter json(out_);
  json.begin().key("type").plain("close").key("connection").number(exchange.id.connection);
  json.key("ordinal").number(exchange.id.ordinal).key("time").plain(to_rfc3339(exchange.closed));
  json.key("reason").plain(to_string(reason));
  for (const Direction d : {Direction::client_to_server, Direction::server_to_client}) {
    const Message& message = exchange.message(d);
    json.key(to_string(d)).begin().key("complete").boolean(message.complete).key("bytes");
    write_counts(json, message.bytes);
    json.end();
  }
  json.end();
  out_.push_back('\n');
}

}  // namespace vitrine
