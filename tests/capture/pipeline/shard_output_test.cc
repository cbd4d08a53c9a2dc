// Text between a shard and the merge: what waits in a file comes back whole and
// in order.
#include <gtest/gtest.h>

#include <random>

#include "capture/pipeline/pipeline.h"

namespace vitrine {
namespace {

// A line per position: shard `s` of two says those whose packet number is its own.
std::unique_ptr<ShardOutput> said_by(uint64_t shard, size_t line_bytes, uint64_t positions) {
  auto output = std::make_unique<ShardOutput>();
  for (uint64_t packet = 1; packet <= positions; ++packet) {
    if (packet % 2 != shard) continue;
    for (int line = 0; line < 3; ++line) {
      std::string text = std::to_string(packet) + "." + std::to_string(line) + " ";
      text.resize(line_bytes, static_cast<char>('a' + packet % 26));
      output->bytes += text + "\n";
      output->bound_memory();
    }
    output->mark({packet, 0});
  }
  return output;
}

std::string expected(size_t line_bytes, uint64_t positions) {
  std::string out;
  for (uint64_t packet = 1; packet <= positions; ++packet) {
    for (int line = 0; line < 3; ++line) {
      std::string text = std::to_string(packet) + "." + std::to_string(line) + " ";
      text.resize(line_bytes, static_cast<char>('a' + packet % 26));
      out += text + "\n";
    }
  }
  return out;
}

TEST(ShardOutput, SpilledTextMergesInOrder) {
  // 6 x 20 MB: each shard spills once and keeps the rest; pieces cross the seam.
  constexpr size_t kLine = 7 << 20;
  std::unique_ptr<ShardOutput> outputs[] = {said_by(0, kLine, 6), said_by(1, kLine, 6)};
  for (const auto& output : outputs) {
    EXPECT_EQ(output->size(), 9 * (kLine + 1));
    EXPECT_LT(output->bytes.size(), output->size());
    EXPECT_LT(output->bytes.capacity(), 64u << 20);
  }
  std::string merged;
  append_in_order(outputs, merged);
  EXPECT_TRUE(merged == expected(kLine, 6));

  outputs[0]->clear();
  EXPECT_EQ(outputs[0]->size(), 0u);
}

TEST(ShardOutput, OneShardsTextNeedsNoMarks) {
  std::unique_ptr<ShardOutput> outputs[] = {std::make_unique<ShardOutput>()};
  for (int i = 0; i < 5; ++i) {
    outputs[0]->bytes.append(10 << 20, static_cast<char>('0' + i));
    outputs[0]->bound_memory();
  }
  std::string merged;
  append_in_order(outputs, merged);
  ASSERT_EQ(merged.size(), 50u << 20);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(merged[i * (10 << 20)], '0' + static_cast<char>(i));
    EXPECT_EQ(merged[(i + 1) * (10 << 20) - 1], '0' + static_cast<char>(i));
  }
}

// Outputs of a pool share pieces of one size; parts and lines cross their seams.
TEST(ShardOutput, PiecesGoRound) {
  OutputPool<ShardOutput> pool;
  std::mt19937 random(7);
  for (int round = 0; round < 4; ++round) {
    std::unique_ptr<ShardOutput> outputs[] = {pool.get(), pool.get()};
    std::string expected;
    for (uint64_t packet = 1; packet <= 40; ++packet) {
      ShardOutput& output = *outputs[random() % 2];
      const unsigned lines = random() % 60;
      for (unsigned line = 0; line < lines; ++line) {
        const size_t size = random() % 100 == 0 ? 300'000 : random() % 4000;
        const std::string text = std::to_string(packet) + std::string(size, static_cast<char>('a' + line % 26)) + "\n";
        output.bytes += text;
        output.bound_memory();
        expected += text;
      }
      output.mark({packet, 0});
    }
    std::string merged;
    append_in_order(outputs, merged);
    EXPECT_TRUE(merged == expected) << round;
    for (auto& output : outputs) {
      EXPECT_LT(output->bytes.size(), output->size());  // more than one piece each
      pool.put(std::move(output));
    }
    EXPECT_EQ(pool.get()->size(), 0u);
  }
}

TEST(ShardOutput, AWriterThatFailsEndsTheMerge) {
  std::unique_ptr<ShardOutput> outputs[] = {said_by(0, 20 << 20, 4), said_by(1, 20 << 20, 4)};
  int calls = 0;
  const Status status = write_in_order(outputs, [&](std::string_view) -> Status {
    if (++calls == 2) return fail(ErrorCode::limit, "full");
    return {};
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace vitrine
