// MB/s of each stage of the capture line, on one core:
//
//   capture_stages FILE.pcapng [ROUNDS]
//
// The line is run several times over the same file in one process, each time
// with one stage more behind it; what a stage costs is the difference of two
// runs' CPU time (of the process: the writer's thread counts), the least of the
// rounds each. Prints one JSON object: seconds, and MB of capture a second.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <unordered_map>

#include "capture/fields/field_json.h"
#include "capture/pipeline/input.h"
#include "cli/field_line.h"
#include "cli/output.h"

#ifndef VITRINE_SOURCE_DIR
#error "VITRINE_SOURCE_DIR names the folder that holds policies/"
#endif

namespace {

using namespace vitrine;

enum Stage : size_t { kRead, kReassemble, kDecrypt, kParse, kDecode, kClassify, kWrite, kStages };
constexpr const char* kNames[kStages] = {"read", "reassemble", "decrypt", "parse", "decode", "classify", "write"};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "capture_stages: %s\n", what.c_str());
  std::exit(4);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct NoIssues : IssueSink {
  void issue(Issue) override {}
};

// The first pass as Input::open makes it.
CaptureMetadata scan(Bytes file, MappedFile& mapping) {
  uint64_t scanned = 0;
  const auto let_go = [&](uint64_t position) {
    mapping.drop_pages(scanned, position);
    scanned = position;
  };
  CaptureMetadata metadata =
      scan_capture(file, let_go, [&](uint64_t offset, std::span<uint8_t> out) { return mapping.read_at(offset, out); });
  mapping.read_ahead(0);
  return metadata;
}

// Packets and IP, and TCP when asked: what the pipeline does before TLS.
struct Streams : StreamSink {
  uint64_t bytes = 0;
  void on_chunk(const StreamChunk& chunk) override { bytes += chunk.bytes.size(); }
};

uint64_t read_packets(Bytes file, MappedFile& mapping, bool reassemble) {
  NoIssues issues;
  scan(file, mapping);
  auto reader = open_capture(file, issues);
  if (!reader) die(reader.error().to_string());
  IpReassembler ip(issues);
  Streams streams;
  struct Flow {
    Endpoint client;
    std::unique_ptr<TcpConnection> tcp;
  };
  std::unordered_map<FlowKey, Flow, FlowKeyHash> flows;
  uint64_t payload = 0;
  Packet packet;
  while ((*reader)->next(packet)) {
    Datagram datagram;
    if (!ip.decode(packet, datagram)) continue;
    payload += datagram.payload.size();
    mapping.release_before((*reader)->position());
    mapping.read_ahead((*reader)->position());
    TcpHeader tcp;
    std::string_view why;
    if (!reassemble || datagram.protocol != kProtocolTcp || !parse_tcp(datagram, tcp, why)) continue;
    Flow& flow = flows[flow_key(datagram)];
    const Endpoint source{datagram.source, tcp.source_port};
    if (!flow.tcp) {
      flow.client = source;
      flow.tcp = std::make_unique<TcpConnection>(streams, issues, packet.number);
    }
    flow.tcp->segment(source == flow.client ? Direction::client_to_server : Direction::server_to_client, tcp,
                      datagram.time, packet.number);
  }
  return reassemble ? streams.bytes : payload;
}

// Decrypted bytes go nowhere.
class Decrypting final : private StreamSink, private TlsSink {
 public:
  explicit Decrypting(const SecretStore& secrets, ConnectionId id)
      : tls_(secrets, static_cast<TlsSink&>(*this), id),
        tcp_(static_cast<StreamSink&>(*this), static_cast<TlsSink&>(*this), id) {}
  TcpConnection& tcp() { return tcp_; }
  uint64_t plaintext = 0;

 private:
  void on_chunk(const StreamChunk& chunk) override { tls_.on_chunk(chunk); }
  void on_tls_info(const TlsInfo&) override {}
  void on_plaintext(const StreamChunk& chunk, StreamSpan) override { plaintext += chunk.bytes.size(); }
  void on_bytes(Direction, Cause, uint64_t) override {}
  void issue(Issue) override {}
  TlsSession tls_;
  TcpConnection tcp_;
};

uint64_t decrypt(Bytes file, MappedFile& mapping) {
  NoIssues issues;
  SecretStore secrets;
  const CaptureMetadata metadata = scan(file, mapping);
  for (const Bytes& log : metadata.tls_key_logs) secrets.load(as_text(log), issues);
  auto reader = open_capture(file, issues);
  if (!reader) die(reader.error().to_string());
  IpReassembler ip(issues);
  struct Flow {
    Endpoint client;
    std::unique_ptr<Decrypting> connection;
  };
  std::unordered_map<FlowKey, Flow, FlowKeyHash> flows;
  Packet packet;
  while ((*reader)->next(packet)) {
    Datagram datagram;
    TcpHeader tcp;
    std::string_view why;
    if (!ip.decode(packet, datagram)) continue;
    mapping.release_before((*reader)->position());
    mapping.read_ahead((*reader)->position());
    if (datagram.protocol != kProtocolTcp || !parse_tcp(datagram, tcp, why)) continue;
    Flow& flow = flows[flow_key(datagram)];
    const Endpoint source{datagram.source, tcp.source_port};
    if (!flow.connection) {
      flow.client = source;
      flow.connection = std::make_unique<Decrypting>(secrets, packet.number);
    }
    flow.connection->tcp().segment(source == flow.client ? Direction::client_to_server : Direction::server_to_client,
                                   tcp, datagram.time, packet.number);
  }
  uint64_t plaintext = 0;
  for (const auto& [key, flow] : flows) plaintext += flow.connection->plaintext;
  return plaintext;
}

