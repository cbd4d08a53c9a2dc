// Whole models on the CUDA backend against the CPU's, tensor by tensor, and against
// the references: with the kernels on the host everywhere, on a GPU where there is one.
#include "base/file.h"
#include "kernels/cuda/emulated/emulated_ops.h"
#include "tests/engine/gguf_from_weights.h"
#include "tests/engine/model_fixture.h"
#include "tests/engine/trace_ops.h"

namespace vitrine {
namespace {

enum class Device : uint8_t { emulated, cuda };

Result<std::unique_ptr<Ops>> make(Device device, bool deterministic = false, bool overlap = false) {
  CudaOptions options;
  options.overlap_launches = overlap;
  options.deterministic = deterministic;
  return device == Device::emulated ? make_emulated_cuda_ops(options) : make_cuda_ops(options);
}

struct Case {
  Device device;
  std::string fixture;
};

class CudaModel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto made = make(GetParam().device);
    if (!made && GetParam().device == Device::cuda) GTEST_SKIP() << made.error().to_string();
    ASSERT_TRUE(made.has_value()) << made.error().to_string();
    ops_ = std::move(*made);
    expected_ = Expected::read(GetParam().fixture);
    // Enough for every path; the emulation is slow.
    if (GetParam().device == Device::emulated) expected_.tokens.resize(std::min<size_t>(expected_.tokens.size(), 12));
    auto source = Weights::open(fixture_folder(GetParam().fixture));
    ASSERT_TRUE(source.has_value()) << source.error().to_string();
    source_.emplace(std::move(*source));
  }
  void check(const Weights& weights, double tolerance) {
    const auto cpu_backend = cpu();
    TraceOps on_cpu(*cpu_backend), on_device(*ops_);
    const auto cpu_model = runner(weights, on_cpu), model = runner(weights, on_device);
    ASSERT_TRUE(cpu_model && model);
    const std::vector<float> wanted = all_logits(*cpu_model, expected_.tokens);
    const std::vector<float> found = all_logits(*model, expected_.tokens);
    EXPECT_EQ(first_difference(on_device.trace, on_cpu.trace, tolerance), "");
    EXPECT_LE(worst_difference(found, wanted, weights.config().vocabulary), tolerance);
  }

  std::unique_ptr<Ops> ops_;
  Expected expected_;
  std::optional<Weights> source_;
};

TEST_P(CudaModel, FloatsAsOnTheCpu) { check(*source_, 2e-5); }

TEST_P(CudaModel, FloatsAsTheReference) {
  const auto model = runner(*source_, *ops_);
  ASSERT_NE(model, nullptr);
  const size_t vocabulary = source_->config().vocabulary;
  const std::vector<float> found = all_logits(*model, expected_.tokens);
  EXPECT_LE(
      worst_difference(found, std::span(expected_.logits).first(expected_.tokens.size() * vocabulary), vocabulary),
      1e-4);
}

// Token by token, which is padded and recorded, the bits are those of the whole prompt.
TEST_P(CudaModel, StepsThatComeBackGiveTheSameBits) {
  auto made = make(GetParam().device, /*deterministic=*/true);
  ASSERT_TRUE(made.has_value());
  const auto model = runner(*source_, **made);
  ASSERT_NE(model, nullptr);
  const std::span<const TokenId> tokens =
      std::span(expected_.tokens).first(std::min<size_t>(expected_.tokens.size(), 6));
  const std::vector<float> whole = all_logits(*model, tokens);
  for (int time = 0; time < 3; ++time) EXPECT_TRUE(same_bits(all_logits(*model, tokens, 1), whole)) << time;
  // Three sequences at once: padded to four.
  KvBlocks blocks[3];
  std::vector<std::vector<float>> logits(3);
  for (size_t at = 0; at < tokens.size(); ++at) {
    std::vector<Piece> pieces;
    for (KvBlocks& b : blocks) pieces.push_back({&b, tokens.subspan(at, 1), Piece::Logits::last});
    const auto rows = model->run(pieces);
    ASSERT_TRUE(rows.has_value()) << rows.error().to_string();
    const size_t n = source_->config().vocabulary;
    for (size_t s = 0; s < 3; ++s)
      logits[s].insert(logits[s].end(), rows->begin() + s * n, rows->begin() + (s + 1) * n);
  }
  for (const auto& one : logits) EXPECT_TRUE(same_bits(one, whole));
  for (KvBlocks& b : blocks) model->kv().release(b);
}

