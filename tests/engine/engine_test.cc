// Requests through the engine: a small model written here, with a tokenizer of
// single bytes.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "engine/gguf_writer.h"
#include "tests/engine/gguf_from_weights.h"
#include "tests/engine/model_fixture.h"
#include "tests/engine/trace_ops.h"

namespace vitrine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Fixture qwen2 as a file with a tokenizer: token i is the byte 'A' + i, the last one ends answers.
class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto source = Weights::open(fixture_folder("qwen2"));
    ASSERT_TRUE(source.has_value());
    path_ = testing::TempDir() + "vitrine-engine-" + std::to_string(getpid()) + ".gguf";
    std::ofstream(path_, std::ios::binary) << gguf_from_weights(*source, MlaLayout::combined, Type::f32, true);
  }
  void TearDown() override { std::remove(path_.c_str()); }

  std::unique_ptr<Engine> open(EngineOptions options = {}) {
    if (options.context == 0) options.context = 128;
    auto engine = Engine::open(path_, *ops_, options);
    EXPECT_TRUE(engine.has_value()) << engine.error().to_string();
    return std::move(*engine);
  }

  static Request greedy(std::vector<TokenId> prompt, int64_t max_tokens) {
    Request request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.max_tokens = max_tokens;
    request.ignore_end = true;
    return request;
  }

  struct Answer {
    std::vector<TokenId> tokens;
    std::string text;
    std::optional<FinishReason> finished;
    SequenceUsage usage;
  };

  static std::map<SequenceId, Answer> run(Engine& engine) {
    std::map<SequenceId, Answer> answers;
    while (engine.busy()) step(engine, answers);
    return answers;
  }
  static void step(Engine& engine, std::map<SequenceId, Answer>& answers) {
    const auto outputs = engine.step();
    ASSERT_TRUE(outputs.has_value()) << outputs.error().to_string();
    for (const SequenceOutput& output : *outputs) {
      Answer& answer = answers[output.sequence];
      EXPECT_FALSE(answer.finished) << "an output after the last";
      for (const Sampled& token : output.tokens) answer.tokens.push_back(token.id);
      answer.text += output.text;
      answer.finished = output.finished;
      answer.usage = engine.usage(output.sequence).value();
    }
  }
  static Answer one(Engine& engine, Request request) {
    const auto id = engine.add(std::move(request));
    EXPECT_TRUE(id.has_value()) << id.error().to_string();
    return run(engine)[*id];
  }

  std::string path_;
  std::unique_ptr<Ops> ops_ = cpu();
};

const std::vector<TokenId> kPrompt = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32, 38, 46, 26, 43, 3, 8, 32};

TEST_F(EngineTest, GeneratesUpToTheLimit) {
  const auto engine = open();
  const Answer answer = one(*engine, greedy(kPrompt, 12));
  EXPECT_EQ(answer.tokens.size(), 12u);
  EXPECT_EQ(answer.finished, FinishReason::length);
  EXPECT_EQ(answer.usage.prompt_tokens, static_cast<int64_t>(kPrompt.size()));
  EXPECT_EQ(answer.usage.generated_tokens, 12);
  std::string text;
  for (const TokenId id : answer.tokens) text += static_cast<char>('A' + id);
  EXPECT_EQ(answer.text, text);
}

// The answer is the same alone, beside others, in chunks, after a shared prefix,
// with another instruction set: only the request decides.
TEST_F(EngineTest, OnlyTheRequestDecides) {
  const Answer alone = one(*open(), greedy(kPrompt, 40));
  for (const int64_t chunk : {8, 9, 16}) {
    EngineOptions options;
    options.step_tokens = chunk;
    options.cache_tokens = 1024;
    const auto engine = open(options);
    std::vector<SequenceId> same;
    for (int i = 0; i < 4; ++i) {
      same.push_back(engine->add(greedy(kPrompt, 40)).value());
      std::vector<TokenId> other(kPrompt.rbegin(), kPrompt.rend() - i);
      engine->add(greedy(other, 7 + i)).value();
    }
    const auto answers = run(*engine);
    ASSERT_EQ(answers.size(), 8u);
    for (const SequenceId id : same) EXPECT_EQ(answers.at(id).tokens, alone.tokens) << "chunks of " << chunk;
  }
  for (const Isa isa : available_isas()) {
    const auto ops = cpu(2, isa);
    auto engine = Engine::open(path_, *ops, {.context = 128});
    EXPECT_EQ(one(**engine, greedy(kPrompt, 40)).tokens, alone.tokens) << isa_name(isa);
  }
}

TEST_F(EngineTest, SampledAnswersRepeatWithTheirSeed) {
  Request request = greedy(kPrompt, 30);
  request.sampling.temperature = 1.2f;
  request.sampling.seed = 7;
  const auto engine = open();
  const Answer first = one(*engine, request);
  EXPECT_EQ(one(*engine, request).tokens, first.tokens);
  EXPECT_EQ(one(*open(), request).tokens, first.tokens);
  request.sampling.seed = 8;
  EXPECT_NE(one(*engine, request).tokens, first.tokens);
}

