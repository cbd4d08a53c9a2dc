// Exchanges → lines of a tap's log. Between the parsers and LogFile: what
// belongs to an exchange whose beginning the log has lost is not written.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "capture/input/exchange_log.h"
#include "capture/tap/log_file.h"

namespace vitrine {

class LogSink : public ExchangeSink {
 public:
  explicit LogSink(LogFile& file);
  void connection(const ConnectionInfo&, ConnectionEvent) override;
  void opened(const Exchange&) override;
  void part(const Exchange&, const Part&) override;
  void closed(const Exchange&, CloseReason) override;
  void issue(Issue issue) override;

  void hand_over();                              // the lines made so far, to the file
  void end(Timestamp time);                      // the last line
  uint64_t skipped() const { return skipped_; }  // events of exchanges that the log has lost

 private:
  void check_generation();
  bool follows(const Exchange& exchange);

  LogFile& file_;
  uint64_t generation_;
  std::string out_;
  std::optional<ExchangeLogWriter> writer_;
  std::set<ExchangeId> open_;
  uint64_t skipped_ = 0;
};

}  // namespace vitrine
