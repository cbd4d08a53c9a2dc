#include "serve/prepare.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <ctime>

#include "engine/chat_prompt.h"
#include "serve/api/messages.h"

namespace vitrine::serve {
namespace {

// No token of the models served spells more; a text beyond cannot fit, and is not worth tokenizing.
constexpr size_t kBytesPerToken = 64;

uint64_t random_seed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = static_cast<uint64_t>(std::time(nullptr));
  return seed;
}

size_t text_bytes(const ChatValue& value) {
  size_t bytes = 0;
  if (const auto* text = value.as_string()) bytes = text->size();
  if (const auto* list = value.as_list()) {
    for (const ChatValue& item : *list) bytes += text_bytes(item);
  }
  if (const auto* map = value.as_map()) {
    for (const auto& [key, member] : *map) bytes += text_bytes(member);
  }
  return bytes;
}

Status check_size(const Engine& engine, size_t bytes) {
  if (bytes <= static_cast<size_t>(engine.context()) * kBytesPerToken) return {};
  return fail(ErrorCode::limit,
              fmt::format("{} bytes of text do not fit the context of {} tokens", bytes, engine.context()), "messages");
}

Result<ChatPrompt> render(const Engine& engine, const ChatRequest& request) {
  const Tokenizer& tokenizer = engine.tokenizer();
  if (engine.chat_template() == nullptr) {
    return fail(ErrorCode::usage, "the model has no chat template; /v1/completions continues a text", "messages");
  }
  if (const Status status = check_size(engine, text_bytes(request.messages)); !status) {
    return tl::make_unexpected(status.error());
  }
  ChatInput input;
  input.messages = with_argument_values(request.messages);
  if (request.tool_choice != ChatRequest::ToolChoice::none) input.tools = request.tools;
  input.extra = request.template_variables;
  input.now = std::time(nullptr);
  if (const auto bos = tokenizer.bos()) input.bos_token = tokenizer.bytes(*bos);
  if (const auto eos = tokenizer.eos()) input.eos_token = tokenizer.bytes(*eos);
  auto prompt = make_chat_prompt(*engine.chat_template(), tokenizer, input);
  if (!prompt && prompt.error().code == ErrorCode::malformed) {
    // Some templates join the arguments of earlier calls as text.
    input.messages = request.messages;
    prompt = make_chat_prompt(*engine.chat_template(), tokenizer, input);
  }
  if (!prompt) {
    Error error = prompt.error();
    if (error.code != ErrorCode::limit) error.code = ErrorCode::usage;
    error.where = "messages";
    return tl::make_unexpected(std::move(error));
  }
  return prompt;
}

Result<std::vector<TokenId>> encode_text(const Engine& engine, const std::string& text) {
  if (const Status status = check_size(engine, text.size()); !status) return tl::make_unexpected(status.error());
  const Tokenizer& tokenizer = engine.tokenizer();
  auto tokens = tokenizer.encode(text, {.added = AddedTokens::all, .add_bos = tokenizer.add_bos()});
  if (!tokens) return tokens;
  // An empty text: the model starts by itself, behind its BOS where it has one.
  if (tokens->empty() && tokenizer.bos()) tokens->push_back(*tokenizer.bos());
  if (tokens->empty()) return fail(ErrorCode::usage, "is empty", "prompt");
  return tokens;
}

Result<GrammarPointer> call_grammar(const ChatRequest& request, ToolStyle style) {
  CallGrammar calls;
  for (const Tool& tool : request.tool_list) {
    if (request.tool_choice == ChatRequest::ToolChoice::named && tool.name != request.tool_name) continue;
    CallSpelling spelling = spell_call(style, tool.name);
    calls.begin = spelling.begin;
    calls.separator = spelling.separator;
    calls.end = spelling.end;
    calls.tools.push_back({tool.name, std::move(spelling.before), tool.parameters, std::move(spelling.after)});
  }
  const bool several = request.parallel_calls && request.tool_choice != ChatRequest::ToolChoice::named;
  calls.calls = several && style != ToolStyle::llama ? 8 : 1;
  return compile_calls(calls);
}

}  // namespace

Result<Prepared> prepare(const Engine& engine, const ChatRequest& request) {
  using Choice = ChatRequest::ToolChoice;
  Prepared out;
  Request base;
  bool inside_reasoning = false;
  std::vector<std::vector<TokenId>> prompts;
  if (!request.texts.empty()) {
    for (const std::string& text : request.texts) {
      auto tokens = encode_text(engine, text);
      if (!tokens) return tl::make_unexpected(tokens.error());
      prompts.push_back(std::move(*tokens));
    }
  } else {
    if (request.tool_choice != Choice::none) {
      out.answer.tools = find_tool_style(engine.chat_template_source());
      if (!out.answer.tools) {
        return fail(ErrorCode::usage, "this model's chat template knows no tools", "tools");
      }
      for (const Tool& tool : request.tool_list) out.answer.tool_names.push_back(tool.name);
    }
    auto prompt = render(engine, request);
    if (!prompt) return tl::make_unexpected(prompt.error());
    prompts.push_back(std::move(prompt->ids));
    inside_reasoning = prompt->opens_reasoning;
  }
  base.sampling = request.sampling;
  base.max_tokens = request.max_tokens;
  base.stop = request.stop;
  base.show_special = out.answer.tools.has_value();
  Result<GrammarPointer> grammar = GrammarPointer();
  if (request.tool_choice == Choice::required || request.tool_choice == Choice::named) {
    if (request.format != ChatRequest::Format::text) {
      return fail(ErrorCode::usage, "cannot be met together with a tool that must be called", "response_format");
    }
    grammar = call_grammar(request, *out.answer.tools);
  } else if (request.format == ChatRequest::Format::json_schema) {
    grammar = compile_json_schema(request.schema);
  } else if (request.format == ChatRequest::Format::json_object) {
    grammar = json_object_grammar();
  }
  if (!grammar) {
    Error error = grammar.error();
    error.where = (request.format == ChatRequest::Format::text ? "tools " : "response_format ") + error.where;
    return tl::make_unexpected(std::move(error));
  }
  base.grammar = *grammar;
  if (base.grammar && inside_reasoning) base.constrain_after = ReasoningTags{}.end;

  out.answer.split_reasoning = request.split_reasoning;
  out.answer.inside_reasoning = inside_reasoning;
  out.answer.parallel_calls = request.parallel_calls;
  out.answer.logprobs = request.sampling.top_logprobs >= 0;
  const uint64_t seed = request.seed.value_or(random_seed());
  for (std::vector<TokenId>& prompt : prompts) {
    base.prompt = std::move(prompt);
    for (int64_t i = 0; i < request.choices; ++i) {
      out.requests.push_back(base);
      out.requests.back().sampling.seed = seed + static_cast<uint64_t>(i);  // whatever prompts stand before it
    }
  }
  return out;
}

}  // namespace vitrine::serve
