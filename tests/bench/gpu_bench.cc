// Speed of the CUDA backend on the GPU at hand, beside its two ceilings.
//
//   gpu_bench [--seconds 400] [--folder DIR] [--only WORD] [--device N]
//
// Models have the published shapes; their weights are random and made on the device (files of holes in
// DIR give names and shapes). One line of JSON with raw samples per measurement on stdout, and at the
// end a table. Stops starting new measurements when its time is over, and says which are missing.
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/known_models.h"
#include "engine/model_runner.h"
#include "engine/plan.h"
#include "kernels/cuda/cuda_ops.h"
#include "tests/bench/gpu_ceilings.h"
#include "tests/synthetic/synthetic_model.h"

namespace {

using namespace vitrine;
using Clock = std::chrono::steady_clock;
using nlohmann::json;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

TokenId token_at(size_t i, uint32_t vocabulary) { return static_cast<TokenId>(300 + i * 7919 % (vocabulary - 400)); }

struct Row {
  std::string work, measured, share, gate, goal;
};

class Bench {
 public:
  Bench(double seconds, std::string folder, std::string only, int device)
      : seconds_(seconds), folder_(std::move(folder)), only_(std::move(only)), device_(device) {}

  int run() {
    const auto device = cuda_device(device_);
    if (!device) {
      std::printf("skipped: %s\n", device.error().to_string().c_str());
      return 0;
    }
    device_info_ = *device;
    print({{"device", device->name},
           {"memory", device->memory_total},
           {"multiprocessors", device->multiprocessors},
           {"capability", std::to_string(device->major) + "." + std::to_string(device->minor)}});
    step("ceilings", [this] { return ceilings(); });
    step("v2-lite q8_0", [this] { return model("v2-lite q8_0", "deepseek-v2-lite", Type::q8_0, {}, 35, 60, true); });
    overlap_ = true;
    step("v2-lite q8_0, overlapped launches", [this] {
      return model("v2-lite q8_0, overlapped launches", "deepseek-v2-lite", Type::q8_0, {}, 35, 60, false);
    });
    overlap_ = false;
    step("v2-lite bf16", [this] { return model("v2-lite bf16", "deepseek-v2-lite", Type::bf16, {}, 35, 60, false); });
    step("moe prefill", [this] { return prefill(); });
    step("dense prefill", [this] { return dense(); });
    step("v2-lite q4_k", [this] { return model("v2-lite q4_k", "deepseek-v2-lite", Type::q4_k, {}, 30, 55, false); });
    step("qwen3-30b q8_0", [this] { return model("qwen3-30b q8_0", "qwen3-30b-a3b", Type::q8_0, {}, 30, 55, false); });
    step("v3 slice fp8", [this] { return slice(); });
    table();
    return 0;
  }

 private:
  void print(const json& line) {
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
  }
  void step(const std::string& name, const std::function<Status()>& work) {
    if (!only_.empty() && name != "ceilings" && name.find(only_) == std::string::npos) return;
    if (since(start_) > seconds_) {
      rows_.push_back({name, "not measured: out of time", "", "", ""});
      return;
    }
    const Clock::time_point begin = Clock::now();
    if (const Status status = work(); !status) {
      rows_.push_back({name, "failed: " + status.error().to_string(), "", "", ""});
    }
    print({{"step", name}, {"seconds", since(begin)}});
  }
  static std::string number(double value, const char* format = "%.1f") {
    char text[64];
    std::snprintf(text, sizeof(text), format, value);
    return text;
  }
  static std::string percent(double share) { return number(share * 100) + " %"; }

  Status ceilings() {
    const auto copy = measure_copy(uint64_t{4} << 30, 10);
    if (!copy) return tl::make_unexpected(copy.error());
    copy_ = median(*copy);
    print({{"ceiling", "copy"}, {"bytes_per_s", *copy}});
    rows_.push_back({"device copy, read and written", number(copy_ / 1e9) + " GB/s", "", "", ""});
    const auto product = measure_cublas_bf16(8192, 10);
    if (!product) {
      rows_.push_back({"cuBLAS bf16 8192", "not measured: " + product.error().message, "", "", ""});
      return {};
    }
    cublas_ = median(*product);
    print({{"ceiling", "cublas_bf16"}, {"operations_per_s", *product}});
    rows_.push_back({"cuBLAS bf16 8192^3, random data", number(cublas_ / 1e12) + " TFLOP/s", "", "", ""});
    return {};
  }

