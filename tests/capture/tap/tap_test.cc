#include "capture/tap/tap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.h"
#include "capture/input/exchange_log.h"
#include "tests/capture/input/exchange_text.h"

namespace vitrine {
namespace {

using testing::HasSubstr;
using testing::Not;

const Direction kUp = Direction::client_to_server, kDown = Direction::server_to_client;

Timestamp at(int64_t ms) { return {1'800'000'000'000'000'000 + ms * 1'000'000}; }

class TapTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "vitrine-tap-" + std::to_string(getpid()) + "-" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/tap.ndjson";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Tap> open(TapOptions options = {}) {
    options.path = path_;
    Result<std::unique_ptr<Tap>> tap = Tap::open(options);
    EXPECT_TRUE(tap) << tap.error().to_string();
    return std::move(*tap);
  }
  std::string log() const { return *read_file(path_); }
  // The log as its reader understands it, with issues.
  std::string read() const {
    const std::string text = log();
    ExchangeText sink(as_bytes(text));
    const Status status = read_exchange_log(as_bytes(text), sink);
    EXPECT_TRUE(status) << status.error().message;
    return sink.text;
  }

  std::string folder_, path_;
};

TapPeer loopback() {
  TapPeer peer;
  peer.client = {IpAddress::parse("127.0.0.1"), 50001};
  peer.server = {IpAddress::parse("127.0.0.1"), 8080};
  return peer;
}

void say(TapConnection& connection, Direction direction, std::string_view text, int64_t ms) {
  connection.bytes(direction, as_bytes(text), at(ms));
}

TEST_F(TapTest, WritesWhatWasSaidAsAnExchangeLog) {
  const auto tap = open({.simulated = true, .comment = "a test"});
  const auto connection = tap->connection(loopback(), at(0));
  say(*connection, kUp, "POST /v1/chat?lang=ko HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n",
      1);
  say(*connection, kUp, "Content-Length: 17\r\n\r\n{\"prompt\":\"hi\"}  ", 2);
  say(*connection, kDown, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"t\":\"one\"}\n\n", 3);
  tap->flush();
  // Seen while it is open, event by event.
  EXPECT_THAT(log(), HasSubstr(R"("content":"{\"t\":\"one\"}")"));
  say(*connection, kDown, "data: [DONE]\n\n", 4);
  connection->close(kDown, at(5));
  connection->close(kUp, at(6));
  ASSERT_TRUE(tap->close(at(7)));
  const std::string text = read();
  EXPECT_THAT(text, Not(HasSubstr("issue")));
  EXPECT_THAT(text, HasSubstr("POST"));
  EXPECT_THAT(text, HasSubstr("/v1/chat?lang=ko"));
  EXPECT_THAT(text, HasSubstr("[DONE]"));
  EXPECT_THAT(log(), HasSubstr("{\"type\":\"end\""));
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const TapStatus counts = tap->status();
  EXPECT_EQ(counts.connections, 1u);
  EXPECT_EQ(counts.exchanges, 1u);
  EXPECT_EQ(counts.log_bytes + log().find('\n') + 1, log().size());
}

TEST_F(TapTest, ALogThatIsThereIsRefusedUnlessAppended) {
  ASSERT_TRUE(open()->close({}));
  const Result<std::unique_ptr<Tap>> second = Tap::open({.path = path_});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::usage);
  const auto more = open({.append = true, .comment = "more"});
  // Two writers would tear each other's lines.
  EXPECT_FALSE(Tap::open({.path = path_, .append = true}));
  ASSERT_TRUE(more->close({}));
  EXPECT_THAT(read(), Not(HasSubstr("issue")));
  EXPECT_THAT(log(), HasSubstr("more"));
  ASSERT_EQ(chmod(path_.c_str(), 0644), 0);
  EXPECT_FALSE(Tap::open({.path = path_, .append = true}));
}

TEST_F(TapTest, AWriterThatWasKilledIsSaid) {
  const auto tap = open();
  const auto connection = tap->connection(loopback(), at(0));
  say(*connection, kUp, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1);
  tap->flush();
  EXPECT_THAT(read(), HasSubstr("last line is missing"));
}

}  // namespace
}  // namespace vitrine
