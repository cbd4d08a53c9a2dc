#include "capture/pipeline/replay.h"

#include <algorithm>
#include <optional>

#include "capture/fields/field_extractor.h"
#include "capture/fields/replay.h"
#include "capture/http/content_coding.h"
#include "capture/net/ip.h"
#include "capture/net/tcp.h"

namespace vitrine {
namespace {

constexpr uint64_t kStreamBound = 256ull << 20;

// What the run saw of the wanted field.
struct Sighting {
  Replay replay;
  std::vector<OriginNode> chain;  // root first
  std::vector<Decoder> part_decoders;
  std::string part_content;
  std::string header_value;       // of the header that the chain starts at
  Part::Kind kind = Part::Kind::headers;
  StreamSpan within;
  ConnectionInfo connection;
};

// First pass: runs the line as `vitrine fields` does and keeps the one field.
class Finder : public ShardConsumer, private FieldSink {
 public:
  Finder(const OriginRef& wanted, std::optional<Sighting>& found)
      : wanted_(wanted), found_(found), extractor_(static_cast<FieldSink&>(*this)) {}

  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (info.id == wanted_.exchange.connection) extractor_.connection(info, event);
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
    if (found_ || field.origin != wanted_.node || table == nullptr) return;
    Sighting sighting;
    Replay& replay = sighting.replay;
    replay.origin = wanted_;
    replay.url = field.exchange->url();
    replay.method = field.exchange->method;
    replay.host = field.exchange->host;
    replay.path = field.path;
    replay.value = field.value;
    replay.direction = field.direction;
    replay.location = field.location;
    replay.time = field.time;
    for (OriginId id = wanted_.node;; id = (*table)[id].parent) {
      sighting.chain.push_back((*table)[id]);
      if ((*table)[id].root || id == 0) break;
    }
    std::reverse(sighting.chain.begin(), sighting.chain.end());
    if (field.exchange->connection != nullptr) sighting.connection = *field.exchange->connection;
    replay.tls = sighting.connection.tls;
    for (const HeaderField& header : part_->headers) {
      if (header.offset == sighting.chain[0].offset && header.length == sighting.chain[0].length) sighting.header_value = header.value;
    }
    sighting.kind = part_->kind;
    sighting.within = part_->within;
    sighting.part_decoders.assign(part_->decoders.begin(), part_->decoders.end());
    sighting.part_content = as_text(part_->content);
    replay.pieces.assign(part_->pieces.begin(), part_->pieces.end());
    found_ = std::move(sighting);
  }

