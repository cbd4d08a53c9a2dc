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
#include "audit/flow_sums.h"
#include "capture/exchange.h"
#include "capture/field.h"
#include "capture/ledger.h"

namespace vitrine {

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

// A cookie as one host set or received it.
struct CookieKey {
  std::string domain;  // Domain attribute with a leading dot, else the host
  std::string name;
  FlowContextKey context;
  auto operator<=>(const CookieKey&) const = default;
};

// Where packets went, whatever they carried: for the egress rule.
struct EndpointKey {
  std::string name;  // SNI, else first host; empty when nothing named it
  Endpoint server;
  Transport transport = Transport::tcp;
  std::string protocol;
  auto operator<=>(const EndpointKey&) const = default;
};

struct CanaryKey {
  std::string canary, host, encoding;
  auto operator<=>(const CanaryKey&) const = default;
};
class FlowCollector : public FieldSink {
 public:
  static constexpr size_t kMaxContexts = 16'384;
  static constexpr size_t kMaxCookies = 4'096;
  static constexpr size_t kMaxEndpoints = 65'536;

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
  // A value that was booked as `from` under its very type is known with
  // value.observation now: counted once, with its evidence there. After the merge.
  void raise(const ExchangeBrief& exchange, const LateValue& value, Observation from);

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
