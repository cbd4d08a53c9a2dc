// Ollama's answers: one JSON object a line (NDJSON), times in nanoseconds.
#include "base/json_writer.h"
#include "serve/api/answer_writer.h"

namespace vitrine::serve {
namespace {

class OllamaWriter : public AnswerWriter {
 public:
  OllamaWriter(AnswerHead head, const ChatRequest& request, const Tokenizer& tokenizer, bool chat)
      : head_(std::move(head)), tokenizer_(tokenizer), logprobs_(request.sampling.top_logprobs >= 0), chat_(chat) {}

  std::string_view content_type(bool stream) const override {
    return stream ? "application/x-ndjson" : "application/json; charset=utf-8";
  }

  std::string event(const Delta& delta, int64_t) override {
    if (delta.finish) finish_ = *delta.finish;
    tokens_.insert(tokens_.end(), delta.tokens.begin(), delta.tokens.end());
    if (delta.content.empty() && delta.reasoning.empty() && delta.calls.empty()) return {};
    std::string out;
    JsonWriter json(out);
    begin(json);
    write_text(json, delta);
    write_logprobs(json);
    json.key("done").boolean(false).end();
    return out + "\n";
  }

  std::string end(const AnswerTotals& totals) override { return line(Delta{}, totals) + "\n"; }

  std::string error_event(const Error& error) override { return ollama_error(error) + "\n"; }

  std::string body(const std::vector<Delta>& whole, const AnswerTotals& totals) override {
    finish_ = whole.front().finish.value_or("stop");
    tokens_ = whole.front().tokens;
    return line(whole.front(), totals);
  }

  // White space between two JSON values.
  std::string padding(size_t bytes) const override { return std::string(bytes - 1, ' ') + "\n"; }
  size_t padding_least() const override { return 1; }

 private:
  void begin(JsonWriter& json) const {
    json.begin().key("model").string(head_.model).key("created_at").string(head_.created_text);
  }

  void write_text(JsonWriter& json, const Delta& delta) const {
    if (!chat_) {
      json.key("response").string(delta.content);
      if (!delta.reasoning.empty()) json.key("thinking").string(delta.reasoning);
      return;
    }
    json.key("message").begin().key("role").plain("assistant").key("content").string(delta.content);
    if (!delta.reasoning.empty()) json.key("thinking").string(delta.reasoning);
    if (!delta.calls.empty()) {
      json.key("tool_calls").begin_array();
      for (const ToolCall& call : delta.calls) {
        json.begin().key("function").begin().key("name").string(call.name);
        json.key("arguments").raw(call.arguments).end().end();
      }
      json.end_array();
    }
    json.end();
  }

  // Of the tokens since the last line: one without text yet (part of a character, of a call) comes with the next.
  void write_logprobs(JsonWriter& json) {
    if (!logprobs_ || tokens_.empty()) return;
    json.key("logprobs");
    write_logprob_list(json, tokenizer_, tokens_);
    tokens_.clear();
  }

  std::string line(const Delta& delta, const AnswerTotals& totals) {
    std::string out;
    JsonWriter json(out);
    begin(json);
    write_text(json, delta);
    write_logprobs(json);
    json.key("done").boolean(true).key("done_reason").plain(finish_ == "length" ? "length" : "stop");
    json.key("total_duration").number(totals.total_ns).key("load_duration").number(0);
    json.key("prompt_eval_count").number(totals.prompt_tokens).key("prompt_eval_duration").number(totals.prompt_ns);
    json.key("eval_count").number(totals.generated_tokens).key("eval_duration").number(totals.generate_ns).end();
    return out;
  }

  const AnswerHead head_;
  const Tokenizer& tokenizer_;
  const bool logprobs_, chat_;
  std::vector<Sampled> tokens_;  // not written yet
  std::string finish_ = "stop";
};

}  // namespace

std::unique_ptr<AnswerWriter> ollama_writer(AnswerHead head, const ChatRequest& request, const Tokenizer& tokenizer,
                                            bool chat) {
  return std::make_unique<OllamaWriter>(std::move(head), request, tokenizer, chat);
}

std::string ollama_error(const Error& error) {
  std::string out;
  JsonWriter(out).begin().key("error").string(error.to_string()).end();
  return out;
}

}  // namespace vitrine::serve