// From here the pipeline itself runs, as `vitrine fields` runs it.
class Consumer : public ShardConsumer, private FieldSink {
 public:
  Consumer(Stage last, const Knowledge& knowledge, uint64_t& count)
      : last_(last),
        count_(count),
        line_(knowledge, *this),
        knowledge_(knowledge),
        plain_(static_cast<FieldSink&>(*this)) {}

  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::exchange(output_, pool_.get()); }
  void recycle(std::unique_ptr<ShardOutput> output) override { pool_.put(std::move(output)); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (last_ > kParse) next().connection(info, event);
  }
  void opened(const Exchange& exchange) override {
    if (last_ > kParse) next().opened(exchange);
  }
  void part(const Exchange& exchange, const Part& part) override {
    if (last_ > kParse) next().part(exchange, part);
    else count_ += part.content.size();
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    if (last_ > kParse) next().closed(exchange, reason);
  }

 private:
  FieldExtractor& next() { return last_ == kDecode ? plain_ : line_.extractor(); }
  void field(const Field& field) override {
    ++count_;
    if (last_ != kWrite) return;
    writer_.append(output_->bytes, field, knowledge_.taxonomy.id(field.type));
    output_->bound_memory();
  }

  Stage last_;
  uint64_t& count_;
  FieldLine line_;
  const Knowledge& knowledge_;
  FieldExtractor plain_;
  FieldJsonWriter writer_;
  OutputPool<ShardOutput> pool_;
  std::unique_ptr<ShardOutput> output_ = pool_.get();
};

uint64_t run_line(const std::string& path, Stage last, const Knowledge& knowledge, const std::string& out) {
  IssueLog issues;
  InputOptions options;
  options.http.digests = false;
  auto input = Input::open(path, options, issues);
  if (!input) die(input.error().to_string());
  auto output = cli::Output::open(last == kWrite ? out : "/dev/null");
  if (!output) die(output.error().to_string());
  uint64_t count = 0;
  const Status status = input->run(
      issues, [&](unsigned) { return std::make_unique<Consumer>(last, knowledge, count); },
      [&](std::span<std::unique_ptr<ShardOutput>> outputs) {
        return write_in_order(outputs, [&](std::string_view text) { return output->write(text); });
      });
  if (!status) die(status.error().to_string());
  if (const Status closed = output->close(); !closed) die(closed.error().to_string());
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: capture_stages FILE.pcapng [ROUNDS]\n");
    return 2;
  }
  const std::string path = argv[1];
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 3;
  const auto knowledge = cli::load_knowledge(VITRINE_SOURCE_DIR, {});
  if (!knowledge) die(knowledge.error().to_string());
  auto mapping = MappedFile::open(path);
  if (!mapping) die(mapping.error().to_string());
  const std::string out = path + ".stages-" + std::to_string(getpid()) + ".ndjson";
  std::array<double, kStages> least;
  least.fill(1e300);
  std::array<uint64_t, kStages> made{};
  for (int round = 0; round < rounds; ++round) {
    for (size_t stage = 0; stage < kStages; ++stage) {
      auto fresh = MappedFile::open(path);
      if (!fresh) die(fresh.error().to_string());
      const double before = cpu_seconds();
      if (stage <= kReassemble) made[stage] = read_packets(fresh->bytes(), *fresh, stage == kReassemble);
      else if (stage == kDecrypt) made[stage] = decrypt(fresh->bytes(), *fresh);
      else made[stage] = run_line(path, static_cast<Stage>(stage), **knowledge, out);
      least[stage] = std::min(least[stage], cpu_seconds() - before);
      unlink(out.c_str());
    }
  }
  const double megabytes = static_cast<double>(mapping->bytes().size()) / 1e6;
  std::printf("{\"capture_mb\":%.1f,\"rounds\":%d,\"stages\":[", megabytes, rounds);
  double before = 0;
  for (size_t stage = 0; stage < kStages; ++stage) {
    const double own = least[stage] - before;
    before = least[stage];
    std::printf("%s{\"stage\":\"%s\",\"cpu_s\":%.4f,\"cumulative_cpu_s\":%.4f,\"made\":%lu", stage == 0 ? "" : ",",
                kNames[stage], own, least[stage], static_cast<unsigned long>(made[stage]));
    // A difference below the resolution says nothing about speed.
    if (own > 1e-3) std::printf(",\"mb_s\":%.0f", megabytes / own);
    std::printf("}");
  }
  std::printf("],\"all_mb_s\":%.0f}\n", megabytes / before);
}
