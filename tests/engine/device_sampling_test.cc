// Tokens drawn by the CUDA kernel are those the sampler draws: same logits, parameters,
// history and seed. With the kernel on the host everywhere, on a GPU where there is one.
#include <fstream>
#include <limits>
#include <random>

#include "engine/engine.h"
#include "kernels/cuda/emulated/emulated_ops.h"
#include "tests/engine/gguf_from_weights.h"
#include "tests/engine/model_fixture.h"

namespace vitrine {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

class DeviceSampling : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto made = GetParam() ? make_cuda_ops({}) : make_emulated_cuda_ops({});
    if (!made && GetParam()) GTEST_SKIP() << made.error().to_string();
    ops_ = std::move(*made);
  }

  // A token for each row, the samplers' own and the device's; both are remembered.
  void step(std::vector<Sampler>& on_host, std::vector<Sampler>& on_device, std::vector<std::vector<float>> rows) {
    const auto m = static_cast<int64_t>(rows.size()), n = static_cast<int64_t>(rows[0].size());
    std::vector<SamplingRow> how;
    std::vector<LogitEdit> edits;
    for (const Sampler& sampler : on_device) how.push_back(sampler.row(edits));
    edits.push_back({});  // so that there is memory
    auto logits = ops_->alloc(static_cast<uint64_t>(m * n) * 4), row_words = ops_->alloc(how.size() * 64),
         edit_words = ops_->alloc(edits.size() * 16), ids = ops_->alloc(static_cast<uint64_t>(m) * 4);
    for (int64_t r = 0; r < m; ++r) ops_->copy_in(logits->f32(static_cast<uint64_t>(r * n) * 4, n), rows[r].data());
    ops_->copy_in(row_words->i32(0, 16, m), how.data());
    ops_->copy_in(edit_words->i32(0, 4, static_cast<int64_t>(edits.size())), edits.data());
    ops_->sample(logits->f32(0, n, m), row_words->i32(0, 16, m),
                 edit_words->i32(0, 4, static_cast<int64_t>(edits.size())), ids->i32(0, m));
    std::vector<TokenId> drawn(rows.size());
    ops_->copy_out(drawn.data(), ids->i32(0, m));
    const Status status = ops_->sync();
    ASSERT_TRUE(status) << status.error().message;
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto wanted = on_host[r].next(rows[r]);
      ASSERT_EQ(drawn[r], wanted ? wanted->id : -1) << "row " << r;
      if (!wanted) continue;
      EXPECT_EQ(on_device[r].drawn(drawn[r])->id, drawn[r]);
    }
  }

  std::unique_ptr<Ops> ops_;
};
INSTANTIATE_TEST_SUITE_P(Devices, DeviceSampling, testing::Bool(),
                         [](const auto& test) { return test.param ? "cuda" : "emulated"; });

std::vector<SamplingParameters> kinds() {
  std::vector<SamplingParameters> out = {
      {.temperature = 0},
      {.temperature = 1},
      {.temperature = 0.3f},
      {.temperature = 100},
      {.temperature = 1e-9f},
      {.top_k = 1},
      {.top_k = 7},
      {.top_k = 100000},
      {.top_p = 0.5f},
      {.top_p = 0.999f},
      {.top_p = 1e-30f},
      {.min_p = 0.3f},
      {.min_p = 1},
      {.temperature = 1.7f, .top_k = 20, .top_p = 0.8f, .min_p = 0.05f},
      {.temperature = 2, .top_k = 3, .top_p = 0.99f},
      {.top_p = 0.9f, .repetition_penalty = 1.3f, .presence_penalty = 0.5f, .frequency_penalty = 0.7f},
      {.temperature = 0,
       .repetition_penalty = 0.5f,
       .presence_penalty = -2,
       .logit_bias = {{3, 5}, {4, -100}, {2, -3}}},
      {.top_k = 5, .logit_bias = {{0, 100}, {1, 100}, {1 << 30, 1}, {7, -99.5f}}},
  };
  for (size_t i = 0; i < out.size(); ++i) out[i].seed = 0x123456789abcdefull * (i + 1);
  return out;
}

TEST_P(DeviceSampling, DrawsWhatTheSamplerDraws) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 3);
  for (const size_t n : {size_t{1}, size_t{31}, size_t{1000}, size_t{5003}}) {
    SCOPED_TRACE(n);
    std::vector<Sampler> on_host, on_device;
    const TokenId prompt[] = {0, 3, 3, 9};
    for (const SamplingParameters& kind : kinds()) {
      for (auto* samplers : {&on_host, &on_device}) samplers->emplace_back(kind).see_prompt(prompt);
    }
    for (int at = 0; at < (n > 1000 ? 2 : 6); ++at) {
      std::vector<std::vector<float>> rows(on_host.size(), std::vector<float>(n));
      for (auto& row : rows) {
        for (float& v : row) v = normal(random);
      }
      step(on_host, on_device, std::move(rows));
    }
  }
}

