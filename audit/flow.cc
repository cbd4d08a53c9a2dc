#include "audit/flow.h"

#include <algorithm>
#include <tuple>

#include "audit/draft_detector.h"
#include "audit/flow_text.h"
#include "audit/masking.h"
#include "base/digest.h"
#include "base/text.h"

namespace vitrine {

bool operator<(const Evidence& left, const Evidence& right) {
  return std::tie(left.packet, left.origin.exchange, left.origin.node, left.path) <
         std::tie(right.packet, right.origin.exchange, right.origin.node, right.path);
}
bool operator==(const Evidence& left, const Evidence& right) { return !(left < right) && !(right < left); }

namespace {

void keep_smallest(std::vector<Evidence>& kept, Evidence&& fresh, size_t bound = FlowCell::kMaxEvidence) {
  auto at = std::lower_bound(kept.begin(), kept.end(), fresh);
  if (at != kept.end() && *at == fresh) return;
  kept.insert(at, std::move(fresh));
  if (kept.size() > bound) kept.pop_back();
}

void keep_largest(std::optional<Evidence>& kept, std::optional<Evidence>&& fresh) {
  if (fresh && (!kept || *kept < *fresh)) kept = std::move(fresh);
}

template <class T>
void keep_earlier(std::optional<T>& kept, const std::optional<T>& fresh) {
  if (fresh && (!kept || *fresh < *kept)) kept = fresh;
}
template <class T>
void keep_later(std::optional<T>& kept, const std::optional<T>& fresh) {
  if (fresh && (!kept || *kept < *fresh)) kept = fresh;
}

void add_decider(std::set<std::string, std::less<>>& kept, std::string_view name) {
  constexpr size_t kBound = 9;  // one more than is printed; the smallest stay, so order does not matter
  if (name.empty() || kept.find(name) != kept.end()) return;
  kept.emplace(name);
  if (kept.size() > kBound) kept.erase(std::prev(kept.end()));
}

}  // namespace

ExchangeBrief brief_of(const Exchange& exchange) {
  ExchangeBrief brief;
  brief.id = exchange.id;
  brief.method = exchange.method.substr(0, 32);
  brief.url_path = url_path_of(exchange.path);
  FlowContextKey& key = brief.context;
  key.host = exchange.host.substr(0, 255);
  key.referer_host = host_of_url(exchange.referer);
  key.origin_host = host_of_url(exchange.origin);
  key.initiator_host = host_of_url(exchange.initiator);
  key.process = exchange.process.substr(0, 255);
  if (const ConnectionInfo* connection = exchange.connection) {
    key.server = connection->server.ip;
    if (key.process.empty()) key.process = connection->process.substr(0, 255);
    if (key.host.empty()) key.host = host_of(*connection);
    brief.cleartext = is_cleartext(*connection, exchange.scheme);
    brief.tls_version = connection->tls ? connection->tls_info.version : uint16_t{0};
    if (connection->tls) brief.chain = tls_version_name(connection->tls_info.version);
  } else {
    brief.cleartext = exchange.scheme == "http" || exchange.scheme == "ws";
  }
  if (exchange.protocol != Protocol::unknown) {
    if (!brief.chain.empty()) brief.chain += " > ";
    brief.chain += to_string(exchange.protocol);
  }
  return brief;
}

void DistinctCount::merge(const DistinctCount& other) {
  for (uint64_t hash : other.hashes_) add(hash);
}

void TimeBins::widen() {
  ++shift_;
  std::map<int64_t, Counts> wide;
  for (const auto& [start, counts] : bins_) {
    Counts& into = wide[start >> 1];
    into.requests += counts.requests;
    into.values += counts.values;
  }
  bins_ = std::move(wide);
}

void TimeBins::widen_to(int64_t seconds) {
  while (bin_seconds() < seconds) widen();
}

void TimeBins::add(Timestamp time, uint64_t requests, uint64_t values) {
  const int64_t seconds = time.ns / 1'000'000'000;
  Counts& into = bins_[seconds >> shift_];
  into.requests += requests;
  into.values += values;
  while (bins_.size() > kMaxBins) widen();
}

void TimeBins::merge(const TimeBins& other) {
  while (shift_ < other.shift_) widen();
  for (const auto& [start, counts] : other.bins_) {
    Counts& into = bins_[start >> (shift_ - other.shift_)];
    into.requests += counts.requests;
    into.values += counts.values;
  }
  while (bins_.size() > kMaxBins) widen();
}

void FlowCell::merge(FlowCell&& other) {
  if (other.count == 0) return;
  if (count == 0) {
    *this = std::move(other);
    return;
  }
  count += other.count;
  for (size_t i = 0; i < by_observation.size(); ++i) by_observation[i] += other.by_observation[i];
  first = std::min(first, other.first);
  last = std::max(last, other.last);
  distinct.merge(other.distinct);
  if (!other.evidence.empty() && (evidence.empty() || other.evidence.front() < evidence.front())) {
    sample = std::move(other.sample);
    sample_digest = std::move(other.sample_digest);
  }
  for (const std::string& name : other.decided_by) add_decider(decided_by, name);
  transport.cleartext |= other.transport.cleartext;
  transport.in_url |= other.transport.in_url;
  if (other.transport.lowest_tls != 0 &&
      (transport.lowest_tls == 0 || other.transport.lowest_tls < transport.lowest_tls)) {
    transport.lowest_tls = other.transport.lowest_tls;
  }
  for (Evidence& item : other.evidence) keep_smallest(evidence, std::move(item));
  keep_largest(last_evidence, std::move(other.last_evidence));
}

void FlowContext::merge(FlowContext&& other) {
  if (requests == 0 || (other.requests != 0 && other.first < first)) first = other.first;
  last_time = std::max(last_time, other.last_time);
  requests += other.requests;
  navigations += other.navigations;
  for (Evidence& item : other.evidence) keep_smallest(evidence, std::move(item));
  keep_largest(last_request, std::move(other.last_request));
  gpc += other.gpc;
  for (Evidence& item : other.gpc_evidence) keep_smallest(gpc_evidence, std::move(item));
  bins.merge(other.bins);
  for (auto& [type, cell] : other.cells) cells[type].merge(std::move(cell));
}

void CookieSight::merge(CookieSight&& other) {
  set += other.set;
  sent += other.sent;
  keep_later(max_age, other.max_age);
  secure |= other.secure;
  http_only |= other.http_only;
  same_site = std::max(same_site, other.same_site);
  keep_earlier(first, other.first);
  keep_later(last, other.last);
  for (Evidence& item : other.evidence) keep_smallest(evidence, std::move(item));
  keep_largest(last_evidence, std::move(other.last_evidence));
}

void EndpointSight::merge(const EndpointSight& other) {
  if (connections == 0 || other.first_packet < first_packet) {
    first = other.first;
    first_packet = other.first_packet;
    first_connection = other.first_connection;
  }
  connections += other.connections;
  bytes += other.bytes;
}

// ---- the collector ----------------------------------------------------------

struct FlowCollector::State {
  explicit State(const AuditInputs& given)
      : inputs(&given), canary(given.context.secrets), key(sip_key(given.case_key)) {
    ip_public = given.taxonomy->find("network.ip-public");
  }

