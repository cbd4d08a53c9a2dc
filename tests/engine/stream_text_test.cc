// What turns generated text into an answer: stop strings and reasoning, both
// independent of how the text is cut into pieces.
#include <gtest/gtest.h>

#include <random>

#include "engine/reasoning.h"
#include "engine/stop_matcher.h"

namespace vitrine {
namespace {

// Cuts `text` into pieces at random.
std::vector<std::string> pieces(const std::string& text, std::mt19937& random) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::min<size_t>(1 + random() % 4, text.size() - at);
    out.push_back(text.substr(at, length));
    at += length;
  }
  return out;
}

std::string stop(std::vector<std::string> stops, const std::vector<std::string>& text, std::string* matched = nullptr) {
  StopMatcher matcher(std::move(stops));
  std::string out;
  for (const std::string& piece : text) out += matcher.push(piece);
  out += matcher.finish();
  if (matched != nullptr) *matched = matcher.stopped() ? matcher.matched() : "-";
  return out;
}

TEST(StopMatcher, EndsWhereverPiecesFall) {
  std::string matched;
  EXPECT_EQ(stop({"</s>"}, {"ab<", "/", "s", "> more"}, &matched), "ab");
  EXPECT_EQ(matched, "</s>");
  EXPECT_EQ(stop({"</s>"}, {"ab<", "/x"}, &matched), "ab</x");
  EXPECT_EQ(matched, "-");
  EXPECT_EQ(stop({"</s>"}, {"ab<", "/s"}), "ab</s") << "what only began is text";
  EXPECT_EQ(stop({"\n\n", "END"}, {"a\nb\n", "\nc"}, &matched), "a\nb");
  EXPECT_EQ(matched, "\n\n");
  EXPECT_EQ(stop({"abc", "b"}, {"xabcd"}, &matched), "xa") << "the first to be complete";
  EXPECT_EQ(matched, "b");
  EXPECT_EQ(stop({"c", "abc", "bc"}, {"xabcd"}, &matched), "x") << "the longest of those";
  EXPECT_EQ(stop({"aab"}, {"aaa", "ab!"}), "aa") << "overlapping beginnings";
  EXPECT_EQ(stop({"aaaa"}, {"a", "a", "a", "b", "aaa"}), "aaabaaa");
  EXPECT_EQ(stop({""}, {"abc"}), "abc");
  EXPECT_EQ(stop({}, {"abc"}), "abc");
  EXPECT_EQ(stop({"끝"}, {"이제 \xEB", "\x81\x9D 뒤"}), "이제 ");
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBegin) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.push("a st"), "a ");
  EXPECT_EQ(matcher.push("a"), "sta");
  EXPECT_EQ(matcher.push("ststo"), "st");
  EXPECT_EQ(matcher.push("p!"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("more") + matcher.finish(), "");
}

TEST(StopMatcher, EqualsASearchOfTheWhole) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops(1 + random() % 3);
    for (std::string& text : stops) {
      for (size_t i = 0; i < 1 + random() % 4; ++i) text.push_back(static_cast<char>('a' + random() % 2));
    }
    std::string text;
    for (size_t i = 0; i < random() % 20; ++i) text.push_back(static_cast<char>('a' + random() % 3));
    // The judge: the stop with the lowest end, the longest of those.
    size_t end = text.npos, length = 0;
    for (const std::string& candidate : stops) {
      const size_t hit = text.find(candidate);
      if (hit == text.npos) continue;
      const size_t its_end = hit + candidate.size();
      if (its_end < end || (its_end == end && candidate.size() > length)) {
        end = its_end;
        length = candidate.size();
      }
    }
    const std::string expected = end == text.npos ? text : text.substr(0, end - length);
    EXPECT_EQ(stop(stops, pieces(text, random)), expected) << text;
  }
}

using Pair = std::pair<std::string, std::string>;

Pair split(bool inside, const std::vector<std::string>& text) {
  ReasoningSplitter splitter(inside);
  Pair out;
  const auto add = [&](const ReasoningSplitter::Piece& piece) {
    out.first += piece.reasoning;
    out.second += piece.answer;
  };
  for (const std::string& piece : text) add(splitter.push(piece));
  add(splitter.finish());
  return out;
}

TEST(Reasoning, SplitsAtTagsHoweverCut) {
  struct Case {
    bool inside;
    std::string text;
    Pair expected;
  };
  const Case cases[] = {
      {false, "<think>\nwhy\n</think>\n\nAnswer.\n", {"why", "Answer.\n"}},
      {false, " \n<think>a b</think>c", {"a b", "c"}},
      {false, "No thought.", {"", "No thought."}},
      {false, "  leading space", {"", "  leading space"}},
      {false, "a <think>b</think>", {"", "a <think>b</think>"}},
      {false, "<thin", {"", "<thin"}},
      {false, "<thing>", {"", "<thing>"}},
      {false, "stray </think> tag", {"", "stray </think> tag"}},
      // The prompt ended with <think>: the output holds only the end.
      {true, "why\n\nbecause\n</think>\n\nAnswer", {"why\n\nbecause", "Answer"}},
      {true, "\nwhy </thinking> x</think>y</think>", {"why </thinking> x", "y</think>"}},
      {true, "never ends </thi", {"never ends </thi", ""}},
      {true, "</think>Answer", {"", "Answer"}},
      {true, "<think>", {"<think>", ""}},
      {true, "a</think>  \n", {"a", ""}},
      {false, "<think></think>", {"", ""}},
      {false, "", {"", ""}},
      {false, "   ", {"", "   "}},
      {true, "생각 </think> 답", {"생각", "답"}},
  };
  std::mt19937 random(1);
  for (const Case& test : cases) {
    EXPECT_EQ(split(test.inside, {test.text}), test.expected) << test.text;
    for (int round = 0; round < 30; ++round)
      EXPECT_EQ(split(test.inside, pieces(test.text, random)), test.expected) << test.text;
  }
}

TEST(Reasoning, IsShownAsItComes) {
  ReasoningSplitter splitter(true);
  EXPECT_EQ(splitter.push("ab ").reasoning, "ab");
  EXPECT_EQ(splitter.push("c<").reasoning, " c");
  EXPECT_EQ(splitter.push("d").reasoning, "<d");
  EXPECT_EQ(splitter.push("\n</think>").reasoning, "");
  EXPECT_EQ(splitter.push("\n\nx").answer, "x");
  EXPECT_EQ(splitter.push(" y").answer, " y");
}

TEST(Reasoning, PromptsAndHistory) {
  EXPECT_TRUE(prompt_opens_reasoning("<｜Assistant｜><think>\n"));
  EXPECT_TRUE(prompt_opens_reasoning("<｜Assistant｜><think>"));
  EXPECT_FALSE(prompt_opens_reasoning("<｜Assistant｜><think>\n\n</think>\n\n"));
  EXPECT_FALSE(prompt_opens_reasoning("<｜Assistant｜>"));
  EXPECT_FALSE(prompt_opens_reasoning(""));
  EXPECT_EQ(without_reasoning("<think>\na\n</think>\n\nb"), "b");
  EXPECT_EQ(without_reasoning("a</think>b</think> c"), "c");
  EXPECT_EQ(without_reasoning("<think>not ended"), "<think>not ended");
  EXPECT_EQ(without_reasoning("plain"), "plain");
}

}  // namespace
}  // namespace vitrine
