#include "capture/pipeline/replay.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "capture/fields/field_extractor.h"
#include "capture/fields/replay.h"
#include "capture/net/ip.h"
#include "capture/net/tcp.h"

namespace vitrine {
namespace {

constexpr uint64_t kStreamBound = 256ull << 20;

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
      plain_.emplace_back(std::min(piece.length, kStreamBound), '\0');
      filled_.push_back(0);
    }
  }

  void plaintext(const ConnectionInfo& info, const StreamChunk& chunk, StreamSpan record) override {
    if (info.id != connection_ || chunk.direction != direction_ || chunk.kind != StreamChunk::Kind::data) return;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const uint64_t begin = std::max(chunk.offset, pieces_[i].offset);
      const uint64_t end = std::min(chunk.offset + chunk.bytes.size(), pieces_[i].offset + plain_[i].size());
      if (begin >= end) continue;
      std::copy_n(chunk.bytes.data() + (begin - chunk.offset), end - begin, plain_[i].data() + (begin - pieces_[i].offset));
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

// Third pass: the raw stream of the records, and which packets' bytes it is.
class RawCollector : public StreamObserver {
 public:
  RawCollector(Direction direction, ConnectionId connection, const std::vector<StreamSpan>& spans)
      : direction_(direction), connection_(connection), spans_(spans) {
    for (const StreamSpan& span : spans_) raw_.emplace_back(std::min(span.length, kStreamBound), '\0');
  }
  void raw(const ConnectionInfo& info, const StreamChunk& chunk) override {
    if (info.id != connection_ || chunk.direction != direction_ || chunk.kind != StreamChunk::Kind::data) return;
    if (!first_) first_ = {chunk.offset, chunk.packet};
    for (size_t i = 0; i < spans_.size(); ++i) {
      const uint64_t begin = std::max(chunk.offset, spans_[i].offset);
      const uint64_t end = std::min(chunk.offset + chunk.bytes.size(), spans_[i].offset + raw_[i].size());
      if (begin < end) std::copy_n(chunk.bytes.data() + (begin - chunk.offset), end - begin, raw_[i].data() + (begin - spans_[i].offset));
    }
  }

  // Finds the packets whose payload is the raw bytes at their sequence numbers.
  void locate(Bytes file, const ConnectionInfo& connection, Replay& replay) const {
    IssueLog ignored;
    auto reader = open_capture(file, ignored);
    if (!reader) return;
    IpReassembler ip(ignored);
    Packet packet;
    Datagram datagram;
    std::optional<uint32_t> base;  // sequence number of stream offset 0
    struct Segment {
      uint64_t packet, file_offset;
      uint32_t sequence;
      Bytes payload;
    };
    std::vector<Segment> segments;
    while ((*reader)->next(packet)) {
      if (packet.number < connection.id || !ip.decode(packet, datagram) || datagram.protocol != kProtocolTcp) continue;
      TcpHeader tcp;
      std::string_view why;
      if (!parse_tcp(datagram, tcp, why)) continue;
      const Endpoint source{datagram.source, tcp.source_port}, destination{datagram.destination, tcp.destination_port};
      const bool c2s = source == connection.client && destination == connection.server;
      const bool s2c = source == connection.server && destination == connection.client;
      if (!(direction_ == Direction::client_to_server ? c2s : s2c)) continue;
      if (tcp.syn && !base) base = tcp.sequence + 1;
      if (tcp.payload.empty() || datagram.owner) continue;  // fragments have no single place in the file
      const uint64_t place = static_cast<uint64_t>(tcp.payload.data() - file.data());
      segments.push_back({packet.number, place, tcp.syn ? tcp.sequence + 1 : tcp.sequence, tcp.payload});
      if (!base && first_ && packet.number == first_->packet) base = tcp.sequence - static_cast<uint32_t>(first_->offset);
    }
    if (!base) return;
    uint64_t covered = 0, wanted = 0;
    for (size_t i = 0; i < spans_.size(); ++i) {
      const uint64_t end = spans_[i].offset + raw_[i].size();
      wanted += raw_[i].size();
      for (uint64_t at = spans_[i].offset; at < end;) {
        const PacketBytes found = find(segments.begin(), segments.end(), *base, at, i);
        if (found.length == 0) break;
        replay.packets.push_back(found);
        covered += found.length;
        at += found.length;
      }
    }
    replay.packets_complete = wanted > 0 && covered == wanted;
  }

 private:
  struct First {
    uint64_t offset, packet;
  };

  // The bytes from `at` on that one packet holds, checked against the stream.
  template <class Iterator>
  PacketBytes find(Iterator begin, Iterator end, uint32_t base, uint64_t at, size_t i) const {
    for (Iterator segment = begin; segment != end; ++segment) {
      // Sequence numbers wrap at 2^32: compare modulo.
      const uint32_t into = static_cast<uint32_t>(at) - (segment->sequence - base);
      if (into >= segment->payload.size()) continue;
      const uint64_t length = std::min<uint64_t>(segment->payload.size() - into, spans_[i].offset + raw_[i].size() - at);
      const char* want = raw_[i].data() + (at - spans_[i].offset);
      if (std::memcmp(segment->payload.data() + into, want, length) != 0) continue;
      return {segment->packet, segment->file_offset + into, length, at};
    }
    return {};
  }

  Direction direction_;
  ConnectionId connection_;
  const std::vector<StreamSpan>& spans_;
  std::vector<std::string> raw_;
  std::optional<First> first_;
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
  replay.verified = last.error.empty() &&
                    (field.cut ? last.output.starts_with(field.value) : last.output == field.value);
}

}  // namespace

Result<Replay> replay_origin(Input& input, const OriginRef& origin) {
  Replay replay;
  replay.origin = origin;
  replay.file = input.summary().path;
  bool found = false;
  Status status = run(
      input, origin,
      [&](const Field& field, const Part& part, const OriginTable&) {
        found = true;
        describe(field, part, replay);
      },
      nullptr);
  if (!status) return tl::unexpected(status.error());
  if (!found) {
    return fail(ErrorCode::usage, "no field with origin " + origin.to_string() +
                                      " in this recording (ids are printed by `vitrine fields` and in reports, and "
                                      "belong to the file and the keys they were made with)",
                input.summary().path);
  }
  const bool packets = input.format() == InputFormat::pcap || input.format() == InputFormat::pcapng;
  if (!packets) {
    for (const StreamSpan& piece : replay.pieces) {
      if (const auto bytes = slice(input.bytes(), piece.offset, piece.length)) {
        replay.stream_bytes += as_text(*bytes);
        replay.packets.push_back({0, piece.offset, piece.length, piece.offset});
      }
    }
    replay.packets_complete = true;
    status = run(input, origin, [&](const Field& f, const Part& p, const OriginTable& t) { replay_steps(f, p, t, replay); }, nullptr);
    if (!status) return tl::unexpected(status.error());
    return replay;
  }
  Collector collector(replay.direction, origin.exchange.connection, replay.pieces);
  status = run(input, origin, [](const Field&, const Part&, const OriginTable&) {}, &collector);
  if (!status) return tl::unexpected(status.error());
  replay.stream_bytes = collector.bytes();
  replay.records = collector.records();
  RawCollector raw(replay.direction, origin.exchange.connection, replay.records);
  status = run(input, origin, [&](const Field& f, const Part& p, const OriginTable& t) { replay_steps(f, p, t, replay); }, &raw);
  if (!status) return tl::unexpected(status.error());
  raw.locate(input.bytes(), replay.connection, replay);
  replay.packets_complete = replay.packets_complete && collector.complete();
  return replay;
}

}  // namespace vitrine
