#include <fmt/format.h>

#include <ctime>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "base/json_writer.h"
#include "cli/commands.h"
#include "cli/model_flags.h"
#include "engine/chat_prompt.h"
#include "engine/reasoning.h"

namespace vitrine::cli {
namespace {

constexpr size_t kMaxPromptBytes = 64u << 20;

struct GenerateFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::optional<std::string> prompt;
  std::string system;
  bool raw = false;
  bool json = false;
  int logprobs = -1;
  std::string schema;
};

Result<std::string> prompt_text(const GenerateFlags& flags) {
  if (flags.prompt && *flags.prompt != "-") return *flags.prompt;
  std::string text;
  char piece[1 << 16];
  while (std::cin.read(piece, sizeof piece) || std::cin.gcount() > 0) {
    text.append(piece, static_cast<size_t>(std::cin.gcount()));
    if (text.size() > kMaxPromptBytes) return fail(ErrorCode::limit, "more than 64 MiB", "standard input");
  }
  return text;
}

Result<ChatPrompt> read_prompt(const GenerateFlags& flags, const Engine& engine) {
  auto text = prompt_text(flags);
  if (!text) return tl::make_unexpected(text.error());
  const Tokenizer& tokenizer = engine.tokenizer();
  if (flags.raw) {
    auto tokens = tokenizer.encode(*text, {.added = AddedTokens::all, .add_bos = tokenizer.add_bos()});
    if (!tokens) return tl::make_unexpected(tokens.error());
    ChatPrompt prompt;
    prompt.ids = std::move(*tokens);
    return prompt;
  }
  if (engine.chat_template() == nullptr) {
    return fail(ErrorCode::usage, "the model has no chat template: use --raw to continue a text", flags.model.path);
  }
  ChatList messages;
  if (!flags.system.empty()) messages.push_back(chat_message("system", flags.system));
  messages.push_back(chat_message("user", *text));
  ChatInput input;
  input.messages = std::move(messages);
  input.now = std::time(nullptr);
  if (const auto bos = tokenizer.bos()) input.bos_token = tokenizer.bytes(*bos);
  if (const auto eos = tokenizer.eos()) input.eos_token = tokenizer.bytes(*eos);
  return make_chat_prompt(*engine.chat_template(), tokenizer, input);
}

void write_logprobs(JsonWriter& json, const Tokenizer& tokenizer, const std::vector<Sampled>& tokens) {
  json.key("logprobs").begin_array();
  for (const Sampled& token : tokens) {
    json.begin().key("id").number(token.id).key("text").string(tokenizer.bytes(token.id));
    json.key("logprob").real(token.logprob).key("top").begin_array();
    for (const TokenLogprob& other : token.top) {
      json.begin().key("id").number(other.id).key("text").string(tokenizer.bytes(other.id));
      json.key("logprob").real(other.logprob).end();
    }
    json.end_array().end();
  }
  json.end_array();
}

int generate(const GenerateFlags& flags) {
  auto loaded = flags.model.load();
  if (!loaded) return report_error(loaded.error());
  Engine& engine = *loaded->engine;
  auto prompt = read_prompt(flags, engine);
  if (!prompt) return report_error(prompt.error());
  Request request = flags.sampling.request(std::move(prompt->ids));
  request.sampling.top_logprobs = flags.logprobs;
  if (!flags.schema.empty()) {
    const auto schema = read_file(flags.schema, GrammarOptions().schema_bytes);
    if (!schema) return report_error(schema.error());
    const auto grammar = compile_json_schema(*schema);
    if (!grammar) {
      Error error = grammar.error();
      error.where = flags.schema + (error.where.empty() ? "" : ", " + error.where);
      return report_error(error);
    }
    request.grammar = *grammar;
    if (prompt->opens_reasoning) request.constrain_after = ReasoningTags().end;
  }

  ReasoningSplitter splitter(prompt->opens_reasoning);
  std::string reasoning, answer;
  std::vector<Sampled> tokens;
  const auto take = [&](ReasoningSplitter::Piece piece) {
    reasoning += piece.reasoning;
    answer += piece.answer;
    if (flags.json) return;
    std::fwrite(piece.answer.data(), 1, piece.answer.size(), stdout);
    std::fflush(stdout);
  };
  const auto on_output = [&](const SequenceOutput& output) {
    tokens.insert(tokens.end(), output.tokens.begin(), output.tokens.end());
    take(flags.raw ? ReasoningSplitter::Piece{"", output.text} : splitter.push(output.text));
  };
  const auto result = run_request(
      engine, std::move(request), on_output, [] { return false; }, flags.model.quiet);
  if (!result) return report_error(result.error());
  if (!flags.raw) take(splitter.finish());

  if (!flags.json) {
    if (!answer.ends_with('\n')) std::fputc('\n', stdout);
    if (!flags.model.quiet) {
      fmt::print(stderr, "[{} prompt tokens, {:.1f}/s; {} tokens, {:.1f}/s; {}]\n", result->usage.prompt_tokens,
                 result->prompt_rate(), result->usage.generated_tokens, result->generate_rate(),
                 finish_reason_name(result->finished));
    }
    return kOk;
  }
  std::string out;
  JsonWriter json(out);
  json.begin().key("architecture").string(architecture_name(engine.config().architecture));
  json.key("model").string(engine.config().name).key("text").string(answer);
  if (!reasoning.empty()) json.key("reasoning").string(reasoning);
  json.key("finish_reason").string(finish_reason_name(result->finished));
  json.key("prompt_tokens").number(result->usage.prompt_tokens);
  json.key("generated_tokens").number(result->usage.generated_tokens);
  json.key("tokens").begin_array();
  for (const Sampled& token : tokens) json.number(token.id);
  json.end_array();
  if (flags.logprobs >= 0) write_logprobs(json, engine.tokenizer(), tokens);
  json.key("device").string(loaded->ops->description());
  json.key("timing").begin().key("load_seconds").real(loaded->seconds);
  json.key("prompt_seconds").real(result->prompt_seconds).key("seconds").real(result->seconds);
  json.key("prompt_tokens_per_second").real(result->prompt_rate());
  json.key("tokens_per_second").real(result->generate_rate()).end().end();
  out += '\n';
  std::fwrite(out.data(), 1, out.size(), stdout);
  return kOk;
}

}  // namespace

