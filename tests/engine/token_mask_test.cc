// Masks against trying every token by itself, along random answers.
#include "engine/token_mask.h"

#include <gmock/gmock.h>

#include "engine/answer_constraint.h"
#include "engine/unicode.h"
#include "tests/engine/random_schema.h"

namespace vitrine {
namespace {

using testing::HasSubstr;

// Single bytes, pieces of JSON, words, parts of characters, runs; then a control token and the end.
Tokenizer vocabulary(bool with_bytes = true) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256 && with_bytes; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  RandomSchema random(7);
  const std::vector<std::string> pieces = {"{",    "}",    "[",  "]",    "\"",       ":",    ",",        " ",   "\n",
                                           "\\",   "a",    "ab", "id",   "0",        "1",    "12",       ".5",  "e",
                                           "true", "null", "é",  "\xC3", "\xA9",     "한",   "\xED\x95", "\\u", "\\n",
                                           "00",   "d83d", "-",  "😀",    "\xF0\x9F", "name", "\t"};
  std::set<std::string> known(texts.begin(), texts.end());
  while (known.size() < 1500) {
    std::string text;
    for (uint32_t i = 1 + random.below(5); i > 0; --i) text += random.pick(pieces);
    if (known.insert(text).second) texts.push_back(text);
  }
  for (const char* text :
       {"                                    ", "}}}}", "]]]]]", "\"}]}", "aaaaaaaaaaaaaaaaaaaaaaaa"}) {
    if (known.insert(text).second) texts.emplace_back(text);
  }
  TokenizerData data;
  for (const std::string& text : texts) {
    std::string spelled;
    for (const char byte : text) append_utf8(spelled, byte_to_alphabet(static_cast<uint8_t>(byte)));
    data.tokens.push_back(spelled);
  }
  for (const char* name : {"<tool>", "{\"", "<end>"}) {
    data.added.push_back({static_cast<TokenId>(data.tokens.size()), name, true});
    data.tokens.emplace_back(name);
  }
  data.end_of_generation = {static_cast<TokenId>(data.tokens.size() - 1)};
  auto tokenizer = Tokenizer::create(std::move(data));
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().to_string();
  return std::move(*tokenizer);
}

// Whether the text so far goes on with `bytes`, in texts around values only or anywhere.
bool reads(GrammarMatcher& matcher, std::string_view bytes, bool around) {
  LevelArena arena;
  const GrammarLevel* level = matcher.top();
  for (const char byte : bytes) {
    level = matcher.stepper().step(level, static_cast<uint8_t>(byte), arena);
    if (level == nullptr || (around && level->kind != GrammarLevel::Kind::root)) return false;
  }
  return true;
}

// By the definition: the text so far with the token behind it.
TokenMask by_trying(const GrammarPointer& grammar, const std::string& text, const Tokenizer& tokenizer) {
  TokenMask out((tokenizer.size() + 63) / 64, 0);
  GrammarMatcher matcher(grammar);
  EXPECT_TRUE(matcher.accept(text));
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
    const bool ends = tokenizer.ends_generation(id);
    bool good = ends ? matcher.may_end() : !tokenizer.is_special(id);
    if (!ends && tokenizer.is_special(id)) {  // control tokens spell only what stands around values
      good = reads(matcher, tokenizer.bytes(id), true);
    } else if (!ends) {
      good = reads(matcher, tokenizer.bytes(id), false);
    }
    if (good) allow(out, id);
  }
  return out;
}

struct Walk {
  std::string text;
  bool ended = false;
};

// A random answer; at each step the mask is compared, with a cache that is often full as well.
Walk walk(const GrammarPointer& grammar, const Tokenizer& tokenizer, TokenMasks& masks, TokenMasks& small,
          uint64_t seed) {
  RandomSchema random(seed);
  GrammarMatcher matcher(grammar);
  Walk out;
  for (int step = 0; step < 60; ++step) {
    const auto mask = masks.allowed(matcher);
    EXPECT_TRUE(mask.has_value()) << mask.error().to_string() << "\n" << out.text;
    if (!mask) return out;
    const TokenMask found(mask->begin(), mask->end());
    const auto again = small.allowed(matcher);
    EXPECT_TRUE(again.has_value() && std::equal(again->begin(), again->end(), found.begin(), found.end()));
    if (random.one_in(5)) {
      const TokenMask expected = by_trying(grammar, out.text, tokenizer);
      for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
        EXPECT_EQ(allows(found, id), allows(expected, id)) << "after " << testing::PrintToString(out.text) << ": "
                                                           << testing::PrintToString(std::string(tokenizer.bytes(id)));
      }
    }
    std::vector<TokenId> choices;
    for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
      if (allows(found, id)) choices.push_back(id);
    }
    // Towards the end, by preference: closing brackets, quotes, the end itself.
    TokenId chosen = random.pick(choices);
    for (const TokenId id : choices) {
      const std::string_view bytes = tokenizer.bytes(id);
      if (step > 20 && (tokenizer.ends_generation(id) || bytes == "}" || bytes == "]" || bytes == "\"")) chosen = id;
    }
    if (tokenizer.ends_generation(chosen)) {
      EXPECT_TRUE(matches(*grammar, out.text)) << out.text;
      out.ended = true;
      return out;
    }
    const std::string bytes(tokenizer.bytes(chosen));
    EXPECT_TRUE(matcher.accept(bytes)) << out.text << " then " << bytes;
    out.text += bytes;
  }
  return out;
}

