// Requests of both APIs, calls of tools, and what answers look like.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/api/answer.h"
#include "serve/api/chat_request.h"
#include "serve/api/tool_style.h"

namespace vitrine::serve {
namespace {

using ::testing::HasSubstr;

std::string wrong(Result<ChatRequest> request) { return request ? "accepted" : request.error().to_string(); }

TEST(OpenAi, CompletionsTakeOnePromptOrSeveral) {
  const auto read = [](const std::string& more) { return read_openai_completion(R"({"model": "m", )" + more + "}"); };
  EXPECT_EQ(read(R"("prompt": "a")")->texts, (std::vector<std::string>{"a"}));
  const auto several = read(R"("prompt": ["a", "", "c"], "n": 2)");
  ASSERT_TRUE(several);
  EXPECT_EQ(several->texts, (std::vector<std::string>{"a", "", "c"}));
  EXPECT_EQ(several->answers(), 6u);
  const auto refused = [&](const std::string& more, const std::string& name, const std::string& why) {
    const auto request = read(more);
    ASSERT_FALSE(request) << more;
    EXPECT_EQ(request.error().where, name) << more;
    EXPECT_NE(request.error().message.find(why), std::string::npos) << request.error().message;
  };
  refused(R"("n": 1)", "prompt", "missing");
  refused(R"("prompt": [])", "prompt", "at least one");
  refused(R"("prompt": [1, 2, 3])", "prompt", "token ids");
  refused(R"("prompt": [[1, 2], [3]])", "prompt", "token ids");
  refused(R"("prompt": ["a", true])", "prompt", "a list of texts");
  refused(R"("prompt": ["a", "b", "c", "d", "e"], "n": 13)", "prompt", "64 answers");
  refused(R"("prompt": "a", "echo": true, "logprobs": 1)", "echo", "logprobs");
  std::string many = R"("prompt": ["a")";
  for (int i = 0; i < 64; ++i) many += R"(,"a")";
  refused(many + "]", "prompt", "65 prompts");
}

TEST(Ollama, LogprobsAreAskedForByNameAndBounded) {
  const auto read = [](const std::string& more) {
    return read_ollama_generate(R"({"model": "m", "prompt": "x")" + more + "}");
  };
  EXPECT_EQ(read("")->sampling.top_logprobs, -1);
  EXPECT_EQ(read(R"(, "logprobs": true)")->sampling.top_logprobs, 0);
  EXPECT_EQ(read(R"(, "logprobs": true, "top_logprobs": 20)")->sampling.top_logprobs, 20);
  EXPECT_EQ(read(R"(, "logprobs": false, "top_logprobs": 5)")->sampling.top_logprobs, -1);
  for (const char* wrong : {R"(, "top_logprobs": 21)", R"(, "top_logprobs": -1)", R"(, "logprobs": 3)"}) {
    const auto request = read(wrong);
    ASSERT_FALSE(request) << wrong;
    EXPECT_NE(request.error().where.find("logprobs"), std::string::npos);
  }
}

TEST(OpenAiRequest, ReadsWhatClientsSend) {
  const auto request = read_openai_chat(R"({"model": "m", "messages": [
      {"role": "developer", "content": "Be short."},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
          {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "2"}],
      "temperature": 0, "top_p": 0.5, "seed": -3, "max_tokens": 7, "max_completion_tokens": 9, "stop": ["x", "y"],
      "logit_bias": {"5": -100}, "n": 2, "stream": true, "stream_options": {"include_usage": true}, "user": "u",
      "logprobs": true, "top_logprobs": 3, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"})");
  ASSERT_TRUE(request) << request.error().to_string();
  EXPECT_EQ(to_json(request->messages),
            R"([{"role":"system","content":"Be short."},{"role":"user","content":"ab"},)"
            R"({"role":"assistant","content":"","reasoning_content":"hm","tool_calls":[{"id":"1","type":"function",)"
            R"("function":{"name":"f","arguments":"{\"x\": 1}"}}]},{"role":"tool","content":"2","tool_call_id":"1"}])");
  EXPECT_EQ(request->max_tokens, 9);
  EXPECT_EQ(request->seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(request->stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(request->sampling.logit_bias.at(5), -100);
  EXPECT_EQ(request->sampling.top_logprobs, 3);
  EXPECT_EQ(request->choices, 2);
  EXPECT_TRUE(request->stream && request->include_usage);
  EXPECT_EQ(request->tool_choice, ChatRequest::ToolChoice::required);
}

TEST(OpenAiRequest, RefusesByName) {
  const auto chat = [](std::string_view more) {
    return wrong(
        read_openai_chat(R"({"model": "m", "messages": [{"role": "user", "content": "x"}])" + std::string(more) + "}"));
  };
  EXPECT_THAT(wrong(read_openai_chat("")), HasSubstr("not JSON"));
  EXPECT_THAT(wrong(read_openai_chat("[]")), HasSubstr("object"));
  EXPECT_THAT(wrong(read_openai_chat("{}")), HasSubstr("messages"));
  EXPECT_THAT(wrong(read_openai_chat(R"({"messages": []})")), HasSubstr("messages"));
  EXPECT_THAT(wrong(read_openai_chat(std::string(100, '[') + std::string(100, ']'))), HasSubstr("deeper"));
  for (const char* more : {R"(, "temperature": "hot")",
                           R"(, "temperature": 1000000000)",
                           R"(, "top_p": 1000000000)",
                           R"(, "top_k": 1e300)",
                           R"(, "n": 0)",
                           R"(, "n": 1000000000)",
                           R"(, "max_tokens": 0)",
                           R"(, "max_tokens": 1e999)",
                           R"(, "seed": 1.5)",
                           R"(, "stop": [""])",
                           R"(, "stop": 3)",
                           R"(, "logit_bias": {"x": 1})",
                           R"(, "logit_bias": {"1": 1000000000})",
                           R"(, "top_logprobs": 3)",
                           R"(, "stream_options": {"x": 1})",
                           R"(, "response_format": {"type": "xml"})",
                           R"(, "response_format": {"type": "json_schema"})",
                           R"(, "tools": [{}])",
                           R"(, "tools": [{"type": "web_search"}])",
                           R"(, "tool_choice": "required")",
                           R"(, "modalities": ["audio"])",
                           R"(, "temprature": 1)"}) {
    const std::string message = chat(more);
    EXPECT_NE(message, "accepted") << more;
    const std::string name(more + 3, std::string_view(more).find('"', 3) - 3);
    if (message.find("not JSON") == message.npos) {
      EXPECT_THAT(message, HasSubstr(name)) << more;
    }
  }
  EXPECT_EQ(chat(R"(, "temperature": null, "user": "x", "top_p": 1)"), "accepted");
}

TEST(OpenAiRequest, ManyValuesAreBounded) {
  std::string body = R"({"model": "m", "messages": [{"role": "user", "content": [)";
  for (int i = 0; i < 1'100'000; ++i) body += "0,";
  body += "0]}]}";
  EXPECT_THAT(wrong(read_openai_chat(body)), HasSubstr("too many values"));
}

TEST(OllamaRequest, Reads) {
  const auto chat =
      read_ollama_chat(R"({"model": "m:latest", "messages": [{"role": "user", "content": "x"}], "stream": false,
      "options": {"temperature": 0, "num_predict": -1, "num_ctx": 4096, "stop": "x"}, "format": {"type": "object"}, "keep_alive": "5m"})");
  ASSERT_TRUE(chat) << chat.error().to_string();
  EXPECT_EQ(chat->max_tokens, 0);
  EXPECT_EQ(chat->schema, R"({"type":"object"})");
  EXPECT_FALSE(chat->stream);
  const auto made = read_ollama_generate(R"({"model": "m", "prompt": "x", "system": "s"})");
  ASSERT_TRUE(made);
  EXPECT_EQ(to_json(made->messages), R"([{"role":"system","content":"s"},{"role":"user","content":"x"}])");
  EXPECT_TRUE(made->stream);
  EXPECT_EQ(read_ollama_generate(R"({"model": "m", "prompt": "x", "raw": true})")->texts,
            (std::vector<std::string>{"x"}));
  EXPECT_THAT(wrong(read_ollama_chat(R"({"model": "m", "messages": [], "options": {"num_predict": 1e99}})")),
              HasSubstr("options.num_predict"));
  EXPECT_THAT(wrong(read_ollama_generate(R"({"model": "m", "prompt": "x", "images": ["aGk="]})")), HasSubstr("images"));
}

