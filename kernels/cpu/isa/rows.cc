// Operators on single rows.
#include "kernels/cpu/isa/kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {
namespace {

// Calls f(i, count) for each vector of [0, n).
template <class Function>
void vectors(int64_t n, Function f) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) f(i, 16);
  if (i < n) f(i, static_cast<int>(n - i));
}

}  // namespace

void rms_norm(const float* x, const float* weight, int64_t n, float eps, float* y) {
  F squares = set(0.0f);
  vectors(n, [&](int64_t i, int count) {
    const F v = load_first(x + i, count);
    squares = fma(v, v, squares);
  });
  const float mean = sum(squares) / static_cast<float>(n);
  const F factor = set(1.0f / __builtin_sqrtf(mean + eps));
  vectors(n, [&](int64_t i, int count) {
    store_first(y + i, load_first(x + i, count) * factor * load_first(weight + i, count), count);
  });
}

void add(const float* x, int64_t n, float* y) {
  vectors(
      n, [&](int64_t i, int count) { store_first(y + i, load_first(y + i, count) + load_first(x + i, count), count); });
}

void add_scaled(const float* x, float factor, int64_t n, float* y) {
  const F f = set(factor);
  vectors(n, [&](int64_t i, int count) {
    store_first(y + i, fma(load_first(x + i, count), f, load_first(y + i, count)), count);
  });
}

void silu_mul(const float* gate, const float* up, int64_t n, float* y) {
  vectors(n, [&](int64_t i, int count) {
    store_first(y + i, silu(load_first(gate + i, count)) * load_first(up + i, count), count);
  });
}

void softmax(const float* x, int64_t n, float* y) {
  const F lowest = set(-__builtin_inff());
  F largest_lanes = lowest;
  vectors(n, [&](int64_t i, int count) {
    largest_lanes = max(largest_lanes, keep_lanes(load_first(x + i, count), 0, count, lowest));
  });
  const F top = set(largest(largest_lanes));
  F total = set(0.0f);
  vectors(n, [&](int64_t i, int count) {
    const F e = keep_lanes(exp(load_first(x + i, count) - top), 0, count, set(0.0f));
    store_first(y + i, e, count);
    total = total + e;
  });
  const F divisor = set(sum(total));
  vectors(n, [&](int64_t i, int count) { store_first(y + i, load_first(y + i, count) / divisor, count); });
}

void sigmoid(const float* x, int64_t n, float* y) {
  vectors(n, [&](int64_t i, int count) { store_first(y + i, sigmoid(load_first(x + i, count)), count); });
}

}  // namespace vitrine::VITRINE_ISA
