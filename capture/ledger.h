// The coverage ledger: every stream byte of the capture, per host and
// direction, by what became of it. Bytes in = bytes accounted, exactly: each
// byte comes in once, by connection() or by exchange().
#pragma once

#include <array>
#include <map>
#include <string>
#include <unordered_map>

#include "capture/exchange.h"

namespace vitrine {

// One per shard, one thread; merge() afterwards. The rows do not depend on how
// connections were spread over shards as long as the host bound is not reached.
class CoverageLedger {
 public:
  struct Row {
    std::array<ByteCounts, 2> bytes;  // indexed by Direction
  };
  // Host names beyond this many share one row, kOtherHosts.
  static constexpr size_t kMaxHosts = 65'536;
  static constexpr const char* kOtherHosts = "(other hosts)";

  // The messages of a closed exchange. `opaque`: bytes per direction that were
  // decoded down to a blob nothing opens (FieldExtractor::opaque_bytes); they
  // move from decoded to opaque. Bytes go to Exchange::host.
  void exchange(const Exchange& exchange, const std::array<uint64_t, 2>& opaque);

  // A closed connection: its overhead goes to the SNI, else to the host of its
  // first exchange, else to the server's address. Call after its exchanges.
  void connection(const ConnectionInfo& connection);

  // Adds directly: for tests and for sources that count on their own.
  void add(const std::string& host, Direction direction, const ByteCounts& bytes);

  void merge(CoverageLedger&& other);

  const std::map<std::string, Row>& rows() const { return rows_; }  // by host
  std::array<ByteCounts, 2> totals() const;

 private:
  Row& row(const std::string& host);

  std::map<std::string, Row> rows_;
  // First exchange of each open connection: ordinal and host.
  std::unordered_map<ConnectionId, std::pair<uint32_t, std::string>> first_hosts_;
};

// Host under which a connection's own bytes and properties are listed.
std::string host_of(const ConnectionInfo& connection, const std::string& first_exchange_host = {});

}  // namespace vitrine
