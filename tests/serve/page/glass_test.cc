#include "serve/page/glass.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture/tap/tap.h"

namespace vitrine::serve {
namespace {

using testing::HasSubstr;
using testing::Not;

const Direction kUp = Direction::client_to_server, kDown = Direction::server_to_client;
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const Knowledge& knowledge() {
  static const Knowledge known = [] {
    const std::string folder = VITRINE_SOURCE_DIR "/policies";
    Knowledge out;
    out.taxonomy = Taxonomy::load(folder + "/taxonomy.yaml").value();
    out.rules = ClientRules::load({folder + "/clients"}, out.taxonomy).value();
    return out;
  }();
  return known;
}

std::string get(std::string_view target, std::string_view more = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Browser/1\r\n" +
         std::string(more) + "\r\n";
}

std::string post(const std::string& page, const std::string& body) {
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Vitrine-Page: " + page +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// A tap without a log, as the server has it, and connections of clients.
class GlassTest : public testing::Test {
 protected:
  void SetUp() override {
    tap_ = std::move(*Tap::open({}));
    tap_->subscribe(glass_);
  }
  std::unique_ptr<TapConnection> connect() {
    TapPeer peer;
    peer.client = {IpAddress::parse("127.0.0.1"), port_++};
    peer.server = {IpAddress::parse("127.0.0.1"), 8080};
    return tap_->connection(peer, now());
  }
  void say(TapConnection& connection, Direction direction, std::string_view text) {
    connection.bytes(direction, as_bytes(text), now());
  }
  std::string load(TapConnection& connection) {
    say(connection, kUp, get("/"));
    std::string page = glass_.open_page(connection.id());
    say(connection, kDown, kOk);
    return page;
  }
  // What a page has sent so far.
  std::string sent(const std::string& page) {
    std::string out;
    const auto follower = glass_.follow(page, [&](std::string_view events) { out += events; });
    EXPECT_TRUE(follower) << "no such page";
    if (follower) glass_.unfollow(*follower);
    return out;
  }
  Timestamp now() { return {1'800'000'000'000'000'000 + ++clock_ * 1'000'000}; }

  std::unique_ptr<Tap> tap_;
  Glass glass_{knowledge(), {.pages = 3, .page_bytes = 20'000, .followers_per_page = 2}};
  uint16_t port_ = 50001;
  int64_t clock_ = 0;
};

TEST_F(GlassTest, HoldsTheLoadOfThePageWithItsConnection) {
  const auto connection = connect();
  const std::string page = load(*connection);
  EXPECT_EQ(page.size(), 32u);
  const std::string text = sent(page);
  EXPECT_THAT(text, HasSubstr(R"("exchange":"1.0")"));
  EXPECT_THAT(text, HasSubstr(R"("path":"connection:client-ip")"));
  EXPECT_THAT(text, HasSubstr(R"("exchange":"1.1")"));
  EXPECT_THAT(text, HasSubstr(R"("path":"header:user-agent","value":"Browser/1","type":"device.user-agent")"));
  EXPECT_THAT(text, HasSubstr("event: closed\ndata: {\"exchange\":\"1.1\",\"status\":200"));
  EXPECT_NE(load(*connection), page);
}

TEST_F(GlassTest, HoldsWhatCarriesTheIdAndNothingElse) {
  const auto connection = connect(), other = connect();
  const std::string page = load(*connection);
  say(*other, kUp, get("/page/app.js?x=1&page=" + page));
  say(*other, kDown, kOk);
  say(*connection, kUp, post(page, R"({"messages":[{"role":"user","content":"my own words"}]})"));
  say(*connection, kDown, kOk);
  // Others: no id, an id of no page, an answer that holds the id.
  say(*other, kUp, get("/v1/models", "X-Secret: not-mine\r\n"));
  say(*other, kDown, kOk);
  say(*other, kUp, get("/v1/models", "X-Secret: not-mine\r\nX-Vitrine-Page: " + std::string(32, '0') + "\r\n"));
  say(*other, kDown,
      "HTTP/1.1 200 OK\r\nX-Vitrine-Page: " + page + "\r\nX-Secret: not-mine\r\nContent-Length: 0\r\n\r\n");
  const std::string text = sent(page);
  EXPECT_THAT(text, HasSubstr(R"("target":"/page/app.js?x=1&page=)" + page));
  EXPECT_THAT(text, HasSubstr(R"("exchange":"2.0")"));
  EXPECT_THAT(text, HasSubstr(R"("value":"my own words","type":"content.prompt")"));
  EXPECT_THAT(text,
              HasSubstr(R"("path":"header:x-vitrine-page","value":")" + page + R"(","type":"identifier.session")"));
  EXPECT_THAT(text, Not(HasSubstr("not-mine")));
  EXPECT_THAT(text, Not(HasSubstr("server_to_client")));
}

TEST_F(GlassTest, PagesAreToldApart) {
  const auto connection = connect();
  const std::string first = load(*connection), second = load(*connection);
  say(*connection, kUp, post(second, R"({"messages":[{"content":"of the second"}]})"));
  EXPECT_THAT(sent(second), HasSubstr("of the second"));
  EXPECT_THAT(sent(second), HasSubstr("connection:client-ip"));  // both came over this connection
  EXPECT_THAT(sent(first), Not(HasSubstr("of the second")));
}

// Two loads in one read: each page gets its own.
TEST_F(GlassTest, PipelinedLoads) {
  const auto connection = connect();
  say(*connection, kUp, get("/", "X-Number: first\r\n") + get("/", "X-Number: second\r\n"));
  const std::string first = glass_.open_page(connection->id()), second = glass_.open_page(connection->id());
  EXPECT_THAT(sent(first), HasSubstr(R"("value":"first")"));
  EXPECT_THAT(sent(first), Not(HasSubstr(R"("value":"second")")));
  EXPECT_THAT(sent(second), HasSubstr(R"("value":"second")"));
}

TEST_F(GlassTest, FollowersGetWhatComes) {
  const auto connection = connect();
  const std::string page = load(*connection);
  std::string got[3];
  std::vector<Glass::FollowerId> ids;
  bool ended[3] = {};
  for (int i = 0; i < 3; ++i) {
    ids.push_back(*glass_.follow(page, [&, i](std::string_view events) {
      got[i] += events;
      ended[i] |= events.empty();
    }));
  }
  EXPECT_TRUE(ended[0]) << "two at most: the first must make room";
  say(*connection, kUp, post(page, R"({"messages":[{"content":"live"}]})"));
  EXPECT_THAT(got[0], Not(HasSubstr("live")));
  EXPECT_THAT(got[1], HasSubstr("live"));
  EXPECT_EQ(got[1], got[2]);
  EXPECT_EQ(got[1], sent(page));
  glass_.unfollow(ids[1]);
  say(*connection, kDown, kOk);
  EXPECT_THAT(got[2], HasSubstr(R"({"exchange":"1.2","status":200)"));
  EXPECT_LT(got[1].size(), got[2].size());
  EXPECT_FALSE(glass_.follow("no such page", [](std::string_view) { FAIL(); }));
}

TEST_F(GlassTest, MemoryIsBounded) {
  const auto connection = connect();
  const std::string page = load(*connection);
  for (int i = 0; i < 20; ++i) {
    say(*connection, kUp,
        post(page, R"({"messages":[{"content":"number )" + std::to_string(i) + std::string(1500, '.') + "\"}]}"));
    say(*connection, kDown, kOk);
  }
  const std::string text = sent(page);
  EXPECT_LT(text.size(), 20'100u);
  EXPECT_TRUE(text.starts_with("event: left-out\ndata: ")) << text.substr(0, 60);
  EXPECT_THAT(text, Not(HasSubstr("number 0.")));
  EXPECT_THAT(text, HasSubstr("number 19."));

  // Three pages at most; the one that is followed stays.
  bool ended = false;
  const auto follower = glass_.follow(page, [&](std::string_view events) { ended |= events.empty(); });
  for (int i = 0; i < 10; ++i) load(*connection);
  EXPECT_EQ(glass_.pages(), 3u);
  EXPECT_FALSE(ended);
  glass_.unfollow(*follower);
  for (int i = 0; i < 3; ++i) load(*connection);
  EXPECT_FALSE(glass_.follow(page, [](std::string_view) {}));
}

TEST_F(GlassTest, ConnectionsThatEndUnderAPage) {
  auto connection = connect();
  const std::string page = load(*connection);
  say(*connection, kUp,
      "POST / HTTP/1.1\r\nHost: x\r\nX-Vitrine-Page: " + page + "\r\nContent-Length: 100\r\n\r\n{\"content\":");
  connection.reset();
  EXPECT_THAT(sent(page), HasSubstr(R"(closed)"));
  const auto next = connect();
  say(*next, kUp, get("/"));  // never answered
  say(*next, kUp, get("/v1/models", "X-Vitrine-Page: " + page + "\r\n"));
  EXPECT_THAT(sent(page), HasSubstr("/v1/models"));
}

}  // namespace
}  // namespace vitrine::serve
