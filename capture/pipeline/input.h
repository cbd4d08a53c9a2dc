// One input file, whatever its format, run through a consumer: the edge where
// files meet parsers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "capture/pipeline/pipeline.h"

namespace vitrine {

enum class InputFormat : uint8_t { pcap, pcapng, har, exchange_log };
std::string_view to_string(InputFormat format);

struct InputOptions {
  std::vector<std::string> key_logs;  // paths of SSLKEYLOGFILEs, besides secrets in the file
  unsigned threads = 1;
  bool digest = false;                   // compute sha256 and case_key of the file (a pass over it)
  bool ignore_embedded_secrets = false;  // audit what an observer without keys sees
  HttpLimits http;                       // of packet captures
};

// What is known of an input besides its exchanges.
struct InputSummary {
  std::string path;
  std::string sha256;  // hex, of the (uncompressed) bytes; empty unless asked for
  // SHA-256 of "vitrine case key" and the file: a key that only holders of the
  // recording can make, so that equal input gives equal digests in a report
  // without letting its readers try values out. Empty unless asked for.
  std::string case_key;
  uint64_t bytes = 0;
  InputFormat format = InputFormat::pcap;
  bool was_gzip = false;
  std::vector<std::string> comments;  // section comments
  std::vector<std::string> interfaces;
  uint64_t packets = 0, dropped = 0;
  uint64_t secrets = 0;           // key-log lines held for it
  std::vector<NameRecord> names;  // name resolution blocks
  Timestamp first, last;
  bool simulated() const;  // a comment says SIMULATED
};

// An opened input. Owns the mapped file; run() may be called repeatedly.
class Input {
 public:
  static Result<Input> open(const std::string& path, const InputOptions& options, IssueLog& issues);

  InputFormat format() const { return summary_.format; }
  const InputSummary& summary() const { return summary_; }
  const SecretStore& secrets() const { return *secrets_; }
  Bytes bytes() const { return file_->bytes(); }

  using ConsumerFactory = std::function<std::unique_ptr<ShardConsumer>(unsigned shard)>;
  using Merge = std::function<Status(std::span<std::unique_ptr<ShardOutput>>)>;
  using Progress = std::function<void(uint64_t done, uint64_t total)>;
  Status run(IssueLog& issues, const ConsumerFactory& consumer, const Merge& merge, const Progress& progress = {},
             StreamObserver* observer = nullptr);

 private:
  Input() = default;
  std::unique_ptr<MappedFile> file_;
  std::unique_ptr<SecretStore> secrets_;
  ProcessTable processes_;
  InputSummary summary_;
  InputOptions options_;
};

}  // namespace vitrine
