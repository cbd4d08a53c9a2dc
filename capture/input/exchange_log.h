// The exchange log: NDJSON that taps and proxies write and `vitrine audit`
// reads. One JSON object a line; docs/exchange-log.md and
// capture/input/exchange_log.schema.json define it.
#pragma once

#include <string>

#include "base/result.h"
#include "capture/exchange.h"

namespace vitrine {

bool looks_like_exchange_log(Bytes file);
Status read_exchange_log(Bytes file, ExchangeSink& sink);

// The first line of every log, newline included.
std::string exchange_log_head(bool simulated, std::string_view comment);

// Writes the same format: an ExchangeSink that appends lines to `out`. The
// caller drains `out`. Used by tests now and by the tap and proxy later.
class ExchangeLogWriter : public ExchangeSink {
 public:
  explicit ExchangeLogWriter(std::string& out) : out_(out) {}
  void connection(const ConnectionInfo&, ConnectionEvent) override;
  void opened(const Exchange&) override;
  void part(const Exchange&, const Part&) override;
  void closed(const Exchange&, CloseReason) override;

 private:
  std::string& out_;
};

}  // namespace vitrine
