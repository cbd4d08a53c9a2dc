#include "capture/tap/tap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <thread>

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
  std::string read(const std::string& path = {}) const {
    const std::string text = *read_file(path.empty() ? path_ : path);
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

// ---- failures -----------------------------------------------------------------

// What the kernel lets a file grow to: a disk that is full, without one.
class FileLimit {
 public:
  FileLimit() {
    getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = signal(SIGXFSZ, SIG_IGN);
  }
  ~FileLimit() {
    lift();
    signal(SIGXFSZ, handler_);
  }
  void set(uint64_t bytes) const {
    rlimit now = before_;
    now.rlim_cur = bytes;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &now), 0);
  }
  void lift() const { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

bool wait_until(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

void ask(TapConnection& connection, const std::string& path, int64_t ms) {
  say(connection, kUp, "GET " + path + " HTTP/1.1\r\nHost: a.test\r\n\r\n", ms);
  say(connection, kDown, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ms + 1);
}

TEST_F(TapTest, AFullDiskIsLoudAndLeavesWholeLines) {
  const FileLimit limit;
  std::vector<std::string> trouble;
  const auto tap = open({.on_trouble = [&](std::string_view what) { trouble.emplace_back(what); }});
  const auto connection = tap->connection(loopback(), at(0));
  ask(*connection, "/before", 1);
  tap->flush();
  EXPECT_FALSE(tap->failing());
  limit.set(log().size() + 700);  // inside the second line
  say(*connection, kUp, "GET /lost HTTP/1.1\r\nHost: a.test\r\n\r\n", 3);
  tap->flush();
  ASSERT_TRUE(wait_until([&] {
    say(*connection, kUp, "GET /lost HTTP/1.1\r\nHost: a.test\r\n\r\n", 4);
    return tap->failing();
  }));
  EXPECT_EQ(log().back(), '\n');
  const uint64_t written = log().size();
  say(*connection, kDown, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 5);
  tap->flush();
  EXPECT_EQ(log().size(), written);
  EXPECT_GT(tap->status().dropped_lines, 0u);
  EXPECT_THAT(tap->status().error, HasSubstr("File too large"));
  ASSERT_EQ(trouble.size(), 1u);
  EXPECT_THAT(trouble[0], HasSubstr("tap.ndjson"));
  limit.lift();
  ASSERT_TRUE(wait_until([&] { return !tap->failing(); }));
  // The same connection, and one that is new: what begins now is whole.
  say(*connection, kDown, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 6);
  const auto second = tap->connection(loopback(), at(7));
  ask(*second, "/after", 8);
  EXPECT_EQ(trouble.size(), 2u);
  EXPECT_EQ(trouble.back(), "");
  const Status closed = tap->close(at(9));
  ASSERT_FALSE(closed);
  EXPECT_THAT(closed.error().message, HasSubstr("not complete"));
  const std::string text = read();
  EXPECT_THAT(text, HasSubstr("/before"));
  EXPECT_THAT(text, HasSubstr("/after"));
  EXPECT_THAT(text, HasSubstr("could not be written for a time"));
  EXPECT_THAT(text, Not(HasSubstr("not open")));  // no line refers to what the log has lost
}

TEST_F(TapTest, AFileThatIsCutByLogRotationGetsAHeadAgain) {
  const auto tap = open();
  const auto connection = tap->connection(loopback(), at(0));
  ask(*connection, "/before", 1);
  tap->flush();
  ASSERT_EQ(truncate(path_.c_str(), 0), 0);
  ask(*connection, "/lost", 3);
  tap->flush();
  ASSERT_TRUE(wait_until([&] { return !tap->failing(); }));
  ask(*connection, "/after", 5);
  EXPECT_FALSE(tap->close(at(9)));
  const std::string text = read();
  EXPECT_THAT(text, HasSubstr("/after"));
  EXPECT_THAT(text, HasSubstr("could not be written for a time"));
}

// Log rotation that renames: every exchange is whole in one of the files, and neither file has anything to complain of.
TEST_F(TapTest, ReopenedWhatIsOpenEndsInTheOldFileAndWhatBeginsIsInTheNew) {
  for (const TapContent content : {TapContent::full, TapContent::hash}) {
    const auto tap = open({.content = content});
    const auto slow = tap->connection(loopback(), at(0));
    const auto idle = tap->connection(loopback(), at(0));
    ask(*idle, "/before", 1);
    say(*slow, kUp, "GET /across HTTP/1.1\r\nHost: a.test\r\n\r\n", 3);
    say(*slow, kDown, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi", 4);
    ASSERT_TRUE(tap->reopen(at(5)));  // the path still names the file: nothing happens
    const std::string old = path_ + ".1";
    std::filesystem::rename(path_, old);
    ASSERT_TRUE(tap->reopen(at(5)));
    ask(*idle, "/after", 6);
    const auto fresh = tap->connection(loopback(), at(8));
    ask(*fresh, "/fresh", 9);
    tap->flush();
    EXPECT_THAT(log(), HasSubstr("/fresh"));
    EXPECT_THAT(*read_file(old), Not(HasSubstr("\"end\"")));  // it waits for its last exchange
    say(*slow, kDown, "sh", 11);
    ask(*slow, "/behind", 12);
    for (const auto& connection : {slow.get(), idle.get(), fresh.get()}) connection->close(at(14));
    ASSERT_TRUE(tap->close(at(15)));
    EXPECT_EQ(tap->status().dropped_lines, 0u);

    const std::string after = read(path_), before = read(old);
    for (const char* path : {"/before", "/across"}) {
      EXPECT_THAT(before, HasSubstr(path));
      EXPECT_THAT(after, Not(HasSubstr(path)));
    }
    for (const char* path : {"/after", "/fresh", "/behind"}) {
      EXPECT_THAT(after, HasSubstr(path));
      EXPECT_THAT(before, Not(HasSubstr(path)));
    }
    EXPECT_EQ(before.find("fish") != before.npos, content == TapContent::full);
    for (const std::string& text : {before, after}) EXPECT_THAT(text, Not(HasSubstr("issue"))) << text;
    EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0600));
    std::filesystem::remove(path_);
  }
}

TEST_F(TapTest, AnExchangeThatOutlastsTwoRotationsIsCutAndSaidToBe) {
  const auto tap = open();
  const auto slow = tap->connection(loopback(), at(0));
  say(*slow, kUp, "GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n", 1);
  say(*slow, kDown, "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nonce", 2);
  for (const char* name : {".1", ".2"}) {
    std::filesystem::rename(path_, path_ + name);
    ASSERT_TRUE(tap->reopen(at(3)));
  }
  say(*slow, kDown, "more", 4);
  slow->close(at(5));
  ASSERT_TRUE(tap->close(at(6)));
  EXPECT_THAT(read(path_ + ".1"),
              AllOf(HasSubstr("/endless"), HasSubstr("rotated again before these exchanges ended")));
  EXPECT_THAT(read(path_ + ".2"), Not(HasSubstr("/endless")));
  EXPECT_GT(tap->status().dropped_lines, 0u);
}

TEST_F(TapTest, WithoutAFileToReopenTheOldOneGoesOn) {
  const auto tap = open();
  const auto connection = tap->connection(loopback(), at(0));
  std::filesystem::rename(path_, path_ + ".1");
  std::filesystem::create_directory(path_);
  const Status refused = tap->reopen(at(1));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().to_string(), HasSubstr("tap.ndjson"));
  ask(*connection, "/still", 2);
  connection->close(at(4));
  ASSERT_TRUE(tap->close(at(5)));
  EXPECT_THAT(read(path_ + ".1"), HasSubstr("/still"));
}

