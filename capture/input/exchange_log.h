// The exchange log: NDJSON that taps and proxies write and `vitrine audit`
// reads. One JSON object a line; docs/exchange-log.md and
// exchange_log.schema.json beside this file define it.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>

#include "base/result.h"
#include "capture/exchange.h"

namespace vitrine {

class JsonWriter;

inline constexpr std::string_view kExchangeLogMagic = "vitrine-exchange-log";

bool looks_like_exchange_log(Bytes file);

// What the first line says. `comment` starts with "SIMULATED" when the log is
// marked so and its comment does not say it itself.
std::string exchange_log_comment(Bytes file);

// Reads a log that comes in pieces: a file that is still being written, a pipe.
//
// A connection is numbered by its line, its exchanges by the order they open
// in: the log's own numbers only tie lines together, so logs may be
// concatenated. A line that breaks the format is counted and passed over.
// Holds one line at most (512 MiB; of a longer one nothing), and what is open.
class ExchangeLogReader {
 public:
  // `sink` is borrowed; it hears of a line when its newline has come.
  explicit ExchangeLogReader(ExchangeSink& sink);
  ~ExchangeLogReader();

  // The next bytes of the log, cut anywhere. Error when the first line is no
  // head of a version that is read; nothing is read from then on.
  Status feed(Bytes bytes);
  // The log ends here: a last line without newline is read, and what is open
  // closes. Error as above. Idempotent.
  Status finish();
  // The last head's end line was read: its writer has closed the log.
  bool ended() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same for a whole file; lines are read where they lie.
Status read_exchange_log(Bytes file, ExchangeSink& sink);

// The first line of every log, newline included.
struct ExchangeLogHead {
  bool simulated = false;
  std::string comment = {};
  RecordedContent content = RecordedContent::full;
  bool ends = false;  // the writer will write an end line: without it, the log is not complete
};
std::string exchange_log_head(const ExchangeLogHead& head);

// Writes the same format: an ExchangeSink that appends lines to `out`. The
// caller drains `out` between calls. Bounded by the connections and exchanges
// that are open.
class ExchangeLogWriter : public ExchangeSink {
 public:
  // `drain`, when given, is called inside a line whenever `out` is about kDrain
  // long, and should empty it: so that a line may be longer than what memory
  // is meant to hold.
  static constexpr size_t kDrain = 256 << 10;
  explicit ExchangeLogWriter(std::string& out, std::function<void()> drain = {})
      : out_(out), drain_(std::move(drain)) {}
  void connection(const ConnectionInfo&, ConnectionEvent) override;
  void opened(const Exchange&) override;
  void part(const Exchange&, const Part&) override;
  void closed(const Exchange&, CloseReason) override;
  void dns(const ConnectionInfo&, const DnsName&) override;
  void resolved(const IpAddress&, std::string_view name) override;
  void issue(Issue issue) override;
  void end(Timestamp time);  // the last line; 0: without a time

 private:
  void describe(const ConnectionInfo&);  // writes the connection line, once
  void write_content(JsonWriter& json, Bytes content);

  std::string& out_;
  std::function<void()> drain_;
  std::unordered_set<ConnectionId> described_;
  std::set<ExchangeId> without_request_;  // opened by their response
};

}  // namespace vitrine
