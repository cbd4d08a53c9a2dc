// A model split between two backends gives the bits of the model on one of them:
// wherever the cut is, whichever layers' experts stay with the host, and however
// early or late a branch of the device's stream runs.
#include "engine/engine.h"
#include "kernels/cuda/emulated/emulated_ops.h"
#include "tests/engine/model_fixture.h"
#include "tests/engine/trace_ops.h"

namespace vitrine {
namespace {

std::unique_ptr<ModelRunner> split_runner(const Weights& weights, Ops& device, const Placement& placement) {
  auto model = load_model(weights, device, {}, placement);
  EXPECT_TRUE(model.has_value()) << model.error().to_string();
  if (!model) return nullptr;
  RunnerOptions options;
  options.step_tokens = options.outputs = 256;
  options.kv.tokens = 1024;
  options.kv.type = Type::f32;
  auto out = ModelRunner::create(std::move(*model), device, options);
  EXPECT_TRUE(out.has_value()) << out.error().to_string();
  return out ? std::move(*out) : nullptr;
}

size_t count(const std::vector<Traced>& trace, std::string_view op) {
  return static_cast<size_t>(std::count_if(trace.begin(), trace.end(), [&](const Traced& t) { return t.op == op; }));
}
size_t count_moe(const std::vector<Traced>& trace) { return count(trace, "moe_ffn") + count(trace, "moe_ffn_shared"); }

class Split : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    expected_ = Expected::read(GetParam());
    auto weights = Weights::open(fixture_folder(GetParam()));
    ASSERT_TRUE(weights.has_value()) << weights.error().to_string();
    weights_.emplace(std::move(*weights));
    const ModelConfig& config = weights_->config();
    for (uint32_t i = 0; i < config.layers; ++i) moe_layers_ += config.is_moe_layer(i) ? 1 : 0;
    for (uint32_t host_layers = 0; host_layers < config.layers; ++host_layers) {
      placements_.push_back({nullptr, host_layers, 0});
      if (!config.moe) continue;
      placements_.push_back({nullptr, host_layers, 1});
      placements_.push_back({nullptr, host_layers, config.layers});
    }
  }

  Expected expected_;
  std::optional<Weights> weights_;
  uint32_t moe_layers_ = 0;
  std::vector<Placement> placements_;
};

TEST_P(Split, TwoProcessorsGiveTheBitsOfOne) {
  const auto one = cpu();
  const auto whole = runner(*weights_, *one);
  ASSERT_NE(whole, nullptr);
  const std::vector<float> wanted = all_logits(*whole, expected_.tokens);
  for (Placement placement : placements_) {
    SCOPED_TRACE(testing::Message() << placement.host_layers << " layers, experts of " << placement.host_experts);
    const auto device_ops = cpu(), host_ops = cpu(2);
    TraceOps device(*device_ops), host(*host_ops);
    placement.host = &host;
    const auto model = split_runner(*weights_, device, placement);
    ASSERT_NE(model, nullptr);
    EXPECT_TRUE(same_bits(all_logits(*model, expected_.tokens), wanted));
    // Both have done their part and no other.
    const uint32_t layers = weights_->config().layers;
    const size_t attended = count(host.trace, "attention") + count(host.trace, "mla_attention");
    EXPECT_EQ(attended, placement.host_layers);
    EXPECT_EQ(count(device.trace, "attention") + count(device.trace, "mla_attention"), layers - placement.host_layers);
    EXPECT_EQ(count(host.trace, "embed"), placement.host_layers > 0 ? 1 : 0);
    uint32_t device_moe = 0;
    for (uint32_t i = placement.host_layers; i < layers; ++i) device_moe += weights_->config().is_moe_layer(i) ? 1 : 0;
    const uint32_t on_host = std::min(device_moe, placement.host_experts);
    EXPECT_EQ(count_moe(device.trace), device_moe - on_host);
    EXPECT_EQ(count_moe(host.trace), moe_layers_ - device_moe + on_host);
    EXPECT_TRUE(same_bits(all_logits(*model, expected_.tokens, 5), wanted));
  }
}

