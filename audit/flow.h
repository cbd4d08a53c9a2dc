// Fields become flows. A FlowCollector stands at the end of one shard's line,
// keeps bounded sums per (host, who asked, type), and is merged with the others
// at the end. What belongs to the subject is decided after that, in
// evaluate(): only then are all hosts known.
//
// The sums do not depend on sharding: counts add up, evidence keeps the
// smallest (packet, exchange, node), sets are ordered. The exception is a
// reached bound (kMaxContexts), which is counted as an issue.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audit/canary.h"
#include "audit/evaluate.h"
#include "audit/finding.h"
#include "capture/exchange.h"
#include "capture/field.h"
#include "capture/ledger.h"

namespace vitrine {

// Who was contacted and what asked for it: the unit of attribution. Hosts are
// lower case without port; empty when not known.
struct FlowContextKey {
  std::string host;
  IpAddress server;
  std::string process;
  std::string referer_host, origin_host, initiator_host;
  auto operator<=>(const FlowContextKey&) const = default;
};

// What a detector that looks across exchanges must remember of one, so that its
// value can be booked after the exchange closed.
struct ExchangeBrief {
  FlowContextKey context;
  ExchangeId id;
  std::string method, url_path;
  bool cleartext = false;
  uint16_t tls_version = 0;
  std::string chain;  // "tls 1.3 > HTTP/2"
};
ExchangeBrief brief_of(const Exchange& exchange);

// Counts distinct values by a keyed 64-bit hash (SipHash-2-4), up to a bound.
// Only the count is ever printed.
class DistinctCount {
 public:
  static constexpr size_t kBound = 1000;
  void add(uint64_t hash) {
    if (hashes_.size() < kBound) hashes_.insert(hash);
  }
  void merge(const DistinctCount& other);
  uint64_t count() const { return hashes_.size(); }
  bool at_least() const { return hashes_.size() >= kBound; }

 private:
  std::set<uint64_t> hashes_;
};

// Events per time bin. The bin width is a power of two of seconds, aligned to
// the epoch, and grows until kMaxBins hold everything.
class TimeBins {
 public:
  static constexpr size_t kMaxBins = 256;
  struct Counts {
    uint64_t requests = 0, values = 0;
  };
  void add(Timestamp time, uint64_t requests, uint64_t values);
  void merge(const TimeBins& other);
  void widen_to(int64_t seconds);  // REQUIRES: a power of two
  int64_t bin_seconds() const { return int64_t{1} << shift_; }
  const std::map<int64_t, Counts>& bins() const { return bins_; }  // by start / bin_seconds()

 private:
  void widen();
  unsigned shift_ = 0;
  std::map<int64_t, Counts> bins_;
};

// All values of one type in one context.
struct FlowCell {
  static constexpr size_t kMaxEvidence = 5;

  uint64_t count = 0;
  std::array<uint64_t, 4> by_observation{};
  Timestamp first, last;
  DistinctCount distinct;
  std::string sample;  // masked value of evidence[0]: raw values are never kept
  std::string sample_digest;
  std::set<std::string, std::less<>> decided_by;  // at most 9
  TransportView transport;
  std::vector<Evidence> evidence;         // smallest first
  std::optional<Evidence> last_evidence;  // largest of all, also when it is in `evidence`

  void merge(FlowCell&& other);
};

struct FlowContext {
  uint64_t requests = 0;
  uint64_t navigations = 0;        // requests for a page of its own (Sec-Fetch-Dest: document)
  Timestamp first, last_time;      // of requests
  std::vector<Evidence> evidence;  // first requests, at most 5
  std::optional<Evidence> last_request;
  uint64_t gpc = 0;  // requests with Sec-GPC: 1
  std::vector<Evidence> gpc_evidence;
  TimeBins bins;
  std::map<TypeId, FlowCell> cells;

  void merge(FlowContext&& other);
};

// A cookie as one host set or received it.
struct CookieKey {
  std::string domain;  // Domain attribute with a leading dot, else the host
  std::string name;
  FlowContextKey context;
  auto operator<=>(const CookieKey&) const = default;
};
struct CookieSight {
  uint64_t set = 0, sent = 0;
  std::optional<int64_t> max_age;  // longest seen, seconds from when it was set
  bool secure = false, http_only = false;
  std::string same_site;
  std::optional<Timestamp> first, last;
  std::vector<Evidence> evidence;
  std::optional<Evidence> last_evidence;
  void merge(CookieSight&& other);
};

// Where packets went, whatever they carried: for the egress rule.
struct EndpointKey {
  std::string name;  // SNI, else first host; empty when nothing named it
  Endpoint server;
  Transport transport = Transport::tcp;
  std::string protocol;
  auto operator<=>(const EndpointKey&) const = default;
};
struct EndpointSight {
  uint64_t connections = 0, bytes = 0;  // client → server, handshakes and framing included
  Timestamp first;
  uint64_t first_packet = 0;
  ConnectionId first_connection = 0;
  void merge(const EndpointSight& other);
};

struct CanaryKey {
  std::string canary, host, encoding;
  auto operator<=>(const CanaryKey&) const = default;
};
struct CanarySight {
  uint64_t count = 0;
  std::vector<Evidence> evidence;
};

class FlowCollector : public FieldSink {
 public:
  static constexpr size_t kMaxContexts = 65'536;
  static constexpr size_t kMaxCookies = 65'536;
  static constexpr size_t kMaxEndpoints = 262'144;

  // REQUIRES: inputs outlives this.
  explicit FlowCollector(const AuditInputs& inputs);
  ~FlowCollector() override;
  FlowCollector(FlowCollector&&) noexcept;
  FlowCollector& operator=(FlowCollector&&) noexcept;

  // Classified fields, part by part.
  void begin_part(const Exchange& exchange, const Part& part) override;
  void field(const Field& field) override;
  void end_part(const Exchange& exchange, const Part& part) override;

  // A value that a cross-exchange detector typed afterwards (drafts).
  struct LateValue {
    Timestamp time;
    uint64_t packet = 0;
    OriginId origin = 0;
    std::string_view path;
    Location location = Location::body;
    std::string_view value;
    TypeId type = 0;
    Observation observation = Observation::probable;
    std::string_view decided_by;  // "detector:draft"
  };
  void late_value(const ExchangeBrief& exchange, const LateValue& value);
  // A value that was booked as `from` under this very type is known to be `to`
  // now: counted once, with the stronger observation. After the merge.
  void raise(const ExchangeBrief& exchange, TypeId type, Observation from, Observation to, std::string_view decided_by);

  // In the order of events: all exchanges of a connection, then the connection.
  void exchange_closed(const Exchange& exchange, CloseReason reason, const std::array<uint64_t, 2>& opaque_bytes);
  void connection_closed(const ConnectionInfo& connection);

  // A name for an address (DNS answer, name resolution block).
  void resolved(const IpAddress& address, std::string_view name);

  void merge(FlowCollector&& other);

  // ---- what evaluate() reads, after finish() ----
  void finish();  // books what is still open
  const std::map<FlowContextKey, FlowContext>& contexts() const;
  const std::map<CookieKey, CookieSight>& cookies() const;
  const std::map<EndpointKey, EndpointSight>& endpoints() const;
  const std::map<CanaryKey, CanarySight>& canaries() const;
  const std::map<IpAddress, std::set<std::string>>& names() const;
  const CoverageLedger& ledger() const;
  const std::vector<IssueCount>& issues() const;  // reached bounds

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
