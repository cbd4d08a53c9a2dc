// Matrices times rows. Work is cut into panels of kPanel output rows; a thread
// takes a panel over all tokens, so that each weight byte is read once.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/quant.h"

namespace vitrine::cpu {

Activations CpuOps::prepare(const float* x, int64_t n, int64_t rows, int64_t stride, bool per32, bool per256,
                            Workspace& a, Workspace& b) {
  Activations out{x, stride, rows, nullptr, nullptr};
  if (per32) out.per32 = a.as<ActivationChunk>();
  if (per256) out.per256 = b.as<ActivationChunk>();
  if (!per32 && !per256) return out;
  const auto quantize = [&](int64_t t) {
    if (per32) kernels_.quantize_per32(x + t * stride, n, a.as<ActivationChunk>() + t, rows);
    if (per256) kernels_.quantize_per256(x + t * stride, n, b.as<ActivationChunk>() + t, rows);
  };
  if (n * rows < (1 << 14)) {
    for (int64_t t = 0; t < rows; ++t) quantize(t);
  } else {
    const int64_t each = std::max<int64_t>(1, (1 << 13) / n);
    pool_.run((rows + each - 1) / each, [&](int64_t task, int64_t, int) {
      for (int64_t t = task * each; t < std::min(rows, (task + 1) * each); ++t) quantize(t);
    });
  }
  return out;
}

CpuOps::PanelRows CpuOps::run_panel(const PanelJob& job, Scratch& scratch) {
  const CpuWeight& w = *job.weight;
  const int64_t row = job.panel * kPanel;
  const int64_t count = std::min(kPanel, w.n_out - row);
  PanelRows out{row, count, 0};
  MatrixArgs args;
  args.type = w.type;
  args.row_stride = w.row_stride;
  args.row_count = count;
  args.n_in = w.n_in;
  args.index = job.index;
  args.count = job.count;
  args.acc = job.acc;
  const CpuWeight::Plane& plane = w.planes[job.plane];
  int64_t start = row;
  if (is_block_type(w.type)) {
    if (w.n_out >= kPanel) {  // the last panel is a whole one, of which only the end counts
      start = std::min(row, w.n_out - kPanel);
      out.skip = row - start;
      args.rows = plane.rows + static_cast<size_t>(start) * w.row_stride;
    } else {
      const size_t bytes = *row_bytes(w.type, static_cast<uint64_t>(w.n_in));
      auto* copy = scratch.rows.as<uint8_t>();
      std::memset(copy, 0, bytes * kPanel);
      for (int64_t r = 0; r < count; ++r) {
        std::memcpy(copy + static_cast<size_t>(r) * bytes, plane.rows + static_cast<size_t>(r) * w.row_stride, bytes);
      }
      args.rows = copy;
      args.row_stride = bytes;
    }
    args.quantized = wants_per256(w.type) ? job.activations->per256 : job.activations->per32;
    args.quantized_rows = job.activations->rows;
    if (!job.index) args.quantized += job.first;
  } else {
    args.rows = plane.rows + static_cast<size_t>(start) * w.row_stride;
    args.scales = plane.view.scales.data();
    args.scale_row = static_cast<int64_t>(plane.view.first_row) + start;
    args.x = job.activations->x + (job.index ? 0 : job.first * job.activations->stride);
    args.x_stride = job.activations->stride;
    args.tile = scratch.tile.as<float>();
  }
  if (job.next) {
    args.next =
        job.next->planes[job.next_plane].rows + static_cast<size_t>(job.next_panel * kPanel) * job.next->row_stride;
    args.next_bytes =
        static_cast<size_t>(std::min(kPanel, job.next->n_out - job.next_panel * kPanel)) * job.next->row_stride;
  }
  (is_block_type(w.type) ? kernels_.matrix_blocks : kernels_.matrix_floats)(args);
  return out;
}

void CpuOps::matmul(const Weight& weight, const Tensor& x, const Tensor& y) {
  const Product product{&weight, y};
  matmul(std::span(&product, 1), x);
}

void CpuOps::matmul(std::span<const Product> products, const Tensor& x) {
  if (!fits("matmul", door::matmul(products, x, planned_))) return;
  struct Item {
    const CpuWeight* weight;
    const Tensor* y;
    int64_t first;  // its first panel among all
  };
  std::vector<Item> items;
  int64_t total = 0;
  bool per32 = false, per256 = false;
  for (const Product& p : products) {
    const CpuWeight* w = get(*p.weight, "matmul");
    if (!w) return;
    items.push_back({w, &p.y, total});
    total += panels(*w);
    per32 = per32 || (is_block_type(w->type) && !wants_per256(w->type));
    per256 = per256 || wants_per256(w->type);
  }
  if (x.ne[1] == 0) return;
  const Activations activations =
      prepare(static_cast<const float*>(x.data), x.ne[0], x.ne[1], x.stride[1], per32, per256, per32_, per256_);
  const auto item_of = [&items](int64_t task) {
    size_t i = items.size() - 1;
    while (items[i].first > task) --i;
    return i;
  };
  pool_.run(total, [&](int64_t task, int64_t next, int thread) {
    Scratch& scratch = scratch_[static_cast<size_t>(thread)];
    const Item& item = items[item_of(task)];
    PanelJob job;
    job.weight = item.weight;
    job.panel = task - item.first;
    job.activations = &activations;
    job.acc = scratch.acc.as<float>();
    if (next >= 0) {
      const Item& after = items[item_of(next)];
      job.next = after.weight;
      job.next_panel = next - after.first;
    }
    for (int64_t t = 0; t < x.ne[1]; t += kTokenBlock) {
      job.first = t;
      job.count = std::min(kTokenBlock, x.ne[1] - t);
      const PanelRows rows = run_panel(job, scratch);
      for (int64_t i = 0; i < job.count; ++i) {
        std::memcpy(static_cast<float*>(item.y->data) + (t + i) * item.y->stride[1] + rows.row,
                    job.acc + i * kPanel + rows.skip, static_cast<size_t>(rows.count) * sizeof(float));
      }
      job.next = nullptr;
    }
  });
}

void CpuOps::matmul_heads(const Weight& weight, const Tensor& x, const Tensor& y) {
  const CpuWeight* w = get(weight, "matmul_heads");
  if (!w || !fits("matmul_heads", door::matmul_heads(weight, x, y, planned_))) return;
  const int64_t tokens = x.ne[2];
  if (tokens == 0) return;
  const bool quantized = is_block_type(w->type);
  // A head's rows lie far apart, often a multiple of 4096 bytes, where caches keep few of them: so many
  // as the second-level cache holds are brought together, as 8-bit integers or as they are.
  const int64_t row_bytes = w->n_in * static_cast<int64_t>(sizeof(float));
  const auto room = static_cast<int64_t>(scratch_[0].chunks.bytes());
  const int64_t together = std::clamp<int64_t>(std::min<int64_t>(room, kHeadBytes) / row_bytes, 1, kTokenBlock);
  pool_.run(x.ne[1], [&](int64_t head, int64_t next_head, int thread) {
    Scratch& scratch = scratch_[static_cast<size_t>(thread)];
    PanelJob job;
    job.weight = w;
    job.plane = static_cast<size_t>(head);
    job.acc = scratch.acc.as<float>();
    for (int64_t t0 = 0; t0 < tokens; t0 += together) {
      job.count = std::min(together, tokens - t0);
      const auto in = [&](int64_t i) {
        return static_cast<const float*>(x.data) + head * x.stride[1] + (t0 + i) * x.stride[2];
      };
      Activations activations{in(0), x.stride[2], job.count, nullptr, nullptr};
      if (quantized) {
        auto* chunks = scratch.chunks.as<ActivationChunk>();
        const auto quantize = wants_per256(w->type) ? kernels_.quantize_per256 : kernels_.quantize_per32;
        for (int64_t i = 0; i < job.count; ++i) quantize(in(i), w->n_in, chunks + i, job.count);
        activations.per32 = activations.per256 = chunks;
      } else if (job.count > 1) {
        auto* rows = scratch.chunks.as<float>();
        for (int64_t i = 0; i < job.count; ++i) {
          std::memcpy(rows + i * w->n_in, in(i), static_cast<size_t>(row_bytes));
        }
        activations.x = rows;
        activations.stride = w->n_in;
      }
      job.activations = &activations;
      for (job.panel = 0; job.panel < panels(*w); ++job.panel) {
        const bool last = job.panel + 1 == panels(*w);
        job.next = t0 == 0 && (!last || next_head >= 0) ? w : nullptr;
        job.next_plane = static_cast<size_t>(last ? next_head : head);
        job.next_panel = last ? 0 : job.panel + 1;
        const PanelRows rows = run_panel(job, scratch);
        for (int64_t i = 0; i < job.count; ++i) {
          std::memcpy(static_cast<float*>(y.data) + head * y.stride[1] + (t0 + i) * y.stride[2] + rows.row,
                      job.acc + i * kPanel + rows.skip, static_cast<size_t>(rows.count) * sizeof(float));
        }
      }
    }
  });
}

void CpuOps::matmul_heads_transposed(const Weight& weight, const Tensor& x, const Tensor& y) {
  const CpuWeight* w = get(weight, "matmul_heads_transposed");
  if (!w || !fits("matmul_heads_transposed", door::matmul_heads_transposed(weight, x, y, planned_))) return;
  // y = Σ_i x_i · row i, one fused multiply-add each, i ascending.
  pool_.run(x.ne[1], [&](int64_t head, int64_t, int thread) {
    auto* row = scratch_[static_cast<size_t>(thread)].tile.as<float>();
    const auto out = [&](int64_t t) { return static_cast<float*>(y.data) + head * y.stride[1] + t * y.stride[2]; };
    for (int64_t t = 0; t < x.ne[2]; ++t) std::fill_n(out(t), y.ne[0], 0.0f);
    for (int64_t i = 0; i < w->n_out; ++i) {
      dequantize_row(w->planes[static_cast<size_t>(head)].view, 0, static_cast<uint64_t>(i), row);
      for (int64_t t = 0; t < x.ne[2]; ++t) {
        const float v = static_cast<const float*>(x.data)[head * x.stride[1] + t * x.stride[2] + i];
        kernels_.add_scaled(row, v, y.ne[0], out(t));
      }
    }
  });
}

}  // namespace vitrine::cpu
