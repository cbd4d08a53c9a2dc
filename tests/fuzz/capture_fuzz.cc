// A capture file through the whole line, as `vitrine fields` runs it: secrets,
// IP, TCP, TLS, HTTP, fields. Three threads must say what one says, everything
// opened closes, and each stream byte is counted once.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "capture/fields/field_extractor.h"
#include "capture/fields/field_json.h"
#include "capture/pipeline/pipeline.h"
#include "capture/record/flow_comment.h"

namespace {

using namespace vitrine;

void require(bool condition) {
  if (!condition) std::abort();
}

using Books = std::map<ConnectionId, std::array<uint64_t, 2>>;

// Stream bytes as TCP hands them on, lost ones too.
class Streams : public StreamObserver {
 public:
  void raw(const ConnectionInfo& info, const StreamChunk& chunk) override {
    const uint64_t bytes = chunk.kind == StreamChunk::Kind::gap ? chunk.gap_length : chunk.bytes.size();
    books[info.id][static_cast<size_t>(chunk.direction)] += bytes;
  }
  Books books;
};

// What one run says.
struct Results {
  std::string text;
  IssueLog issues;
  Books counted;
};

class Consumer : public ShardConsumer, private FieldSink {
 public:
  Consumer(Results& results, const ExtractLimits& limits) : results_(results), extractor_(*this, limits) {
    extractor_.set_issues(&issues_);
  }
  // The pipeline ends its consumers on the caller's thread, one after the other.
  ~Consumer() override {
    require(open_connections_.empty() && open_exchanges_.empty());
    results_.issues.merge(issues_);
    for (const auto& [id, bytes] : counted_) require(results_.counted.emplace(id, bytes).second);
  }
  void position(OutputPosition position) override {
    output_->mark(position_);
    position_ = position;
  }
  std::unique_ptr<ShardOutput> take() override {
    output_->mark(position_);
    return std::exchange(output_, std::make_unique<ShardOutput>());
  }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (event == ConnectionEvent::opened) require(open_connections_.insert(info.id).second);
    extractor_.connection(info, event);
    if (event != ConnectionEvent::closed) return;
    require(open_connections_.erase(info.id) == 1);
    output_->bytes += "closed " + std::to_string(info.id) + " " + info.protocol + "\n";
    if (info.transport != Transport::tcp) return;
    for (size_t d = 0; d < 2; ++d) counted_[info.id][d] += info.overhead[d].total();
  }
  void opened(const Exchange& exchange) override {
    require(open_exchanges_.insert(exchange.id).second && open_connections_.contains(exchange.id.connection));
    extractor_.opened(exchange);
  }
  void part(const Exchange& exchange, const Part& part) override {
    require(open_exchanges_.contains(exchange.id));
    extractor_.part(exchange, part);
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    require(open_exchanges_.erase(exchange.id) == 1);
    extractor_.closed(exchange, reason);
    for (size_t d = 0; d < 2; ++d) counted_[exchange.id.connection][d] += exchange.messages[d].bytes.total();
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override { extractor_.dns(info, name); }
  void issue(Issue issue) override { issues_.issue(std::move(issue)); }

 private:
  void field(const Field& field) override { writer_.append(output_->bytes, field, {}); }

  Results& results_;
  IssueLog issues_;
  FieldExtractor extractor_;
  FieldJsonWriter writer_;
  OutputPosition position_;
  std::unique_ptr<ShardOutput> output_ = std::make_unique<ShardOutput>();
  std::set<ConnectionId> open_connections_;
  std::set<ExchangeId> open_exchanges_;
  Books counted_;
};

Results run(Bytes file, unsigned threads) {
  Results results;
  IssueLog issues;
  const CaptureMetadata metadata = scan_capture(file);
  SecretStore secrets;
  for (const Bytes log : metadata.tls_key_logs) secrets.load(as_text(log), issues);
  ProcessTable processes;
  for (const std::string& comment : metadata.comments) {
    FlowComment flow;
    if (read_flow_comment(comment, flow)) processes[{flow.client, flow.server}] = flow.process;
  }
  auto reader = open_capture(file, issues);
  if (!reader) return results;

  ExtractLimits limits;
  limits.decoded_bytes_per_part = 1 << 20;
  limits.fields_per_exchange = 20'000;
  Streams streams;
  PipelineOptions options;
  options.threads = threads;
  if (threads == 1) options.observer = &streams;
  options.http.body_bytes = 1 << 20;
  options.http.body_memory = 4 << 10;
  options.http.streams = 20;
  options.consumer = [&](unsigned) { return std::make_unique<Consumer>(results, limits); };
  options.merge = [&](std::span<std::unique_ptr<ShardOutput>> outputs) {
    append_in_order(outputs, results.text);
    return Status();
  };
  require(run_pipeline(**reader, secrets, processes, issues, options).has_value());
  results.issues.merge(issues);
  for (const CountedIssue& row : results.issues.rows()) {
    results.text += std::string(to_string(row.first.cause)) + " " + row.first.what + " x" + std::to_string(row.count) +
                    " at " + std::to_string(row.first.packet) + "\n";
  }
  for (const auto& [id, bytes] : streams.books) require(results.counted[id] == bytes);
  return results;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes file(data, size);
  const Results one = run(file, 1), three = run(file, 3);
  if (one.text != three.text || one.counted != three.counted) {
    std::fprintf(stderr, "--- one thread\n%s--- three threads\n%s", one.text.c_str(), three.text.c_str());
    std::abort();
  }
  return 0;
}
