// Bounded sums over values: what a FlowCollector keeps per context and type.
// Everything merges, and the result does not depend on the order of merging:
// counts add up, evidence keeps the smallest (packet, exchange, node).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "audit/finding.h"
#include "capture/types.h"

namespace vitrine {

inline constexpr size_t kMaxEvidence = 5;

// Who was contacted and what asked for it: the unit of attribution. Hosts are
// lower case without port; empty when not known.
struct FlowContextKey {
  std::string host;
  IpAddress server;
  std::string process;
  std::string referer_host, origin_host, initiator_host;
  bool asked() const { return !referer_host.empty() || !origin_host.empty() || !initiator_host.empty(); }
  auto operator<=>(const FlowContextKey&) const = default;
};

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

// A place, with the value that lies there as it is printed.
struct Sighting {
  Evidence at;
  std::string sample, digest;  // masked; HMAC under the case key. Raw values are never kept
};

// Values of one type in one context that were observed with one strength. What
// is shown for an observation is taken from its own values, never from surer or
// less sure ones.
struct ObservedValues {
  Observation observation = Observation::none;
  uint64_t count = 0;
  Timestamp first, last;
  std::vector<Sighting> sightings;        // at most kMaxEvidence, smallest first
  std::optional<Evidence> last_evidence;  // largest of all, also when it is in `sightings`

  void count_in(Timestamp time);
  void keep(Sighting&& fresh);
  void merge(ObservedValues&& other);
  // Takes one value away again, and its sighting when that is one of those kept.
  std::optional<Sighting> take(const Evidence& at);
};

// Values that went in one way over the wire (in cleartext, in a URL, with one
// TLS version): how many, and evidence of the surest.
struct TransportSight {
  uint64_t count = 0;
  Observation observation = Observation::none;
  std::vector<Evidence> evidence;  // of that observation; at most kMaxEvidence

  void keep(Observation fresh, Evidence at);  // does not count
  void merge(TransportSight&& other);
};

// All values of one type in one context.
struct FlowCell {
  std::vector<ObservedValues> values;  // strongest first, one each; empty = nothing was booked
  DistinctCount distinct;
  std::set<std::string, std::less<>> decided_by;  // at most 9
  TransportSight cleartext, in_url, oldest_tls;
  uint16_t lowest_tls = 0;  // of `oldest_tls`; 0 = no TLS seen

  ObservedValues& of(Observation observation);  // adds it
  uint64_t count() const;
  void add_decider(std::string_view name);
  void merge(FlowCell&& other);
};

// Short values that nothing opens. Each alone is too small to be called opaque
// (most are tokens and ids), but what they hold was not read.
struct UnreadValues {
  uint64_t values = 0;
  uint64_t most_in_message = 0;    // bytes, of those that are no digests or ids by their form
  std::vector<Evidence> evidence;  // at most kMaxEvidence
  void merge(UnreadValues&& other);
};

struct FlowContext {
  uint64_t requests = 0;
  uint64_t navigations = 0;        // requests for a page of its own (Sec-Fetch-Dest: document)
  uint64_t of_browser = 0;         // requests with fetch metadata (Sec-Fetch-Site), which browsers send
  Timestamp first, last_time;      // of requests
  std::vector<Evidence> evidence;  // first requests, at most kMaxEvidence
  std::optional<Evidence> last_request;
  uint64_t gpc = 0;  // requests with Sec-GPC: 1
  std::vector<Evidence> gpc_evidence;
  UnreadValues unread;
  // Of a context without anybody who asked: who asked on the same connections
  // (at most 64), and connections on which nobody did, or whose company is not known.
  std::set<FlowContextKey> company;
  uint64_t alone = 0;
  TimeBins bins;
  std::map<TypeId, FlowCell> cells;

  void keep_company(const FlowContextKey& other);
  void merge(FlowContext&& other);
};

// A cookie as one host set or received it.
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
struct EndpointSight {
  uint64_t connections = 0, bytes = 0;  // client → server, handshakes and framing included
  Timestamp first;
  uint64_t first_packet = 0;
  ConnectionId first_connection = 0;
  void merge(const EndpointSight& other);
};

struct CanarySight {
  uint64_t count = 0;
  std::vector<Evidence> evidence;
};

void keep_smallest(std::vector<Evidence>& kept, Evidence fresh, size_t bound = kMaxEvidence);
void keep_largest(std::optional<Evidence>& kept, std::optional<Evidence> fresh);

}  // namespace vitrine
