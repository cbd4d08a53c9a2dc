// `vitrine record`: run a command, record its traffic with its TLS secrets and
// the flows of its process tree into one pcapng.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/types.h"

namespace vitrine {

struct RecordOptions {
  std::string interface = "any";
  std::string output;                    // FILE.pcapng; created 0600
  double seconds = 0;                    // stop after; 0 = when the command ends
  double linger_seconds = 1;             // keep recording after the command ended: last packets, key log
  std::vector<std::string> command;      // argv; empty = record until `seconds` or a signal
  std::vector<std::string> comments;     // section comments
  uint64_t buffer_bytes = 256ull << 20;  // kernel ring
  uint32_t snap_length = 262144;
  std::string filter;  // pcap-filter(7), optional
};

struct RecordSummary {
  uint64_t packets = 0, bytes = 0;
  uint64_t dropped_kernel = 0, dropped_interface = 0;
  uint64_t secrets = 0;    // key-log lines embedded
  uint64_t flows = 0;      // tied to the command's process tree
  int command_status = 0;  // as waitpid() gives it
  double seconds = 0;
  bool disk_full = false;  // what came after the disk was full is not in the file
};

// Runs on the caller's thread until done; SIGINT and SIGTERM stop it cleanly
// (the file is complete then too). Error `unreadable` without the capability,
// with what to grant.
using RecordProgress = std::function<void(const RecordSummary&)>;
Result<RecordSummary> record(const RecordOptions& options, const RecordProgress& progress);

}  // namespace vitrine
