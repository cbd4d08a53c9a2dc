// A sequence's logits have the same bits whatever shares its batch, however its
// prompt is cut, and whichever instruction set and number of threads compute them.
#include "base/file.h"
#include "tests/engine/gguf_from_weights.h"
#include "tests/engine/model_fixture.h"
#include "tests/engine/trace_ops.h"

namespace vitrine {
namespace {

struct Case {
  const char* fixture;
  Type weights;  // f32: as the fixture has them
  Type cache;
};

std::string name_of(const Case& c) {
  return std::string(c.fixture) + "_" + std::string(type_name(c.weights)) + "_" + std::string(type_name(c.cache));
}

class Invariance : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    expected_ = Expected::read(GetParam().fixture);
    auto source = Weights::open(fixture_folder(GetParam().fixture));
    ASSERT_TRUE(source.has_value());
    if (GetParam().weights == Type::f32) {
      weights_.emplace(std::move(*source));
    } else {
      bytes_ = gguf_from_weights(*source, MlaLayout::combined, GetParam().weights);
      auto file = GgufModel::from_bytes(as_bytes(bytes_), "test.gguf");
      ASSERT_TRUE(file.has_value());
      auto config = config_from_gguf(*file);
      ASSERT_TRUE(config.has_value()) << config.error().to_string();
      weights_.emplace(Weights::from(std::move(*file), *config));
    }
    ops_ = cpu(1, Isa::portable);
    model_ = runner(*weights_, *ops_, GetParam().cache);
    ASSERT_NE(model_, nullptr);
    whole_ = all_logits(*model_, expected_.tokens);
    ASSERT_EQ(whole_.size(), expected_.logits.size());
  }
  size_t vocabulary() const { return weights_->config().vocabulary; }

  Expected expected_;
  std::string bytes_;
  std::optional<Weights> weights_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<ModelRunner> model_;
  std::vector<float> whole_;
};

TEST_P(Invariance, Chunks) {
  for (const size_t chunk : {1, 3, 16})
    EXPECT_TRUE(same_bits(all_logits(*model_, expected_.tokens, chunk), whole_)) << chunk;
}

TEST_P(Invariance, InstructionSetsAndThreads) {
  for (const Isa isa : available_isas()) {
    for (const int threads : {1, 2}) {
      const auto ops = cpu(threads, isa);
      const auto model = runner(*weights_, *ops, GetParam().cache);
      ASSERT_NE(model, nullptr);
      for (const size_t chunk : {size_t{0}, size_t{5}}) {
        EXPECT_TRUE(same_bits(all_logits(*model, expected_.tokens, chunk), whole_))
            << ops->description() << ", chunks of " << chunk;
      }
    }
  }
}

// Three other sequences come and go beside it, at other positions, with other
// tokens, in front of it and behind it.
TEST_P(Invariance, Neighbours) {
  const auto ops = cpu(2);
  const auto model = runner(*weights_, *ops, GetParam().cache);
  ASSERT_NE(model, nullptr);
  const std::span<const TokenId> tokens = expected_.tokens;
  std::vector<TokenId> other(tokens.rbegin(), tokens.rend());
  other.insert(other.end(), tokens.begin(), tokens.end());
  KvBlocks mine, others[3];
  std::vector<float> found;
  size_t at = 0;
  for (size_t step = 0; at < tokens.size(); ++step) {
    const size_t count = std::min<size_t>(1 + step % 4, tokens.size() - at);
    std::vector<Piece> pieces;
    size_t row = 0;
    for (size_t i = 0; i < 3; ++i) {
      if (step % (i + 2) == 0) model->kv().release(others[i]);
      if ((step + i) % 3 == 2) continue;
      const size_t position = static_cast<size_t>(others[i].tokens);
      const Piece piece = {&others[i], std::span(other).subspan(position % tokens.size(), 1 + 5 * i),
                           i == 1 ? Piece::Logits::none : Piece::Logits::last};
      if (i < 2) {
        pieces.push_back(piece);
        row += i != 1;
      } else {
        pieces.push_back({&mine, tokens.subspan(at, count), Piece::Logits::all});
        pieces.push_back(piece);
      }
    }
    if (std::none_of(pieces.begin(), pieces.end(), [&](const Piece& p) { return p.blocks == &mine; })) {
      pieces.push_back({&mine, tokens.subspan(at, count), Piece::Logits::all});
    }
    const auto logits = model->run(pieces);
    ASSERT_TRUE(logits.has_value()) << logits.error().to_string();
    const auto rows = logits->subspan(row * vocabulary(), count * vocabulary());
    found.insert(found.end(), rows.begin(), rows.end());
    at += count;
  }
  EXPECT_TRUE(same_bits(found, whole_));
}