TEST_F(TapTest, RotatedWhileTheDiskIsFullItWritesAgainInTheNewFile) {
  const FileLimit limit;
  std::vector<std::string> trouble;
  const auto tap = open({.on_trouble = [&](std::string_view what) { trouble.emplace_back(what); }});
  const auto connection = tap->connection(loopback(), at(0));
  limit.set(log().size());
  ask(*connection, "/lost", 1);
  ASSERT_TRUE(wait_until([&] {
    ask(*connection, "/lost", 2);
    return tap->failing();
  }));
  std::filesystem::rename(path_, path_ + ".1");
  limit.lift();
  ASSERT_TRUE(tap->reopen(at(4)));
  EXPECT_FALSE(tap->failing());
  ask(*connection, "/after", 5);
  connection->close(at(7));
  ASSERT_TRUE(tap->close(at(8)));
  EXPECT_THAT(read(path_), HasSubstr("/after"));
  EXPECT_THAT(read(path_), Not(HasSubstr("/lost")));
  EXPECT_GT(tap->status().dropped_lines, 0u);
  EXPECT_THAT(trouble, testing::Contains(""));
}

TEST_F(TapTest, ABodyLargerThanTheQueueIsWrittenWhole) {
  const auto tap = open();
  const auto connection = tap->connection(loopback(), at(0));
  const std::string body(24 << 20, '"');  // each needs an escape: 48 MiB in the log
  say(*connection, kUp,
      "POST /large HTTP/1.1\r\nHost: a.test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n", 1);
  say(*connection, kUp, body, 2);
  say(*connection, kDown, "HTTP/1.1 204 No Content\r\n\r\n", 3);
  connection->close(at(4));
  ASSERT_TRUE(tap->close(at(5)));
  EXPECT_THAT(log(), HasSubstr("\"client_to_server\":{\"seen\":true,\"complete\":true,\"wire_bytes\":25165824"));
  EXPECT_THAT(log(), HasSubstr(to_hex(sha256(as_bytes(body)))));
  EXPECT_THAT(log(), Not(HasSubstr("truncated")));
}

