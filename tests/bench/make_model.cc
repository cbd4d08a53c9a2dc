// Writes a synthetic GGUF file: tests/synthetic/synthetic_model.h.
//
//   make_model -o lite.gguf --model deepseek-v2-lite --layers 6 --type q4_0
//   make_model -o v3.gguf --model deepseek-v3 --layers 4 --dense-layers 1 --embedding 1024 --ffn 2048
//              --expert-ffn 256 --heads 16 --q-lora-rank 512 --vocabulary 4096 --type q4_k
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "engine/known_models.h"
#include "tests/synthetic/synthetic_model.h"

namespace {

using namespace vitrine;

std::optional<Type> type_named(const std::string& name) {
  for (int i = 0; i < kTypeCount; ++i) {
    if (equals_ignoring_case(type_name(static_cast<Type>(i)), name)) return static_cast<Type>(i);
  }
  return std::nullopt;
}

int failed(const std::string& message) {
  std::fprintf(stderr, "make_model: %s\n", message.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Writes a GGUF file with random weights in the shape of a published model."};
  std::string path, model = "deepseek-v2-lite", type = "q8_0", output_type;
  uint64_t seed = 1;
  bool legacy = false;
  app.add_option("-o,--output", path, "file to write")->required();
  app.add_option("--model", model, "shape: deepseek-v2-lite, deepseek-v3, qwen3-30b-a3b, smollm2-135m, …");
  app.add_option("--type", type, "type of matrices: q4_0, q4_k, q8_0, bf16, …");
  app.add_option("--output-type", output_type, "type of the head, when another");
  app.add_option("--seed", seed, "of the random numbers");
  app.add_flag("--legacy-mla", legacy, "deepseek2: attn_kv_b instead of attn_k_b and attn_v_b");
  struct Width {
    const char* flag;
    uint32_t value;
  };
  Width widths[] = {{"--layers", 0},     {"--dense-layers", 0}, {"--embedding", 0},   {"--ffn", 0},
                    {"--expert-ffn", 0}, {"--heads", 0},        {"--q-lora-rank", 0}, {"--kv-lora-rank", 0},
                    {"--experts", 0},    {"--experts-used", 0}, {"--vocabulary", 0},  {"--context", 0}};
  for (Width& width : widths) app.add_option(width.flag, width.value, "instead of the model's own");
  CLI11_PARSE(app, argc, argv);

  auto config = known_model(model);
  if (!config) return failed("no such model: " + model);
  const auto set = [&](const char* flag, auto&&... fields) {
    const Width* width = std::find_if(std::begin(widths), std::end(widths),
                                      [&](const Width& w) { return std::string_view(w.flag) == flag; });
    if (width->value > 0) ((fields = width->value), ...);
  };
  set("--layers", config->layers);
  set("--embedding", config->embedding);
  set("--ffn", config->ffn);
  set("--vocabulary", config->vocabulary);
  set("--context", config->context);
  if (config->mla) {
    set("--heads", config->heads, config->kv_heads);
    set("--q-lora-rank", config->mla->q_lora_rank);
    set("--kv-lora-rank", config->mla->kv_lora_rank);
  } else {
    set("--heads", config->heads);
  }
  if (config->moe) {
    set("--dense-layers", config->moe->leading_dense);
    set("--expert-ffn", config->moe->expert_ffn);
    set("--experts", config->moe->experts);
    set("--experts-used", config->moe->experts_used);
  }
  config->mtp_layers = 0;
  if (config->rope.scaling == RopeConfig::Scaling::llama3) config->rope.scaling = RopeConfig::Scaling::none;

  SyntheticOptions options{.mla_layout = legacy ? MlaLayout::combined : MlaLayout::split, .seed = seed};
  const auto matrices = type_named(type), head = type_named(output_type.empty() ? type : output_type);
  if (!matrices || !head) return failed("no such type: " + (matrices ? output_type : type));
  options.type = *matrices;
  options.output_type = *head;
  auto sink = write_to_file(path);
  if (!sink) return failed(sink.error().to_string());
  if (Status status = write_synthetic_model(*config, options, std::move(*sink)); !status) {
    return failed(status.error().to_string());
  }
  std::printf("%s: %.3f B parameters\n", path.c_str(), static_cast<double>(parameters(*config)) / 1e9);
  return 0;
}
