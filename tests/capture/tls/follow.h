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
  void on_bytes(Direction direction, Cause cause, uint64_t bytes) override {
    counts[static_cast<size_t>(direction)].add(cause, bytes);
  }
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

Collector follow(const std::vector<Wire>& wire, const std::string& key_log, Chunking chunking = Chunking::whole,
                 unsigned seed = 1);
Collector feed(const std::vector<StreamChunk>& chunks, const std::string& key_log);

inline constexpr Direction kC2s = Direction::client_to_server, kS2c = Direction::server_to_client;

// Some printable bytes that do not repeat with the record size.
std::string text(size_t size, unsigned from = 0);

// A short conversation with records from one byte to the largest.
void converse(Peers::Connection& connection);

// Everything was opened, in order, and every raw byte is accounted for once.
void expect_whole(const Transcript& transcript, const Collector& got);
void expect_whole_in_all_chunkings(const Transcript& transcript, const std::string& keys);

// Without any key: exactly the bytes of protected records are no_key.
void expect_no_key(const Transcript& transcript, const std::string& keys = {});

// Bytes of protected records with their headers, found without the product's
// code: TLS 1.3 = records of type 23; TLS 1.2 = all after ChangeCipherSpec.
uint64_t protected_bytes(const Transcript& transcript, Direction direction);

struct RawRecord {
  uint64_t offset;
  size_t size;
  uint8_t type;
};
std::vector<RawRecord> records_of(const Transcript& transcript, Direction direction);

// The lines of a key log without those that begin with one of `labels`.
std::string without(const std::string& key_log, const std::vector<std::string>& labels);

}  // namespace vitrine::test