// ---- subscribers --------------------------------------------------------------

struct Heard : ExchangeSink {
  std::vector<std::string> said;
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    said.push_back("connection " + std::to_string(info.id) + " " + std::to_string(static_cast<int>(event)));
  }
  void opened(const Exchange& exchange) override { said.push_back("open " + exchange.path); }
  void part(const Exchange& exchange, const Part& part) override {
    said.push_back("part " + exchange.path + " " + std::string(as_text(part.content)));
  }
  void closed(const Exchange& exchange, CloseReason) override { said.push_back("closed " + exchange.path); }
};

TEST_F(TapTest, SubscribersSeeWholeExchangesUnredactedWhateverTheLogKeeps) {
  const auto tap = open({.content = TapContent::none});
  const auto connection = tap->connection(loopback(), at(0));
  say(*connection, kUp, "GET /early HTTP/1.1\r\nHost: a.test\r\n\r\n", 1);
  Heard heard;
  tap->subscribe(heard);
  say(*connection, kDown, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 2);  // began before
  ask(*connection, "/now?q=word", 3);
  const auto silent = tap->connection(loopback(), at(4));  // without an exchange: not told
  silent->close(at(5));
  connection->close(at(6));
  EXPECT_THAT(heard.said,
              testing::ElementsAre("connection 1 0", "connection 1 1", "open /now?q=word", "part /now?q=word ",
                                   "part /now?q=word ", "part /now?q=word ok", "closed /now?q=word", "connection 1 2"));
  tap->unsubscribe(heard);
  const auto later = tap->connection(loopback(), at(7));
  ask(*later, "/later", 8);
  EXPECT_EQ(heard.said.size(), 8u);
  ASSERT_TRUE(tap->close(at(9)));
  EXPECT_THAT(log(), Not(HasSubstr("word")));
}

TEST_F(TapTest, WithoutALogThereAreOnlySubscribers) {
  Result<std::unique_ptr<Tap>> tap = Tap::open({});
  ASSERT_TRUE(tap);
  Heard heard;
  (*tap)->subscribe(heard);
  auto connection = (*tap)->connection(loopback(), at(0));
  ask(*connection, "/", 1);
  EXPECT_EQ(heard.said.size(), 7u);
  ASSERT_TRUE((*tap)->close(at(2)));
  EXPECT_EQ(heard.said.back(), "connection 1 2");
  ask(*connection, "/too-late", 3);  // no harm
  connection.reset();
  EXPECT_EQ(heard.said.size(), 8u);
}

}  // namespace
}  // namespace vitrine
