// Feeds a transcript to a TlsSession in some chunking and collects what comes out.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "capture/tls/tls_session.h"
#include "peer.h"

namespace vitrine::test {

class Collector : public TlsSink {
 public:
  void on_tls_info(const TlsInfo& info) override {
    last_info = info;
    ++infos;
  }
  void on_plaintext(const StreamChunk& chunk, StreamSpan record) override;
  void on_bytes(Direction direction, Cause cause, uint64_t bytes) override { counts[static_cast<size_t>(direction)].add(cause, bytes); }
  void issue(Issue issue) override { ++issues[issue.what]; }

  // data bytes + bytes accounted for by cause
  uint64_t total(Direction direction) const {
    return data[static_cast<size_t>(direction)].size() + counts[static_cast<size_t>(direction)].total();
  }

  TlsInfo last_info;
  int infos = 0;
  std::string data[2];
  uint64_t next_offset[2] = {0, 0};  // of the plaintext stream, gaps included
  uint64_t gaps[2] = {0, 0}, gap_chunks[2] = {0, 0};
  int closes[2] = {0, 0};
  bool continuous = true;
  ByteCounts counts[2];
  std::map<std::string, int> issues;
  std::vector<Direction> order;  // of data chunks
};

// Ignores issues.
struct Silent : IssueSink {
  void issue(Issue) override {}
};

// As the wire carried it, each piece cut by `cut(size left)` (0 = whole).
enum class Chunking { whole, bytes, random };
std::vector<StreamChunk> chunks_of(const std::vector<Wire>& wire, Chunking chunking, unsigned seed = 1);

Collector follow(const std::vector<Wire>& wire, const std::string& key_log, Chunking chunking = Chunking::whole, unsigned seed = 1);
Collector feed(const std::vector<StreamChunk>& chunks, const std::string& key_log);

}  // namespace vitrine::test
