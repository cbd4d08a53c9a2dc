// Exchange logs: what is read is written again, and the second reading must
// find a log without a defect and with as many exchanges.
#include <cstdlib>

#include "capture/input/exchange_log.h"

namespace {

struct Sink : vitrine::ExchangeSink {
  explicit Sink(vitrine::ExchangeSink* forward_to) : next(forward_to) {}
  void connection(const vitrine::ConnectionInfo& info, ConnectionEvent event) override {
    if (event == ConnectionEvent::opened) ++connections;
    if (event == ConnectionEvent::closed) --connections;
    if (next) next->connection(info, event);
  }
  void opened(const vitrine::Exchange& exchange) override {
    ++open, ++exchanges;
    if (next) next->opened(exchange);
  }
  void part(const vitrine::Exchange& exchange, const vitrine::Part& part) override {
    ++parts;
    if (next) next->part(exchange, part);
  }
  void closed(const vitrine::Exchange& exchange, vitrine::CloseReason reason) override {
    --open;
    if (next) next->closed(exchange, reason);
  }
  void issue(vitrine::Issue) override { ++issues; }
  vitrine::ExchangeSink* next;
  int connections = 0, open = 0;
  size_t exchanges = 0, parts = 0, issues = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vitrine::Bytes file(data, size);
  (void)vitrine::looks_like_exchange_log(file);
  (void)vitrine::exchange_log_comment(file);
  std::string out = vitrine::exchange_log_head({});
  vitrine::ExchangeLogWriter writer(out);
  Sink first(&writer);
  if (!vitrine::read_exchange_log(file, first)) return 0;
  if (first.connections != 0 || first.open != 0) std::abort();
  Sink second(nullptr);
  if (!vitrine::read_exchange_log(vitrine::as_bytes(out), second)) std::abort();
  if (second.issues != 0 || second.exchanges != first.exchanges || second.parts != first.parts) std::abort();
  return 0;
}
