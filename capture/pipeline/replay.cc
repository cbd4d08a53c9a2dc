#include "capture/pipeline/replay.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "capture/fields/field_extractor.h"
#include "capture/fields/replay.h"
#include "capture/pipeline/replay_packets.h"

namespace vitrine {
namespace {

// Runs the line as `vitrine fields` does and stops at the one field: `found` is
// called inside its part, when exchange, part and origins are at hand.
class Finder : public ShardConsumer, private FieldSink {
 public:
  using Found = std::function<void(const Field&, const Part&, const OriginTable&)>;
  Finder(const OriginRef& wanted, Found found)
      : wanted_(wanted), found_(std::move(found)), extractor_(static_cast<FieldSink&>(*this)) {}

  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (info.id == wanted_.exchange.connection) extractor_.connection(info, event);
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override {
    if (info.id == wanted_.exchange.connection) extractor_.dns(info, name);
  }
  void opened(const Exchange& exchange) override {
    if (exchange.id == wanted_.exchange) extractor_.opened(exchange);
  }
  void part(const Exchange& exchange, const Part& part) override {
    if (exchange.id == wanted_.exchange) extractor_.part(exchange, part);
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    if (exchange.id == wanted_.exchange) extractor_.closed(exchange, reason);
  }

 private:
  void begin_part(const Exchange&, const Part& part) override { part_ = &part; }
  void field(const Field& field) override {
    const OriginTable* table = extractor_.origins(wanted_.exchange);
    if (done_ || field.origin != wanted_.node || table == nullptr || part_ == nullptr) return;
    done_ = true;
    found_(field, *part_, *table);
  }

  const OriginRef wanted_;
  Found found_;
  bool done_ = false;
  const Part* part_ = nullptr;
  FieldExtractor extractor_;
};

// Second pass: collects the plaintext of the pieces, the records they came in,
// and the raw bytes of those records.
class Collector : public StreamObserver {
 public:
  Collector(Direction direction, ConnectionId connection, const std::vector<StreamSpan>& pieces)
      : direction_(direction), connection_(connection), pieces_(pieces) {
    for (const StreamSpan& piece : pieces_) {
      plain_.emplace_back(std::min(piece.length, kReplayBound), '\0');
      filled_.push_back(0);
    }
  }

  void plaintext(const ConnectionInfo& info, const StreamChunk& chunk, StreamSpan record) override {
    if (info.id != connection_ || chunk.direction != direction_ || chunk.kind != StreamChunk::Kind::data) return;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const uint64_t begin = std::max(chunk.offset, pieces_[i].offset);
      const uint64_t end = std::min(chunk.offset + chunk.bytes.size(), pieces_[i].offset + plain_[i].size());
      if (begin >= end) continue;
      std::copy_n(chunk.bytes.data() + (begin - chunk.offset), end - begin,
                  plain_[i].data() + (begin - pieces_[i].offset));
      filled_[i] += end - begin;
      // Without TLS the "record" is the chunk; only the bytes used matter then.
      const StreamSpan span = info.tls ? record : StreamSpan{begin, end - begin};
      if (records_.empty() || records_.back() != span) records_.push_back(span);
    }
  }

  bool complete() const {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (filled_[i] != pieces_[i].length) return false;
    }
    return true;
  }
  std::string bytes() const {
    std::string out;
    for (const std::string& piece : plain_) out += piece;
    return out;
  }
  std::vector<StreamSpan> records() const {
    std::vector<StreamSpan> out = records_;
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

 private:
  Direction direction_;
  ConnectionId connection_;
  const std::vector<StreamSpan>& pieces_;
  std::vector<std::string> plain_;
  std::vector<uint64_t> filled_;
  std::vector<StreamSpan> records_;
};

Status run(Input& input, const OriginRef& origin, const Finder::Found& found, StreamObserver* observer) {
  IssueLog ignored;  // told when the file was first read
  return input.run(
      ignored, [&](unsigned) { return std::make_unique<Finder>(origin, found); },
      [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); }, {}, observer);
}

void describe(const Field& field, const Part& part, Replay& replay) {
  const Exchange& exchange = *field.exchange;
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
void replay_steps(const Field& field, const Part& part, const OriginTable& table, Replay& replay) {
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

}  // namespace

Result<Replay> replay_origin(Input& input, const OriginRef& origin) {
  Replay replay;
  replay.origin = origin;
  replay.file = input.summary().path;
  bool found = false;
  OriginNode node;
  Status status = run(
      input, origin,
      [&](const Field& field, const Part& part, const OriginTable& table) {
        found = true;
        node = table[field.origin];
        describe(field, part, replay);
      },
      nullptr);
  if (!status) return tl::unexpected(status.error());
  if (!found) {
    return fail(ErrorCode::usage,
                "no field with origin " + origin.to_string() +
                    " in this recording (ids are printed by `vitrine fields` and in reports, and "
                    "belong to the file and the keys they were made with)",
                input.summary().path);
  }
  const bool packets = input.format() == InputFormat::pcap || input.format() == InputFormat::pcapng;
  if (origin.exchange.ordinal == 0) {
    if (!packets) {
      replay.recorded_from = "the recording's entry";
    } else if (node.decoder == Decoder::tls_hello) {
      // The record header before the message tells where its records end.
      const uint64_t header = std::min<uint64_t>(node.offset, kTlsRecordHeader);
      replay.records = {{node.offset - header, node.length + header}};
      RawCollector raw(replay.direction, origin.exchange.connection, replay.records);
      status = run(
          input, origin, [](const Field&, const Part&, const OriginTable&) {}, &raw);
      if (!status) return tl::unexpected(status.error());
      raw.locate(input.bytes(), replay.connection, replay);
      replay_hello(raw.bytes(), node, replay);
    } else {
      replay_packet_value(input.bytes(), node, replay);
    }
    return replay;
  }
  if (!packets) {
    for (const StreamSpan& piece : replay.pieces) {
      if (const auto bytes = slice(input.bytes(), piece.offset, piece.length)) {
        replay.stream_bytes += as_text(*bytes);
        replay.packets.push_back({0, piece.offset, piece.length, piece.offset});
      }
    }
    replay.packets_complete = true;
    status = run(
        input, origin, [&](const Field& f, const Part& p, const OriginTable& t) { replay_steps(f, p, t, replay); },
        nullptr);
    if (!status) return tl::unexpected(status.error());
    return replay;
  }
  Collector collector(replay.direction, origin.exchange.connection, replay.pieces);
  status = run(
      input, origin, [](const Field&, const Part&, const OriginTable&) {}, &collector);
  if (!status) return tl::unexpected(status.error());
  replay.stream_bytes = collector.bytes();
  replay.records = collector.records();
  RawCollector raw(replay.direction, origin.exchange.connection, replay.records);
  status = run(
      input, origin, [&](const Field& f, const Part& p, const OriginTable& t) { replay_steps(f, p, t, replay); }, &raw);
  if (!status) return tl::unexpected(status.error());
  raw.locate(input.bytes(), replay.connection, replay);
  replay.packets_complete = replay.packets_complete && collector.complete();
  return replay;
}

}  // namespace vitrine
