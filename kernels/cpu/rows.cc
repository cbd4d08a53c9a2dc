// Operators on single rows: embed, gather_rows, add, add_bias, rms_norm,
// add_rms_norm, silu_mul, argmax.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/quant.h"

namespace vitrine::cpu {
namespace {

// Elements below which waking other threads costs more than it gains.
constexpr int64_t kWorthThreads = 1 << 15;

float* row(const Tensor& t, int64_t i) {
  return static_cast<float*>(t.data) + i % t.ne[1] * t.stride[1] + i / t.ne[1] * t.stride[2];
}
int64_t rows(const Tensor& t) { return t.ne[1] * t.ne[2]; }

// f(i) for each row, on several threads when there is much to do.
template <class Function>
void each_row(ThreadPool& pool, const Tensor& t, Function f) {
  const int64_t n = t.empty() ? 0 : rows(t);
  if (t.elements() < kWorthThreads) {
    for (int64_t i = 0; i < n; ++i) f(i);
    return;
  }
  const int64_t each = std::max<int64_t>(1, kWorthThreads / 4 / t.ne[0]);
  pool.run((n + each - 1) / each, [&](int64_t task, int64_t, int) {
    for (int64_t i = task * each; i < std::min(n, (task + 1) * each); ++i) f(i);
  });
}

}  // namespace

void CpuOps::embed(const Weight& table, const Tensor& ids, const Tensor& y) {
  const CpuWeight* w = get(table, "embed");
  if (!w || !fits("embed", door::embed(table, ids, y))) return;
  const auto* id = static_cast<const int32_t*>(ids.data);
  each_row(pool_, y, [&](int64_t t) {
    if (!require(id[t] >= 0 && id[t] < w->n_out, "embed", "token ids inside the vocabulary")) return;
    dequantize_row(w->planes[0].view, 0, static_cast<uint64_t>(id[t]), row(y, t));
  });
}

void CpuOps::gather_rows(const Tensor& x, const Tensor& index, const Tensor& y) {
  if (!fits("gather_rows", door::gather_rows(x, index, y))) return;
  const auto* from = static_cast<const int32_t*>(index.data);
  for (int64_t i = 0; i < y.ne[1]; ++i) {
    if (!require(from[i] >= 0 && from[i] < x.ne[1], "gather_rows", "indices inside x")) continue;
    std::memcpy(row(y, i), row(x, from[i]), static_cast<size_t>(y.ne[0]) * sizeof(float));
  }
}

void CpuOps::add(const Tensor& x, const Tensor& y) {
  if (!fits("add", door::add(x, y))) return;
  each_row(pool_, y, [&](int64_t i) { kernels_.add(row(x, i), y.ne[0], row(y, i)); });
}

void CpuOps::add_bias(const Weight& bias, const Tensor& y) {
  const CpuWeight* w = get(bias, "add_bias");
  if (!w || !fits("add_bias", door::add_bias(bias, y))) return;
  each_row(pool_, y, [&](int64_t i) { kernels_.add(w->vector.data(), y.ne[0], row(y, i)); });
}

void CpuOps::rms_norm(const Tensor& x, const Weight& weight, float eps, const Tensor& y) {
  const CpuWeight* w = get(weight, "rms_norm");
  if (!w || !fits("rms_norm", door::rms_norm(x, weight, y))) return;
  each_row(pool_, y, [&](int64_t i) { kernels_.rms_norm(row(x, i), w->vector.data(), y.ne[0], eps, row(y, i)); });
}

void CpuOps::add_rms_norm(const Tensor& x, const Tensor& delta, const Weight& weight, float eps, const Tensor& y) {
  const CpuWeight* w = get(weight, "add_rms_norm");
  if (!w || !fits("add_rms_norm", door::add_rms_norm(x, delta, weight, y))) return;
  each_row(pool_, y, [&](int64_t i) {
    kernels_.add(row(delta, i), x.ne[0], row(x, i));
    kernels_.rms_norm(row(x, i), w->vector.data(), y.ne[0], eps, row(y, i));
  });
}

void CpuOps::silu_mul(const Tensor& gate, const Tensor& up, const Tensor& y) {
  if (!fits("silu_mul", door::silu_mul(gate, up, y))) return;
  each_row(pool_, y, [&](int64_t i) { kernels_.silu_mul(row(gate, i), row(up, i), y.ne[0], row(y, i)); });
}

void CpuOps::argmax(const Tensor& x, const Tensor& ids) {
  if (!fits("argmax", door::argmax(x, ids))) return;
  each_row(pool_, x, [&](int64_t t) {
    const float* v = row(x, t);
    int64_t best = 0;
    for (int64_t i = 1; i < x.ne[0]; ++i) {
      if (v[i] > v[best]) best = i;
    }
    static_cast<int32_t*>(ids.data)[t] = static_cast<int32_t>(best);
  });
}

}  // namespace vitrine::cpu