struct Parsed {
  std::string text;
  std::vector<std::string> calls;
  bool operator==(const Parsed&) const = default;
};

// The answer cut at every place, and into single bytes: always the same.
Parsed parse(ToolStyle style, std::string_view answer) {
  const auto run = [&](size_t first, size_t step) {
    ToolCallParser parser(style, {"f", "g"});
    Parsed out;
    const auto take = [&](ToolCallParser::Piece piece) {
      out.text += piece.text;
      for (const ToolCall& call : piece.calls) out.calls.push_back(call.name + call.arguments);
    };
    take(parser.push(answer.substr(0, first)));
    for (size_t at = first; at < answer.size(); at += step) take(parser.push(answer.substr(at, step)));
    take(parser.finish());
    return out;
  };
  const Parsed whole = run(answer.size(), 1);
  for (size_t cut = 0; cut < answer.size(); ++cut) EXPECT_EQ(run(cut, answer.size()), whole) << cut;
  EXPECT_EQ(run(0, 1), whole);
  return whole;
}

TEST(ToolCalls, Hermes) {
  const auto hermes = [](std::string_view text) { return parse(ToolStyle::hermes, text); };
  EXPECT_EQ(hermes("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"),
            (Parsed{"", {R"(f{"a":1})"}}));
  EXPECT_EQ(
      hermes("Let me see.\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n<tool_call>{\"name\": \"g\", "
             "\"arguments\": {}}</tool_call>"),
      (Parsed{"Let me see.", {"f{}", "g{}"}}));
  // No call after all: text.
  EXPECT_EQ(hermes("a <tool_call> b"), (Parsed{"a <tool_call> b", {}}));
  EXPECT_EQ(hermes("<tool_call>{\"name\": \"rm\", \"arguments\": {}}</tool_call>").calls.size(), 0u);
  EXPECT_EQ(hermes("<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>").calls.size(), 0u);
  EXPECT_EQ(hermes("a <tool_"), (Parsed{"a <tool_", {}}));
  EXPECT_EQ(hermes("1 < 2, </tool_call>"), (Parsed{"1 < 2, </tool_call>", {}}));
  // Cut by max_tokens: the beginning is not lost.
  EXPECT_EQ(hermes("<tool_call>{\"name\": \"f\", \"argu").text, "<tool_call>{\"name\": \"f\", \"argu");
}