// Logits of some tokens only: the others are left out of the last layer's attention, but for their keys.
TEST_P(Invariance, LogitsOfSomeTokens) {
  TraceOps counted(*ops_);
  const auto model = runner(*weights_, counted, GetParam().cache);
  ASSERT_NE(model, nullptr);
  const std::span<const TokenId> tokens = expected_.tokens;
  KvBlocks mine, other;
  for (size_t at = 0, step = 0; at < tokens.size(); ++step) {
    const size_t count = std::min<size_t>(1 + 4 * step, tokens.size() - at);
    const auto wanted = step % 3 == 2 ? Piece::Logits::none : Piece::Logits::last;
    const Piece pieces[] = {{&other, tokens.first(2), Piece::Logits::none}, {&mine, tokens.subspan(at, count), wanted}};
    counted.trace.clear();
    const auto logits = model->run(pieces);
    ASSERT_TRUE(logits.has_value()) << logits.error().to_string();
    at += count;
    std::vector<int64_t> attending;
    for (const Traced& one : counted.trace) {
      if (one.op == "attention" || one.op == "mla_attention") attending.push_back(one.ne[2]);
    }
    std::vector<int64_t> expected(weights_->config().layers - 1, static_cast<int64_t>(count) + 2);
    if (wanted == Piece::Logits::last) {
      expected.push_back(1);
      EXPECT_TRUE(same_bits(*logits, std::span(whole_).subspan((at - 1) * vocabulary(), vocabulary()))) << at;
    }
    EXPECT_EQ(attending, expected);
  }
}

// A fork continues as if it had computed the shared tokens itself, and leaves its origin alone.
TEST_P(Invariance, SharedPages) {
  const std::span<const TokenId> tokens = expected_.tokens;
  for (const size_t shared : {size_t{16}, size_t{19}, tokens.size() - 1}) {
    if (shared >= tokens.size()) continue;
    KvBlocks first, second;
    const Piece all = {&first, tokens, Piece::Logits::none};
    ASSERT_TRUE(model_->run({&all, 1}).has_value());
    ASSERT_TRUE(model_->kv().fork(first, static_cast<int64_t>(shared), second));
    const Piece rest = {&second, tokens.subspan(shared), Piece::Logits::all};
    const auto logits = model_->run({&rest, 1});
    ASSERT_TRUE(logits.has_value());
    EXPECT_TRUE(same_bits(*logits, std::span(whole_).subspan(shared * vocabulary()))) << shared;
    model_->kv().release(first);
    model_->kv().release(second);
    EXPECT_EQ(model_->kv().pool().free(), model_->kv().pool().size());
  }
}

const Case kCases[] = {
    {"deepseek_v3", Type::f32, Type::f16},
    {"deepseek_v3", Type::q4_0, Type::bf16},
    {"deepseek_v2_lite", Type::f32, Type::f32},
    {"deepseek_v3_fp8", Type::f32, Type::f16},
    {"llama3", Type::q8_0, Type::f16},
    {"mixtral", Type::f32, Type::f16},
    {"qwen2", Type::f32, Type::f32},
    {"qwen3_moe", Type::q4_0, Type::f16},
};

INSTANTIATE_TEST_SUITE_P(Models, Invariance, testing::ValuesIn(kCases),
                         [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace vitrine
