#include "engine/scheduler.h"

#include <algorithm>

namespace vitrine {

std::vector<Share> schedule(std::span<const int64_t> pending, const StepLimits& limits, size_t first) {
  std::vector<Share> shares;
  int64_t left = limits.tokens;
  const auto full = [&] { return left <= 0 || static_cast<int64_t>(shares.size()) >= limits.sequences; };
  for (size_t i = 0; i < pending.size() && !full(); ++i) {
    const size_t sequence = (first + i) % pending.size();
    if (pending[sequence] != 1) continue;
    shares.push_back({sequence, 1});
    --left;
  }
  for (size_t sequence = 0; sequence < pending.size() && !full(); ++sequence) {
    if (pending[sequence] <= 1) continue;
    int64_t tokens = std::min(pending[sequence], left);
    if (limits.prompt_chunk > 0) tokens = std::min(tokens, limits.prompt_chunk);
    shares.push_back({sequence, tokens});
    left -= tokens;
  }
  return shares;
}

}  // namespace vitrine