TEST(ToolCalls, OtherFamilies) {
  EXPECT_EQ(parse(ToolStyle::deepseek,
                  "Sure.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": "
                  "\"```\"}\n```<｜tool▁call▁end｜>\n"
                  "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
            (Parsed{"Sure.", {R"(f{"a":"```"})", "g{}"}}));
  EXPECT_EQ(
      parse(ToolStyle::mistral,
            "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": [1]}}, {\"name\": \"g\", \"arguments\": {}}]"),
      (Parsed{"", {R"(f{"a":[1]})", "g{}"}}));
  EXPECT_EQ(parse(ToolStyle::llama, "{\"name\": \"f\", \"parameters\": {\"a\": true}}"),
            (Parsed{"", {R"(f{"a":true})"}}));
  EXPECT_EQ(parse(ToolStyle::llama, "A set {1, 2}"), (Parsed{"A set {1, 2}", {}}));
  EXPECT_EQ(parse(ToolStyle::llama, "{\"not\": \"a call\"}"), (Parsed{"{\"not\": \"a call\"}", {}}));
}

TEST(ToolCalls, SpelledCallsAreRead) {
  for (const ToolStyle style : {ToolStyle::hermes, ToolStyle::deepseek, ToolStyle::mistral, ToolStyle::llama}) {
    const CallSpelling call = spell_call(style, "f");
    EXPECT_EQ(parse(style, call.begin + call.before + R"({"x": "y"})" + call.after + call.end),
              (Parsed{"", {R"(f{"x":"y"})"}}));
    if (call.separator.empty()) continue;
    EXPECT_EQ(parse(style, call.begin + call.before + "{}" + call.after + call.separator + call.before + "{}" +
                               call.after + call.end),
              (Parsed{"", {"f{}", "f{}"}}));
  }
}

TEST(ToolCalls, StyleByTemplate) {
  EXPECT_EQ(find_tool_style("{{ messages }}"), std::nullopt);
  EXPECT_EQ(find_tool_style("{% if tools %}<tool_call>"), ToolStyle::hermes);
  EXPECT_EQ(find_tool_style("tool_calls <｜tool▁calls▁begin｜>"), ToolStyle::deepseek);
}

TEST(Answer, SplitsReasoningFromText) {
  Answer::Options options;
  options.inside_reasoning = true;
  Answer answer(options);
  std::string reasoning, content;
  for (const char* text : {"Let", " me", "</thi", "nk>", "\n\nParis"}) {
    SequenceOutput output;
    output.text = text;
    output.tokens.resize(1);
    const Delta delta = answer.push(output);
    reasoning += delta.reasoning;
    content += delta.content;
  }
  SequenceOutput last;
  last.finished = FinishReason::stop;
  const Delta delta = answer.push(last);
  EXPECT_EQ(reasoning, "Let me");
  EXPECT_EQ(content + delta.content, "Paris");
  EXPECT_EQ(delta.finish, "stop");
  EXPECT_EQ(answer.reasoning_tokens(), 2);
}

}  // namespace
}  // namespace vitrine::serve
