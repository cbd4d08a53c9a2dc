// A loaded model that answers requests: many sequences at once, one step at a time.
//
//   auto engine = Engine::open("model.gguf", *ops, {});
//   auto id = engine->add({.prompt = tokens, .sampling = {.temperature = 0}});
//   while (engine->busy()) for (const SequenceOutput& output : *engine->step()) …
//
// One thread at a time. What a sequence generates depends on its request alone,
// never on the others, on chunks, or on the cache of earlier prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/chat_template.h"
#include "engine/grammar.h"
#include "engine/model_runner.h"
#include "engine/sampler.h"
#include "engine/tokenizer.h"
#include "engine/weights.h"

namespace vitrine {

struct EngineOptions {
  int64_t context = 0;        // tokens of one sequence, prompt and answer; 0: the model's, at most 8192
  int64_t cache_tokens = 0;   // of all sequences together; 0: a context for each, within cache_bytes
  uint64_t cache_bytes = 0;   // at least one context is had in any case; 0: no bound
  int64_t sequences = 8;      // computed at the same time; more wait
  int64_t step_tokens = 256;  // prompts are read in chunks of at most this
  int64_t kept_sequences =
      1;  // finished ones whose cache stays for prompts that begin alike; those that run are shared too
  Type cache_type = Type::f16;
  bool zero_freed_pages = false;
  Placement placement = {};        // what stays with the host when `ops` is a GPU's
  std::string chat_template = {};  // Jinja source in place of the files' own
};

using SequenceId = uint64_t;

struct Request {
  std::vector<TokenId> prompt;
  SamplingParameters sampling;
  int64_t max_tokens = 0;         // 0: until the context ends
  std::vector<std::string> stop;  // strings that end the answer; not part of it
  bool ignore_end = false;        // go on after the model's end token (measurements)
  bool show_special = false;      // control tokens are part of the text: calls of tools are spelled with them
  // Cached prompts are shared only between requests with the same salt: how fast an
  // answer starts would tell one tenant what another has asked.
  std::string cache_salt;
  // The answer is a text of it, whole unless max_tokens cuts it; it ends (stop) when nothing can follow.
  GrammarPointer grammar;
  // The grammar holds behind the first place where the answer spells this ("</think>"); empty: from the
  // start. Until then anything goes, but no end.
  std::string constrain_after;
  bool may_end_unconstrained = false;  // … and an end too ("<tool_call>": the model decides whether to call)
};

enum class FinishReason : uint8_t { stop, length, cancelled };
std::string_view finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

// What a step brought one sequence.
struct SequenceOutput {
  SequenceId sequence = 0;
  std::string text;             // whole characters; never a part of a stop string
  std::vector<Sampled> tokens;  // at most one a step; the end token is among them
  int64_t prompt_done = 0;      // tokens of the prompt that are computed
  std::optional<FinishReason> finished;
  std::optional<Error> error;  // ended without a reason: no token could be chosen
};

struct SequenceUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, taken from an earlier sequence
  int64_t generated_tokens = 0;
};

class Engine {
 public:
  // `path` as in Weights::open(). Borrows `ops` and the placement's host.
  static Result<std::unique_ptr<Engine>> open(const std::string& path, Ops& ops, const EngineOptions& options,
                                              const LoadProgress& progress = {});
  ~Engine();

  const ModelConfig& config() const;
  const Tokenizer& tokenizer() const;
  const ChatTemplate* chat_template() const;  // nothing when the files have none
  const std::string& chat_template_source() const;
  const Weights& weights() const;
  int64_t context() const;
  uint64_t cache_bytes() const;

  // usage: parameters out of range, an empty prompt; limit: the prompt does not fit the context.
  Result<SequenceId> add(Request request);
  // Ends it before the next step; that step's outputs say so. Unknown ids are ignored.
  void cancel(SequenceId id);
  // A held sequence keeps its cache but gets no tokens, and another may run in its place: whoever
  // reads it is slow.
  void hold(SequenceId id, bool held);
  bool busy() const;                                        // something waits or runs, held or not
  std::optional<SequenceUsage> usage(SequenceId id) const;  // up to the step after its last output

  // One step for as many sequences as fit. An error is the device's: the engine is of no use after it.
  Result<std::vector<SequenceOutput>> step();

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
