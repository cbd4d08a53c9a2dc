// Runs an input through the whole capture line and keeps what a test asks about.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "capture/pipeline/input.h"

namespace vitrine {

inline const std::string kAster = std::string(VITRINE_SOURCE_DIR) + "/examples/aster/aster-";

// Bytes of one connection, both directions: everything the line accounted.
struct ConnectionBytes {
  ByteCounts counts[2];
  std::string sni, protocol, process, server;
  Transport transport = Transport::tcp;
  bool operator==(const ConnectionBytes& other) const {
    return counts[0].by_cause == other.counts[0].by_cause && counts[1].by_cause == other.counts[1].by_cause &&
           sni == other.sni && protocol == other.protocol && process == other.process;
  }
};

struct RunResult {
  std::string text;  // every event, in merged order
  std::map<ConnectionId, ConnectionBytes> connections;
  std::map<ConnectionId, std::string> exchanges;  // their events, by connection
  std::vector<CountedIssue> issues;
  InputSummary summary;
};

class RecordingConsumer : public ShardConsumer {
 public:
  struct Output : ShardOutput {
    std::map<ConnectionId, ConnectionBytes> connections;
    std::map<ConnectionId, std::string> exchanges;
  };
  explicit RecordingConsumer(IssueLog& issues) : issues_(issues) {}

  void position(OutputPosition position) override {
    output_->mark(position_);
    position_ = position;
  }
  std::unique_ptr<ShardOutput> take() override {
    output_->mark(position_);
    return std::exchange(output_, std::make_unique<Output>());
  }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    say(info.id, "connection " + std::to_string(info.id) + " " + std::to_string(static_cast<int>(event)) + " " +
                     info.client.to_string() + " " + info.server.to_string() + " " + info.protocol + " " +
                     info.tls_info.sni + " " + info.tls_info.ja4 + " " + info.process);
    if (event != ConnectionEvent::closed) return;
    ConnectionBytes& bytes = output_->connections[info.id];
    for (size_t d = 0; d < 2; ++d) bytes.counts[d] += info.overhead[d];
    bytes.sni = info.tls_info.sni;
    bytes.protocol = info.protocol;
    bytes.process = info.process;
    bytes.server = info.server.to_string();
    bytes.transport = info.transport;
  }
  void opened(const Exchange& exchange) override {
    say(exchange.id.connection, "open " + exchange.id.to_string() + " " + exchange.method + " " + exchange.url());
  }
  void part(const Exchange& exchange, const Part& part) override {
    std::string line = "part " + exchange.id.to_string() + " " + std::to_string(static_cast<int>(part.kind)) + " " +
                       std::to_string(part.time.ns) + " " + std::to_string(part.wire_bytes);
    for (const HeaderField& header : part.headers)
      line += "\n  " + std::string(header.name) + ": " + std::string(header.value);
    line += "\n  ";
    line += as_text(part.content);
    say(exchange.id.connection, line);
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    say(exchange.id.connection, "close " + exchange.id.to_string() + " " + std::string(to_string(reason)) + " " +
                                    exchange.message(Direction::client_to_server).sha256 + " " +
                                    exchange.message(Direction::server_to_client).sha256);
    for (size_t d = 0; d < 2; ++d) output_->connections[exchange.id.connection].counts[d] += exchange.messages[d].bytes;
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override { say(info.id, "dns " + std::string(name.name)); }
  void resolved(const IpAddress& ip, std::string_view name) override {
    output_->bytes += "resolved " + ip.to_string() + " " + std::string(name) + "\n";
  }
  void issue(Issue issue) override { issues_.issue(std::move(issue)); }

 private:
  void say(ConnectionId connection, const std::string& line) {
    output_->bytes += line + "\n";
    output_->exchanges[connection] += line + "\n";
  }
  IssueLog& issues_;
  OutputPosition position_;
  std::unique_ptr<Output> output_ = std::make_unique<Output>();
};

inline RunResult run_input(const std::string& path, InputOptions options = {}) {
  RunResult result;
  IssueLog issues;
  Result<Input> input = Input::open(path, options, issues);
  EXPECT_TRUE(input) << input.error().to_string();
  if (!input) return result;
  std::vector<std::unique_ptr<IssueLog>> logs;
  const Status status = input->run(
      issues,
      [&](unsigned) {
        logs.push_back(std::make_unique<IssueLog>());
        return std::make_unique<RecordingConsumer>(*logs.back());
      },
      [&](std::span<std::unique_ptr<ShardOutput>> outputs) {
        append_in_order(outputs, result.text);
        for (const auto& output : outputs) {
          auto& recorded = static_cast<RecordingConsumer::Output&>(*output);
          for (const auto& [id, bytes] : recorded.connections) {
            ConnectionBytes& all = result.connections[id];
            const ByteCounts before[2] = {all.counts[0], all.counts[1]};
            const bool final = !bytes.protocol.empty();
            if (final) all = bytes;
            else
              for (size_t d = 0; d < 2; ++d) all.counts[d] += bytes.counts[d];
            if (final)
              for (size_t d = 0; d < 2; ++d) all.counts[d] += before[d];
          }
          for (const auto& [id, text] : recorded.exchanges) result.exchanges[id] += text;
        }
        return Status();
      });
  EXPECT_TRUE(status) << status.error().to_string();
  for (const auto& log : logs) issues.merge(*log);
  result.issues = issues.rows();
  result.summary = input->summary();
  return result;
}

}  // namespace vitrine