TEST_F(EngineTest, EndsAtTheEndToken) {
  Request request = greedy(kPrompt, 30);
  request.ignore_end = false;
  request.sampling.logit_bias[63] = 100;
  const Answer answer = one(*open(), request);
  EXPECT_THAT(answer.tokens, ElementsAre(63));
  EXPECT_EQ(answer.text, "");
  EXPECT_EQ(answer.finished, FinishReason::stop);
}

TEST_F(EngineTest, StopStringsEndTheAnswerAndAreNoPartOfIt) {
  const auto engine = open();
  const std::string whole = one(*engine, greedy(kPrompt, 30)).text;
  Request request = greedy(kPrompt, 30);
  request.stop = {whole.substr(10, 3)};
  const Answer answer = one(*engine, request);
  EXPECT_EQ(answer.text, whole.substr(0, whole.find(request.stop[0])));
  EXPECT_EQ(answer.finished, FinishReason::stop);
}

TEST_F(EngineTest, APromptThatBeginsAlikeIsNotReadAgain) {
  const auto engine = open();
  const Answer first = one(*engine, greedy(kPrompt, 10));
  EXPECT_EQ(first.usage.cached_tokens, 0);
  std::vector<TokenId> longer = kPrompt;
  longer.insert(longer.end(), first.tokens.begin(), first.tokens.end());
  longer.push_back(11);
  const Answer second = one(*engine, greedy(longer, 10));
  // The last generated token was never computed.
  EXPECT_EQ(second.usage.cached_tokens, static_cast<int64_t>(kPrompt.size()) + 9);
  EXPECT_EQ(second.tokens, one(*open(), greedy(longer, 10)).tokens);
  // All of a known prompt but its last token.
  EXPECT_EQ(one(*engine, greedy(longer, 3)).usage.cached_tokens, static_cast<int64_t>(longer.size()) - 1);

  Request stranger = greedy(longer, 3);
  stranger.cache_salt = "another tenant";
  EXPECT_EQ(one(*engine, stranger).usage.cached_tokens, 0);
}

// What a chat with a reasoning model asks: every turn may fill the context, and what was thought is not
// part of the next prompt, which so parts from the kept sequence where the answer began, inside a page.
TEST_F(EngineTest, AConversationIsReadOnceThoughEachAnswerMayFillTheCache) {
  TraceOps counted(*ops_);
  const auto computed = [&counted] {
    int64_t tokens = 0;
    for (const Traced& one : counted.trace) tokens += one.op == "embed" ? one.ne[1] : 0;
    counted.trace.clear();
    return tokens;
  };
  const EngineOptions options = {.context = 128, .cache_tokens = 128, .sequences = 1};
  auto opened = Engine::open(path_, counted, options);
  ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
  std::vector<TokenId> prompt = kPrompt;  // 19 tokens: its end lies inside a page
  size_t read = 0;
  for (int turn = 0; turn < 3; ++turn) {
    const auto id = (*opened)->add(greedy(prompt, 0)).value();
    std::map<SequenceId, Answer> answers;
    for (int i = 0; i < 20 + turn; ++i) step(**opened, answers);
    (*opened)->cancel(id);  // as an end token would: what it may still have written was never needed
    step(**opened, answers);
    const Answer answer = answers[id];
    EXPECT_EQ(answer.usage.cached_tokens, static_cast<int64_t>(read)) << "turn " << turn;
    // What is new of the prompt, then each token of the answer but the last.
    EXPECT_EQ(computed(), static_cast<int64_t>(prompt.size() - read + answer.tokens.size() - 1)) << "turn " << turn;
    // The same tokens as an engine gives that has read nothing before.
    EXPECT_EQ(answer.tokens, one(*open(), greedy(prompt, 20 + turn)).tokens) << "turn " << turn;
    read = prompt.size();
    // The next turn: the end of the answer without what came before it, and a question.
    prompt.push_back(answer.tokens[0] == 1 ? 2 : 1);
    prompt.insert(prompt.end(), answer.tokens.end() - 5, answer.tokens.end());
    prompt.insert(prompt.end(), {7, 8});
  }
}

// Waiting for others costs no kept sequence: what it begins like is still there when its turn comes.
TEST_F(EngineTest, WaitingForPagesKeepsThePrefix) {
  EngineOptions options = {.context = 128, .cache_tokens = 128, .sequences = 2, .kept_sequences = 2};
  const auto engine = open(options);
  one(*engine, greedy(kPrompt, 10));  // kept: 28 tokens in two pages
  const std::vector<TokenId> other(kPrompt.rbegin(), kPrompt.rend());
  const auto long_one = engine->add(greedy(other, 70)).value();  // six of the eight pages
  std::map<SequenceId, Answer> answers;
  step(*engine, answers);
  std::vector<TokenId> longer = kPrompt;
  longer.insert(longer.end(), {1, 2, 3});
  const auto waits = engine->add(greedy(longer, 60)).value();
  while (engine->busy()) step(*engine, answers);
  EXPECT_EQ(answers[long_one].tokens.size(), 70u);
  EXPECT_GE(answers[waits].usage.cached_tokens, static_cast<int64_t>(kPrompt.size()));
  EXPECT_EQ(answers[waits].tokens, one(*open(), greedy(longer, 60)).tokens);
}

