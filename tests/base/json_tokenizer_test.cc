#include "base/json_tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace vitrine {
namespace {

using Kind = JsonToken::Kind;

// One letter a token, with its text: "{ k:a n:1 }" …
std::string trace(std::string_view text, uint32_t depth = 512, uint64_t offset = 0) {
  JsonTokenizer json(text, depth, offset);
  JsonToken t;
  std::string out, scratch;
  const auto add = [&out](std::string_view word) { out.append(out.empty() ? "" : " ").append(word); };
  bool more = true;
  while (more) {
    more = json.next(t);
    switch (t.kind) {
      case Kind::begin_object: add("{"); break;
      case Kind::end_object: add("}"); break;
      case Kind::begin_array: add("["); break;
      case Kind::end_array: add("]"); break;
      case Kind::key: add("k:" + std::string(unescaped(t, scratch))); break;
      case Kind::string: add((t.cut ? "s~:" : "s:") + std::string(unescaped(t, scratch))); break;
      case Kind::number: add((t.cut ? "n~:" : "n:") + std::string(t.raw)); break;
      case Kind::literal_true: add("true"); break;
      case Kind::literal_false: add("false"); break;
      case Kind::literal_null: add("null"); break;
      case Kind::end: add("END@" + std::to_string(t.offset)); break;
      case Kind::cut: add("CUT"); break;
      case Kind::malformed: add("BAD@" + std::to_string(t.offset)); break;
      case Kind::too_deep: add("DEEP@" + std::to_string(t.offset)); break;
    }
    // Every token lies where it says.
    if (more && (t.offset + t.length > text.size() || t.length == 0)) return "SPAN";
    if (more && (t.kind == Kind::string || t.kind == Kind::key) && text[t.offset] != '"') return "QUOTE";
  }
  return out;
}

TEST(JsonTokenizer, KeepsOrderDuplicatesAndLexemes) {
  EXPECT_EQ(trace(R"({"a":1,"a":[true,false,null,-0.50E+2,1e400],"b":{}})"),
            "{ k:a n:1 k:a [ true false null n:-0.50E+2 n:1e400 ] k:b { } } END@51");
  EXPECT_EQ(trace(" \t\r\n12345678901234567890123 \n"), "n:12345678901234567890123 END@29");
  EXPECT_EQ(trace("\xef\xbb\xbf[]"), "[ ] END@5");
  EXPECT_EQ(trace("\"x\""), "s:x END@3");
}

TEST(JsonTokenizer, SpansPointIntoTheInput) {
  const std::string text = R"( {"k\u0041" : "v\n" , "n": 12.50})";
  JsonTokenizer json(text);
  JsonToken t;
  ASSERT_TRUE(json.next(t));
  EXPECT_EQ(t.offset, 1u);
  ASSERT_TRUE(json.next(t));
  EXPECT_EQ(text.substr(t.offset, t.length), R"("k\u0041")");
  EXPECT_EQ(t.raw, R"(k\u0041)");
  EXPECT_TRUE(t.escaped);
  ASSERT_TRUE(json.next(t));
  EXPECT_EQ(text.substr(t.offset, t.length), R"("v\n")");
  ASSERT_TRUE(json.next(t));
  EXPECT_FALSE(t.escaped);
  ASSERT_TRUE(json.next(t));
  EXPECT_EQ(text.substr(t.offset, t.length), "12.50");
}

TEST(JsonTokenizer, Unescapes) {
  std::string s;
  EXPECT_EQ(json_unescape(R"(a\"\\\/\b\f\n\r\tz)", s), "a\"\\/\b\f\n\r\tz");
  EXPECT_EQ(json_unescape(R"(\u00e9\u20ac\ud83d\ude00)", s), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(json_unescape(R"(\ud83d)", s), "\xef\xbf\xbd") << "lone surrogate";
  EXPECT_EQ(json_unescape(R"(\ud83dx\ude00)", s), "\xef\xbf\xbdx\xef\xbf\xbd");
  EXPECT_EQ(json_unescape(R"(\ud83dA)", s),
            "\xef\xbf\xbd"
            "A");
  EXPECT_EQ(json_unescape(R"(\x\u12g4)", s), R"(\x\u12g4)") << "unknown escapes stay";
  EXPECT_EQ(json_unescape("ab\\", s), "ab\\") << "a cut escape stays";
  EXPECT_EQ(json_unescape("ab\\u12", s), "ab\\u12");
}

TEST(JsonTokenizer, CutDocumentsGiveTheirValidPrefix) {
  EXPECT_EQ(trace(R"({"a":[1,{"b":"xy)"), "{ k:a [ n:1 { k:b s~:xy CUT");
  EXPECT_EQ(trace(R"({"a":12)"), "{ k:a n~:12 CUT");
  EXPECT_EQ(trace(R"({"a":tr)"), "{ k:a CUT");
  EXPECT_EQ(trace(R"({"a":-)"), "{ k:a CUT");
  EXPECT_EQ(trace(R"({"a":1.)"), "{ k:a CUT");
  EXPECT_EQ(trace(R"({"ab)"), "{ CUT");
  EXPECT_EQ(trace(R"({"ab")"), "{ CUT");
  EXPECT_EQ(trace(R"({"ab" )"), "{ CUT");
  EXPECT_EQ(trace(R"(["a\)"), "[ s~:a\\ CUT");
  EXPECT_EQ(trace(""), "CUT");
  EXPECT_EQ(trace("  "), "CUT");
}

// Cutting anywhere never invents a token: the whole trace begins with the cut one.
TEST(JsonTokenizer, EveryPrefixIsAPrefix) {
  const std::string text = R"({"a":[1,2.5,{"b\n":"x\u0041y"},true,null,[]],"c":"\\","d":-0e1})";
  const std::string whole = trace(text);
  for (size_t n = 0; n < text.size(); ++n) {
    std::string part = trace(text.substr(0, n));
    ASSERT_TRUE(part.ends_with("CUT")) << n << ": " << part;
    part.resize(part.size() - 3);
    // A cut scalar is the beginning of the real one.
    if (const size_t cut = part.find("~:"); cut != std::string::npos) part.erase(cut - 2 >= part.size() ? 0 : cut - 1);
    while (!part.empty() && part.back() == ' ') part.pop_back();
    EXPECT_EQ(whole.substr(0, part.size()), part) << n;
  }
}

TEST(JsonTokenizer, MalformedIsLocated) {
  EXPECT_EQ(trace("{\"a\":1,}"), "{ k:a n:1 BAD@7");
  EXPECT_EQ(trace("[1,]"), "[ n:1 BAD@3");
  EXPECT_EQ(trace("[1 2]"), "[ n:1 BAD@3");
  EXPECT_EQ(trace("[1}"), "[ n:1 BAD@2");
  EXPECT_EQ(trace("{]"), "{ BAD@1");
  EXPECT_EQ(trace("{\"a\" 1}"), "{ BAD@5");
  EXPECT_EQ(trace("{a:1}"), "{ BAD@1");
  EXPECT_EQ(trace("nul!"), "BAD@0");
  EXPECT_EQ(trace("-x"), "BAD@1");
  EXPECT_EQ(trace("[1.x]"), "[ BAD@3");
  EXPECT_EQ(trace("[01]"), "[ n:0 BAD@2");
  EXPECT_EQ(trace("]"), "BAD@0");
  EXPECT_EQ(trace(",1"), "BAD@0");
  EXPECT_EQ(trace("'a'"), "BAD@0");
}

TEST(JsonTokenizer, ReadsOneDocumentAfterTheOther) {
  const std::string lines = "{\"a\":1}\n{\"b\":2}\n";
  EXPECT_EQ(trace(lines), "{ k:a n:1 } END@8");
  EXPECT_EQ(trace(lines, 512, 8), "{ k:b n:2 } END@16");
}

TEST(JsonTokenizer, DepthIsBounded) {
  EXPECT_EQ(trace("[[[]]]", 3), "[ [ [ ] ] ] END@6");
  EXPECT_EQ(trace("[[[[]]]]", 3), "[ [ [ DEEP@3");
  const std::string bomb(1 << 20, '[');
  EXPECT_TRUE(trace(bomb, 1u << 30).ends_with("DEEP@4096"));
  std::string mixed;
  for (int i = 0; i < 200; ++i) mixed += i % 3 == 0 ? "[" : "{\"a\":";
  EXPECT_TRUE(trace(mixed).ends_with("CUT"));
}

TEST(JsonTokenizer, TerminalTokensStay) {
  JsonTokenizer json("[1,]");
  JsonToken t;
  while (json.next(t)) {
  }
  EXPECT_EQ(t.kind, Kind::malformed);
  EXPECT_FALSE(json.next(t));
  EXPECT_EQ(t.kind, Kind::malformed);
  EXPECT_EQ(t.offset, 3u);
}

TEST(JsonTokenizer, SkipsValues) {
  JsonTokenizer json(R"({"a":{"x":[1,{"y":2}]},"b":3,"c":[4]})");
  JsonToken t, last;
  ASSERT_TRUE(json.next(t));
  ASSERT_TRUE(json.next(t));  // key a
  ASSERT_TRUE(json.skip(last));
  EXPECT_EQ(last.kind, Kind::end_object);
  ASSERT_TRUE(json.next(t));
  EXPECT_EQ(t.raw, "b");
  ASSERT_TRUE(json.skip(last));
  EXPECT_EQ(last.raw, "3");
  ASSERT_TRUE(json.next(t));
  EXPECT_EQ(t.raw, "c");
  ASSERT_TRUE(json.next(t));  // [
  ASSERT_TRUE(json.skip(last));
  EXPECT_EQ(last.kind, Kind::end_array);
  ASSERT_TRUE(json.next(t));
  EXPECT_EQ(t.kind, Kind::end_object);

  JsonTokenizer cut(R"({"a":{"x":[1)");
  cut.next(t);
  cut.next(t);
  EXPECT_FALSE(cut.skip(last));
  EXPECT_EQ(last.kind, Kind::cut);
}

TEST(JsonTokenizer, FindsQuotesAtEveryAlignment) {
  for (size_t size = 0; size < 70; ++size) {
    for (size_t at = 0; at <= size; ++at) {
      std::string text(size, 'x');
      if (at < size) text[at] = at % 2 ? '"' : '\\';
      for (size_t from = 0; from <= at; from += 3) EXPECT_EQ(find_quote_or_backslash(text.data(), from, size), at);
    }
  }
}

// A document parser is the judge of what is JSON.
TEST(JsonTokenizer, AgreesWithADocumentParser) {
  std::mt19937 random(12);
  const std::string_view pieces[] = {"{", "}",    "[", "]",    ",",    ":", "\"a\"", "\"\\u0041\"",
                                     "1", "-2.5", "0", "true", "null", " ", "\"b\"", "false"};
  size_t valid = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    const size_t length = 1 + random() % 9;
    for (size_t k = 0; k < length; ++k) text += pieces[random() % std::size(pieces)];
    const bool expected = nlohmann::json::accept(text);
    valid += expected;
    const bool ours = trace(text).ends_with("END@" + std::to_string(text.size()));
    ASSERT_EQ(ours, expected) << text;
  }
  EXPECT_GT(valid, 1000u);
}

}  // namespace
}  // namespace vitrine