  CudaOptions options(bool deterministic = false) const {
    CudaOptions out;
    out.device = device_;
    out.random_weights = 1;
    out.deterministic = deterministic;
    return out;
  }
  Result<std::unique_ptr<Ops>> ops(std::optional<Type> type = {}, bool deterministic = false, bool overlap = false) {
    CudaOptions options = this->options(deterministic);
    options.overlap_launches = overlap;
    options.random_type = type;
    return make_cuda_ops(options);
  }

  // Weights with the names and shapes of a model, all holes.
  Result<Weights> hollow(const ModelConfig& config, Type type) {
    const std::string path = folder_ + "/hollow.gguf";
    auto sink = write_with_holes(path);
    if (!sink) return tl::make_unexpected(sink.error());
    SyntheticOptions options;
    options.type = type;
    options.hollow = true;
    if (Status status = write_synthetic_model(config, options, std::move(*sink)); !status) {
      return tl::make_unexpected(status.error());
    }
    auto weights = Weights::open(path);
    std::filesystem::remove(path);  // the mapping stays
    return weights;
  }

  // Whole steps as the engine makes them: the token is drawn on the device and comes to the host.
  static Result<std::vector<double>> decode(ModelRunner& runner, std::vector<KvBlocks>& sequences, int steps) {
    std::vector<double> seconds;
    std::vector<TokenId> next(sequences.size());
    std::vector<Piece> pieces(sequences.size());
    Drawings drawings;
    drawings.rows.resize(sequences.size());  // the best
    for (int i = -5; i < steps; ++i) {       // the first ones grow workspaces and record
      for (size_t s = 0; s < sequences.size(); ++s) {
        next[s] = token_at(static_cast<size_t>(i + 5) * 31 + s * 1009, runner.model().config().vocabulary);
        pieces[s] = {&sequences[s], std::span(&next[s], 1), Piece::Logits::last};
      }
      const Clock::time_point begin = Clock::now();
      if (const auto tokens = runner.draw(pieces, drawings); !tokens) return tl::make_unexpected(tokens.error());
      if (i >= 0) seconds.push_back(since(begin));
    }
    return seconds;
  }

  // Prompt of 512, decode at 512 with one sequence, and with 64 where `many`.
  Status model(const std::string& name, const char* shape, Type type, std::optional<Type> on_device, int gate, int goal,
               bool many) {
    const auto known = known_model(shape);
    ModelConfig config = *known;
    config.mtp_layers = 0;
    auto weights = hollow(config, type);
    if (!weights) return tl::make_unexpected(weights.error());
    auto backend = ops(on_device, false, overlap_);
    if (!backend) return tl::make_unexpected(backend.error());
    const Clock::time_point begin = Clock::now();
    auto loaded = load_model(*weights, **backend);
    if (!loaded) return tl::make_unexpected(loaded.error());
    constexpr int64_t kContext = 512, kSequences = 64, kSteps = 40;
    RunnerOptions options;
    options.step_tokens = kContext;
    options.sequences = options.outputs = many ? kSequences : 1;
    options.kv.tokens = (kContext + 2 * kSteps + 32) * (options.sequences + 1);
    auto runner = ModelRunner::create(std::move(*loaded), **backend, options);
    if (!runner) return tl::make_unexpected(runner.error());
    const auto bytes = WeightBytes::of(*weights);
    if (!bytes) return tl::make_unexpected(bytes.error());
    print({{"model", name}, {"load_s", since(begin)}, {"weight_bytes", bytes->total}});

    std::vector<TokenId> prompt(kContext);
    for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = token_at(i, config.vocabulary);
    std::vector<KvBlocks> sequences(static_cast<size_t>(options.sequences));
    std::vector<double> prompt_seconds;
    for (size_t s = 0; s < sequences.size(); ++s) {
      KvBlocks& blocks = sequences[s];
      if (s < 3) {
        (*runner)->kv().reserve(blocks, kContext + 2 * kSteps);
        const Piece piece = {&blocks, prompt, Piece::Logits::last};
        const Clock::time_point at = Clock::now();
        if (const auto logits = (*runner)->run({&piece, 1}); !logits) return tl::make_unexpected(logits.error());
        prompt_seconds.push_back(since(at));
      } else if (!(*runner)->kv().fork(sequences[0], kContext, blocks) ||
                 !(*runner)->kv().reserve(blocks, kContext + 2 * kSteps)) {
        return fail(ErrorCode::limit, "no pages");
      }
    }
    const double prompt_s = *std::min_element(prompt_seconds.begin(), prompt_seconds.end());
    print({{"model", name}, {"prompt_tokens", kContext}, {"prompt_s", prompt_seconds}});
    rows_.push_back({name + ", prompt of 512", number(kContext / prompt_s, "%.0f") + " tokens/s", "", "", ""});

    std::vector<KvBlocks> one(1);
    std::swap(one[0], sequences[0]);
    const auto single = decode(**runner, one, kSteps);
    if (!single) return tl::make_unexpected(single.error());
    const double step = median(*single), read = bytes->read_per_step(config, 1);
    print({{"model", name}, {"batch", 1}, {"context", kContext}, {"weight_bytes_read", read}, {"step_s", *single}});
    rows_.push_back({name + ", batch 1", number(1 / step) + " tokens/s, " + number(read / step / 1e9) + " GB/s",
                     copy_ > 0 ? percent(read / step / copy_) : "", std::to_string(gate) + " %",
                     std::to_string(goal) + " %"});
    std::swap(one[0], sequences[0]);
    if (!many) return {};
    const auto together = decode(**runner, sequences, kSteps / 2);
    if (!together) return tl::make_unexpected(together.error());
    const double all = median(*together), unique = bytes->read_per_step(config, kSequences);
    print({{"model", name}, {"batch", kSequences}, {"weight_bytes_read", unique}, {"step_s", *together}});
    rows_.push_back({name + ", batch 64 of its byte-ideal",
                     number(kSequences / all) + " tokens/s, " + number(unique / 1e9) + " GB unique",
                     copy_ > 0 ? percent(unique / copy_ / all) : "", "60 %", "80 %"});
    rows_.push_back({name + ", batch 64 over batch 1", number(kSequences / all * step) + "x", "", "5x", ""});
    return {};
  }