// Equal logits by the thousand: what is cut is cut by ids, and every sum is exact.
TEST_P(DeviceSampling, TiesAndUnkindLogits) {
  std::mt19937 random(5);
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::vector<float>> palettes = {
      {1},
      {0.0f, -0.0f},
      {1, 2},
      {2, 2, 2, -kInf, kNan},
      {-3e38f, 3e38f, 0},
      {kInf, 1, kNan},
      {-kInf},
      {kNan, -kInf},
      {5, 5 - 1e-6f, 5 - 2e-6f, -20, -40},
  };
  for (const auto& palette : palettes) {
    SCOPED_TRACE(palette[0]);
    for (const size_t n : {size_t{40}, size_t{1500}}) {
      std::vector<Sampler> on_host, on_device;
      for (SamplingParameters kind : kinds()) {
        for (auto* samplers : {&on_host, &on_device}) samplers->emplace_back(kind);
      }
      for (int at = 0; at < 3; ++at) {
        std::vector<std::vector<float>> rows(on_host.size(), std::vector<float>(n));
        for (auto& row : rows) {
          for (float& v : row) v = palette[random() % palette.size()];
        }
        step(on_host, on_device, std::move(rows));
      }
    }
  }
}

TEST_P(DeviceSampling, RefusedAtTheDoor) {
  const auto memory = std::move(*ops_->alloc(4096));
  const Tensor logits = memory.f32(0, 8, 2), rows = memory.i32(1024, 16, 2), edits = memory.i32(2048, 4, 1),
               ids = memory.i32(3072, 2);
  const auto refused = [&](const Tensor& l, const Tensor& r, const Tensor& e, const Tensor& i) {
    ops_->sample(l, r, e, i);
    EXPECT_FALSE(ops_->sync());
  };
  refused(logits, memory.i32(1024, 16, 1), edits, ids);
  refused(logits, memory.i32(1024, 8, 2), edits, ids);
  refused(logits, rows, memory.i32(2048, 3, 1), ids);
  refused(logits, rows, edits, memory.i32(3072, 3));
  ops_->sample(logits, rows, edits, ids);  // temperature 0 of zeros: the first
  EXPECT_TRUE(ops_->sync());
}

// A whole engine: requests that the device draws for answer as those whose logits come to the host.
TEST_P(DeviceSampling, EnginesAnswerTheSame) {
  const auto source = Weights::open(fixture_folder("qwen2"));
  ASSERT_TRUE(source.has_value());
  const std::string path = testing::TempDir() + "vitrine-device-sampling-" + std::to_string(getpid()) + ".gguf";
  std::ofstream(path, std::ios::binary) << gguf_from_weights(*source, MlaLayout::combined, Type::f32, true);
  std::vector<std::vector<std::vector<TokenId>>> answers(2);
  for (const bool on_host : {false, true}) {
    auto ops = GetParam() ? make_cuda_ops({.deterministic = true}) : make_emulated_cuda_ops({.deterministic = true});
    auto engine = Engine::open(path, **ops, {.context = 64, .sequences = 3});
    ASSERT_TRUE(engine.has_value()) << engine.error().to_string();
    std::map<SequenceId, size_t> place;
    const std::vector<SamplingParameters> all = kinds();
    const std::vector<SamplingParameters> some = {all[0], all[1], all[8], all[13], all[15], all[16]};
    answers[on_host].resize(some.size());
    for (size_t i = 0; i < some.size(); ++i) {
      Request request;
      request.prompt = {1, 2, static_cast<TokenId>(3 + i)};
      request.sampling = some[i];
      request.sampling.top_logprobs = on_host ? 0 : -1;
      request.max_tokens = 8;
      request.ignore_end = true;
      const auto id = (*engine)->add(std::move(request));
      ASSERT_TRUE(id.has_value()) << id.error().to_string();
      place[*id] = i;
    }
    while ((*engine)->busy()) {
      const auto outputs = (*engine)->step();
      ASSERT_TRUE(outputs.has_value()) << outputs.error().to_string();
      for (const SequenceOutput& output : *outputs) {
        ASSERT_FALSE(output.error.has_value());
        for (const Sampled& token : output.tokens) answers[on_host][place[output.sequence]].push_back(token.id);
      }
    }
  }
  std::remove(path.c_str());
  for (const auto& answer : answers[0]) EXPECT_EQ(answer.size(), 8u);
  EXPECT_EQ(answers[0], answers[1]);
}

}  // namespace
}  // namespace vitrine
