#include "capture/pipeline/replay.h"

#include <algorithm>
#include <functional>
#include <set>
#include <unordered_map>

#include "capture/fields/field_extractor.h"
#include "capture/fields/replay.h"
#include "capture/pipeline/replay_packets.h"

namespace vitrine {
namespace {

// One origin asked for, and what is known of it so far.
struct Wanted {
  Replay replay;
  OriginNode node;
  bool found = false;
};

// Origins asked for twice are replayed once.
class WantedTable {
 public:
  explicit WantedTable(std::span<const OriginRef> origins) {
    for (const OriginRef& origin : origins) {
      auto& nodes = by_exchange_[origin.exchange];
      if (!nodes.try_emplace(origin.node, list_.size()).second) continue;
      connections_.insert(origin.exchange.connection);
      list_.emplace_back();
      list_.back().replay.origin = origin;
    }
  }

  bool has(ConnectionId id) const { return connections_.count(id) != 0; }
  bool has(const ExchangeId& id) const { return by_exchange_.count(id) != 0; }
  // Index in list(), or npos.
  size_t find(const ExchangeId& exchange, OriginId node) const {
    const auto nodes = by_exchange_.find(exchange);
    if (nodes == by_exchange_.end()) return npos;
    const auto found = nodes->second.find(node);
    return found == nodes->second.end() ? npos : found->second;
  }
  std::vector<Wanted>& list() { return list_; }
  static constexpr size_t npos = SIZE_MAX;

 private:
  std::map<ExchangeId, std::unordered_map<OriginId, size_t>> by_exchange_;
  std::set<ConnectionId> connections_;
  std::vector<Wanted> list_;
};

// Runs the line as `vitrine fields` does, for the exchanges asked for: `found`
// is called for the first field of each origin inside its part, when exchange,
// part and origins are at hand. Shards run side by side: each origin is of one.
class Finder : public ShardConsumer, private FieldSink {
 public:
  using Found = std::function<void(Wanted&, const Field&, const Part&, const OriginTable&)>;
  Finder(WantedTable& wanted, std::vector<uint8_t>& done, const Found& found)
      : wanted_(wanted), done_(done), found_(found), extractor_(static_cast<FieldSink&>(*this)) {}

  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (wanted_.has(info.id)) extractor_.connection(info, event);
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override {
    if (wanted_.has(info.id)) extractor_.dns(info, name);
  }
  void opened(const Exchange& exchange) override {
    if (wanted_.has(exchange.id)) extractor_.opened(exchange);
  }
  void part(const Exchange& exchange, const Part& part) override {
    if (wanted_.has(exchange.id)) extractor_.part(exchange, part);
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    if (wanted_.has(exchange.id)) extractor_.closed(exchange, reason);
  }

 private:
  void begin_part(const Exchange&, const Part& part) override { part_ = &part; }
  void field(const Field& field) override {
    const size_t index = wanted_.find(field.exchange->id, field.origin);
    if (index == WantedTable::npos || done_[index] != 0 || part_ == nullptr) return;
    const OriginTable* table = extractor_.origins(field.exchange->id);
    if (table == nullptr) return;
    done_[index] = 1;
    found_(wanted_.list()[index], field, *part_, *table);
  }

