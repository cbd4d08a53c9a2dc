#include "capture/fields/exchange_json.h"

#include "base/json_writer.h"

namespace vitrine {
namespace {

void endpoint(JsonWriter& json, std::string_view key, const Endpoint& end, const std::string& process) {
  if (end.ip.family == 0 && end.port == 0 && process.empty()) return;
  json.key(key).begin();
  if (end.ip.family != 0) json.key("ip").plain(end.ip.to_string());
  if (end.port != 0) json.key("port").number(uint64_t{end.port});
  if (!process.empty()) json.key("process").string(process);
  json.end();
}

}  // namespace

void append_exchange_json(std::string& out, const Exchange& exchange, CloseReason reason) {
  const Message& request = exchange.message(Direction::client_to_server);
  const Message& response = exchange.message(Direction::server_to_client);
  JsonWriter json(out);
  json.begin();
  json.key("exchange").plain(exchange.id.to_string());
  json.key("time").plain(to_rfc3339(exchange.opened));
  json.key("protocol").plain(to_string(exchange.protocol));
  endpoint(json, "client", exchange.connection->client,
           exchange.process.empty() ? exchange.connection->process : exchange.process);
  endpoint(json, "server", exchange.connection->server, {});
  if (!exchange.host.empty()) json.key("host").string(exchange.host);
  if (!exchange.method.empty()) json.key("method").string(exchange.method);
  json.key("url").string(exchange.url());
  if (exchange.status != 0) json.key("status").number(exchange.status);
  json.key("request_bytes").number(request.content_bytes);
  json.key("response_bytes").number(response.content_bytes);
  if (!request.sha256.empty()) json.key("request_sha256").plain(request.sha256);
  if (!response.sha256.empty()) json.key("response_sha256").plain(response.sha256);
  json.key("complete").boolean(request.complete && response.complete && reason == CloseReason::complete);
  json.key("closed").plain(to_string(reason));
  json.end();
  out.push_back('\n');
}

}  // namespace vitrine
