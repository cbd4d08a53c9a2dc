#include "engine/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace vitrine {
namespace {

// How much of `1 / factor` frequency i takes: 0 keeps it, 1 divides it.
class YarnRamp {
 public:
  explicit YarnRamp(const RopeConfig& rope) {
    // The (fractional) pair that turns `rotations` times over the original context.
    const auto pair = [&](double rotations) {
      return rope.dimensions * std::log(rope.original_context / (rotations * 2 * std::numbers::pi)) /
             (2 * std::log(rope.theta));
    };
    low_ = pair(rope.beta_fast);
    high_ = pair(rope.beta_slow);
    if (rope.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, rope.dimensions - 1.0);
    if (low_ == high_) high_ += 0.001;
  }
  double at(uint32_t i) const { return std::clamp((i - low_) / (high_ - low_), 0.0, 1.0); }

 private:
  double low_, high_;
};

double llama3_frequency(const RopeConfig& rope, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < rope.original_context / rope.high_freq_factor) return frequency;
  if (wavelength > rope.original_context / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth =
      (rope.original_context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

double yarn_mscale(double factor, double weight) { return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1; }

std::vector<float> rope_frequencies(const RopeConfig& rope, std::span<const float> divisors) {
  std::optional<YarnRamp> ramp;
  if (rope.scaling == RopeConfig::Scaling::yarn) ramp.emplace(rope);
  std::vector<float> out;
  for (uint32_t i = 0; i < rope.dimensions / 2; ++i) {
    double frequency = std::pow(rope.theta, -2.0 * i / rope.dimensions);
    switch (rope.scaling) {
      case RopeConfig::Scaling::none: break;
      case RopeConfig::Scaling::linear: frequency /= rope.factor; break;
      case RopeConfig::Scaling::yarn: {
        const double share = ramp->at(i);
        frequency = frequency / rope.factor * share + frequency * (1 - share);
        break;
      }
      case RopeConfig::Scaling::llama3: frequency = llama3_frequency(rope, frequency); break;
      case RopeConfig::Scaling::divisors: frequency /= divisors[i]; break;
    }
    out.push_back(static_cast<float>(frequency));
  }
  return out;
}

}  // namespace vitrine
