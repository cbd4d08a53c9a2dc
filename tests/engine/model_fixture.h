// Models of tests/golden/engine, and runs of them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/model_runner.h"
#include "kernels/cpu/cpu_ops.h"

namespace vitrine {

inline std::string fixture_folder(const std::string& name) {
  return std::string(VITRINE_SOURCE_DIR) + "/tests/golden/engine/" + name;
}

inline std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixture_folder(""))) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Expected {
  std::vector<TokenId> tokens;
  std::vector<float> logits;  // [vocabulary, tokens]

  static Expected read(const std::string& name) {
    Expected out;
    const auto file = SafetensorsModel::open(fixture_folder(name) + "/expected.safetensors");
    EXPECT_TRUE(file.has_value()) << file.error().to_string();
    const auto copy = [&](const char* tensor, auto& to) {
      const Bytes bytes = file->data(*file->find(tensor));
      to.resize(bytes.size() / 4);
      std::memcpy(to.data(), bytes.data(), bytes.size());
    };
    copy("tokens", out.tokens);
    copy("logits", out.logits);
    return out;
  }
};

inline std::unique_ptr<Ops> cpu(int threads = 1, std::optional<Isa> isa = {}) {
  auto ops = make_cpu_ops({.threads = threads, .isa = isa});
  EXPECT_TRUE(ops.has_value()) << ops.error().to_string();
  return std::move(*ops);
}

inline std::unique_ptr<ModelRunner> runner(const Weights& weights, Ops& ops, Type cache = Type::f32) {
  auto model = load_model(weights, ops);
  EXPECT_TRUE(model.has_value()) << model.error().to_string();
  if (!model) return nullptr;
  RunnerOptions options;
  options.step_tokens = options.outputs = 256;
  options.kv.tokens = 1024;
  options.kv.type = cache;
  auto out = ModelRunner::create(std::move(*model), ops, options);
  EXPECT_TRUE(out.has_value()) << out.error().to_string();
  return out ? std::move(*out) : nullptr;
}

// Logits of every position, [vocabulary, tokens]; so many tokens a step (0: all).
inline std::vector<float> all_logits(ModelRunner& model, std::span<const TokenId> tokens, size_t chunk = 0) {
  std::vector<float> out;
  KvBlocks blocks;
  for (size_t at = 0; at < tokens.size();) {
    const size_t count = std::min(chunk == 0 ? tokens.size() : chunk, tokens.size() - at);
    const Piece piece = {&blocks, tokens.subspan(at, count), Piece::Logits::all};
    const auto logits = model.run({&piece, 1});
    EXPECT_TRUE(logits.has_value()) << logits.error().to_string();
    if (!logits) break;
    out.insert(out.end(), logits->begin(), logits->end());
    at += count;
  }
  model.kv().release(blocks);
  return out;
}

// The largest difference at any position, over the largest logit of that position.
inline double worst_difference(std::span<const float> found, std::span<const float> expected, size_t vocabulary) {
  if (found.size() != expected.size()) return INFINITY;
  double worst = 0;
  for (size_t row = 0; row < expected.size(); row += vocabulary) {
    double largest = 0, difference = 0;
    for (size_t i = row; i < row + vocabulary; ++i) {
      if (!std::isfinite(found[i])) return INFINITY;
      largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
      difference = std::max(difference, std::abs(static_cast<double>(found[i]) - expected[i]));
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace vitrine
