// Feed-forward layers: ffn (one) and moe_ffn (each token through its experts).
// Three passes: gate and up panels of every expert with tokens, whose product goes
// to `hidden`; the preparation of hidden as activations; down panels, where a thread
// owns output rows and adds up all experts for them in ascending order.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/cpu/backend.h"

namespace vitrine::cpu {

void CpuOps::run_experts(const CpuWeight& gate, const CpuWeight& up, const CpuWeight& down, const Tensor& x,
                         const Tensor& y, std::span<const ExpertTokens> experts, const int32_t* pair_token,
                         const float* pair_weight, int64_t pairs, bool accumulate) {
  const auto blocks = [](const CpuWeight& w) { return is_block_type(w.type) && !wants_per256(w.type); };
  const Activations input =
      prepare(static_cast<const float*>(x.data), x.ne[0], x.ne[1], x.stride[1], blocks(gate) || blocks(up),
              wants_per256(gate.type) || wants_per256(up.type), per32_, per256_);
  auto* hidden = hidden_.as<float>();
  const int64_t width = gate.n_out;
  const int64_t up_panels = panels(gate);
  pool_.run(static_cast<int64_t>(experts.size()) * up_panels, [&](int64_t task, int64_t next, int thread) {
    Scratch& scratch = scratch_[static_cast<size_t>(thread)];
    const ExpertTokens& expert = experts[static_cast<size_t>(task / up_panels)];
    PanelJob job;
    job.plane = expert.plane;
    job.panel = task % up_panels;
    job.activations = &input;
    float* gates = scratch.acc.as<float>();
    float* ups = gates + kTokenBlock * kPanel;
    for (int64_t p = expert.begin; p < expert.end; p += kTokenBlock) {
      job.index = pair_token + p;
      job.count = std::min(kTokenBlock, expert.end - p);
      job.weight = &gate;
      job.acc = gates;
      job.next = &up;
      job.next_plane = job.plane;
      job.next_panel = job.panel;
      run_panel(job, scratch);
      job.weight = &up;
      job.acc = ups;
      job.next = next >= 0 && p == expert.begin ? &gate : nullptr;
      if (next >= 0) {
        job.next_plane = experts[static_cast<size_t>(next / up_panels)].plane;
        job.next_panel = next % up_panels;
      }
      const PanelRows rows = run_panel(job, scratch);
      for (int64_t i = 0; i < job.count; ++i) {
        const int64_t at = i * kPanel + rows.skip;
        kernels_.silu_mul(gates + at, ups + at, rows.count, hidden + (p + i) * width + rows.row);
      }
    }
  });
  const Activations middle =
      prepare(hidden, width, pairs, width, blocks(down), wants_per256(down.type), hidden32_, hidden256_);
  // Rows of `middle` are pairs in order: an index of its own lets run_panel start anywhere.
  pool_.run(panels(down), [&](int64_t panel, int64_t next, int thread) {
    Scratch& scratch = scratch_[static_cast<size_t>(thread)];
    PanelJob job;
    job.weight = &down;
    job.panel = panel;
    job.activations = &middle;
    job.acc = scratch.acc.as<float>();
    const int64_t row = panel * kPanel, count = std::min(kPanel, down.n_out - row);
    const auto out = [&](int64_t t) { return static_cast<float*>(y.data) + t * y.stride[1] + row; };
    if (!accumulate) {
      for (int64_t t = 0; t < y.ne[1]; ++t) std::memset(out(t), 0, static_cast<size_t>(count) * sizeof(float));
    }
    for (size_t e = 0; e < experts.size(); ++e) {
      const ExpertTokens& expert = experts[e];
      job.plane = expert.plane;
      const bool last = e + 1 == experts.size();
      job.next = !last || next >= 0 ? &down : nullptr;
      job.next_plane = experts[last ? 0 : e + 1].plane;
      job.next_panel = last ? next : panel;
      for (int64_t p = expert.begin; p < expert.end; p += kTokenBlock) {
        job.first = p;
        job.count = std::min(kTokenBlock, expert.end - p);
        const PanelRows rows = run_panel(job, scratch);
        for (int64_t i = 0; i < job.count; ++i) {
          kernels_.add_scaled(job.acc + i * kPanel + rows.skip, pair_weight ? pair_weight[p + i] : 1.0f, rows.count,
                              out(pair_token[p + i]));
        }
        job.next = nullptr;
      }
    }
  });
}

void CpuOps::ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
                 bool accumulate) {
  const CpuWeight *g = get(gate, "ffn"), *u = get(up, "ffn"), *d = get(down, "ffn");
  if (!g || !u || !d || !fits("ffn", door::ffn(gate, up, down, x, y, planned_))) return;
  if (x.ne[1] == 0) return;
  auto* token = pairs_.as<int32_t>();
  std::iota(token, token + x.ne[1], 0);
  const ExpertTokens all{0, 0, x.ne[1]};
  run_experts(*g, *u, *d, x, y, std::span(&all, 1), token, nullptr, x.ne[1], accumulate);
}

void CpuOps::moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
                     const Tensor& weights, const Tensor& y, bool accumulate) {
  const CpuWeight *g = get(gate, "moe_ffn"), *u = get(up, "moe_ffn"), *d = get(down, "moe_ffn");
  if (!g || !u || !d || !fits("moe_ffn", door::moe_ffn(gate, up, down, x, ids, weights, y, planned_))) return;
  const int64_t experts = static_cast<int64_t>(g->planes.size()), tokens = x.ne[1], used = ids.ne[0];
  const auto id = [&ids](int64_t j, int64_t t) { return static_cast<const int32_t*>(ids.data)[t * ids.stride[1] + j]; };
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t j = 0; j < used; ++j) {
      if (!require(id(j, t) >= 0 && id(j, t) < experts, "moe_ffn", "ids of experts that exist")) return;
    }
  }
  // Pairs (token, expert) sorted by expert, then token, then place: a counting sort.
  const int64_t pairs = tokens * used;
  auto* token = pairs_.as<int32_t>();
  auto* weight = reinterpret_cast<float*>(token + pairs);
  auto* start = reinterpret_cast<int32_t*>(weight + pairs);  // [experts + 1]
  std::fill_n(start, experts + 1, 0);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t j = 0; j < used; ++j) ++start[id(j, t) + 1];
  }
  std::partial_sum(start, start + experts + 1, start);
  std::vector<ExpertTokens> groups;
  for (int64_t e = 0; e < experts; ++e) {
    if (start[e] < start[e + 1]) groups.push_back({static_cast<size_t>(e), start[e], start[e + 1]});
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t j = 0; j < used; ++j) {
      const int32_t at = start[id(j, t)]++;
      token[at] = static_cast<int32_t>(t);
      weight[at] = static_cast<const float*>(weights.data)[t * weights.stride[1] + j];
    }
  }
  run_experts(*g, *u, *d, x, y, groups, token, weight, pairs, accumulate);
}

}  // namespace vitrine::cpu
