// The working state of a FlowCollector. Internal to flow.cc (values) and
// flow_connections.cc (requests, cookies, connections).
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "audit/flow.h"
#include "audit/flow_text.h"

namespace vitrine {

struct FlowCollector::State {
  explicit State(const AuditInputs& given)
      : inputs(&given), canary(given.context.secrets), key(sip_key(given.case_key)) {
    ip_public = given.taxonomy->find("network.ip-public");
    ip_local = given.taxonomy->find("network.ip-local");
  }

  const AuditInputs* inputs;
  CanaryMatcher canary;
  SipKey key;
  TypeId ip_public = 0, ip_local = 0;

  std::map<FlowContextKey, FlowContext> contexts;
  std::map<CookieKey, CookieSight> cookies;
  std::map<EndpointKey, EndpointSight> endpoints;
  std::map<CanaryKey, CanarySight> canaries;
  std::map<IpAddress, std::set<std::string>> names;
  CoverageLedger ledger;
  std::vector<IssueCount> issues;

  // The exchange of the part being read.
  ExchangeBrief brief;
  FlowContext* context = nullptr;
  std::vector<FlowCell*> cells;  // by type, of `context`
  std::string part_chain;
  uint64_t part_values = 0;
  UnreadValues part_unread;
  bool have_brief = false;
  std::vector<CanaryMatcher::Match> matches;

  // What was seen on a connection before it is known who asked for it: booked
  // under each of its exchanges' contexts when it closes.
  struct HeldValue {
    LateValue value;
    std::string text, path, decided_by;
  };
  static constexpr size_t kMaxConnectionContexts = 64;
  struct OpenConnection {
    std::vector<HeldValue> held;                      // at most 64
    std::set<FlowContextKey> contexts;                // at most kMaxConnectionContexts
    std::pair<uint32_t, std::string> first{~0u, {}};  // first exchange's ordinal and host
    uint64_t bytes = 0;                               // of its exchanges, client → server
  };
  std::map<ConnectionId, OpenConnection> open;

  // Of values that were booked: what the report shows of them.
  Evidence evidence_of(const ExchangeBrief& from, const LateValue& value, std::string_view chain) const {
    return evidence_of(from, value.time, value.packet, value.origin, value.path, chain);
  }
  Sighting sighting_of(const LateValue& value, Evidence at) const;

  void note(const char* what, uint64_t packet);
  FlowContext& context_of(const FlowContextKey& wanted, uint64_t packet);
  void enter(const Exchange& exchange, uint64_t packet);
  void book(const ExchangeBrief& from, FlowCell& cell, const LateValue& value, std::string_view chain, bool in_url);
  Evidence evidence_of(const ExchangeBrief& from, Timestamp time, uint64_t packet, OriginId origin,
                       std::string_view path, std::string_view chain) const;
  void cookie(const Exchange& exchange, const Part& part, std::string_view name, const CookieAttributes* attributes);
  void headers(const Exchange& exchange, const Part& part);
  void close(ConnectionId id, const ConnectionInfo* info);
  void look_for_canaries(const Field& field);
  void note_unread(const Field& field);
};

}  // namespace vitrine
