// What `vitrine chat` and `vitrine generate` share: options, loading, one request
// run to its end.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "kernels/ops.h"

namespace vitrine::cli {

struct LoadedModel {
  std::unique_ptr<Ops> host;  // with a model shared between GPU and processor: the processor's part
  std::unique_ptr<Ops> ops;   // both outlive the engine
  std::unique_ptr<Engine> engine;
  double seconds = 0;  // to load
};

// What the commands of one conversation need.
EngineOptions one_sequence();

struct ModelFlags {
  std::string path;
  int threads = 0;
  int64_t context = 0;
  std::string cache_type = "f16";
  std::string device = "cpu";  // or cuda
  int64_t gpu_layers = 0;      // 0: all
  int64_t cpu_experts = 0;     // layers whose routed experts stay with the processor
  bool deterministic = false;
  bool quiet = false;

  void add_to(CLI::App& command);
  Result<LoadedModel> load(EngineOptions options = one_sequence()) const;  // shows progress on stderr
  // What stays with the host, without the host. usage: not possible with this model.
  Result<Placement> placed(const ModelConfig& config) const;
};

// Why a model does not fit a GPU, and with which options it would. `p`: a plan that does not fit.
std::string what_would_fit(const std::string& path, const ModelConfig& config, const Hardware& gpu,
                           const PlanResult& p);

struct SamplingFlags {
  SamplingParameters parameters;
  int64_t max_tokens = 0;
  std::vector<std::string> stop;

  void add_to(CLI::App& command, float default_temperature);
  Request request(std::vector<TokenId> prompt) const;
};

// Times in seconds since the request was added.
struct RunResult {
  FinishReason finished = FinishReason::stop;
  SequenceUsage usage;
  double prompt_seconds = 0;  // until the first token
  double seconds = 0;         // in all

  double prompt_rate() const;    // computed prompt tokens per second
  double generate_rate() const;  // tokens after the first per second; 0 when there are none
};

// Adds the request and steps until it ends; `interrupted` is asked between steps.
// Shows progress on stderr while a long prompt is read, unless `quiet`.
Result<RunResult> run_request(Engine& engine, Request request,
                              const std::function<void(const SequenceOutput&)>& on_output,
                              const std::function<bool()>& interrupted, bool quiet);

// One message's role and content as chat templates take it.
ChatValue chat_message(const std::string& role, const std::string& content);

double seconds_since_start();  // a monotonic clock

}  // namespace vitrine::cli
