// How an API tells an answer. One writer per request.
#pragma once

#include <memory>
#include <string>

#include "serve/api/answer.h"
#include "serve/api/chat_request.h"

namespace vitrine {
class JsonWriter;
}

namespace vitrine::serve {

struct AnswerTotals {
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0, reasoning_tokens = 0;
  // Nanoseconds: until the first token; from then on; in all.
  int64_t prompt_ns = 0, generate_ns = 0, total_ns = 0;
};

struct AnswerHead {
  std::string id;            // unique: "chatcmpl-…"
  std::string model;         // the name this server gives it
  int64_t created = 0;       // seconds since 1970
  std::string created_text;  // the same, RFC 3339
};

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual std::string_view content_type(bool stream) const = 0;
  // A streamed event for choice `index`, framing included; empty when there is nothing to say.
  virtual std::string event(const Delta& delta, int64_t index) = 0;
  // The stream's last bytes.
  virtual std::string end(const AnswerTotals& totals) = 0;
  // An error once the stream has begun.
  virtual std::string error_event(const Error& error) = 0;
  // The whole answer at once. `whole`: per choice everything its deltas held, joined.
  virtual std::string body(const std::vector<Delta>& whole, const AnswerTotals& totals) = 0;
  // Bytes that mean nothing to a client, as many as asked for when that is at least padding_least().
  virtual std::string padding(size_t bytes) const = 0;
  virtual size_t padding_least() const = 0;
};

// The tokenizer spells the logprobs; borrowed.
std::unique_ptr<AnswerWriter> openai_chat_writer(AnswerHead head, const ChatRequest& request,
                                                 const Tokenizer& tokenizer);
std::unique_ptr<AnswerWriter> openai_completion_writer(AnswerHead head, const ChatRequest& request,
                                                       const Tokenizer& tokenizer);
std::unique_ptr<AnswerWriter> ollama_writer(AnswerHead head, const ChatRequest& request, const Tokenizer& tokenizer,
                                            bool chat);

// A list of {token, logprob, bytes, top_logprobs}: OpenAI's chat and Ollama have the same. What ends the answer is no
// part of it.
void write_logprob_list(JsonWriter& json, const Tokenizer& tokenizer, const std::vector<Sampled>& tokens);

// {"error": …} in either API's form, for errors before an answer has begun.
std::string openai_error(const Error& error, int status, std::string_view code = {});
std::string ollama_error(const Error& error);

}  // namespace vitrine::serve
