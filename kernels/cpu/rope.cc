// Rotary positions (arXiv 2104.09864).
#include <algorithm>
#include <cmath>

#include "kernels/cpu/backend.h"

namespace vitrine::cpu {

void CpuOps::rope_table(const Tensor& pos, const Tensor& frequency, float magnitude, const Tensor& table) {
  if (!fits("rope_table", door::rope_table(pos, frequency, table))) return;
  const auto* f = static_cast<const float*>(frequency.data);
  for (int64_t t = 0; t < table.ne[1]; ++t) {
    float* out = static_cast<float*>(table.data) + t * table.stride[1];
    const auto p = static_cast<float>(static_cast<const int32_t*>(pos.data)[t]);
    for (int64_t i = 0; i < table.ne[0] / 2; ++i) {
      const double angle = static_cast<double>(p * f[i]);
      out[2 * i] = static_cast<float>(std::cos(angle)) * magnitude;
      out[2 * i + 1] = static_cast<float>(std::sin(angle)) * magnitude;
    }
  }
}

void CpuOps::rope(const Tensor& x, const Tensor& table, RopeStyle style) {
  const int64_t n = table.ne[0];
  if (!fits("rope", door::rope(x, table))) return;
  const auto rotate = [&](int64_t t) {
    const float* cs = static_cast<const float*>(table.data) + t * table.stride[1];
    for (int64_t h = 0; h < x.ne[1]; ++h) {
      float* v = static_cast<float*>(x.data) + h * x.stride[1] + t * x.stride[2];
      for (int64_t i = 0; i < n / 2; ++i) {
        float& a = style == RopeStyle::interleaved ? v[2 * i] : v[i];
        float& b = style == RopeStyle::interleaved ? v[2 * i + 1] : v[i + n / 2];
        const float c = cs[2 * i], s = cs[2 * i + 1], a0 = a, b0 = b;
        a = a0 * c - b0 * s;
        b = b0 * c + a0 * s;
      }
    }
  };
  if (x.elements() < (1 << 15)) {
    for (int64_t t = 0; t < x.ne[2]; ++t) rotate(t);
  } else {
    constexpr int64_t kEach = 8;
    pool_.run((x.ne[2] + kEach - 1) / kEach, [&](int64_t task, int64_t, int) {
      for (int64_t t = task * kEach; t < std::min(x.ne[2], (task + 1) * kEach); ++t) rotate(t);
    });
  }
}

}  // namespace vitrine::cpu
