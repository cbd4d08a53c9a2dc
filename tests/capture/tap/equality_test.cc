// A tap's audit is a packet audit: the same plaintext gives the same fields,
// whether it was seen on the wire or handed over by the server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "capture/fields/field_extractor.h"
#include "tests/capture/pipeline/run_input.h"
#include "tests/capture/tap/tap_replay.h"

namespace vitrine {
namespace {

// Every field as one line without the numbers that name packets or lines.
class Lines : public ShardConsumer, private FieldSink {
 public:
  Lines(std::vector<std::string>& exchanges, std::vector<std::string>& connections)
      : exchanges_(exchanges), connections_(connections) {}
  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override { extractor_.connection(info, event); }
  void opened(const Exchange& exchange) override { extractor_.opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { extractor_.part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override {
    extractor_.closed(exchange, reason);
    std::string line = "closed " + exchange.url() + " " + std::to_string(exchange.status);
    for (const Message& m : exchange.messages) {
      line += " " + m.sha256 + " " + std::to_string(m.content_bytes);
      for (const uint64_t bytes : m.bytes.by_cause) line += "," + std::to_string(bytes);
    }
    exchanges_.push_back(line);
  }
  void field(const Field& field) override {
    const Exchange& exchange = *field.exchange;
    std::string line = exchange.connection->client.to_string() + " " + exchange.host + " " + exchange.method + " " +
                       exchange.path + " " + exchange.process + " " + std::string(to_string(field.direction)) + " " +
                       std::string(field.path) + " " + std::string(to_string(field.value_type)) +
                       (field.cut ? " cut " : " ") + (field.opaque ? "opaque " : "") + to_rfc3339(field.time) + " " +
                       std::string(field.value);
    (exchange.id.ordinal == 0 ? connections_ : exchanges_).push_back(line);
  }

 private:
  std::vector<std::string>& exchanges_;
  std::vector<std::string>& connections_;
  FieldExtractor extractor_{*this};
};

struct Read {
  std::vector<std::string> exchanges, connections;
  explicit Read(const std::string& path) {
    IssueLog issues;
    Result<Input> input = Input::open(path, {}, issues);
    EXPECT_TRUE(input) << input.error().to_string();
    const Status status = input->run(
        issues, [&](unsigned) { return std::make_unique<Lines>(exchanges, connections); },
        [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); });
    EXPECT_TRUE(status) << status.error().to_string();
    std::sort(exchanges.begin(), exchanges.end());
    std::sort(connections.begin(), connections.end());
  }
};

// HTTP/1.1 and HTTP/2, WebSocket, Server-Sent Events, compressed bodies: Chromium and curl against the Aster servers.
TEST(TapEquality, TheAsterRecordingsSaidToATapGiveTheSameFields) {
  for (const char* scenario : {"baseline", "keystroke", "clean"}) {
    const std::string capture = kAster + scenario + ".pcapng";
    const std::string log =
        testing::TempDir() + "vitrine-equality-" + std::to_string(getpid()) + "-" + scenario + ".ndjson";
    tap_capture(capture, {.path = log, .simulated = true});
    const Read packets(capture), tapped(log);
    std::filesystem::remove(log);
    EXPECT_GT(tapped.exchanges.size(), 500u);
    ASSERT_EQ(packets.exchanges.size(), tapped.exchanges.size()) << scenario;
    for (size_t i = 0; i < packets.exchanges.size(); ++i) ASSERT_EQ(packets.exchanges[i], tapped.exchanges[i]);
    // Its connections are those that speak HTTP; what is known of them is the same.
    EXPECT_GT(tapped.connections.size(), 20u);
    EXPECT_TRUE(std::includes(packets.connections.begin(), packets.connections.end(), tapped.connections.begin(),
                              tapped.connections.end()))
        << scenario;
  }
}

}  // namespace
}  // namespace vitrine