void add_generate(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "one answer of a local model");
  flags->model.add_to(*command);
  command->add_option("-p,--prompt", flags->prompt, "the message; \"-\" or none: standard input")->type_name("TEXT");
  command->add_option("--system", flags->system, "a system message in front")->type_name("TEXT");
  command->add_flag("--raw", flags->raw, "the prompt as it is, without the model's chat template");
  command->add_flag("--json", flags->json, "one JSON object: text, tokens, counts, speeds");
  flags->sampling.add_to(*command, 0);
  command->add_option("--schema", flags->schema, "the answer is JSON by this JSON Schema (docs/engine.md)")
      ->type_name("FILE");
  command
      ->add_option("--logprobs", flags->logprobs, "with --json: log probabilities of each token and its N best rivals")
      ->check(CLI::Range(0, 20))
      ->type_name("N");
  command->footer(
      "Examples:\n"
      "  vitrine generate -m model.gguf -p 'Why is the sky blue?'\n"
      "  vitrine generate -m model.gguf --raw -p 'Once upon a time' --max-tokens 40 --json | jq .text\n"
      "  vitrine generate -m model.gguf -p 'A city, as JSON' --schema city.schema.json\n"
      "  vitrine generate -m model.gguf --system 'Summarise.' <report.txt");
  command->callback([flags, &exit_code] { exit_code = generate(*flags); });
}

}  // namespace vitrine::cli
