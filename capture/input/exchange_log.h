// The exchange log: NDJSON that taps and proxies write and `vitrine audit`
// reads. One JSON object a line; docs/exchange-log.md and
// exchange_log.schema.json beside this file define it.
#pragma once

#include <set>
#include <string>
#include <unordered_set>

#include "base/result.h"
#include "capture/exchange.h"

namespace vitrine {

bool looks_like_exchange_log(Bytes file);

// What the first line says. `comment` starts with "SIMULATED" when the log is
// marked so and its comment does not say it itself.
std::string exchange_log_comment(Bytes file);

// A connection is numbered by its line, its exchanges by the order they open
// in: the log's own numbers only tie lines together, so logs may be
// concatenated. Error when the first line is no head of a version that is read;
// a line that breaks the format is counted and passed over.
Status read_exchange_log(Bytes file, ExchangeSink& sink);

// The first line of every log, newline included.
std::string exchange_log_head(bool simulated, std::string_view comment);

// Writes the same format: an ExchangeSink that appends lines to `out`. The
// caller drains `out`. Used by tests now and by the tap and proxy later.
// Bounded by the connections and exchanges that are open.
class ExchangeLogWriter : public ExchangeSink {
 public:
  explicit ExchangeLogWriter(std::string& out) : out_(out) {}
  void connection(const ConnectionInfo&, ConnectionEvent) override;
  void opened(const Exchange&) override;
  void part(const Exchange&, const Part&) override;
  void closed(const Exchange&, CloseReason) override;
  void dns(const ConnectionInfo&, const DnsName&) override;
  void resolved(const IpAddress&, std::string_view name) override;
  void issue(Issue issue) override;

 private:
  void describe(const ConnectionInfo&);  // writes the connection line, once

  std::string& out_;
  std::unordered_set<ConnectionId> described_;
  std::set<ExchangeId> without_request_;  // opened by their response
};

}  // namespace vitrine