// Launches that begin before the last has ended change nothing.
TEST_P(CudaModel, OverlappingLaunchesGiveTheSameBits) {
  if (GetParam().device == Device::emulated) GTEST_SKIP() << "launches overlap on a GPU only";
  const auto plain = make(GetParam().device, true), overlapping = make(GetParam().device, true, true);
  ASSERT_TRUE(plain && overlapping);
  const auto model = runner(*source_, **plain), other = runner(*source_, **overlapping);
  ASSERT_TRUE(model && other);
  const std::span<const TokenId> tokens =
      std::span(expected_.tokens).first(std::min<size_t>(expected_.tokens.size(), 4));
  const std::vector<float> wanted = all_logits(*model, tokens);
  EXPECT_TRUE(same_bits(all_logits(*other, tokens), wanted));
  for (int time = 0; time < 20; ++time) {
    EXPECT_TRUE(same_bits(all_logits(*other, tokens, 1), wanted)) << time;
  }
}

TEST_P(CudaModel, QuantizedAsOnTheCpu) {
  const ModelConfig& config = source_->config();
  if (config.mla && config.rope.magnitude != 1) GTEST_SKIP() << "GGUF has no key for mscale beside mscale_all_dim";
  for (const Type type : {Type::q8_0, Type::bf16, Type::q4_0, Type::f16}) {
    if (GetParam().device == Device::emulated && type != Type::q8_0 && type != Type::bf16) continue;
    SCOPED_TRACE(type_name(type));
    const std::string bytes = gguf_from_weights(*source_, MlaLayout::split, type);
    auto file = GgufModel::from_bytes(as_bytes(bytes), "test.gguf");
    ASSERT_TRUE(file.has_value()) << file.error().to_string();
    auto read = config_from_gguf(*file);
    ASSERT_TRUE(read.has_value()) << read.error().to_string();
    // An activation may fall to the next of 255 steps where float32 sums differ in their last bit.
    check(Weights::from(std::move(*file), *read), block_elements(type) > 1 ? 2e-2 : 2e-5);
  }
}

// A step of so many tokens is a prompt, in which attention rounds to the cache's type, and of weights F16 nothing else.
TEST_P(CudaModel, PromptsAsOnTheCpu) {
  const ModelConfig& config = source_->config();
  if (config.mla && config.rope.magnitude != 1) GTEST_SKIP() << "GGUF has no key for mscale beside mscale_all_dim";
  const std::string bytes = gguf_from_weights(*source_, MlaLayout::split, Type::f16);
  auto file = GgufModel::from_bytes(as_bytes(bytes), "test.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().to_string();
  auto read = config_from_gguf(*file);
  ASSERT_TRUE(read.has_value()) << read.error().to_string();
  const Weights weights = Weights::from(std::move(*file), *read);
  std::vector<TokenId> tokens;
  while (tokens.size() < 70) tokens.push_back(expected_.tokens[tokens.size() * 5 % expected_.tokens.size()]);
  const auto cpu_backend = cpu();
  const auto cpu_model = runner(weights, *cpu_backend, Type::f16), model = runner(weights, *ops_, Type::f16);
  ASSERT_TRUE(cpu_model && model);
  const size_t n = config.vocabulary;
  const std::vector<float> wanted = all_logits(*cpu_model, tokens);
  for (const size_t chunk : {size_t{0}, size_t{66}}) {
    const std::vector<float> found = all_logits(*model, tokens, chunk);
    ASSERT_EQ(found.size(), wanted.size());
    size_t off = 0;  // a token of experts that are nearly tied may get others
    for (size_t at = 0; at < found.size(); at += n) {
      off += worst_difference(std::span(found).subspan(at, n), std::span(wanted).subspan(at, n), n) > 5e-3;
    }
    EXPECT_LE(off, config.moe ? 2u : 0u) << chunk;
  }
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const Device device : {Device::emulated, Device::cuda}) {
    for (const std::string& name : fixture_names()) out.push_back({device, name});
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(Models, CudaModel, testing::ValuesIn(cases()), [](const auto& test) {
  return test.param.fixture + (test.param.device == Device::emulated ? "_emulated" : "_cuda");
});

}  // namespace
}  // namespace vitrine