  WantedTable& wanted_;
  std::vector<uint8_t>& done_;
  const Found& found_;
  const Part* part_ = nullptr;
  FieldExtractor extractor_;
};

// For a run whose streams alone are wanted.
class Ignore : public ShardConsumer {
 public:
  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
  void connection(const ConnectionInfo&, ConnectionEvent) override {}
  void opened(const Exchange&) override {}
  void part(const Exchange&, const Part&) override {}
  void closed(const Exchange&, CloseReason) override {}
};

Status run(Input& input, const Input::ConsumerFactory& consumer, StreamObserver* observer) {
  IssueLog ignored;  // told when the file was first read
  return input.run(
      ignored, consumer, [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); }, {}, observer);
}

Status find(Input& input, WantedTable& wanted, const Finder::Found& found, StreamObserver* observer = nullptr) {
  std::vector<uint8_t> done(wanted.list().size(), 0);
  return run(
      input, [&](unsigned) { return std::make_unique<Finder>(wanted, done, found); }, observer);
}

void describe(Wanted& wanted, const Field& field, const Part& part, const OriginTable& table) {
  const Exchange& exchange = *field.exchange;
  wanted.found = true;
  wanted.node = table[field.origin];
  Replay& replay = wanted.replay;
  replay.url = exchange.authority.empty() ? "" : exchange.url();
  replay.method = exchange.method;
  replay.host = exchange.host;
  replay.path = field.path;
  replay.value = field.value;
  replay.value_cut = field.cut;
  replay.direction = field.direction;
  replay.location = field.location;
  replay.time = field.time;
  replay.packet = field.packet;
  if (exchange.connection != nullptr) replay.connection = *exchange.connection;
  replay.pieces.assign(part.pieces.begin(), part.pieces.end());
}

// Every node from the root to the field, each replayed from the stream bytes.
void replay_steps(Wanted& wanted, const Field& field, const Part& part, const OriginTable& table) {
  Replay& replay = wanted.replay;
  if (replay.origin.exchange.ordinal == 0) return;
  std::vector<OriginId> chain;
  for (OriginId id = replay.origin.node;; id = table[id].parent) {
    chain.push_back(id);
    if (table[id].root || id == table[id].parent) break;
  }
  std::reverse(chain.begin(), chain.end());
  for (const OriginId id : chain) {
    ReplayStep step;
    step.decoder = to_string(table[id].decoder);
    step.offset = table[id].offset;
    step.length = table[id].length;
    Result<std::string> output = replay_chain(table, id, *field.exchange, part, as_bytes(replay.stream_bytes));
    if (output) step.output = std::move(*output);
    else step.error = output.error().message;
    replay.steps.push_back(std::move(step));
  }
  const ReplayStep& last = replay.steps.back();
  replay.verified =
      last.error.empty() && (field.cut ? last.output.starts_with(field.value) : last.output == field.value);
}

bool is_connection_value(const Wanted& wanted) { return wanted.replay.origin.exchange.ordinal == 0; }
bool is_handshake_value(const Wanted& wanted) {
  return is_connection_value(wanted) && wanted.replay.location == Location::tls;
}

// Files without packets: the pieces are spans of the file itself.
Status replay_from_file(Input& input, WantedTable& table) {
  for (Wanted& wanted : table.list()) {
    if (!wanted.found) continue;
    Replay& replay = wanted.replay;
    if (is_connection_value(wanted)) {
      replay.recorded_from = "the recording's entry";
      replay.pieces.clear();
      continue;
    }
    for (const StreamSpan& piece : replay.pieces) {
      if (const auto bytes = slice(input.bytes(), piece.offset, piece.length)) {
        replay.stream_bytes += as_text(*bytes);
        replay.packets.push_back({0, piece.offset, piece.length, piece.offset});
      }
    }
    replay.packets_complete = true;
  }
  return find(input, table, replay_steps);
}

Status replay_from_packets(Input& input, WantedTable& table) {
  // Fields of one part share its place.
  std::map<std::pair<FlowId, std::vector<StreamSpan>>, size_t> place_of;
  std::vector<StreamPlace> places;
  std::vector<std::pair<Wanted*, size_t>> placed;
  const auto place = [&](Wanted& wanted, std::vector<StreamSpan> pieces, std::vector<StreamSpan> records) {
    const FlowId flow{wanted.replay.origin.exchange.connection, wanted.replay.direction};
    const auto [at, added] = place_of.try_emplace({flow, pieces.empty() ? records : pieces}, places.size());
    if (added) places.push_back({flow, std::move(pieces), std::move(records), {}, {}});
    placed.emplace_back(&wanted, at->second);
  };
  bool handshakes = false;
  for (Wanted& wanted : table.list()) {
    handshakes |= wanted.found && is_handshake_value(wanted);
    if (wanted.found && !is_connection_value(wanted)) place(wanted, wanted.replay.pieces, {});
  }
  if (handshakes || !places.empty()) {
    PlaintextCollector plaintext(places);
    for (const Wanted& wanted : table.list()) {
      if (wanted.found && is_handshake_value(wanted))
        plaintext.want_handshake({wanted.replay.origin.exchange.connection, wanted.replay.direction});
    }
    const Status status = run(
        input, [](unsigned) { return std::make_unique<Ignore>(); }, &plaintext);
    if (!status) return status;
    plaintext.finish();
    for (const auto& [wanted, index] : placed) {
      wanted->replay.stream_bytes = places[index].plain.joined();
      wanted->replay.records = places[index].records;
    }
    place_of.clear();  // spans of raw streams from here on
    for (Wanted& wanted : table.list()) {
      if (!wanted.found || !is_handshake_value(wanted)) continue;
      Replay& replay = wanted.replay;
      StreamSpan span;
      if (replay_handshake(plaintext.handshakes({replay.origin.exchange.connection, replay.direction}), wanted.node,
                           replay, span)) {
        replay.records = {span};
        place(wanted, {}, {span});
      } else {
        replay.steps.push_back({"tls-handshake", 0, 0, "", "no message of the handshake says so"});
      }
    }
  }
  PacketScan scan;
  RawCollector raw(places);
  if (!places.empty()) {
    const Status status = find(input, table, replay_steps, &raw);
    if (!status) return status;
  }
  for (const auto& [wanted, index] : placed)
    scan.want_flow(places[index].flow, wanted->replay.connection, raw.first(places[index].flow));
  for (Wanted& wanted : table.list()) {
    if (wanted.found && is_connection_value(wanted) && !is_handshake_value(wanted))
      scan.want_value(wanted.node, wanted.replay);
  }
  scan.run(input.bytes());
  for (const auto& [wanted, index] : placed) {
    Replay& replay = wanted->replay;
    replay.packets = scan.packets_of(places[index], replay.packets_complete);
    replay.packets_complete = replay.packets_complete && places[index].plain.complete();
  }
  return {};
}

}  // namespace

Result<std::vector<Result<Replay>>> replay_origins(Input& input, std::span<const OriginRef> origins) {
  WantedTable table(origins);
  for (Wanted& wanted : table.list()) wanted.replay.file = input.summary().path;
  Status status = find(input, table, describe);
  if (!status) return tl::unexpected(status.error());
  const bool packets = input.format() == InputFormat::pcap || input.format() == InputFormat::pcapng;
  status = packets ? replay_from_packets(input, table) : replay_from_file(input, table);
  if (!status) return tl::unexpected(status.error());

  std::vector<Result<Replay>> out;
  out.reserve(origins.size());
  for (const OriginRef& origin : origins) {
    const Wanted& wanted = table.list()[table.find(origin.exchange, origin.node)];
    if (wanted.found) out.emplace_back(wanted.replay);
    else
      out.emplace_back(fail(ErrorCode::usage,
                            "no field with origin " + origin.to_string() +
                                " in this recording (ids are printed by `vitrine fields` and in reports, and "
                                "belong to the file and the keys they were made with)",
                            input.summary().path));
  }
  return out;
}

Result<Replay> replay_origin(Input& input, const OriginRef& origin) {
  Result<std::vector<Result<Replay>>> replays = replay_origins(input, {&origin, 1});
  if (!replays) return tl::unexpected(replays.error());
  return std::move(replays->front());
}

}  // namespace vitrine
