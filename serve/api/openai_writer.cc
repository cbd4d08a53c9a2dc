#include <fmt/format.h>

#include "base/json_writer.h"
#include "serve/api/answer_writer.h"

namespace vitrine::serve {
namespace {

void write_error(JsonWriter& json, const Error& error, int status, std::string_view code) {
  json.key("error").begin().key("message").string(error.to_string());
  json.key("type").plain(status == 401   ? "authentication_error"
                         : status == 403 ? "permission_error"
                         : status == 404 ? "not_found_error"
                         : status == 429 ? "rate_limit_error"
                         : status >= 500 ? "server_error"
                                         : "invalid_request_error");
  json.key("param");
  error.where.empty() ? json.null() : json.string(error.where);
  json.key("code");
  code.empty() ? json.null() : json.string(code);
  json.end();
}

void write_usage(JsonWriter& json, const AnswerTotals& totals) {
  json.key("usage").begin().key("prompt_tokens").number(totals.prompt_tokens);
  json.key("completion_tokens").number(totals.generated_tokens);
  json.key("total_tokens").number(totals.prompt_tokens + totals.generated_tokens);
  json.key("prompt_tokens_details").begin().key("cached_tokens").number(totals.cached_tokens).end();
  json.key("completion_tokens_details").begin().key("reasoning_tokens").number(totals.reasoning_tokens).end();
  // DeepSeek's names for the same.
  json.key("prompt_cache_hit_tokens").number(totals.cached_tokens);
  json.key("prompt_cache_miss_tokens").number(totals.prompt_tokens - totals.cached_tokens);
  json.end();
}

// What both endpoints share: events framed as Server-Sent Events, counts at the end.
class OpenAiWriter : public AnswerWriter {
 public:
  OpenAiWriter(AnswerHead head, const ChatRequest& request, const Tokenizer& tokenizer)
      : head_(std::move(head)),
        tokenizer_(tokenizer),
        usage_(request.include_usage),
        logprobs_(request.sampling.top_logprobs >= 0),
        begun_(request.answers()) {}

  std::string_view content_type(bool stream) const override {
    return stream ? "text/event-stream" : "application/json";
  }

  std::string event(const Delta& delta, int64_t index) override {
    std::string out = "data: ";
    JsonWriter json(out);
    begin(json, true);
    json.key("choices").begin_array();
    write_part(json, delta, index);
    json.end_array();
    if (usage_) json.key("usage").null();
    json.end();
    return out + "\n\n";
  }

  std::string end(const AnswerTotals& totals) override {
    std::string out;
    if (usage_) {
      out = "data: ";
      JsonWriter json(out);
      begin(json, true);
      json.key("choices").begin_array().end_array();
      write_usage(json, totals);
      json.end();
      out += "\n\n";
    }
    return out + "data: [DONE]\n\n";
  }

  std::string error_event(const Error& error) override { return "data: " + openai_error(error, 500) + "\n\n"; }

  std::string body(const std::vector<Delta>& whole, const AnswerTotals& totals) override {
    std::string out;
    JsonWriter json(out);
    begin(json, false);
    json.key("choices").begin_array();
    for (size_t i = 0; i < whole.size(); ++i) write_whole(json, whole[i], static_cast<int64_t>(i));
    json.end_array();
    write_usage(json, totals);
    json.end();
    return out;
  }

  // An event of the stream that is a comment (WHATWG HTML, 9.2.6).
  std::string padding(size_t bytes) const override { return ":" + std::string(bytes - 3, ' ') + "\n\n"; }
  size_t padding_least() const override { return 3; }

 protected:
  virtual void begin(JsonWriter& json, bool chunk) const = 0;
  virtual void write_part(JsonWriter& json, const Delta& delta, int64_t index) = 0;
  virtual void write_whole(JsonWriter& json, const Delta& answer, int64_t index) = 0;

  // True once for each choice.
  bool begins(int64_t index) {
    if (begun_[static_cast<size_t>(index)]) return false;
    begun_[static_cast<size_t>(index)] = true;
    return true;
  }
  static void write_finish(JsonWriter& json, const Delta& delta) {
    json.key("finish_reason");
    delta.finish ? json.string(*delta.finish) : json.null();
  }

  const AnswerHead head_;
  const Tokenizer& tokenizer_;
  const bool usage_, logprobs_;

 private:
  std::vector<bool> begun_;
};

class ChatWriter : public OpenAiWriter {
 public:
  ChatWriter(AnswerHead head, const ChatRequest& request, const Tokenizer& tokenizer)
      : OpenAiWriter(std::move(head), request, tokenizer), calls_(request.answers()) {}

 private:
  void begin(JsonWriter& json, bool chunk) const override {
    json.begin().key("id").string(head_.id).key("object").plain(chunk ? "chat.completion.chunk" : "chat.completion");
    json.key("created").number(head_.created).key("model").string(head_.model);
    json.key("system_fingerprint").plain("vitrine");
  }

  void write_part(JsonWriter& json, const Delta& delta, int64_t index) override {
    json.begin().key("index").number(index).key("delta").begin();
    if (begins(index)) json.key("role").plain("assistant");
    if (!delta.reasoning.empty()) json.key("reasoning_content").string(delta.reasoning);
    if (!delta.content.empty()) json.key("content").string(delta.content);
    if (!delta.calls.empty()) write_calls(json, delta.calls, index, true);
    json.end();
    if (logprobs_) write_logprobs(json, delta.tokens);
    write_finish(json, delta);
    json.end();
  }