// The CUDA backend's stream, branch and recorded steps, with its kernels on the host.
TEST_P(Split, RecordedStepsAndLateBranches) {
  const auto backend = [] { return std::move(*make_emulated_cuda_ops({.deterministic = true})); };
  const std::span<const TokenId> tokens =
      std::span(expected_.tokens).first(std::min<size_t>(5, expected_.tokens.size()));
  const auto one = backend();
  const auto whole = runner(*weights_, *one);
  ASSERT_NE(whole, nullptr);
  const std::vector<float> wanted = all_logits(*whole, tokens);
  for (const bool late : {false, true}) {
    cuda_emulated::emulated::start_from_last(late);
    for (Placement placement : {Placement{nullptr, 0, 1}, Placement{nullptr, 1, 0}, Placement{nullptr, 1, 1}}) {
      SCOPED_TRACE(testing::Message() << placement.host_layers << " layers, experts of " << placement.host_experts);
      const auto device = backend(), host = backend();
      placement.host = host.get();
      const auto model = split_runner(*weights_, *device, placement);
      ASSERT_NE(model, nullptr);
      EXPECT_TRUE(same_bits(all_logits(*model, tokens), wanted));
      for (int time = 0; time < 2; ++time) EXPECT_TRUE(same_bits(all_logits(*model, tokens, 1), wanted)) << time;
    }
  }
  cuda_emulated::emulated::start_from_last(false);
}

// What `--device cuda --gpu-layers --cpu-experts` is: CUDA's kernels and the CPU backend.
TEST_P(Split, BothBackendsTogetherAsTheReference) {
  const auto host = cpu();
  const auto device = std::move(*make_emulated_cuda_ops({}));
  const std::span<const TokenId> tokens =
      std::span(expected_.tokens).first(std::min<size_t>(5, expected_.tokens.size()));
  const size_t vocabulary = weights_->config().vocabulary;
  const auto model = split_runner(*weights_, *device, {host.get(), 1, weights_->config().moe ? 1u : 0u});
  ASSERT_NE(model, nullptr);
  const std::span<const float> wanted = std::span(expected_.logits).first(tokens.size() * vocabulary);
  EXPECT_LE(worst_difference(all_logits(*model, tokens), wanted, vocabulary), 1e-4);
  EXPECT_LE(worst_difference(all_logits(*model, tokens, 1), wanted, vocabulary), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Models, Split, testing::ValuesIn(fixture_names()),
                         [](const auto& test) { return test.param; });

TEST(Placement, Refusals) {
  const auto weights = Weights::open(fixture_folder(fixture_names().front()));
  ASSERT_TRUE(weights.has_value());
  const auto device = cpu(), host = cpu();
  const uint32_t layers = weights->config().layers;
  const auto code = [&](const Placement& placement) {
    return load_model(*weights, *device, {}, placement).error().code;
  };
  EXPECT_EQ(code({host.get(), layers, 0}), ErrorCode::usage);
  EXPECT_EQ(code({nullptr, 1, 0}), ErrorCode::usage);
  EXPECT_EQ(code({nullptr, 0, 1}), ErrorCode::usage);
}

// A host that refuses its part ends the step with its error, not with numbers.
TEST(Placement, WhatTheHostRefusesIsTheStepsError) {
  class Refusing final : public TraceOps {
   public:
    explicit Refusing(Ops& cpu) : TraceOps(cpu), cpu_(cpu) {}
    void moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
                 const Tensor& weights, const Tensor& y, bool accumulate) override {
      cpu_.moe_ffn(gate, up, down, x, ids, weights, y.slice(0, 0, y.ne[0] - 1), accumulate);
    }

   private:
    Ops& cpu_;
  };
  std::string moe;
  for (const std::string& name : fixture_names()) {
    const auto weights = Weights::open(fixture_folder(name));
    if (weights && weights->config().moe) moe = name;
  }
  const auto weights = Weights::open(fixture_folder(moe));
  ASSERT_TRUE(weights.has_value());
  const auto device = cpu(), inner = cpu();
  Refusing host(*inner);
  const auto model = split_runner(*weights, *device, {&host, 0, 1});
  ASSERT_NE(model, nullptr);
  const TokenId token = 1;
  KvBlocks blocks;
  const Piece piece = {&blocks, {&token, 1}, Piece::Logits::last};
  const auto logits = model->run({&piece, 1});
  ASSERT_FALSE(logits.has_value());
  EXPECT_NE(logits.error().message.find("moe_ffn"), std::string::npos) << logits.error().message;
  model->kv().release(blocks);
}

}  // namespace
}  // namespace vitrine
