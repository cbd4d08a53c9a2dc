// Speed of the engine on one GGUF file, on this machine's processors.
//
//   engine_bench FILE.gguf [--threads N] [--prompt 512] [--decode 64] [--rounds 3] [--sequences 8]
//
// Each round: a prompt in one step, then tokens one by one, for one sequence and
// for several together. Tokens are arbitrary: time does not depend on them but
// through the experts they choose. Prints one JSON object: raw samples, and the
// two limits they are held against: how fast this machine reads memory (measured
// in each round), and the bytes a step must read (engine/plan.h).
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/hardware.h"
#include "engine/model_runner.h"
#include "engine/page_warmer.h"
#include "engine/plan.h"
#include "kernels/cpu/cpu_ops.h"

namespace {

using namespace vitrine;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

[[noreturn]] void die(const Error& error) {
  std::fprintf(stderr, "engine_bench: %s\n", error.to_string().c_str());
  std::exit(4);
}
template <class T>
T take(Result<T> result) {
  if (!result) die(result.error());
  return std::move(*result);
}

TokenId token_at(size_t i, uint32_t vocabulary) {
  return static_cast<TokenId>(300 + i * 7919 % std::min<size_t>(vocabulary - 400, 40'000));
}

// Seconds of each of `count` steps with one token of each sequence.
std::vector<double> decode(ModelRunner& runner, std::vector<KvBlocks>& sequences, size_t count) {
  std::vector<double> seconds;
  std::vector<TokenId> next(sequences.size());
  std::vector<Piece> pieces(sequences.size());
  const uint32_t vocabulary = runner.model().config().vocabulary;
  for (size_t step = 0; step < count; ++step) {
    for (size_t s = 0; s < sequences.size(); ++s) {
      next[s] = token_at(step * 31 + s * 1009, vocabulary);
      pieces[s] = {&sequences[s], std::span(&next[s], 1), Piece::Logits::last};
    }
    const Clock::time_point begin = Clock::now();
    take(runner.run(pieces));
    seconds.push_back(since(begin));
  }
  return seconds;
}

double read_prompt(ModelRunner& runner, KvBlocks& blocks, size_t length, size_t salt) {
  std::vector<TokenId> tokens(length);
  for (size_t i = 0; i < length; ++i) tokens[i] = token_at(i + salt, runner.model().config().vocabulary);
  const Piece piece = {&blocks, tokens, Piece::Logits::last};
  const Clock::time_point begin = Clock::now();
  take(runner.run({&piece, 1}));
  return since(begin);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Speed of the engine on one model file; prints one JSON object."};
  std::string path;
  int threads = 0;
  size_t prompt = 512, decoded = 64, rounds = 3, together = 8;
  app.add_option("model", path, "GGUF file or safetensors folder")->required();
  app.add_option("--threads", threads, "0: one per processor");
  app.add_option("--prompt", prompt, "tokens of the prompt");
  app.add_option("--decode", decoded, "tokens generated one by one");
  app.add_option("--rounds", rounds, "repetitions");
  app.add_option("--sequences", together, "sequences that decode together in the second part");
  CLI11_PARSE(app, argc, argv);

  const Clock::time_point start = Clock::now();
  const auto weights = take(Weights::open(path));
  const auto ops = take(make_cpu_ops({.threads = threads, .isa = {}}));
  RunnerOptions options;
  options.step_tokens = static_cast<int64_t>(prompt);
  options.sequences = options.outputs = static_cast<int64_t>(std::max<size_t>(together, 1));
  options.kv.tokens = static_cast<int64_t>((prompt + decoded + 16) * (together + 1));
  const auto runner = take(ModelRunner::create(take(load_model(weights, *ops)), *ops, options));
  const double load = since(start);
  const PageWarmer warmer(weights.tensor_bytes());  // as Engine does, which lets it run beside the first prompt
  warmer.wait();
  const double warm = since(start) - load;
  const ModelConfig& config = runner->model().config();
  const WeightBytes bytes = take(WeightBytes::of(weights));

  nlohmann::json samples = nlohmann::json::array();
  for (size_t round = 0; round < rounds; ++round) {
    nlohmann::json sample;
    sample["read_bytes_s"] = measure_this_machine().bandwidth;
    std::vector<KvBlocks> one(1), many(together);
    sample["prompt_s"] = read_prompt(*runner, one[0], prompt, round * 131);
    sample["decode_s"] = decode(*runner, one, decoded);
    for (size_t s = 0; s < together; ++s) read_prompt(*runner, many[s], 16, s * 37);
    sample["decode_together_s"] = decode(*runner, many, decoded);
    for (KvBlocks& blocks : one) runner->kv().release(blocks);
    for (KvBlocks& blocks : many) runner->kv().release(blocks);
    samples.push_back(std::move(sample));
  }
  const nlohmann::json out = {{"device", ops->description()},
                              {"load_s", load},
                              {"warm_s", warm},
                              {"prompt", prompt},
                              {"sequences", together},
                              {"weight_bytes", bytes.total},
                              {"bytes_per_step", bytes.read_per_step(config, 1)},
                              {"bytes_per_step_together", bytes.read_per_step(config, static_cast<uint32_t>(together))},
                              {"kv_bytes", runner->kv().bytes()},
                              {"samples", std::move(samples)}};
  std::printf("%s\n", out.dump().c_str());
  return 0;
}