TEST(TokenMask, EqualsTryingEveryToken) {
  const Tokenizer tokenizer = vocabulary();
  TokenMasks masks(tokenizer), small(tokenizer, 2000);
  int ended = 0, walks = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const std::string schema = RandomSchema(seed).schema().dump();
    const auto grammar = compile_json_schema(schema, {.document_depth = seed % 3 == 0 ? 6u : 64u});
    if (!grammar) continue;
    SCOPED_TRACE(schema);
    for (uint64_t i = 0; i < 2; ++i, ++walks) ended += walk(*grammar, tokenizer, masks, small, seed * 2 + i).ended;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(ended, walks / 3);
  EXPECT_GT(masks.hits(), 100u);
}

TEST(TokenMask, CountsFarFromTheirBoundsShareMasks) {
  const Tokenizer tokenizer = vocabulary();
  TokenMasks masks(tokenizer);
  const auto grammar = compile_json_schema(
      R"({"type": "array", "items": {"type": "string", "maxLength": 100000}, "maxItems": 1000000})");
  ASSERT_TRUE(grammar.has_value());
  GrammarMatcher matcher(*grammar);
  ASSERT_TRUE(matcher.accept("["));
  for (int i = 0; i < 200; ++i) {
    for (const char* piece : {"\"", "ab", "cdefg", "\"", ","}) {
      ASSERT_TRUE(masks.allowed(matcher).has_value());
      ASSERT_TRUE(matcher.accept(piece));
    }
  }
  EXPECT_LT(masks.misses(), 60u);
}

TEST(TokenMask, ControlTokensSpellOnlyTextsAroundValues) {
  const Tokenizer tokenizer = vocabulary();
  TokenMasks masks(tokenizer);
  CallGrammar calls;
  calls.tools.push_back({"f", "<tool>{\"x\": ", R"({"type": "object", "properties": {"a": {"type": "string"}}})", "}"});
  const auto grammar = compile_calls(calls);
  ASSERT_TRUE(grammar.has_value());
  GrammarMatcher matcher(*grammar);
  const auto control = [&](const char* text) { return allows(*masks.allowed(matcher), *tokenizer.find(text)); };
  EXPECT_TRUE(control("<tool>"));
  ASSERT_TRUE(matcher.accept("<tool>"));
  EXPECT_TRUE(control("{\""));
  ASSERT_TRUE(matcher.accept("{\"x\": "));
  EXPECT_FALSE(control("{\""));
  ASSERT_TRUE(matcher.accept("{\"a\": \""));
  EXPECT_FALSE(control("<tool>"));
}

TEST(TokenMask, SaysThatTheVocabularyLacksWhatIsNeeded) {
  const Tokenizer tokenizer = vocabulary(false);
  TokenMasks masks(tokenizer);
  const auto grammar = compile_json_schema(R"({"const": "zzz"})");
  GrammarMatcher matcher(*grammar);
  ASSERT_TRUE(matcher.accept("\"zz"));
  const auto mask = masks.allowed(matcher);
  ASSERT_FALSE(mask.has_value());
  EXPECT_THAT(mask.error().message, HasSubstr("vocabulary"));
}

TEST(AnswerConstraint, HoldsBehindItsTrigger) {
  const Tokenizer tokenizer = vocabulary();
  TokenMasks masks(tokenizer);
  const TokenId end = *tokenizer.find("<end>");
  const auto grammar = compile_json_schema(R"({"type": "integer"})");
  ASSERT_TRUE(grammar.has_value());
  const auto token = [&](const char* text) { return *tokenizer.find(text); };
  AnswerConstraint constraint(*grammar, "ab1", false);
  const auto can = [&](const char* text) { return allows(*constraint.allowed(masks, tokenizer), token(text)); };
  EXPECT_TRUE(can("{"));
  EXPECT_TRUE(can("ab"));
  EXPECT_FALSE(can("<end>"));
  ASSERT_TRUE(constraint.accept(token("a"), tokenizer));
  ASSERT_TRUE(constraint.accept(token("ab"), tokenizer));
  EXPECT_TRUE(can("1"));
  EXPECT_TRUE(can("12"));  // completes the trigger, and begins an integer
  EXPECT_TRUE(can("{"));
  // Tokens that complete it and go on otherwise are the only ones missing.
  const auto mask = constraint.allowed(masks, tokenizer);
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
    const std::string_view bytes = tokenizer.bytes(id);
    const bool completes = bytes.starts_with("1") || bytes.find("ab1") != std::string_view::npos;
    const std::string_view rest = completes ? bytes.substr(bytes.starts_with("1") ? 1 : bytes.find("ab1") + 3) : "";
    EXPECT_EQ(allows(*mask, id), id != end && (!completes || GrammarMatcher(*grammar).accept(rest))) << bytes;
  }
  ASSERT_TRUE(constraint.accept(token("1"), tokenizer));
  EXPECT_FALSE(can("{"));
  EXPECT_FALSE(can("<end>"));
  ASSERT_TRUE(constraint.accept(token("0"), tokenizer));
  EXPECT_TRUE(can("<end>"));
  EXPECT_FALSE(can("0"));
  EXPECT_FALSE(constraint.complete());
  EXPECT_TRUE(allows(*AnswerConstraint(*grammar, "ab1", true).allowed(masks, tokenizer), end));
}

}  // namespace
}  // namespace vitrine
