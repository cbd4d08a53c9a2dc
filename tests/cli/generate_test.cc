// `vitrine generate` and `vitrine chat` as a user runs them, on a synthetic file in DeepSeek-V3's shape: few layers,
// but 256 experts, groups, selection bias, latent attention, YaRN.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/model_flags.h"
#include "engine/known_models.h"
#include "kernels/cuda/cuda_ops.h"
#include "tests/cli/small_model.h"

namespace vitrine::cli {
namespace {

using nlohmann::json;

json generate(const std::string& model, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"generate", "-m", model, "--json", "--max-tokens", "8"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome outcome = vitrine(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const json document = json::parse(outcome.out, nullptr, false);
  EXPECT_TRUE(document.is_object()) << outcome.out;
  return document;
}

TEST(Generate, DeepseekV3Shape) {
  for (const MlaLayout layout : {MlaLayout::split, MlaLayout::combined}) {
    const TempFolder folder;
    const std::string model = small_deepseek_v3(folder, Type::q4_k, layout);
    const json answer = generate(model, {"-p", "the man", "--logprobs", "2"});
    EXPECT_EQ(answer["architecture"], "deepseek2");
    EXPECT_GE(answer["prompt_tokens"], 7);
    ASSERT_EQ(answer["tokens"].size(), answer["generated_tokens"]);
    ASSERT_GE(answer["tokens"].size(), 1u);
    ASSERT_EQ(answer["logprobs"].size(), answer["tokens"].size());
    const json& first = answer["logprobs"][0];
    EXPECT_EQ(first["top"].size(), 2u);
    EXPECT_EQ(first["id"], first["top"][0]["id"]) << "greedy: the most probable token";
    EXPECT_LE(first["logprob"], 0);
    EXPECT_EQ(generate(model, {"-p", "the man", "--threads", "1"})["tokens"], answer["tokens"]);
    EXPECT_EQ(generate(model, {"-p", "the man", "--temperature", "1.5", "--seed", "3"})["tokens"],
              generate(model, {"-p", "the man", "--temperature", "1.5", "--seed", "3"})["tokens"]);
  }
}

TEST(Generate, SaysWhatIsWrong) {
  const TempFolder folder;
  const std::string model = small_deepseek_v3(folder, Type::q8_0);
  const auto code = [&](std::vector<std::string> arguments) { return vitrine(arguments).exit_code; };
  EXPECT_EQ(code({"generate", "-m", folder.path("none.gguf"), "-p", "x"}), 3);
  EXPECT_EQ(code({"generate", "-m", VITRINE_SOURCE_DIR "/tests/golden/gguf/tensors.gguf", "-p", "x"}), 3);
  EXPECT_EQ(code({"generate", "-m", model, "-p", "x", "--temperature", "nan"}), 2);
  EXPECT_EQ(code({"generate", "-m", model, "-p", "x", "--device", "tpu"}), 2);
  // Without a GPU, or built without CUDA: a refusal that says so.
  if (!cuda_device()) {
    EXPECT_EQ(code({"generate", "-m", model, "-p", "x", "--device", "cuda"}), 3);
  }
  EXPECT_EQ(code({"generate", "-m", model, "-p", "x", "--context", "999999999"}), 2);
  EXPECT_EQ(code({"generate", "-m", model, "-p", "the man in the hat", "--context", "4"}), 3);
  EXPECT_EQ(code({"generate", "-p", "x"}), 2);
}

TEST(Generate, SharingWithAGpu) {
  const TempFolder folder;
  const std::string model = small_deepseek_v3(folder, Type::q8_0);
  for (const char* option : {"--gpu-layers", "--cpu-experts"}) {
    const Outcome outcome = vitrine({"generate", "-m", model, "-p", "x", option, "1"});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_NE(outcome.err.find("--device cuda"), std::string::npos) << outcome.err;
  }
}

TEST(WhatWouldFit, NamesTheOptions) {
  const ModelConfig config = *known_model("deepseek-v3");
  const Hardware gpu = {.name = "GPU", .memory = 80e9};
  const PlanResult p = plan(config, WeightBytes::of(config, Type::f8_e4m3), {.context = 8192}, gpu);
  ASSERT_FALSE(p.fits);
  const std::string text = what_would_fit("v3.gguf", config, gpu, p);
  EXPECT_NE(text.find("v3.gguf needs "), std::string::npos) << text;
  EXPECT_NE(text.find("--cpu-experts " + std::to_string(*p.host_experts)), std::string::npos) << text;
  EXPECT_NE(text.find("--gpu-layers " + std::to_string(p.layers_on_device) + " (of 61)"), std::string::npos) << text;

  ModelFlags flags;
  flags.gpu_layers = 20;
  flags.cpu_experts = 100;
  EXPECT_EQ(flags.placed(config)->host_layers, 41u);
  EXPECT_EQ(flags.placed(config)->host_experts, 61u);
  flags.gpu_layers = 100;
  EXPECT_EQ(flags.placed(config)->host_layers, 0u);
  EXPECT_FALSE(flags.placed(*known_model("smollm2-135m")).has_value());  // no experts
}

}  // namespace
}  // namespace vitrine::cli
