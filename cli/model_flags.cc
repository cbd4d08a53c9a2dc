#include "cli/model_flags.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "cli/commands.h"
#include "cli/quantity.h"
#include "engine/plan.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cuda/cuda_ops.h"

namespace vitrine::cli {
namespace {

// limit: the device's part of the model needs more than the GPU has free; says what would fit.
Status fits(const std::string& path, const Weights& weights, const EngineOptions& options, const CudaDevice& device) {
  const auto bytes = WeightBytes::of(weights);
  if (!bytes) return tl::make_unexpected(bytes.error());
  const ModelConfig& config = weights.config();
  Workload workload;
  workload.context = static_cast<uint32_t>(options.context > 0 ? options.context : std::min(config.context, 8192u));
  workload.batch = static_cast<uint32_t>(options.sequences);
  workload.cache = options.cache_type;
  const Hardware gpu{.name = device.name, .memory = static_cast<double>(device.memory_free)};
  const PlanResult p = plan(config, *bytes, workload, gpu, options.placement);
  if (p.fits) return {};
  return fail(ErrorCode::limit, what_would_fit(path, config, gpu, p));
}

}  // namespace

std::string what_would_fit(const std::string& path, const ModelConfig& config, const Hardware& gpu,
                           const PlanResult& p) {
  const auto bytes = [](uint64_t n) { return quantity(static_cast<double>(n), "B"); };
  std::string text = fmt::format("{} needs {} of weights and {} of cache on the device; {} has {} free", path,
                                 bytes(p.device_weights), bytes(p.device_cache), gpu.name, quantity(gpu.memory, "B"));
  std::vector<std::string> ways;
  if (p.longest_context) ways.push_back(fmt::format("--context {}", *p.longest_context));
  if (p.host_experts) ways.push_back(fmt::format("--cpu-experts {}", *p.host_experts));
  if (p.layers_on_device > 0) {
    ways.push_back(fmt::format("--gpu-layers {} (of {})", p.layers_on_device, config.layers));
  }
  if (p.best_type) ways.push_back(fmt::format("the same model in {}", type_name(p.best_type->type)));
  if (ways.empty()) return text + "; nothing of it would fit beside the head";
  text += ". What would fit: ";
  for (size_t i = 0; i < ways.size(); ++i) text += (i == 0 ? "" : i + 1 == ways.size() ? ", or " : ", ") + ways[i];
  return text;
}

double seconds_since_start() {
  static const auto start = std::chrono::steady_clock::now();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

ChatValue chat_message(const std::string& role, const std::string& content) {
  return ChatMap{{"role", role}, {"content", content}};
}

void ModelFlags::add_to(CLI::App& command) {
  command
      .add_option("-m,--model", path,
                  "a GGUF file (any part of a split one), or a folder with safetensors, config.json and tokenizer.json")
      ->required()
      ->type_name("FILE");
  command.add_option("--threads", threads, "default: one per processor; the answer is the same at any number")
      ->check(CLI::Range(1, 1024));
  command.add_option("--context", context, "tokens of prompt and answer together (default: the model's, at most 8192)")
      ->check(CLI::PositiveNumber);
  command.add_option("--cache-type", cache_type, "numbers of the key-value cache")
      ->check(CLI::IsMember({"f16", "bf16", "f32"}))
      ->capture_default_str();
  command.add_option("--device", device, "cpu, or cuda: an NVIDIA GPU, when this program was built with CUDA")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  command
      .add_option("--gpu-layers", gpu_layers,
                  "cuda: the last N layers and the head are on the GPU, those before on the processor (default: all)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command
      .add_option("--cpu-experts", cpu_experts,
                  "cuda: the routed experts of N of the GPU's layers stay in host memory and are computed there")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command.add_flag("--deterministic", deterministic,
                   "cuda: the same answer whatever else is computed beside it (the CPU's always is)");
  command.add_flag("-q,--quiet", quiet, "no progress and no speeds on stderr");
}

EngineOptions one_sequence() {
  EngineOptions options;
  options.sequences = 1;
  return options;
}

Result<LoadedModel> ModelFlags::load(EngineOptions options) const {
  const double start = seconds_since_start();
  LoadedModel out;
  options.context = context;
  options.cache_type = cache_type == "f32" ? Type::f32 : cache_type == "bf16" ? Type::bf16 : Type::f16;
  auto ops = make_cpu_ops({.threads = threads, .isa = {}});
  if (!ops) return tl::make_unexpected(ops.error());
  out.ops = std::move(*ops);
  if (device == "cuda") {
    const auto gpu = cuda_device();
    if (!gpu) return tl::make_unexpected(gpu.error());
    const auto weights = Weights::open(path);
    if (!weights) return tl::make_unexpected(weights.error());
    const auto placement = placed(weights->config());
    if (!placement) return tl::make_unexpected(placement.error());
    options.placement = *placement;
    if (Status status = fits(path, *weights, options, *gpu); !status) return tl::make_unexpected(status.error());
    auto cuda = make_cuda_ops({.deterministic = deterministic});
    if (!cuda) return tl::make_unexpected(cuda.error());
    if (options.placement.host_layers > 0 || options.placement.host_experts > 0) {
      out.host = std::move(out.ops);
      options.placement.host = out.host.get();
    }
    out.ops = std::move(*cuda);
  } else if (gpu_layers > 0 || cpu_experts > 0) {
    return fail(ErrorCode::usage, "--gpu-layers and --cpu-experts share a model with a GPU: they need --device cuda");
  }
  ProgressBar progress("loading " + std::filesystem::path(path).filename().string(), quiet, "tensors/s", 1);
  auto engine =
      Engine::open(path, *out.ops, options, [&](uint64_t done, uint64_t total) { progress.update(done, total); });
  if (!engine) return tl::make_unexpected(engine.error());
  out.engine = std::move(*engine);
  out.seconds = seconds_since_start() - start;
  return out;
}

Result<Placement> ModelFlags::placed(const ModelConfig& config) const {
  Placement out;
  const auto layers = static_cast<int64_t>(config.layers);
  if (cpu_experts > 0 && !config.moe) return fail(ErrorCode::usage, "--cpu-experts: this model has no experts");
  out.host_layers = static_cast<uint32_t>(gpu_layers == 0 ? 0 : layers - std::min(gpu_layers, layers));
  out.host_experts = static_cast<uint32_t>(std::min(cpu_experts, layers));
  return out;
}

void SamplingFlags::add_to(CLI::App& command, float default_temperature) {
  SamplingParameters& p = parameters;
  p.temperature = default_temperature;
  command.add_option("--temperature", p.temperature, "0: always the most probable token")->capture_default_str();
  command.add_option("--top-k", p.top_k, "only the k most probable tokens; 0: all")->capture_default_str();
  command.add_option("--top-p", p.top_p, "only the most probable tokens that together reach p; 1: all")
      ->capture_default_str();
  command.add_option("--min-p", p.min_p, "only tokens at least this fraction as probable as the best; 0: all")
      ->capture_default_str();
  command.add_option("--repetition-penalty", p.repetition_penalty, "over 1: tokens that were there become less likely")
      ->capture_default_str();
  command.add_option("--seed", p.seed, "the same seed gives the same answer, on any machine")->capture_default_str();
  command.add_option("--max-tokens", max_tokens, "of an answer (default: until the context is full)")
      ->check(CLI::PositiveNumber);
  command.add_option("--stop", stop, "text that ends the answer; repeatable")->type_name("TEXT");
}

Request SamplingFlags::request(std::vector<TokenId> prompt) const {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling = parameters;
  request.max_tokens = max_tokens;
  request.stop = stop;
  return request;
}

double RunResult::prompt_rate() const {
  const auto computed = static_cast<double>(usage.prompt_tokens - usage.cached_tokens);
  return prompt_seconds > 0 ? computed / prompt_seconds : 0;
}

double RunResult::generate_rate() const {
  const auto later = static_cast<double>(usage.generated_tokens - 1);
  return later > 0 && seconds > prompt_seconds ? later / (seconds - prompt_seconds) : 0;
}

Result<RunResult> run_request(Engine& engine, Request request,
                              const std::function<void(const SequenceOutput&)>& on_output,
                              const std::function<bool()>& interrupted, bool quiet) {
  const double start = seconds_since_start();
  const auto id = engine.add(std::move(request));
  if (!id) return tl::make_unexpected(id.error());
  std::optional<ProgressBar> progress;
  progress.emplace("reading the prompt", quiet, "tokens/s", 1);
  RunResult result;
  std::optional<FinishReason> finished;
  while (!finished) {
    if (interrupted()) engine.cancel(*id);
    const auto outputs = engine.step();
    if (!outputs) return tl::make_unexpected(outputs.error());
    for (const SequenceOutput& output : *outputs) {
      if (output.sequence != *id) continue;
      if (output.error) return tl::make_unexpected(*output.error);
      result.usage = engine.usage(*id).value_or(result.usage);
      if (progress && output.tokens.empty()) {
        progress->update(static_cast<uint64_t>(output.prompt_done), static_cast<uint64_t>(result.usage.prompt_tokens));
      }
      if (!output.tokens.empty() && result.prompt_seconds == 0) {
        progress.reset();
        result.prompt_seconds = seconds_since_start() - start;
      }
      on_output(output);
      finished = output.finished;
    }
  }
  result.finished = *finished;
  result.seconds = seconds_since_start() - start;
  return result;
}

}  // namespace vitrine::cli
