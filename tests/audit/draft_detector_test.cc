#include "audit/draft_detector.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

const Taxonomy& taxonomy() {
  static const Taxonomy loaded = *Taxonomy::load(VITRINE_SOURCE_DIR "/policies/taxonomy.yaml");
  return loaded;
}

struct Drafts : DraftSink {
  void draft(DraftObservation o) override { found.push_back(std::move(o)); }
  std::vector<DraftObservation> found;
};

struct Step {
  int gap_ms;
  std::string value;
};

class DraftTest : public testing::Test {
 protected:
  void send(const std::string& value, int gap_ms, std::string_view endpoint = "/draft",
            std::string_view pattern = "body|json/text", std::string_view client = "192.0.2.10") {
    now.ns += int64_t{gap_ms} * 1'000'000;
    DraftSample sample;
    sample.time = now;
    sample.packet = ++packet;
    sample.client = IpAddress::parse(client);
    sample.host = "chat.example";
    sample.method = "POST";
    sample.endpoint = endpoint;
    sample.pattern = pattern;
    sample.value = value;
    sample.origin = {{packet, 1}, 3};
    detector.sample(sample);
  }
  std::vector<DraftObservation>& run(const std::vector<Step>& steps) {
    for (const Step& step : steps) send(step.value, step.gap_ms);
    detector.finish();
    return drafts.found;
  }

  Timestamp now{1'763'899'200'000'000'000};
  uint64_t packet = 0;
  Drafts drafts;
  DraftDetector detector{taxonomy(), drafts};
};

TEST_F(DraftTest, GrowingPrefixIsADraft) {
  const std::string text = "plan a weekend in lyon";
  std::vector<Step> steps;
  for (size_t n = 1; n <= text.size(); ++n) steps.push_back({120 + static_cast<int>(n % 5) * 20, text.substr(0, n)});
  const auto& found = run(steps);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(taxonomy().id(found[0].type), "content.draft");
  EXPECT_EQ(found[0].steps, text.size() - 1);
  EXPECT_EQ(found[0].samples, text.size());
  EXPECT_EQ(found[0].longest, text.size());
  EXPECT_EQ(found[0].observation, Observation::certain);
  EXPECT_EQ(found[0].endpoint, "/draft");
  EXPECT_EQ(found[0].first_packet, 1u);
  EXPECT_EQ(found[0].last_packet, text.size());
  EXPECT_EQ(found[0].evidence.size(), text.size());
  EXPECT_EQ(found[0].sentence.find("lyon"), std::string::npos);
}

TEST_F(DraftTest, EvidenceKeepsBothEnds) {
  std::vector<Step> steps;
  for (int n = 1; n <= 100; ++n) steps.push_back({150, std::string(static_cast<size_t>(n), 'a')});
  const auto& found = run(steps);
  ASSERT_EQ(found.size(), 1u);
  ASSERT_EQ(found[0].evidence.size(), 32u);
  EXPECT_EQ(found[0].evidence.front().exchange.connection, 1u);
  EXPECT_EQ(found[0].evidence.back().exchange.connection, 100u);
}

TEST_F(DraftTest, BackspacesRetriesAndDebouncedStepsBelongToIt) {
  const auto& found = run({{0, "pl"},
                           {300, "plam"},
                           {200, "pla"},
                           {200, "plan"},
                           {500, "plan"},
                           {900, "plan a tr"},
                           {8000, "plan a trip"},
                           {400, "plan a trip to"}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].steps, 4u);  // the pause of 8 s does not count as a step
  EXPECT_EQ(found[0].longest, 14u);
}