  const OriginRef wanted_;
  std::optional<Sighting>& found_;
  const Part* part_ = nullptr;
  FieldExtractor extractor_;
};

// Second pass: collects the plaintext of the pieces, the records they came in,
// and the raw bytes of those records.
class Collector : public StreamObserver {
 public:
  Collector(const Sighting& sighting, ConnectionId connection)
      : direction_(sighting.replay.direction), connection_(connection), pieces_(sighting.replay.pieces) {
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

class NoOutput : public ShardConsumer {
 public:
  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
};

Status observe(Input& input, StreamObserver& observer) {
  IssueLog ignored;
  return input.run(
      ignored, [](unsigned) { return std::make_unique<NoOutput>(); },
      [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); }, {}, &observer);
}

bool stateful(Decoder decoder) {
  return decoder == Decoder::hpack || decoder == Decoder::permessage_deflate || decoder == Decoder::websocket;
}

// From the stream bytes to the part's content: content codings and framing.
void replay_part(const Sighting& sighting, Replay& replay) {
  std::string current = replay.stream_bytes;
  bool from_run = false;
  for (const Decoder decoder : sighting.part_decoders) {
    ReplayStep step;
    step.decoder = to_string(decoder);
    step.length = current.size();
    if (stateful(decoder) || from_run) {
      from_run = true;
    } else if (decoder == Decoder::sse) {
      step.offset = sighting.within.offset;
      step.length = sighting.within.length;
      const auto out = replay_step(decoder, as_bytes(current), step.offset, step.length);
      step.again = out.has_value();
      if (out) current = *out;
    } else {
      const bool coding = decoder == Decoder::gzip || decoder == Decoder::zlib || decoder == Decoder::deflate ||
                          decoder == Decoder::br || decoder == Decoder::zstd;
      if (coding) {
        current = decompress(decoder, as_bytes(current), kStreamBound).bytes;
        step.again = true;
      } else if (const auto out = replay_step(decoder, as_bytes(current), 0, current.size()); out) {
        current = *out;
        step.again = true;
      }
    }
    if (&decoder == &sighting.part_decoders.back() || from_run) {
      if (!step.again) current = sighting.part_content;
      step.equal = current == sighting.part_content;
    }
    step.output = current;
    replay.steps.push_back(std::move(step));
  }
}

void replay_chain(const Sighting& sighting, Replay& replay) {
  const bool body = sighting.kind == Part::Kind::body || sighting.kind == Part::Kind::message;
  if (body) replay_part(sighting, replay);
  // A part with no steps of its own is its stream bytes; what was compared
  // above makes the run's content a sound input for the rest.
  std::string current = body ? sighting.part_content : replay.stream_bytes;
  bool equal = !body || !sighting.part_decoders.empty() || replay.stream_bytes == sighting.part_content;
  for (const OriginNode& node : sighting.chain) {
    if (node.root && body) {
      // The root of a body addresses its content; it adds no step.
      const auto part = slice(as_bytes(current), node.offset, node.length);
      if (part && part->size() != current.size()) current = std::string(as_text(*part));
      continue;
    }
    ReplayStep step;
    step.decoder = to_string(node.decoder);
    step.offset = node.offset;
    step.length = node.length;
    if (stateful(node.decoder)) {
      current = sighting.header_value;
      step.output = current;
    } else if (const auto out = replay_step(node.decoder, as_bytes(current), node.offset, node.length); out) {
      current = *out;
      step.again = true;
      step.output = current;
    }
    replay.steps.push_back(std::move(step));
  }
  if (!replay.steps.empty()) replay.steps.back().equal = replay.steps.back().equal && current == replay.value;
  equal = equal && current == replay.value;
  for (const ReplayStep& step : replay.steps) equal = equal && step.equal;
  replay.verified = equal;
}

}  // namespace

Result<Replay> replay_origin(Input& input, const OriginRef& origin) {
  std::optional<Sighting> found;
  IssueLog ignored;
  const Status ran = input.run(
      ignored, [&](unsigned) { return std::make_unique<Finder>(origin, found); },
      [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); });
  if (!ran) return tl::unexpected(ran.error());
  if (!found) {
    return fail(ErrorCode::usage, "no field with origin " + origin.to_string() +
                                      " in this recording (ids are printed by `vitrine fields` and in reports, and "
                                      "belong to the file and the keys they were made with)",
                input.summary().path);
  }
  Replay replay = found->replay;
  replay.file = input.summary().path;
  const bool packets = input.format() == InputFormat::pcap || input.format() == InputFormat::pcapng;
  if (!packets) {
    for (const StreamSpan& piece : replay.pieces) {
      if (const auto bytes = slice(input.bytes(), piece.offset, piece.length)) {
        replay.stream_bytes += as_text(*bytes);
        replay.packets.push_back({0, piece.offset, piece.length, piece.offset});
      }
    }
    replay.packets_complete = true;
  } else if (!replay.pieces.empty()) {
    found->replay = replay;
    Collector collector(*found, origin.exchange.connection);
    if (Status status = observe(input, collector); !status) return tl::unexpected(status.error());
    replay.stream_bytes = collector.bytes();
    replay.records = collector.records();
    RawCollector raw(replay.direction, origin.exchange.connection, replay.records);
    if (Status status = observe(input, raw); !status) return tl::unexpected(status.error());
    raw.locate(input.bytes(), found->connection, replay);
    if (!collector.complete()) replay.packets_complete = false;
  }
  replay_chain(*found, replay);
  return replay;
}

}  // namespace vitrine