  // Matrices whose bytes nobody reads: the backend makes its own.
  Result<Weight> matrix(Ops& ops, Type type, uint64_t n_in, uint64_t n_out, uint64_t planes) {
    std::vector<TensorView> views;
    const uint64_t row = *row_bytes(type, n_in);
    const Bytes bytes(static_cast<const uint8_t*>(nothing_), row * n_out);
    for (uint64_t p = 0; p < planes; ++p) views.push_back(*TensorView::make(type, {n_in, n_out}, bytes, bytes));
    return ops.upload(views);
  }

  static Result<std::vector<double>> timed(Ops& o, const std::function<void()>& work) {
    std::vector<double> seconds;
    for (int i = -2; i < 8; ++i) {
      if (Status status = o.sync(); !status) return tl::make_unexpected(status.error());
      const Clock::time_point begin = Clock::now();
      work();
      if (Status status = o.sync(); !status) return tl::make_unexpected(status.error());
      if (i >= 0) seconds.push_back(since(begin));
    }
    return seconds;
  }

  // The expert layer of V2-Lite over 4,096 tokens.
  Status prefill() {
    constexpr int64_t n = 2048, experts = 64, used = 6, tokens = 4096;
    nothing_ = mmap(nullptr, size_t{1} << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    double bf16_rate = 0;
    const struct {
      Type type;
      const char* how;
      PromptProducts products;
      bool deterministic;
    } cases[] = {{Type::bf16, "", PromptProducts::warpgroup_e4m3, false},
                 {Type::f8_e4m3, "", PromptProducts::warpgroup_e4m3, false},
                 {Type::bf16, ", mma.sync", PromptProducts::warp, false},
                 {Type::f8_e4m3, ", mma.sync", PromptProducts::warp, false},
                 {Type::bf16, ", deterministic", PromptProducts::warp, true},
                 {Type::q8_0, "", PromptProducts::warpgroup_e4m3, false},
                 {Type::q4_k, "", PromptProducts::warpgroup_e4m3, false},
                 {Type::q8_0, ", deterministic", PromptProducts::warp, true}};
    for (const auto& [type, how, products, deterministic] : cases) {
      const int64_t n_ff = type == Type::q4_k ? 1536 : 1408;  // whole blocks of 256
      CudaOptions with = options(deterministic);
      with.prompts = products;
      auto backend = make_cuda_ops(with);
      if (!backend) return tl::make_unexpected(backend.error());
      Ops& o = **backend;
      if (Status status = o.plan({tokens, n, n_ff, experts, used}); !status) return status;
      const auto gate = matrix(o, type, n, n_ff, experts), up = matrix(o, type, n, n_ff, experts),
                 down = matrix(o, type, n_ff, n, experts);
      for (const auto* weight : {&gate, &up, &down}) {
        if (!*weight) return tl::make_unexpected(weight->error());
      }
      auto x = o.alloc(n * tokens * 4), y = o.alloc(n * tokens * 4), ids = o.alloc(used * tokens * 4),
           weights = o.alloc(used * tokens * 4);
      if (!x || !y || !ids || !weights) return fail(ErrorCode::limit, "no memory for the rows");
      std::mt19937 random(5);
      std::normal_distribution<float> normal;
      std::vector<float> rows(n * tokens), shares(used * tokens, 1.0f / used);
      for (float& v : rows) v = normal(random);
      std::vector<int32_t> chosen;
      for (int64_t t = 0; t < tokens; ++t) {
        std::vector<int32_t> order(experts);
        for (int32_t e = 0; e < experts; ++e) order[e] = e;
        std::shuffle(order.begin(), order.end(), random);
        chosen.insert(chosen.end(), order.begin(), order.begin() + used);
      }
      o.copy_in(x->f32(0, n, tokens), rows.data());
      o.copy_in(ids->i32(0, used, tokens), chosen.data());
      o.copy_in(weights->f32(0, used, tokens), shares.data());
      const auto seconds = timed(o, [&] {
        o.moe_ffn(*gate, *up, *down, x->f32(0, n, tokens), ids->i32(0, used, tokens), weights->f32(0, used, tokens),
                  y->f32(0, n, tokens));
      });
      if (!seconds) return tl::make_unexpected(seconds.error());
      const double operations = 2.0 * 3 * n * static_cast<double>(n_ff) * used * tokens,
                   rate = operations / median(*seconds);
      const std::string name = "moe prefill 4096, " + std::string(type_name(type)) + how;
      print({{"work", name}, {"operations", operations}, {"seconds", *seconds}});
      const bool best = *how == '\0', gated = type == Type::bf16 && best;
      if (gated) bf16_rate = rate;
      rows_.push_back({name, number(rate / 1e12) + " TFLOP/s",
                       cublas_ > 0 ? percent(rate / cublas_) + " of cuBLAS" : "", gated ? "45 %" : "",
                       gated ? "70 %" : ""});
      if (type == Type::f8_e4m3 && best && bf16_rate > 0) {
        rows_.push_back({"  FP8 against BF16", number(rate / bf16_rate, "%.2f") + "x", "", "1.2x", "1.7x"});
      }
    }
    return {};
  }

  // One matrix of DeepSeek-V3's width over 4,096 tokens: cuBLAS within the backend, and our own kernels.
  Status dense() {
    constexpr int64_t n = 7168, tokens = 4096;
    const struct {
      const char* how;
      Type type;
      bool library;
      PromptProducts products;
    } cases[] = {{"cuBLAS", Type::bf16, true, PromptProducts::warpgroup_e4m3},
                 {"wgmma", Type::bf16, false, PromptProducts::warpgroup_e4m3},
                 {"wgmma, e4m3", Type::f8_e4m3, false, PromptProducts::warpgroup_e4m3},
                 {"mma.sync", Type::bf16, false, PromptProducts::warp}};
    for (const auto& [how, type, library, products] : cases) {
      CudaOptions with = options();
      with.library = library;
      with.prompts = products;
      auto backend = make_cuda_ops(with);
      if (!backend) return tl::make_unexpected(backend.error());
      Ops& o = **backend;
      if (Status status = o.plan({tokens, n, n, 1, 1}); !status) return status;
      const auto w = matrix(o, type, n, n, 1);
      if (!w) return tl::make_unexpected(w.error());
      auto x = o.alloc(n * tokens * 4), y = o.alloc(n * tokens * 4);
      if (!x || !y) return fail(ErrorCode::limit, "no memory for the rows");
      std::mt19937 random(5);
      std::normal_distribution<float> normal;
      std::vector<float> rows(n * tokens);
      for (float& v : rows) v = normal(random);
      o.copy_in(x->f32(0, n, tokens), rows.data());
      const auto seconds = timed(o, [&] { o.matmul(*w, x->f32(0, n, tokens), y->f32(0, n, tokens)); });
      if (!seconds) return tl::make_unexpected(seconds.error());
      const double rate = 2.0 * n * n * tokens / median(*seconds);
      const std::string name = "dense 7168 x 7168, 4096 tokens, " + std::string(how);
      print({{"work", name}, {"operations", 2.0 * n * n * tokens}, {"seconds", *seconds}});
      rows_.push_back({name, number(rate / 1e12) + " TFLOP/s",
                       cublas_ > 0 ? percent(rate / cublas_) + " of cuBLAS alone" : "", "", ""});
    }
    return {};
  }

  // DeepSeek-V3's widths, as many layers as fit, in FP8.
  Status slice() {
    const auto known = known_model("deepseek-v3");
    std::vector<double> per_layer;
    double last = 0;
    for (const uint32_t layers : {2u, 4u}) {  // the difference is two layers of experts
      ModelConfig config = *known;
      config.mtp_layers = 0;
      config.layers = layers;
      config.moe->leading_dense = 1;
      const double bytes = static_cast<double>(WeightBytes::of(config, Type::f8_e4m3).total);
      if (bytes * 1.1 > static_cast<double>(device_info_.memory_free)) break;
      auto weights = hollow(config, Type::bf16);
      if (!weights) return tl::make_unexpected(weights.error());
      auto backend = ops(Type::f8_e4m3);
      if (!backend) return tl::make_unexpected(backend.error());
      auto loaded = load_model(*weights, **backend);
      if (!loaded) return tl::make_unexpected(loaded.error());
      RunnerOptions options;
      options.step_tokens = 128;
      options.sequences = options.outputs = 1;
      options.kv.tokens = 1024;
      auto runner = ModelRunner::create(std::move(*loaded), **backend, options);
      if (!runner) return tl::make_unexpected(runner.error());
      std::vector<KvBlocks> one(1);
      std::vector<TokenId> prompt(128);
      for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = token_at(i, config.vocabulary);
      for (int i = 0; i < 4; ++i) {
        const Piece piece = {&one[0], prompt, Piece::Logits::last};
        if (const auto logits = (*runner)->run({&piece, 1}); !logits) return tl::make_unexpected(logits.error());
      }
      const auto seconds = decode(**runner, one, 20);
      if (!seconds) return tl::make_unexpected(seconds.error());
      print({{"model", "v3 slice fp8"}, {"layers", layers}, {"context", 512}, {"step_s", *seconds}});
      const double now = median(*seconds);
      if (layers == 4) {
        const double layer = (now - last) / 2;
        ModelConfig shorter = config;
        shorter.layers = 3;
        const double read = WeightBytes::of(config, Type::f8_e4m3).read_per_step(config, 1) -
                            WeightBytes::of(shorter, Type::f8_e4m3).read_per_step(shorter, 1);
        rows_.push_back({"v3 slice fp8, a layer of experts, batch 1",
                         number(layer * 1e3, "%.3f") + " ms, " + number(read / layer / 1e9) + " GB/s",
                         copy_ > 0 ? percent(read / layer / copy_) : "", "", ""});
        rows_.push_back(
            {"  61 such layers on one GPU after the other", number(layer * 61 * 1e3) + " ms a token", "", "", ""});
        // `vitrine plan --model deepseek-v3 --hardware 8xh200`, with bytes as fast as this layer read them.
        Hardware eight = *known_hardware("8xh200");
        const WeightBytes whole = WeightBytes::of(*known, Type::f8_e4m3);
        const Workload workload{512, 1, 512, Type::bf16};
        const auto bound = plan(*known, whole, workload, eight).decode_rate;
        eight.bandwidth = read / layer;
        const auto predicted = plan(*known, whole, workload, eight).decode_rate;
        if (bound && predicted) {
          rows_.push_back({"  plan: deepseek-v3 on 8 x H200 at that rate, no communication",
                           number(*predicted) + " tokens/s", percent(*predicted / *bound) + " of plan's bound", "",
                           ""});
        }
      }
      last = now;
    }
    return {};
  }

  void table() {
    std::printf("\n| work | measured | share of ceiling | gate | goal |\n|---|---|---|---|---|\n");
    for (const Row& row : rows_) {
      std::printf("| %s | %s | %s | %s | %s |\n", row.work.c_str(), row.measured.c_str(), row.share.c_str(),
                  row.gate.c_str(), row.goal.c_str());
    }
  }

  double seconds_;
  std::string folder_, only_;
  int device_;
  CudaDevice device_info_;
  Clock::time_point start_ = Clock::now();
  double copy_ = 0, cublas_ = 0;
  bool overlap_ = false;
  void* nothing_ = nullptr;
  std::vector<Row> rows_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Speed of the CUDA backend on the GPU at hand."};
  double seconds = 400;
  std::string folder = std::filesystem::temp_directory_path(), only;
  int device = 0;
  app.add_option("--seconds", seconds, "start no further measurement after this");
  app.add_option("--folder", folder, "for files of holes, some hundred GB long and a few MB large");
  app.add_option("--only", only, "measurements whose name holds this");
  app.add_option("--device", device, "number of the GPU");
  CLI11_PARSE(app, argc, argv);
  return Bench(seconds, folder, only, device).run();
}