  const AuditInputs* inputs;
  CanaryMatcher canary;
  SipKey key;
  TypeId ip_public = 0;

  std::map<FlowContextKey, FlowContext> contexts;
  std::map<CookieKey, CookieSight> cookies;
  std::map<EndpointKey, EndpointSight> endpoints;
  std::map<CanaryKey, CanarySight> canaries;
  std::map<IpAddress, std::set<std::string>> names;
  CoverageLedger ledger;
  std::vector<IssueCount> issues;

  // The exchange of the part being read.
  ExchangeBrief brief;
  FlowContext* context = nullptr;
  std::vector<FlowCell*> cells;  // by type, of `context`
  std::string part_chain;
  uint64_t part_values = 0;
  bool have_brief = false;
  std::vector<CanaryMatcher::Match> matches;

  // What was seen on a connection before it is known who asked for it: booked
  // under each of its exchanges' contexts when it closes.
  struct HeldValue {
    LateValue value;
    std::string text, path, decided_by;
  };
  struct OpenConnection {
    std::vector<HeldValue> held;                      // at most 64
    std::set<FlowContextKey> contexts;                // at most 64
    std::pair<uint32_t, std::string> first{~0u, {}};  // first exchange's ordinal and host
    uint64_t bytes = 0;                               // of its exchanges, client → server
  };
  std::map<ConnectionId, OpenConnection> open;

