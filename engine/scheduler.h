// Which sequences get how many tokens of the next step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vitrine {

struct Share {
  size_t sequence = 0;  // index into `pending`
  int64_t tokens = 0;
};

struct StepLimits {
  int64_t tokens = 256;      // in a step
  int64_t sequences = 16;    // in a step
  int64_t prompt_chunk = 0;  // of one prompt in a step; 0: what fits
};

// `pending`: per sequence, in order of arrival, the tokens that are known but not yet
// computed: 1 while it generates, more while its prompt is read. Generating sequences
// come first, so that a long prompt never stops them; prompts share the rest in order of
// arrival. Never changes what a sequence generates, only when (see kernels/ops.h).
// With more than `limits` holds, sequences from `first` on (modulo their number) have
// precedence: callers advance it from step to step, so that none waits for ever.
std::vector<Share> schedule(std::span<const int64_t> pending, const StepLimits& limits, size_t first = 0);

}  // namespace vitrine
