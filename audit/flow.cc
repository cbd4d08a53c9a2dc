#include "audit/flow.h"

#include <algorithm>
#include <tuple>

#include "audit/draft_detector.h"
#include "audit/flow_state.h"
#include "audit/masking.h"
#include "audit/unread_values.h"
#include "base/digest.h"

namespace vitrine {

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
  if (connection.contexts.size() < kMaxConnectionContexts) connection.contexts.insert(brief.context);
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

Sighting FlowCollector::State::sighting_of(const LateValue& value, Evidence at) const {
  return {std::move(at), mask(value.value, *inputs->taxonomy, value.type),
          to_hex(Bytes(hmac_sha256(as_bytes(inputs->case_key), as_bytes(value.value))).first(8))};
}

void FlowCollector::State::book(const ExchangeBrief& from, FlowCell& cell, const LateValue& value,
                                std::string_view chain, bool in_url) {
  if (!cell.distinct.at_least()) cell.distinct.add(sip_hash(key, value.value));
  cell.add_decider(value.decided_by);
  ObservedValues& values = cell.of(value.observation);
  values.count_in(value.time);

  // Both ends are kept; most values of a long capture lie between them and build no strings.
  const ExchangeId id = from.id;
  auto before = [&](const Evidence& item) {
    return std::tie(value.packet, id, value.origin) < std::tie(item.packet, item.origin.exchange, item.origin.node);
  };
  if (values.sightings.size() < kMaxEvidence || before(values.sightings.back().at)) {
    values.keep(sighting_of(value, evidence_of(from, value, chain)));
  }
  std::optional<Evidence>& last = values.last_evidence;
  if (!last) {
    last = evidence_of(from, value, chain);
  } else if (!before(*last)) {
    if (last->origin.exchange == id) {  // the usual case
      last->origin.node = value.origin;
      last->packet = value.packet;
      last->time = value.time;
      last->path = mask_path(value.path.substr(0, 1024));
    } else {
      last = evidence_of(from, value, chain);
    }
  }

  auto see = [&](TransportSight& sight) {
    ++sight.count;
    const bool wanted = value.observation > sight.observation ||
                        (value.observation == sight.observation &&
                         (sight.evidence.size() < kMaxEvidence || before(sight.evidence.back())));
    if (wanted) sight.keep(value.observation, evidence_of(from, value, chain));
  };
  if (from.cleartext) see(cell.cleartext);
  if (in_url) see(cell.in_url);
  if (from.tls_version != 0 && (cell.lowest_tls == 0 || from.tls_version <= cell.lowest_tls)) {
    if (from.tls_version != cell.lowest_tls) cell.oldest_tls = {};
    cell.lowest_tls = from.tls_version;
    see(cell.oldest_tls);
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
  s.part_unread = {};
  s.part_chain.clear();
  for (Decoder step : part.decoders) {
    if (!s.part_chain.empty()) s.part_chain += " > ";
    s.part_chain += to_string(step);
  }
  if (part.kind == Part::Kind::headers) s.headers(exchange, part);
}

void FlowCollector::field(const Field& field) {
  State& s = *state_;
  if (field.direction != Direction::client_to_server || field.exchange == nullptr) return;
  if (!s.have_brief || s.brief.id != field.exchange->id) s.enter(*field.exchange, field.packet);
  if (!s.canary.empty() && field.value_type != ValueType::container) s.look_for_canaries(field);
  if (is_unread_value(field)) s.note_unread(field);
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
    if (field.location == Location::connection &&
        (field.type == s.ip_local || s.inputs->taxonomy->covers(s.ip_public, field.type))) {
      return;
    }
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
  if (s.part_unread.values != 0 && s.context != nullptr) s.context->unread.merge(std::move(s.part_unread));
  s.part_unread = {};
}

void FlowCollector::State::note_unread(const Field& field) {
  ++part_unread.values;
  if (!is_digest_by_form(field)) part_unread.most_in_message += unread_bytes(field);
  if (part_unread.evidence.size() < kMaxEvidence) {
    keep_smallest(part_unread.evidence,
                  evidence_of(brief, field.time, field.packet, field.origin, field.path, part_chain));
  }
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

void FlowCollector::raise(const ExchangeBrief& exchange, const LateValue& value, Observation from) {
  State& s = *state_;
  const auto context = s.contexts.find(exchange.context);
  if (context == s.contexts.end() || value.observation <= from) return;
  const auto cell = context->second.cells.find(value.type);
  if (cell == context->second.cells.end()) return;
  std::vector<ObservedValues>& values = cell->second.values;
  const auto weaker =
      std::find_if(values.begin(), values.end(), [&](const ObservedValues& each) { return each.observation == from; });
  if (weaker == values.end() || weaker->count == 0) return;
  Evidence at = s.evidence_of(exchange, value, "");
  std::optional<Sighting> known = weaker->take(at);
  if (known) at = known->at;
  if (weaker->count == 0) values.erase(weaker);
  ObservedValues& surer = cell->second.of(value.observation);
  surer.count_in(value.time);
  surer.keep(known ? std::move(*known) : s.sighting_of(value, at));
  keep_largest(surer.last_evidence, std::move(at));
  cell->second.add_decider(value.decided_by);
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
