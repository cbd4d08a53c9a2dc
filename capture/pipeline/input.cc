#include "capture/pipeline/input.h"

#include <algorithm>

#include "base/digest.h"
#include "capture/input/exchange_log.h"
#include "capture/input/har.h"
#include "capture/record/flow_comment.h"

namespace vitrine {
namespace {

// Sources that are read in one go have no packets to batch by: their sink gives
// a consumer positions by connection, and its output is merged when it grows.
class WholeFileSink : public ExchangeSink {
 public:
  WholeFileSink(ShardConsumer& consumer, const Input::Merge& merge) : consumer_(consumer), merge_(merge) {}

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (event == ConnectionEvent::opened) consumer_.position({info.id, 0});
    consumer_.connection(info, event);
    if (event == ConnectionEvent::closed) flush();
  }
  void opened(const Exchange& exchange) override { consumer_.opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { consumer_.part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override { consumer_.closed(exchange, reason); }
  void dns(const ConnectionInfo& info, const DnsName& name) override { consumer_.dns(info, name); }
  void resolved(const IpAddress& ip, std::string_view name) override { consumer_.resolved(ip, name); }
  void issue(Issue issue) override { consumer_.issue(std::move(issue)); }

  void flush() {
    if (!status_) return;
    std::unique_ptr<ShardOutput> output = consumer_.take();
    status_ = merge_(std::span(&output, 1));
    if (output) consumer_.recycle(std::move(output));
  }
  const Status& status() const { return status_; }

 private:
  ShardConsumer& consumer_;
  const Input::Merge& merge_;
  Status status_;
};

}  // namespace

std::string_view to_string(InputFormat format) {
  switch (format) {
    case InputFormat::pcap: return "pcap";
    case InputFormat::pcapng: return "pcapng";
    case InputFormat::har: return "har";
    case InputFormat::exchange_log: return "exchange-log";
  }
  return "?";
}

bool InputSummary::simulated() const {
  for (const std::string& comment : comments) {
    if (comment.find("SIMULATED") != std::string::npos) return true;
  }
  return false;
}

Result<Input> Input::open(const std::string& path, const InputOptions& options, IssueLog& issues) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return tl::unexpected(file.error());
  Input input;
  input.options_ = options;
  input.file_ = std::make_unique<MappedFile>(std::move(*file));
  input.secrets_ = std::make_unique<SecretStore>();
  const Bytes bytes = input.file_->bytes();
  InputSummary& summary = input.summary_;
  summary.path = path;
  summary.bytes = bytes.size();
  summary.was_gzip = input.file_->was_gzip();
  if (input.file_->truncated_gzip()) issues.issue({Cause::truncated, "gzip: the compressed file ends early", 0, 0});
  if (bytes.empty()) return fail(ErrorCode::unreadable, "the file is empty: nothing to read", path);
  if (options.digest) {
    Sha256Stream digest, key;
    key.update(as_bytes("vitrine case key"));
    constexpr size_t kStep = 8 << 20;
    for (size_t at = 0; at < bytes.size(); at += kStep) {
      const Bytes step = bytes.subspan(at, std::min(kStep, bytes.size() - at));
      digest.update(step);
      key.update(step);
      input.file_->drop_pages(at, at + kStep);  // files may be larger than memory
    }
    summary.sha256 = to_hex(digest.digest());
    summary.case_key = as_text(key.digest());
  }
  if (looks_like_capture(bytes)) {
    uint64_t scanned = 0;
    const auto let_go = [&](uint64_t position) {
      input.file_->drop_pages(scanned, position);
      scanned = position;
    };
    CaptureMetadata metadata = scan_capture(
        bytes, let_go, [&](uint64_t offset, std::span<uint8_t> out) { return input.file_->read_at(offset, out); },
        options.threads);
    summary.format = metadata.format == "pcapng" ? InputFormat::pcapng : InputFormat::pcap;
    summary.dropped = metadata.dropped;
    summary.packets = metadata.packets;
    summary.interfaces = metadata.interfaces;
    summary.names = metadata.names;
    for (std::string& comment : metadata.comments) {
      FlowComment flow;
      if (read_flow_comment(comment, flow)) {
        input.processes_[{flow.client, flow.server}] = flow.process;
        input.processes_[{flow.server, flow.client}] = flow.process;
      } else {
        summary.comments.push_back(std::move(comment));
      }
    }
    if (!options.ignore_embedded_secrets) {
      for (const Bytes& log : metadata.tls_key_logs) input.secrets_->load(as_text(log), issues);
    }
  } else if (looks_like_exchange_log(bytes)) {
    summary.format = InputFormat::exchange_log;
    if (std::string comment = exchange_log_comment(bytes); !comment.empty())
      summary.comments.push_back(std::move(comment));
  } else if (looks_like_har(bytes)) {
    summary.format = InputFormat::har;
    if (std::string comment = har_comment(bytes); !comment.empty()) summary.comments.push_back(std::move(comment));
  } else {
    return fail(ErrorCode::unreadable,
                "not a pcap, pcapng, HAR or exchange log file (gzip of either is fine). First bytes: " +
                    to_hex(bytes.first(std::min<size_t>(bytes.size(), 8))),
                path);
  }
  for (const std::string& log : options.key_logs) {
    Result<std::string> text = read_file(log);
    if (!text) return tl::unexpected(text.error());
    input.secrets_->load(*text, issues);
  }
  summary.secrets = input.secrets_->size();
  return input;
}

Status Input::run(IssueLog& issues, const ConsumerFactory& consumer, const Merge& merge, const Progress& progress,
                  StreamObserver* observer) {
  const Bytes bytes = file_->bytes();
  if (summary_.format == InputFormat::har || summary_.format == InputFormat::exchange_log) {
    const std::unique_ptr<ShardConsumer> only = consumer(0);
    WholeFileSink sink(*only, merge);
    const Status read = summary_.format == InputFormat::har ? read_har(bytes, sink) : read_exchange_log(bytes, sink);
    if (!read) {
      Error error = read.error();
      if (error.where.empty()) error.where = summary_.path;
      return tl::unexpected(error);
    }
    only->position({UINT64_MAX, 0});
    sink.flush();
    if (progress) progress(bytes.size(), bytes.size());
    return sink.status();
  }
  auto reader = open_capture(bytes, issues);
  if (!reader) {
    Error error = reader.error();
    error.where = summary_.path;
    return tl::unexpected(error);
  }
  PipelineOptions options;
  options.threads = observer != nullptr ? 1 : options_.threads;
  options.consumer = consumer;
  options.merge = merge;
  options.observer = observer;
  options.http = options_.http;
  if (progress) options.progress = [&](uint64_t done) { progress(done, bytes.size()); };
  file_->read_ahead(0);
  options.release = [this](uint64_t position) {
    file_->release_before(position);
    file_->read_ahead(position);
  };
  Result<PipelineSummary> summary = run_pipeline(**reader, *secrets_, processes_, issues, options);
  if (!summary) return tl::unexpected(summary.error());
  summary_.packets = summary->packets;
  summary_.first = summary->first;
  summary_.last = summary->last;
  return {};
}

}  // namespace vitrine