TEST_F(EngineTest, CancelledSequencesEndAndGiveTheirPagesBack) {
  EngineOptions options;
  options.kept_sequences = 0;
  options.context = options.cache_tokens = 64;
  const auto engine = open(options);
  const auto first = engine->add(greedy(kPrompt, 0)).value();
  const auto second = engine->add(greedy(kPrompt, 0)).value();  // waits: the first has reserved everything
  std::map<SequenceId, Answer> answers;
  step(*engine, answers);
  step(*engine, answers);
  EXPECT_EQ(answers.count(second), 0u);
  engine->cancel(first);
  engine->cancel(12345);
  step(*engine, answers);
  EXPECT_EQ(answers[first].finished, FinishReason::cancelled);
  EXPECT_FALSE(answers[first].tokens.empty());
  const auto rest = run(*engine);
  EXPECT_EQ(rest.at(second).tokens.size(), 64 - kPrompt.size());
}

// Its vocabulary has the capital letters and '[ \\ ] ^ _ `', small letters, '{ | } ~'.
TEST_F(EngineTest, AnswersWithinAGrammar) {
  const auto engine = open();
  const std::vector<std::string> texts = {"Yes", "No", "Never"};
  Request request = greedy(kPrompt, 40);
  request.ignore_end = false;
  request.grammar = compile_choice(texts).value();
  const Answer answer = one(*engine, request);
  EXPECT_THAT(texts, testing::Contains(answer.text));
  EXPECT_EQ(answer.finished, FinishReason::stop);
  EXPECT_EQ(answer.tokens.size(), answer.text.size());  // no end token is asked for where nothing can follow

  // Beside others, each within its own.
  std::map<SequenceId, std::vector<std::string>> expected;
  for (int i = 0; i < 6; ++i) {
    request.sampling.temperature = i == 0 ? 0 : 1;
    request.sampling.seed = static_cast<uint64_t>(i);
    const std::vector<std::string> own = {std::string(i + 1, 'a'), std::string("b") + static_cast<char>('A' + i)};
    request.grammar = compile_choice(own).value();
    expected[engine->add(request).value()] = own;
    engine->add(greedy(kPrompt, 5)).value();
  }
  for (const auto& [id, found] : run(*engine)) {
    if (expected.count(id) != 0) {
      EXPECT_THAT(expected[id], testing::Contains(found.text));
    } else {
      EXPECT_EQ(found.tokens.size(), 5u);
    }
  }
}

TEST_F(EngineTest, GrammarsHoldBehindATrigger) {
  const auto engine = open();
  Request request = greedy(kPrompt, 60);
  request.ignore_end = false;
  const std::vector<std::string> texts = {"Yes"};
  request.grammar = compile_choice(texts).value();
  Request free = request;
  free.grammar = nullptr;
  free.ignore_end = true;
  const std::string whole = one(*engine, free).text;
  request.constrain_after = whole.substr(4, 2);
  const Answer answer = one(*engine, request);
  EXPECT_EQ(answer.text, whole.substr(0, whole.find(request.constrain_after) + 2) + "Yes");
  EXPECT_EQ(answer.finished, FinishReason::stop);
}

TEST_F(EngineTest, SaysWhenTheVocabularyCannotSpellTheAnswer) {
  const auto engine = open();
  Request request = greedy(kPrompt, 10);
  request.grammar = compile_json_schema(R"({"type": "object", "required": ["a"]})").value();
  EXPECT_THAT(engine->add(request).error().message, HasSubstr("ignore_end"));
  request.ignore_end = false;
  ASSERT_TRUE(engine->add(request).has_value());
  std::optional<Error> error;
  while (engine->busy()) {
    const auto outputs = engine->step();
    ASSERT_TRUE(outputs.has_value());
    for (const SequenceOutput& output : *outputs) {
      if (output.error) error = output.error;
    }
  }
  ASSERT_TRUE(error.has_value());  // after '{': there is no quote
  EXPECT_THAT(error->message, HasSubstr("vocabulary"));
}

TEST_F(EngineTest, RefusesWhatCannotBeAnswered) {
  const auto engine = open();
  const auto refusal = [&](Request request) { return engine->add(std::move(request)).error().message; };
  EXPECT_THAT(refusal(greedy({}, 1)), HasSubstr("empty"));
  EXPECT_THAT(refusal(greedy({64}, 1)), HasSubstr("outside the vocabulary"));
  EXPECT_THAT(refusal(greedy({-1}, 1)), HasSubstr("outside the vocabulary"));
  EXPECT_THAT(refusal(greedy(std::vector<TokenId>(128, 1), 1)), HasSubstr("context"));
  Request hot = greedy(kPrompt, 1);
  hot.sampling.temperature = -1;
  EXPECT_THAT(refusal(hot), HasSubstr("temperature"));
  EXPECT_FALSE(engine->busy());
  EXPECT_FALSE(Engine::open(path_, *ops_, {.context = 1 << 20}).has_value());
}

}  // namespace
}  // namespace vitrine