  void note(const char* what, uint64_t packet);
  FlowContext& context_of(const FlowContextKey& wanted, uint64_t packet);
  void enter(const Exchange& exchange, uint64_t packet);
  void book(const ExchangeBrief& from, FlowCell& cell, const LateValue& value, std::string_view chain, bool in_url);
  Evidence evidence_of(const ExchangeBrief& from, Timestamp time, uint64_t packet, OriginId origin,
                       std::string_view path, std::string_view chain) const;
  void cookie(const Exchange& exchange, const Part& part, std::string_view name, const CookieAttributes* attributes);
  void headers(const Exchange& exchange, const Part& part);
  void close(ConnectionId id, const ConnectionInfo* info);
  void look_for_canaries(const Field& field);
};

void FlowCollector::State::note(const char* what, uint64_t packet) {
  for (IssueCount& known : issues) {
    if (known.first.what == what) {
      ++known.count;
      return;
    }
  }
  issues.push_back({Issue{Cause::truncated, what, packet, 0}, 1});
}

FlowContext& FlowCollector::State::context_of(const FlowContextKey& wanted, uint64_t packet) {
  auto at = contexts.find(wanted);
  if (at != contexts.end()) return at->second;
  if (contexts.size() < kMaxContexts) return contexts[wanted];
  note("audit: more combinations of host and origin than are kept apart", packet);
  FlowContextKey rest;
  rest.host = CoverageLedger::kOtherHosts;
  return contexts[rest];
}

void FlowCollector::State::enter(const Exchange& exchange, uint64_t packet) {
  const FlowContextKey before = have_brief ? brief.context : FlowContextKey{};
  const bool same = have_brief && brief.id == exchange.id;
  brief = brief_of(exchange);
  have_brief = true;
  if (context == nullptr || !same || before != brief.context) {
    FlowContext& now = context_of(brief.context, packet);
    if (&now != context) {
      context = &now;
      cells.assign(inputs->taxonomy->size() + 1, nullptr);
    }
  }
  if (exchange.id.ordinal == 0) return;
  OpenConnection& connection = open[exchange.id.connection];
  if (connection.contexts.size() < 64) connection.contexts.insert(brief.context);
  if (exchange.id.ordinal < connection.first.first) connection.first = {exchange.id.ordinal, exchange.host};
}

Evidence FlowCollector::State::evidence_of(const ExchangeBrief& from, Timestamp time, uint64_t packet, OriginId origin,
                                           std::string_view path, std::string_view chain) const {
  Evidence item;
  item.origin = {from.id, origin};
  item.packet = packet;
  item.time = time;
  item.host = from.context.host;
  item.method = from.method;
  item.url_path = endpoint_path(from.url_path);  // ids, tokens and addresses of people stand in paths
  item.path = mask_path(path.substr(0, 1024));
  item.chain = from.chain;
  if (!chain.empty()) {
    if (!item.chain.empty()) item.chain += " > ";
    item.chain += chain;
  }
  return item;
}

void FlowCollector::State::book(const ExchangeBrief& from, FlowCell& cell, const LateValue& value,
                                std::string_view chain, bool in_url) {
  if (cell.count == 0 || value.time < cell.first) cell.first = value.time;
  if (cell.count == 0 || cell.last < value.time) cell.last = value.time;
  ++cell.count;
  ++cell.by_observation[static_cast<size_t>(value.observation) & 3];
  if (!cell.distinct.at_least()) cell.distinct.add(sip_hash(key, value.value));
  add_decider(cell.decided_by, value.decided_by);
  cell.transport.cleartext |= from.cleartext;
  cell.transport.in_url |= in_url;
  if (from.tls_version != 0 && (cell.transport.lowest_tls == 0 || from.tls_version < cell.transport.lowest_tls)) {
    cell.transport.lowest_tls = from.tls_version;
  }

  // Both ends are kept; most values of a long capture lie between them.
  const ExchangeId id = from.id;
  auto before = [&](const Evidence& item) {
    return std::tie(value.packet, id, value.origin) < std::tie(item.packet, item.origin.exchange, item.origin.node);
  };
  if (cell.evidence.size() < FlowCell::kMaxEvidence || before(cell.evidence.back())) {
    if (cell.evidence.empty() || before(cell.evidence.front())) {
      cell.sample = mask(value.value, *inputs->taxonomy, value.type);
      cell.sample_digest = to_hex(Bytes(hmac_sha256(as_bytes(inputs->case_key), as_bytes(value.value))).first(8));
    }
    keep_smallest(cell.evidence, evidence_of(from, value.time, value.packet, value.origin, value.path, chain));
  }
  if (!cell.last_evidence) {
    cell.last_evidence = cell.evidence.back();
  } else if (!before(*cell.last_evidence)) {
    if (cell.last_evidence->origin.exchange == id) {  // the usual case, without building strings
      cell.last_evidence->origin.node = value.origin;
      cell.last_evidence->packet = value.packet;
      cell.last_evidence->time = value.time;
      cell.last_evidence->path = mask_path(value.path.substr(0, 1024));
    } else {
      cell.last_evidence = evidence_of(from, value.time, value.packet, value.origin, value.path, chain);
    }
  }
}

FlowCollector::FlowCollector(const AuditInputs& inputs) : state_(std::make_unique<State>(inputs)) {}
FlowCollector::~FlowCollector() = default;
FlowCollector::FlowCollector(FlowCollector&&) noexcept = default;
FlowCollector& FlowCollector::operator=(FlowCollector&&) noexcept = default;

void FlowCollector::begin_part(const Exchange& exchange, const Part& part) {
  State& s = *state_;
  s.enter(exchange, part.first_packet);
  s.part_values = 0;
  s.part_chain.clear();
  for (Decoder step : part.decoders) {
    if (!s.part_chain.empty()) s.part_chain += " > ";
    s.part_chain += to_string(step);
  }
  if (part.kind == Part::Kind::headers) s.headers(exchange, part);
}

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
  wanted.domain = attributes && !attributes->domain.empty() ? "." + attributes->domain : brief.context.host;
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

void FlowCollector::field(const Field& field) {
  State& s = *state_;
  if (field.direction != Direction::client_to_server || field.exchange == nullptr) return;
  if (!s.have_brief || s.brief.id != field.exchange->id) s.enter(*field.exchange, field.packet);
  if (!s.canary.empty() && field.value_type != ValueType::container) s.look_for_canaries(field);
  if (field.type == 0 || field.observation == Observation::none || field.type > s.inputs->taxonomy->size()) return;

  LateValue value;
  value.time = field.time;
  value.packet = field.packet;
  value.origin = field.origin;
  value.location = field.location;
  value.value = field.value;
  value.type = field.type;
  value.observation = field.observation;
  value.decided_by = field.decided_by;
  if (field.exchange->id.ordinal == 0) {
    // connection_closed() books the addresses itself, also where no field was made.
    if (field.location == Location::connection && s.inputs->taxonomy->covers(s.ip_public, field.type)) return;
    State::OpenConnection& connection = s.open[field.exchange->id.connection];
    if (connection.held.size() >= 64) return s.note("audit: more fields on one connection than are kept", field.packet);
    connection.held.push_back({value, std::string(field.value.substr(0, 4096)), std::string(field.path.substr(0, 1024)),
                               std::string(field.decided_by)});
    return;
  }
  FlowCell*& cell = s.cells[field.type];
  if (cell == nullptr) cell = &s.context->cells[field.type];
  value.path = field.path;
  ++s.part_values;
  const bool in_url = field.location == Location::query || field.location == Location::path;
  s.book(s.brief, *cell, value, s.part_chain, in_url);
}

void FlowCollector::end_part(const Exchange&, const Part& part) {
  State& s = *state_;
  if (s.part_values != 0 && s.context != nullptr) s.context->bins.add(part.time, 0, s.part_values);
  s.part_values = 0;
}

void FlowCollector::State::look_for_canaries(const Field& field) {
  canary.find(field.value, matches);
  for (const CanaryMatcher::Match& match : matches) {
    CanarySight& sight = canaries[{std::string(match.canary), brief.context.host, std::string(match.encoding)}];
    ++sight.count;
    keep_smallest(sight.evidence, evidence_of(brief, field.time, field.packet, field.origin, field.path, part_chain));
  }
}

void FlowCollector::late_value(const ExchangeBrief& exchange, const LateValue& value) {
  State& s = *state_;
  if (value.type == 0 || value.type > s.inputs->taxonomy->size()) return;
  FlowContext& into = s.context_of(exchange.context, value.packet);
  const bool in_url = value.location == Location::query || value.location == Location::path;
  into.bins.add(value.time, 0, 1);
  s.book(exchange, into.cells[value.type], value, "", in_url);
}

void FlowCollector::raise(const ExchangeBrief& exchange, TypeId type, Observation from, Observation to,
                          std::string_view decided_by) {
  const auto context = state_->contexts.find(exchange.context);
  if (context == state_->contexts.end() || to <= from) return;
  const auto cell = context->second.cells.find(type);
  if (cell == context->second.cells.end()) return;
  auto& counts = cell->second.by_observation;
  if (counts[static_cast<size_t>(from)] == 0) return;
  --counts[static_cast<size_t>(from)];
  ++counts[static_cast<size_t>(to)];
  add_decider(cell->second.decided_by, decided_by);
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
    // behind address translation the capture holds only the inner one.
    if (info->client.ip.family != 0 && ip_public != 0 &&
        (info->transport == Transport::tcp || info->transport == Transport::udp)) {
      HeldValue address;
      address.value.time = info->opened;
      address.value.packet = info->first_packet;
      address.path = "connection:client_ip";
      address.value.location = Location::connection;
      address.value.type = ip_public;
      address.value.observation = info->client.ip.is_private() ? Observation::probable : Observation::certain;
      address.text = info->client.ip.to_string();
      address.decided_by = "connection";
      connection.held.insert(connection.held.begin(), std::move(address));
    }
  }
  if (connection.contexts.empty() && !from.context.host.empty()) connection.contexts.insert(from.context);
  for (const FlowContextKey& where : connection.contexts) {
    ExchangeBrief brief_here = from;
    brief_here.context = where;
    FlowContext& into = context_of(where, 0);
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

void FlowCollector::merge(FlowCollector&& other) {
  State &s = *state_, &o = *other.state_;
  o.context = s.context = nullptr;
  o.have_brief = s.have_brief = false;
  for (auto& [key, theirs] : o.contexts) s.context_of(key, 0).merge(std::move(theirs));
  for (auto& [key, theirs] : o.cookies) s.cookies[key].merge(std::move(theirs));
  for (auto& [key, theirs] : o.endpoints) s.endpoints[key].merge(theirs);
  for (auto& [key, theirs] : o.canaries) {
    CanarySight& ours = s.canaries[key];
    ours.count += theirs.count;
    for (Evidence& item : theirs.evidence) keep_smallest(ours.evidence, std::move(item));
  }
  for (auto& [address, theirs] : o.names) s.names[address].merge(theirs);
  s.ledger.merge(std::move(o.ledger));
  for (const IssueCount& theirs : o.issues) {
    auto known = std::find_if(s.issues.begin(), s.issues.end(),
                              [&](const IssueCount& ours) { return ours.first.what == theirs.first.what; });
    if (known == s.issues.end()) s.issues.push_back(theirs);
    else known->count += theirs.count;
  }
  s.open.merge(o.open);
}

void FlowCollector::finish() {
  State& s = *state_;
  while (!s.open.empty()) s.close(s.open.begin()->first, nullptr);
}

const std::map<FlowContextKey, FlowContext>& FlowCollector::contexts() const { return state_->contexts; }
const std::map<CookieKey, CookieSight>& FlowCollector::cookies() const { return state_->cookies; }
const std::map<EndpointKey, EndpointSight>& FlowCollector::endpoints() const { return state_->endpoints; }
const std::map<CanaryKey, CanarySight>& FlowCollector::canaries() const { return state_->canaries; }
const std::map<IpAddress, std::set<std::string>>& FlowCollector::names() const { return state_->names; }
const CoverageLedger& FlowCollector::ledger() const { return state_->ledger; }
const std::vector<IssueCount>& FlowCollector::issues() const { return state_->issues; }

}  // namespace vitrine
