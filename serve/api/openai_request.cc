// POST /v1/chat/completions and /v1/completions, as OpenAI documents them, with
// DeepSeek's reasoning_content and the sampling members that vLLM and llama.cpp add.
#include <fmt/format.h>

#include <charconv>

#include "base/text.h"
#include "serve/api/chat_request.h"
#include "serve/api/members.h"
#include "serve/api/messages.h"

namespace vitrine::serve {
namespace {

constexpr int64_t kMost = 1'000'000'000'000;
constexpr size_t kMaxStops = 16, kMaxStopBytes = 1024;
constexpr size_t kMaxAnswers = 64;  // of one request: prompts times n

void read_stop(Members& members, ChatRequest& request) {
  const ChatValue* stop = members.any("stop");
  if (stop == nullptr) return;
  ChatList one = {*stop};
  const ChatList& list = stop->as_list() != nullptr ? *stop->as_list() : one;
  for (const ChatValue& text : list) {
    if (text.as_string() == nullptr || text.as_string()->empty() || text.as_string()->size() > kMaxStopBytes) {
      return members.refuse("stop", "must be texts of 1 to 1024 bytes");
    }
    request.stop.push_back(*text.as_string());
  }
  if (request.stop.size() > kMaxStops) members.refuse("stop", "holds more than 16 texts");
}

void read_bias(Members& members, ChatRequest& request) {
  const ChatValue* bias = members.object("logit_bias");
  if (bias == nullptr) return;
  if (bias->as_map()->size() > 1024) return members.refuse("logit_bias", "holds more than 1024 tokens");
  for (const auto& [key, value] : *bias->as_map()) {
    TokenId id = -1;
    const auto read = std::from_chars(key.data(), key.data() + key.size(), id);
    const double amount = value.as_integer() != nullptr ? static_cast<double>(*value.as_integer())
                          : value.as_real() != nullptr  ? *value.as_real()
                                                        : 1000;
    if (read.ec != std::errc() || read.ptr != key.data() + key.size() || id < 0 || amount < -100 || amount > 100) {
      return members.refuse("logit_bias", "must map token ids to numbers from -100 to 100");
    }
    request.sampling.logit_bias[id] = static_cast<float>(amount);
  }
}

// What both endpoints share.
void read_sampling(Members& members, ChatRequest& request) {
  SamplingParameters& s = request.sampling;
  const auto real = [&](std::string_view name, double least, double most, float& into) {
    if (const auto value = members.real(name, least, most)) into = static_cast<float>(*value);
  };
  real("temperature", 0, 100, s.temperature);
  real("top_p", 0, 1, s.top_p);
  if (s.top_p == 0) s.top_p = 1e-9f;  // clients that mean "the best only"
  real("min_p", 0, 1, s.min_p);
  real("presence_penalty", -2, 2, s.presence_penalty);
  real("frequency_penalty", -2, 2, s.frequency_penalty);
  real("repetition_penalty", 0.01, 100, s.repetition_penalty);
  if (const auto k = members.integer("top_k", -1, 1 << 30)) s.top_k = static_cast<int32_t>(std::max<int64_t>(*k, 0));
  if (const auto seed = members.integer("seed", INT64_MIN, INT64_MAX)) request.seed = static_cast<uint64_t>(*seed);
  read_bias(members, request);
  read_stop(members, request);
  if (const auto n = members.integer("n", 1, 16)) request.choices = *n;
  if (const auto stream = members.flag("stream")) request.stream = *stream;
  if (const ChatValue* options = members.object("stream_options")) {
    Members inner(*options, "stream_options");
    if (const auto usage = inner.flag("include_usage")) request.include_usage = *usage;
    inner.flag("include_obfuscation");  // padding is decided by where the client is, not by it
    inner.refuse_others();
    if (inner.failed()) members.refuse("stream_options", inner.error().value().message);
  }
  members.ignore({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
                  "prompt_cache_retention", "verbosity"});
}

void read_format(Members& members, ChatRequest& request) {
  const ChatValue* format = members.object("response_format");
  if (format == nullptr) return;
  Members inner(*format, "response_format");
  const auto type = inner.text("type");
  if (type == "json_object") {
    request.format = ChatRequest::Format::json_object;
  } else if (type == "json_schema") {
    request.format = ChatRequest::Format::json_schema;
    const ChatValue* outer = inner.object("json_schema");
    const ChatValue* schema = outer != nullptr ? outer->find("schema") : nullptr;
    if (schema == nullptr || schema->as_map() == nullptr) {
      inner.refuse("json_schema", "must hold the schema under \"schema\"");
    } else {
      request.schema = to_json(*schema);
    }
  } else if (type != "text") {
    inner.refuse("type", "must be text, json_object or json_schema");
  }
  if (inner.failed()) {
    const Error error = inner.error().value();
    members.refuse(error.where.empty() ? "response_format" : error.where, error.message, error.code);
  }
}

void read_tool_choice(Members& members, ChatRequest& request) {
  using Choice = ChatRequest::ToolChoice;
  const ChatValue* choice = members.any("tool_choice");
  if (const auto parallel = members.flag("parallel_tool_calls")) request.parallel_calls = *parallel;
  if (request.tool_list.empty()) request.tool_choice = Choice::none;
  if (choice == nullptr) return;
  if (const auto* word = choice->as_string()) {
    if (*word == "none") {
      request.tool_choice = Choice::none;
    } else if (*word == "required") {
      request.tool_choice = Choice::required;
    } else if (*word != "auto") {
      members.refuse("tool_choice", "must be none, auto, required or a function");
    }
  } else {
    const ChatValue* function = choice->find("function");
    const ChatValue* name = function != nullptr ? function->find("name") : nullptr;
    if (name == nullptr || name->as_string() == nullptr) {
      return members.refuse("tool_choice", "must be none, auto, required or {\"type\": \"function\", …}");
    }
    request.tool_choice = Choice::named;
    request.tool_name = *name->as_string();
    for (const Tool& tool : request.tool_list) {
      if (tool.name == request.tool_name) return;
    }
    members.refuse("tool_choice", "no tool is called " + printable(request.tool_name));
  }
  if (request.tool_choice == Choice::required && request.tool_list.empty()) {
    members.refuse("tool_choice", "needs tools");
  }
}

// One text, or a list of them. Lists of token ids are for tokenizers that clients cannot know here.
void read_prompts(Members& members, ChatRequest& request) {
  const ChatValue* prompt = members.any("prompt");
  if (prompt == nullptr) return members.refuse("prompt", "is missing");
  const ChatList one = {*prompt};
  const ChatList& prompts = prompt->as_list() != nullptr ? *prompt->as_list() : one;
  if (prompts.empty()) return members.refuse("prompt", "must hold at least one text");
  for (const ChatValue& text : prompts) {
    if (text.as_string() == nullptr) {
      const bool tokens = text.as_integer() != nullptr || text.as_list() != nullptr;
      return tokens ? members.refuse("prompt", "token ids are not supported: send texts", ErrorCode::unsupported)
                    : members.refuse("prompt", "must be a text or a list of texts");
    }
    if (request.texts.size() == kMaxAnswers) break;
    request.texts.push_back(*text.as_string());
  }
  if (prompts.size() * static_cast<size_t>(request.choices) > kMaxAnswers) {
    members.refuse("prompt", fmt::format("{} prompts with n = {} are more than {} answers", prompts.size(),
                                         request.choices, kMaxAnswers));
  }
}

}  // namespace

Result<ChatRequest> read_openai_chat(std::string_view body) {
  const auto json = ChatValue::from_json(body);
  if (!json) return fail(ErrorCode::usage, "the body is not JSON: " + json.error().message);
  Members members(*json);
  ChatRequest request;
  request.model = members.text("model").value_or("");
  const ChatValue* messages = members.list("messages");
  if (messages == nullptr) members.refuse("messages", "is missing");
  if (const ChatValue* tools = members.list("tools"); tools != nullptr && !members.failed()) {
    if (const Status status = read_tools(*tools, request); !status) return tl::make_unexpected(status.error());
  }
  read_sampling(members, request);
  read_format(members, request);
  read_tool_choice(members, request);
  // The newer name wins, as in OpenAI's own server.
  if (const auto most = members.integer("max_tokens", 1, kMost)) request.max_tokens = *most;
  if (const auto most = members.integer("max_completion_tokens", 1, kMost)) request.max_tokens = *most;
  const auto top = members.integer("top_logprobs", 0, 20);
  if (members.flag("logprobs").value_or(false)) {
    request.sampling.top_logprobs = static_cast<int32_t>(top.value_or(0));
  } else if (top) {
    members.refuse("top_logprobs", "needs \"logprobs\": true");
  }
  if (const ChatValue* variables = members.object("chat_template_kwargs")) {
    request.template_variables = *variables->as_map();
  }
  if (const auto effort = members.text("reasoning_effort")) {
    request.template_variables.emplace_back("reasoning_effort", *effort);
    if (*effort == "none") request.template_variables.emplace_back("enable_thinking", false);
  }
  if (const ChatValue* thinking = members.object("thinking")) {  // DeepSeek's own switch
    const ChatValue* type = thinking->find("type");
    const bool on = type == nullptr || type->as_string() == nullptr || *type->as_string() != "disabled";
    request.template_variables.emplace_back("thinking", on);
    request.template_variables.emplace_back("enable_thinking", on);
  }
  if (const ChatValue* kinds = members.list("modalities")) {
    for (const ChatValue& kind : *kinds->as_list()) {
      if (kind.as_string() == nullptr || *kind.as_string() != "text") {
        members.refuse("modalities", "text is all that this server writes", ErrorCode::unsupported);
      }
    }
  }
  members.refuse_others();
  if (members.failed()) return members.error();
  auto read = read_messages(*messages);
  if (!read) return tl::make_unexpected(read.error());
  request.messages = std::move(*read);
  return request;
}

Result<ChatRequest> read_openai_completion(std::string_view body) {
  const auto json = ChatValue::from_json(body);
  if (!json) return fail(ErrorCode::usage, "the body is not JSON: " + json.error().message);
  Members members(*json);
  ChatRequest request;
  request.model = members.text("model").value_or("");
  request.split_reasoning = false;
  request.tool_choice = ChatRequest::ToolChoice::none;
  read_sampling(members, request);
  read_prompts(members, request);
  read_format(members, request);
  request.max_tokens = members.integer("max_tokens", 0, kMost).value_or(16);  // as OpenAI's default
  if (request.max_tokens == 0) members.refuse("max_tokens", "must be at least 1");
  if (const auto top = members.integer("logprobs", 0, 20)) request.sampling.top_logprobs = static_cast<int32_t>(*top);
  request.echo = members.flag("echo").value_or(false);
  if (request.echo && request.sampling.top_logprobs >= 0) {
    members.refuse("echo", "is not supported with logprobs: those of the prompt are not computed",
                   ErrorCode::unsupported);
  }
  if (members.integer("best_of", 1, 16).value_or(1) > request.choices) {
    members.refuse("best_of", "is not supported: ask for n answers and choose", ErrorCode::unsupported);
  }
  if (members.text("suffix")) members.refuse("suffix", "is not supported", ErrorCode::unsupported);
  members.refuse_others();
  if (members.failed()) return members.error();
  return request;
}

}  // namespace vitrine::serve
