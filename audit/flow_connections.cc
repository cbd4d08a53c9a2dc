// Requests, cookies and connections of a FlowCollector.
#include <algorithm>

#include "audit/flow_state.h"
#include "base/text.h"

namespace vitrine {

void FlowCollector::State::headers(const Exchange& exchange, const Part& part) {
  if (exchange.id.ordinal == 0) return;
  if (part.direction == Direction::client_to_server) {
    if (context->requests == 0 || part.time < context->first) context->first = part.time;
    context->last_time = std::max(context->last_time, part.time);
    ++context->requests;
    context->bins.add(part.time, 1, 0);
    Evidence request = evidence_of(brief, part.time, part.last_packet, 0, "", "");
    keep_largest(context->last_request, request);
    keep_smallest(context->evidence, std::move(request));
  }
  for (const HeaderField& header : part.headers) {
    if (part.direction == Direction::server_to_client) {
      if (equals_ignoring_case(header.name, "set-cookie")) {
        CookieAttributes parsed = read_set_cookie(header.value, part.time);
        if (!parsed.name.empty()) cookie(exchange, part, parsed.name, &parsed);
      }
    } else if (equals_ignoring_case(header.name, "cookie")) {
      for_each_cookie(header.value, [&](std::string_view name) { cookie(exchange, part, name, nullptr); });
    } else if (equals_ignoring_case(header.name, "sec-fetch-dest") && header.value == "document") {
      ++context->navigations;
    } else if (equals_ignoring_case(header.name, "sec-fetch-site")) {
      ++context->of_browser;
    } else if (equals_ignoring_case(header.name, "sec-gpc") && header.value == "1") {
      ++context->gpc;
      keep_smallest(context->gpc_evidence, evidence_of(brief, part.time, part.last_packet, 0, "header:sec-gpc", ""));
    }
  }
}

void FlowCollector::State::cookie(const Exchange&, const Part& part, std::string_view name,
                                  const CookieAttributes* attributes) {
  CookieKey wanted;
  wanted.name = std::string(name.substr(0, 256));
  if (attributes && !attributes->domain.empty()) wanted.domain.append(".").append(attributes->domain);
  else wanted.domain = brief.context.host;
  wanted.context = brief.context;
  auto at = cookies.find(wanted);
  if (at == cookies.end()) {
    if (cookies.size() >= kMaxCookies) return note("audit: more cookies than are kept apart", part.last_packet);
    at = cookies.emplace(std::move(wanted), CookieSight{}).first;
  }
  CookieSight fresh;
  fresh.first = fresh.last = part.time;
  if (attributes) {
    fresh.set = 1;
    fresh.max_age = attributes->max_age;
    fresh.secure = attributes->secure;
    fresh.http_only = attributes->http_only;
    fresh.same_site = attributes->same_site;
  } else {
    fresh.sent = 1;
  }
  Evidence item = evidence_of(brief, part.time, part.last_packet, 0,
                              std::string(attributes ? "header:set-cookie " : "cookie:") + at->first.name, "");
  fresh.last_evidence = item;
  fresh.evidence.push_back(std::move(item));
  at->second.merge(std::move(fresh));
}

void FlowCollector::exchange_closed(const Exchange& exchange, CloseReason,
                                    const std::array<uint64_t, 2>& opaque_bytes) {
  // A file of requests that names a WebSocket may leave its messages out.
  if (exchange.status == 101 && exchange.protocol != Protocol::websocket && exchange.connection != nullptr &&
      exchange.connection->transport == Transport::har) {
    state_->note("audit: a WebSocket whose messages the file does not hold", exchange.last_packet);
  }
  state_->ledger.exchange(exchange, opaque_bytes);
  state_->open[exchange.id.connection].bytes += exchange.message(Direction::client_to_server).bytes.total();
}

void FlowCollector::connection_closed(const ConnectionInfo& connection) {
  State& s = *state_;
  s.ledger.connection(connection);

  EndpointKey key;
  auto at = s.open.find(connection.id);
  key.name = host_of(connection, at != s.open.end() ? at->second.first.second : std::string{});
  if (IpAddress::parse(key.name).family != 0 || key.name.front() == '(') key.name.clear();
  key.server = connection.server;
  key.transport = connection.transport;
  key.protocol = connection.protocol;
  EndpointSight sight;
  sight.connections = 1;
  sight.bytes = connection.overhead[0].total() + (at != s.open.end() ? at->second.bytes : 0);
  sight.first = connection.opened;
  sight.first_packet = connection.first_packet;
  sight.first_connection = connection.id;
  auto known = s.endpoints.find(key);
  if (known == s.endpoints.end()) {
    if (s.endpoints.size() >= kMaxEndpoints) {
      s.note("audit: more endpoints than are kept apart", connection.first_packet);
    } else {
      known = s.endpoints.emplace(std::move(key), EndpointSight{}).first;
    }
  }
  if (known != s.endpoints.end()) known->second.merge(sight);
  s.close(connection.id, &connection);
}

void FlowCollector::State::close(ConnectionId id, const ConnectionInfo* info) {
  OpenConnection connection;
  if (auto at = open.find(id); at != open.end()) {
    connection = std::move(at->second);
    open.erase(at);
  }
  ExchangeBrief from;
  from.id = {id, 0};
  if (info != nullptr) {
    from.context.host = host_of(*info, connection.first.second);
    from.context.server = info->server.ip;
    from.context.process = info->process;
    // The recipient sees the public address whatever its kind: of a client
    // behind address translation the capture holds only the inner one. A host of
    // the same network sees that one.
    const bool same_network =
        info->server.ip.is_private() && info->client.ip.is_private() && IpAddress::parse(from.context.host).family != 0;
    if (info->client.ip.family != 0 && ip_public != 0 &&
        (info->transport == Transport::tcp || info->transport == Transport::udp)) {
      HeldValue address;
      address.value.time = info->opened;
      address.value.packet = info->first_packet;
      address.path = "connection:client_ip";
      address.value.location = Location::connection;
      address.value.type = same_network && ip_local != 0 ? ip_local : ip_public;
      address.value.observation =
          info->client.ip.is_private() && !same_network ? Observation::probable : Observation::certain;
      address.text = info->client.ip.to_string();
      address.decided_by = "connection";
      connection.held.insert(connection.held.begin(), std::move(address));
    }
  }
  if (connection.contexts.empty() && !from.context.host.empty()) connection.contexts.insert(from.context);
  const bool packets = info != nullptr && info->transport == Transport::tcp;
  const bool all_known = connection.contexts.size() < kMaxConnectionContexts;
  for (const FlowContextKey& where : connection.contexts) {
    ExchangeBrief brief_here = from;
    brief_here.context = where;
    FlowContext& into = context_of(where, 0);
    if (!where.asked()) {
      bool any = false;
      for (const FlowContextKey& other : connection.contexts) {
        if (!packets || !all_known || !other.asked()) continue;
        into.keep_company(other);
        any = true;
      }
      if (!any) ++into.alone;
    }
    for (HeldValue& held : connection.held) {
      held.value.value = held.text;
      held.value.path = held.path;
      held.value.decided_by = held.decided_by;
      into.bins.add(held.value.time, 0, 1);
      book(brief_here, into.cells[held.value.type], held.value, "", false);
    }
  }
}

void FlowCollector::resolved(const IpAddress& address, std::string_view name) {
  auto& names = state_->names;
  if (names.size() >= kMaxEndpoints) return;
  auto& of = names[address];
  if (of.size() < 64) of.emplace(name.substr(0, 255));
}

}  // namespace vitrine
