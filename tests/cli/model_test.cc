// `vitrine model show` and `vitrine plan` as a user runs them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/small_model.h"

namespace vitrine::cli {
namespace {

using nlohmann::json;

TEST(ModelShow, GgufAsTextAndJson) {
  const TempFolder folder;
  const std::string path = small_deepseek_v3(folder, Type::q4_k);
  const Outcome text = vitrine({"model", "show", path});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const char* part : {"deepseek2", "8 of 256 per token", "sigmoid with selection bias, 4 of 8 groups", "YaRN x 40",
                           "chat template  yes", "512 tokens", "Q4_K", "cache 3.46 kB per token"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << part << "\n" << text.out;
  }
  const Outcome outcome = vitrine({"model", "show", path, "--json"});
  const json shown = json::parse(outcome.out);
  EXPECT_EQ(shown["architecture"], "deepseek2");
  EXPECT_EQ(shown["can_run"], true);
  EXPECT_EQ(shown["moe"]["groups_used"], 4);
  EXPECT_EQ(shown["mla"]["kv_lora_rank"], 512);
  EXPECT_EQ(shown["memory"]["kv_bytes_per_token"], 3 * 576 * 2);
  uint64_t bytes = 0;
  for (const auto& [name, sum] : shown["types"].items()) bytes += sum["bytes"].get<uint64_t>();
  EXPECT_EQ(shown["memory"]["weights"], bytes);
}

TEST(ModelShow, WhatCannotRunIsShownWithItsReason) {
  // No hyper-parameters in it, and types no kernel knows.
  const std::string path = VITRINE_SOURCE_DIR "/tests/golden/gguf/tensors.gguf";
  const json shown = json::parse(vitrine({"model", "show", path, "--json"}).out);
  EXPECT_EQ(shown["can_run"], false);
  EXPECT_NE(shown["refusal"].get<std::string>().find("key llama.context_length: is missing"), std::string::npos);
  EXPECT_EQ(shown["types"]["IQ2_XXS"]["supported"], false);
  EXPECT_EQ(shown["types"]["Q4_K"]["supported"], true);
}

TEST(ModelShow, UnreadableFiles) {
  EXPECT_EQ(vitrine({"model", "show", "/no/such/file.gguf"}).exit_code, 3);
  const Outcome readme = vitrine({"model", "show", VITRINE_SOURCE_DIR "/README.md"});
  EXPECT_EQ(readme.exit_code, 3);
  EXPECT_NE(readme.err.find("no GGUF file"), std::string::npos);
  EXPECT_EQ(vitrine({"model"}).exit_code, 2);
}

TEST(Plan, KnownModelOnKnownHardware) {
  const Outcome outcome = vitrine({"plan", "--model", "deepseek-v3", "--hardware", "8xh200", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json plan = json::parse(outcome.out);
  EXPECT_EQ(plan["type"], "F8_E4M3");
  EXPECT_NEAR(plan["parameters"].get<double>() / 1e9, 671.03, 0.005);
  EXPECT_EQ(plan["memory"]["cache_per_token"], 70272);
  EXPECT_EQ(plan["plans"].size(), 1u);
  EXPECT_EQ(plan["plans"][0]["fits"], true);
  const double seconds = plan["plans"][0]["decode"]["read_seconds"];
  EXPECT_NEAR(plan["plans"][0]["decode"]["tokens_per_second"], 1 / seconds, 1e-6);
  const Outcome text = vitrine({"plan", "--model", "deepseek-v3", "--hardware", "h200"});
  EXPECT_NE(text.out.find("671.03 B parameters, 36.63 B read per token"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("does not fit"), std::string::npos);
  EXPECT_NE(text.out.find("of 61 fit with the head (--gpu-layers "), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("(--cpu-experts "), std::string::npos) << text.out;
}

TEST(Plan, FileOnDescribedHardware) {
  const TempFolder folder;
  const std::string path = small_deepseek_v3(folder, Type::q4_k);
  const Outcome outcome =
      vitrine({"plan", path, "--memory", "24", "--bandwidth", "1000", "--context", "1024", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json plan = json::parse(outcome.out);
  EXPECT_EQ(plan["plans"][0]["fits"], true);
  EXPECT_EQ(plan["memory"]["cache"], 3 * 576 * 2 * 1024);
  EXPECT_TRUE(plan["plans"][0]["prompt"]["seconds"].is_null());  // no --tflops
  const json shown = json::parse(vitrine({"model", "show", path, "--json"}).out);
  EXPECT_EQ(plan["memory"]["weights"], shown["memory"]["weights"]);
}

TEST(Plan, Usage) {
  EXPECT_EQ(vitrine({"plan"}).exit_code, 2);
  const Outcome model = vitrine({"plan", "--model", "gpt-9"});
  EXPECT_EQ(model.exit_code, 2);
  EXPECT_NE(model.err.find("no such model: gpt-9 (deepseek-v3, "), std::string::npos) << model.err;
  EXPECT_EQ(vitrine({"plan", "--model", "deepseek-v3", "--hardware", "abacus"}).exit_code, 2);
  EXPECT_EQ(vitrine({"plan", "--model", "deepseek-v3", "--bandwidth", "5"}).exit_code, 2);
  EXPECT_EQ(vitrine({"plan", "--model", "deepseek-v3", "--type", "q9"}).exit_code, 2);
  EXPECT_EQ(vitrine({"plan", "--model", "deepseek-v3", "--cache", "q8_0"}).exit_code, 2);
}

}  // namespace
}  // namespace vitrine::cli
