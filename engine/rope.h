// Rotary positions: what a model file says, and the frequencies that follow.
// Sources: RoFormer (arXiv 2104.09864), YaRN (2309.00071, 3.2-3.4), Llama 3.1's
// rope factors (the model's own code).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"

namespace vitrine {

struct RopeConfig {
  enum class Scaling : uint8_t {
    none,
    linear,    // all frequencies / factor
    yarn,      // low frequencies / factor, high ones kept, a ramp between
    llama3,    // the same idea with other bounds
    divisors,  // a tensor of the file (rope_freqs.weight) divides each frequency
  };
  RopeStyle style = RopeStyle::interleaved;
  uint32_t dimensions = 0;  // of a head, from the front; MLA: the rope part
  double theta = 10000;
  Scaling scaling = Scaling::none;
  double factor = 1;
  uint32_t original_context = 0;  // yarn, llama3
  double beta_fast = 32;          // yarn: rotations over the original context above which a frequency is kept …
  double beta_slow = 1;           // … and below which it is divided
  bool truncate = true;           // yarn: the ramp's ends are whole dimensions
  double low_freq_factor = 1;     // llama3
  double high_freq_factor = 4;
  double magnitude = 1;  // of cos and sin
};

// [dimensions / 2] radians per position. REQUIRES: dimensions even and > 0;
// `divisors` has dimensions / 2 entries, or none unless scaling is `divisors`.
std::vector<float> rope_frequencies(const RopeConfig& rope, std::span<const float> divisors = {});

// YaRN's mscale: 0.1 weight ln(factor) + 1, and 1 for factors up to 1.
double yarn_mscale(double factor, double weight);

}  // namespace vitrine
