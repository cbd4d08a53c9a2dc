#include "capture/tap/log_sink.h"

#include "base/json_writer.h"

namespace vitrine {

LogSink::LogSink(LogFile& file) : file_(file), generation_(file.generation()) {
  writer_.emplace(out_, [this] { file_.append(generation_, out_, false); });
}

void LogSink::check_generation() {
  const uint64_t now = file_.generation();
  if (now == generation_) return;
  // The file has a new head: connections have to be described again, and what
  // is open has lost its beginning.
  hand_over();
  generation_ = now;
  open_.clear();
  writer_.emplace(out_, [this] { file_.append(generation_, out_, false); });
}

bool LogSink::follows(const Exchange& exchange) {
  check_generation();
  if (open_.contains(exchange.id)) return true;
  ++skipped_;
  return false;
}

void LogSink::connection(const ConnectionInfo& info, ConnectionEvent event) {
  check_generation();
  writer_->connection(info, event);
}

void LogSink::opened(const Exchange& exchange) {
  check_generation();
  open_.insert(exchange.id);
  writer_->opened(exchange);
}

void LogSink::part(const Exchange& exchange, const Part& part) {
  if (follows(exchange)) writer_->part(exchange, part);
}

void LogSink::closed(const Exchange& exchange, CloseReason reason) {
  if (!follows(exchange)) return;
  open_.erase(exchange.id);
  writer_->closed(exchange, reason);
}

void LogSink::issue(Issue issue) {
  check_generation();
  issue.packet = 0;  // there are no packets
  writer_->issue(std::move(issue));
}

void LogSink::hand_over() {
  if (!out_.empty()) file_.append(generation_, out_, true);
}

void LogSink::end(Timestamp time) {
  check_generation();
  writer_->end(time);
  hand_over();
}

}  // namespace vitrine