TEST_F(DraftTest, InputMethodsComposeSyllables) {
  const auto& found = run({{0, "ㅎ"},
                           {120, "하"},
                           {120, "한"},
                           {150, "한ㄱ"},
                           {120, "한그"},
                           {120, "한글"},
                           {160, "한글 "},
                           {140, "한글 ㅇ"}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_GE(found[0].steps, 3u);
}

TEST_F(DraftTest, EditsInTheMiddle) {
  const auto& found =
      run({{0, "plan trip"}, {200, "plan a trip"}, {200, "plan a nice trip"}, {300, "plan a nice trip!"}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].steps, 3u);
  EXPECT_EQ(found[0].observation, Observation::probable);
}

TEST_F(DraftTest, SearchAsYouTypeByQuery) {
  for (const char* q : {"i", "in", "inv", "invo", "invoi", "invoice"})
    send(q, 180, "/api/v0/index/query", "query:query");
  detector.finish();
  ASSERT_EQ(drafts.found.size(), 1u);
  EXPECT_EQ(drafts.found[0].pattern, "query:query");
}

TEST_F(DraftTest, TwoTextsAreTwoDrafts) {
  const auto& found = run(
      {{0, "ab"}, {200, "abc"}, {200, "abcd"}, {200, "abcde"}, {900, "x"}, {200, "xy"}, {200, "xyz"}, {200, "xyzz"}});
  EXPECT_EQ(found.size(), 2u);
}

TEST_F(DraftTest, EndpointsPatternsAndClientsAreKeptApart) {
  const std::string text = "abcdef";
  for (size_t n = 1; n <= 2; ++n)
    for (const char* endpoint : {"/a", "/b"})
      for (const char* pattern : {"query:q", "body|json/t"})
        for (const char* client : {"192.0.2.10", "192.0.2.11"}) send(text.substr(0, n), 60, endpoint, pattern, client);
  detector.finish();
  EXPECT_TRUE(drafts.found.empty());
}

TEST_F(DraftTest, NotADraft) {
  // Cursors: replaced, not grown.
  EXPECT_TRUE(
      run({{0, "cursor-aab"}, {300, "cursor-aac"}, {300, "cursor-aad"}, {300, "cursor-aae"}, {300, "cursor-aaf"}})
          .empty());
  // Counters grow once in ten.
  std::vector<Step> counter;
  for (int n = 0; n < 150; ++n) counter.push_back({200, "page-" + std::to_string(n)});
  EXPECT_TRUE(run(counter).empty());
  // Logs and breadcrumbs grow by separated items.
  EXPECT_TRUE(run({{0, "home"},
                   {900, "home>chat"},
                   {900, "home>chat>new"},
                   {900, "home>chat>new>chat"},
                   {900, "home>chat>new>chat>help"}})
                  .empty());
  EXPECT_TRUE(run({{0, "a=1"}, {700, "a=1,b=2"}, {700, "a=1,b=2,c=3"}, {700, "a=1,b=2,c=3,d=4"}}).empty());
  // A history grows by whole messages.
  std::string history = "user: hello\n";
  std::vector<Step> chat;
  for (int n = 0; n < 8; ++n)
    chat.push_back({2500, history += "assistant: here is a longer answer to what you asked\n"});
  EXPECT_TRUE(run(chat).empty());
  // Too fast for a person, too slow for one text, too few steps.
  EXPECT_TRUE(run({{0, "a"}, {10, "ab"}, {10, "abc"}, {10, "abcd"}, {10, "abcde"}}).empty());
  EXPECT_TRUE(
      run({{0, "a"}, {60, "abcdefghij"}, {60, "abcdefghijklmnopqrs"}, {60, "abcdefghijklmnopqrstuvwxyzab"}}).empty());
  EXPECT_TRUE(run({{0, "abc"}, {60000, "abcd"}, {60000, "abcde"}, {60000, "abcdef"}}).empty());
  EXPECT_TRUE(run({{0, "ab"}, {200, "abc"}, {200, "abcd"}}).empty());
  EXPECT_TRUE(run({{0, "one"}, {200, "two"}, {200, "three"}, {200, "four"}}).empty());
}

TEST_F(DraftTest, WindowIsBoundedAndFinishesTheOldest) {
  for (const char* value : {"a", "ab", "abc", "abcd"}) send(value, 100, "/old");
  for (int n = 0; n < 1024; ++n) send("x", 1, "/e" + std::to_string(n));
  EXPECT_EQ(drafts.found.size(), 1u);
  EXPECT_EQ(drafts.found[0].endpoint, "/old");
}

TEST(DraftCandidate, Filter) {
  Field field;
  field.location = Location::body;
  field.path = "body|json/text";
  field.value = "wi";
  EXPECT_TRUE(is_draft_candidate(field));
  const auto with = [&](auto change) {
    Field f = field;
    change(f);
    return is_draft_candidate(f);
  };
  EXPECT_FALSE(with([](Field& f) { f.direction = Direction::server_to_client; }));
  EXPECT_FALSE(with([](Field& f) { f.location = Location::header; }));
  EXPECT_TRUE(with([](Field& f) { f.location = Location::query; }));
  EXPECT_FALSE(with([](Field& f) { f.value = ""; }));
  EXPECT_FALSE(with([](Field& f) { f.value = "123456"; }));
  EXPECT_FALSE(with([](Field& f) { f.value = "3f2b8c1e-6a4d-4e0f-9b77-0c5d2a1f8e63"; }));
  EXPECT_FALSE(with([](Field& f) { f.value = "2025-02-14T10:00:00Z"; }));
  EXPECT_FALSE(with([](Field& f) { f.value = "9f86d081884c7d659a2feaa0c55ad015"; }));
  EXPECT_TRUE(with([](Field& f) { f.path = "body|json/partial_query/content/parts/0"; }));
  EXPECT_FALSE(with([](Field& f) { f.path = "body|json/messages/3/content"; }));
  EXPECT_FALSE(with([](Field& f) { f.path = "body|json/parts/1"; }));
  EXPECT_TRUE(with([](Field& f) { f.path = "body|json/v0/text2"; }));
  EXPECT_FALSE(with([](Field& f) { f.decided_by = "some-none-rule"; }));
  const std::string long_value(2049, 'a');
  EXPECT_FALSE(with([&](Field& f) { f.value = long_value; }));
}

TEST(EndpointPath, IdsBecomeStars) {
  EXPECT_EQ(endpoint_path("/api/v0/chat/draft?x=1"), "/api/v0/chat/draft");
  EXPECT_EQ(endpoint_path("/c/3f2b8c1e-6a4d-4e0f-9b77-0c5d2a1f8e63/messages/17"), "/c/*/messages/*");
  EXPECT_EQ(endpoint_path("/u/9f86d081884c7d659a2f"), "/u/*");
  EXPECT_EQ(endpoint_path(""), "");
  EXPECT_EQ(endpoint_path("/"), "/");
}

}  // namespace
}  // namespace vitrine