  void write_whole(JsonWriter& json, const Delta& answer, int64_t index) override {
    json.begin().key("index").number(index).key("message").begin();
    json.key("role").plain("assistant").key("content");
    answer.content.empty() && !answer.calls.empty() ? json.null() : json.string(answer.content);
    if (!answer.reasoning.empty()) json.key("reasoning_content").string(answer.reasoning);
    json.key("refusal").null();
    if (!answer.calls.empty()) write_calls(json, answer.calls, index, false);
    json.end();
    if (logprobs_) {
      write_logprobs(json, answer.tokens);
    } else {
      json.key("logprobs").null();
    }
    write_finish(json, answer);
    json.end();
  }

  void write_calls(JsonWriter& json, const std::vector<ToolCall>& calls, int64_t index, bool with_index) {
    json.key("tool_calls").begin_array();
    for (const ToolCall& call : calls) {
      const int64_t number = calls_[static_cast<size_t>(index)]++;
      json.begin();
      if (with_index) json.key("index").number(number);
      json.key("id").string(fmt::format("call_{}_{}_{}", head_.id, index, number)).key("type").plain("function");
      json.key("function").begin().key("name").string(call.name).key("arguments").string(call.arguments).end().end();
    }
    json.end_array();
  }

  void write_logprobs(JsonWriter& json, const std::vector<Sampled>& tokens) const {
    json.key("logprobs").begin().key("content");
    write_logprob_list(json, tokenizer_, tokens);
    json.key("refusal").null().end();
  }

  std::vector<int64_t> calls_;  // given so far, of each choice
};

class CompletionWriter : public OpenAiWriter {
 public:
  CompletionWriter(AnswerHead head, const ChatRequest& request, const Tokenizer& tokenizer)
      : OpenAiWriter(std::move(head), request, tokenizer),
        prompts_(request.echo ? request.texts : std::vector<std::string>()),
        choices_(static_cast<size_t>(request.choices)),
        offsets_(request.answers()) {}

 private:
  void begin(JsonWriter& json, bool) const override {
    json.begin().key("id").string(head_.id).key("object").plain("text_completion");
    json.key("created").number(head_.created).key("model").string(head_.model);
  }
  void write_part(JsonWriter& json, const Delta& delta, int64_t index) override {
    const bool echoes = begins(index) && !prompts_.empty();
    const std::string text = (echoes ? prompts_[static_cast<size_t>(index) / choices_] : std::string()) + delta.content;
    json.begin().key("text").string(text).key("index").number(index).key("logprobs");
    logprobs_ ? write_logprobs(json, delta.tokens, index) : void(json.null());
    write_finish(json, delta);
    json.end();
  }
  void write_whole(JsonWriter& json, const Delta& answer, int64_t index) override { write_part(json, answer, index); }
  void write_logprobs(JsonWriter& json, const std::vector<Sampled>& tokens, int64_t index) {
    json.begin().key("tokens").begin_array();
    for (const Sampled& token : tokens) json.string(tokenizer_.bytes(token.id));
    json.end_array().key("token_logprobs").begin_array();
    for (const Sampled& token : tokens) json.real(token.logprob);
    json.end_array().key("top_logprobs").begin_array();
    for (const Sampled& token : tokens) {
      ChatMap best;  // keys are the tokens' texts
      for (const TokenLogprob& other : token.top) {
        best.emplace_back(std::string(tokenizer_.bytes(other.id)), static_cast<double>(other.logprob));
      }
      json.raw(to_json(best));
    }
    json.end_array().key("text_offset").begin_array();
    for (const Sampled& token : tokens) {
      json.number(static_cast<uint64_t>(offsets_[static_cast<size_t>(index)]));
      offsets_[static_cast<size_t>(index)] += tokenizer_.bytes(token.id).size();
    }
    json.end_array().end();
  }

  const std::vector<std::string> prompts_;  // with `echo`
  const size_t choices_;                    // of each prompt
  std::vector<size_t> offsets_;             // in the text, of each choice
};

}  // namespace

void write_logprob_list(JsonWriter& json, const Tokenizer& tokenizer, const std::vector<Sampled>& tokens) {
  const auto write_token = [&](TokenId id, float logprob) {
    const std::string_view bytes = tokenizer.bytes(id);
    json.key("token").string(bytes).key("logprob").real(logprob).key("bytes").begin_array();
    for (const char byte : bytes) json.number(static_cast<unsigned>(static_cast<unsigned char>(byte)));
    json.end_array();
  };
  json.begin_array();
  for (const Sampled& token : tokens) {
    if (tokenizer.ends_generation(token.id)) continue;
    json.begin();
    write_token(token.id, token.logprob);
    json.key("top_logprobs").begin_array();
    for (const TokenLogprob& other : token.top) {
      json.begin();
      write_token(other.id, other.logprob);
      json.end();
    }
    json.end_array().end();
  }
  json.end_array();
}

std::unique_ptr<AnswerWriter> openai_chat_writer(AnswerHead head, const ChatRequest& request,
                                                 const Tokenizer& tokenizer) {
  return std::make_unique<ChatWriter>(std::move(head), request, tokenizer);
}

std::unique_ptr<AnswerWriter> openai_completion_writer(AnswerHead head, const ChatRequest& request,
                                                       const Tokenizer& tokenizer) {
  return std::make_unique<CompletionWriter>(std::move(head), request, tokenizer);
}

std::string openai_error(const Error& error, int status, std::string_view code) {
  std::string out;
  JsonWriter json(out);
  json.begin();
  write_error(json, error, status, code);
  json.end();
  return out;
}

}  // namespace vitrine::serve
