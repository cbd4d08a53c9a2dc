#include "kernels/door.h"

#include <algorithm>
#include <vector>

#include "kernels/sampling.h"

namespace vitrine::door {
namespace {

int64_t n_in(const Weight& w) { return static_cast<int64_t>(w.ne()[0]); }
int64_t n_out(const Weight& w) { return static_cast<int64_t>(w.ne()[1]); }
int64_t plane_count(const Weight& w) { return static_cast<int64_t>(w.ne()[2]); }

constexpr Need kUploaded = "a weight this backend has uploaded";

Need ffn_shapes(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
                const StepShape& planned) {
  if (!gate || !up || !down) return kUploaded;
  if (n_in(gate) != x.ne[0] || n_in(up) != x.ne[0] || n_out(up) != n_out(gate) || n_in(down) != n_out(gate) ||
      n_out(down) != y.ne[0] || plane_count(up) != plane_count(gate) || plane_count(down) != plane_count(gate)) {
    return "gate, up [n, n_ff, E], down [n_ff, n, E]";
  }
  if (!is_f32(x) || !is_f32(y) || x.ne[2] != 1 || y.ne[2] != 1 || x.ne[1] != y.ne[1]) return "x, y [n, T]";
  if (x.ne[1] > planned.tokens || x.ne[0] > planned.widest_input || n_out(gate) > planned.ffn_width ||
      n_out(gate) > planned.widest_input) {
    return "sizes within plan()";
  }
  return {};
}

}  // namespace

bool is_f32(const Tensor& t) {
  return t.type == Type::f32 && t.stride[0] == 1 && t.ne[0] >= 0 && t.ne[1] >= 0 && t.ne[2] >= 0 &&
         (t.data != nullptr || t.empty());
}

bool is_i32(const Tensor& t, int64_t n0, int64_t n1) {
  return t.type == Type::i32 && t.stride[0] == 1 && t.ne[0] == n0 && t.ne[1] == n1 && t.ne[2] == 1 &&
         (t.data != nullptr || t.empty());
}

bool is_vector(const Weight& weight, int64_t n) {
  const bool plain = weight.type() == Type::f32 || weight.type() == Type::f16 || weight.type() == Type::bf16;
  return weight && plain && n_in(weight) == n && n_out(weight) == 1 && plane_count(weight) == 1;
}

Need copy(const Tensor& t) { return t.type == Type::f32 || t.type == Type::i32 ? Need() : Need("four-byte elements"); }

// ---- rows

Need embed(const Weight& table, const Tensor& ids, const Tensor& y) {
  if (!table) return kUploaded;
  const bool fits = is_f32(y) && y.ne[2] == 1 && y.ne[0] == n_in(table) && is_i32(ids, y.ne[1]);
  return fits ? Need() : Need("table [n, vocab], ids i32 [T], y [n, T]");
}

Need gather_rows(const Tensor& x, const Tensor& index, const Tensor& y) {
  const bool fits =
      is_f32(x) && is_f32(y) && x.ne[2] == 1 && y.ne[2] == 1 && x.ne[0] == y.ne[0] && is_i32(index, y.ne[1]);
  return fits ? Need() : Need("x [n, T], index i32 [m], y [n, m]");
}

Need add(const Tensor& x, const Tensor& y) {
  return is_f32(x) && is_f32(y) && x.ne == y.ne ? Need() : Need("x and y of one shape");
}

Need add_bias(const Weight& bias, const Tensor& y) {
  if (!bias) return kUploaded;
  return is_f32(y) && is_vector(bias, y.ne[0]) ? Need() : Need("bias f32, f16 or bf16 [n], y [n, …]");
}

Need rms_norm(const Tensor& x, const Weight& weight, const Tensor& y) {
  if (!weight) return kUploaded;
  const bool fits = is_f32(x) && is_f32(y) && x.ne == y.ne && is_vector(weight, x.ne[0]);
  return fits ? Need() : Need("weight f32, f16 or bf16 [n], x and y [n, …]");
}

Need add_rms_norm(const Tensor& x, const Tensor& delta, const Weight& weight, const Tensor& y) {
  if (!weight) return kUploaded;
  const bool fits =
      is_f32(x) && is_f32(delta) && is_f32(y) && x.ne == y.ne && x.ne == delta.ne && is_vector(weight, x.ne[0]);
  return fits ? Need() : Need("weight f32, f16 or bf16 [n], x, delta and y [n, …]");
}

Need silu_mul(const Tensor& gate, const Tensor& up, const Tensor& y) {
  const bool fits = is_f32(gate) && is_f32(up) && is_f32(y) && gate.ne == up.ne && gate.ne == y.ne;
  return fits ? Need() : Need("gate, up and y of one shape");
}

Need argmax(const Tensor& x, const Tensor& ids) {
  const bool fits = is_f32(x) && x.ne[0] > 0 && x.ne[2] == 1 && is_i32(ids, x.ne[1]);
  return fits ? Need() : Need("x [n, T], ids i32 [T]");
}

Need sample(const Tensor& logits, const Tensor& rows, const Tensor& edits, const Tensor& ids) {
  const int64_t m = logits.ne[1];
  const bool fits = is_f32(logits) && logits.ne[0] > 0 && logits.ne[0] <= kMostSampled && logits.ne[2] == 1 &&
                    is_i32(rows, 16, m) && rows.is_contiguous() && is_i32(edits, 4, edits.ne[1]) &&
                    edits.is_contiguous() && is_i32(ids, m);
  return fits ? Need() : Need("logits [n, m] of at most 2^18, rows i32 [16, m], edits i32 [4, any], ids i32 [m]");
}

// ---- rotary positions

Need rope_table(const Tensor& pos, const Tensor& frequency, const Tensor& table) {
  const bool fits = is_f32(table) && table.ne[2] == 1 && table.ne[0] % 2 == 0 && is_i32(pos, table.ne[1]) &&
                    is_f32(frequency) && frequency.ne[0] == table.ne[0] / 2 && frequency.ne[1] == 1;
  return fits ? Need() : Need("pos i32 [T], frequency [n/2], table [n, T]");
}

Need rope(const Tensor& x, const Tensor& table) {
  const bool fits = is_f32(x) && is_f32(table) && x.ne[0] == table.ne[0] && table.ne[0] % 2 == 0 &&
                    table.ne[1] == x.ne[2] && table.ne[2] == 1;
  return fits ? Need() : Need("x [n, heads, T], table [n, T]");
}

// ---- matrices

Need matmul(std::span<const Ops::Product> products, const Tensor& x, const StepShape& planned) {
  if (!is_f32(x) || x.ne[2] != 1 || x.ne[1] > planned.tokens || x.ne[0] > planned.widest_input) {
    return "x [n_in, T] within plan()";
  }
  for (const Ops::Product& p : products) {
    const Weight& w = *p.weight;
    if (!w) return kUploaded;
    if (plane_count(w) != 1 || n_in(w) != x.ne[0] || !is_f32(p.y) || p.y.ne[0] != n_out(w) || p.y.ne[1] != x.ne[1] ||
        p.y.ne[2] != 1) {
      return "weight [n_in, n_out], x [n_in, T], y [n_out, T]";
    }
  }
  return {};
}

Need matmul_heads(const Weight& weight, const Tensor& x, const Tensor& y, const StepShape& planned) {
  if (!weight) return kUploaded;
  if (!is_f32(x) || !is_f32(y) || x.ne[0] != n_in(weight) || y.ne[0] != n_out(weight) || x.ne[1] != y.ne[1] ||
      x.ne[1] != plane_count(weight) || x.ne[2] != y.ne[2]) {
    return "weight [n_in, n_out, H], x [n_in, H, T], y [n_out, H, T]";
  }
  return x.ne[2] <= planned.tokens && x.ne[0] <= planned.widest_input ? Need() : Need("x within plan()");
}

Need matmul_heads_transposed(const Weight& weight, const Tensor& x, const Tensor& y, const StepShape& planned) {
  if (!weight) return kUploaded;
  if (!is_f32(x) || !is_f32(y) || y.ne[0] != n_in(weight) || x.ne[0] != n_out(weight) || x.ne[1] != y.ne[1] ||
      x.ne[1] != plane_count(weight) || x.ne[2] != y.ne[2]) {
    return "weight [n_out, n_in, H], x [n_in, H, T], y [n_out, H, T]";
  }
  return y.ne[0] <= planned.widest_input ? Need() : Need("y within plan()");
}

Need ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
         const StepShape& planned) {
  if (const Need need = ffn_shapes(gate, up, down, x, y, planned); !need.empty()) return need;
  return plane_count(gate) == 1 ? Need() : Need("weights of one plane");
}

Need moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
             const Tensor& weights, const Tensor& y, const StepShape& planned) {
  if (const Need need = ffn_shapes(gate, up, down, x, y, planned); !need.empty()) return need;
  const int64_t used = ids.ne[0];
  if (!is_i32(ids, used, x.ne[1]) || !is_f32(weights) || weights.ne[0] != used || weights.ne[1] != x.ne[1]) {
    return "ids i32 [k, T], weights [k, T]";
  }
  const bool planned_for = used <= planned.experts_used && plane_count(gate) <= planned.experts;
  return planned_for ? Need() : Need("experts within plan()");
}

Need moe_route(const RouteParams& p, const Tensor& logits, const Tensor& bias, const Tensor& ids,
               const Tensor& weights) {
  const int64_t experts = logits.ne[0], tokens = logits.ne[1], used = p.experts_used;
  if (!is_f32(logits) || logits.ne[2] != 1 || !is_f32(weights) || weights.ne[0] != used || weights.ne[1] != tokens ||
      !is_i32(ids, used, tokens) || (bias.ne[0] != 0 && (!is_f32(bias) || bias.elements() != experts))) {
    return "logits [E, T], bias [E] or empty, ids i32 [k, T], weights [k, T]";
  }
  const bool fits = experts > 0 && used >= 1 && used <= experts && p.groups >= 1 && experts % p.groups == 0 &&
                    p.groups_used >= 1 && p.groups_used <= p.groups && p.groups_used * (experts / p.groups) >= used &&
                    (p.group_top == 1 || (p.group_top == 2 && experts / p.groups >= 2));
  return fits ? Need() : Need("k experts out of the groups used");
}

// ---- attention

Need batch(const Batch& b, int64_t tokens) {
  const bool fits =
      is_i32(b.seq, tokens) && is_i32(b.pos, tokens) && is_i32(b.block_table, b.block_table.ne[0], b.block_table.ne[1]);
  return fits ? Need() : Need("a batch of i32 seq [T], pos [T], block_table [blocks, sequences]");
}

Need kv_store(const KvShape& s, const Batch& b, const Tensor& k, const Tensor& v) {
  if (s.kind != KvShape::Kind::gqa || !is_f32(k) || !is_f32(v) || k.ne[0] != s.k_dim || v.ne[0] != s.v_dim ||
      k.ne[1] != s.kv_heads || v.ne[1] != s.kv_heads || k.ne[2] != v.ne[2]) {
    return "a gqa cache, k [k_dim, kv_heads, T], v [v_dim, kv_heads, T]";
  }
  return batch(b, k.ne[2]);
}

Need mla_store(const KvShape& s, const Batch& b, const Tensor& latent, const Tensor& k_rope) {
  if (s.kind != KvShape::Kind::mla || !is_f32(latent) || !is_f32(k_rope) || latent.ne[0] != s.v_dim ||
      k_rope.ne[0] != s.k_dim - s.v_dim || latent.ne[1] != k_rope.ne[1] || latent.ne[2] != 1 || k_rope.ne[2] != 1) {
    return "an mla cache, latent [v_dim, T], k_rope [k_dim - v_dim, T]";
  }
  return batch(b, latent.ne[1]);
}

Need rope_store(const KvShape& s, const Batch& b, const HeadParams& p, const Tensor& table, const Tensor& q,
                const Tensor& k, const Tensor& v) {
  if (const Need need = kv_store(s, b, k, v); !need.empty()) return need;
  if (!q.empty() && (!is_f32(q) || q.ne[0] != s.k_dim || q.ne[2] != k.ne[2])) return "q [k_dim, heads, T]";
  if (!is_f32(table) || table.ne[0] % 2 != 0 || table.ne[0] > s.k_dim || table.ne[1] != k.ne[2] || table.ne[2] != 1) {
    return "table [n, T], n even and at most k_dim";
  }
  const auto fits = [](const Weight* w, int64_t n) { return !w || (*w && is_vector(*w, n)); };
  const bool all = (q.empty() || fits(p.q_bias, q.ne[0] * q.ne[1])) && fits(p.k_bias, k.ne[0] * k.ne[1]) &&
                   fits(p.v_bias, v.ne[0] * v.ne[1]) && fits(p.q_norm, s.k_dim) && fits(p.k_norm, k.ne[0]) &&
                   (p.q_norm == nullptr) == (p.k_norm == nullptr);
  // Biases are of rows: heads lie behind each other.
  const auto joined = [](const Weight* bias, const Tensor& t) { return !bias || t.stride[1] == t.ne[0]; };
  return all && (q.empty() || joined(p.q_bias, q)) && joined(p.k_bias, k) && joined(p.v_bias, v)
             ? Need()
             : Need("biases of whole rows [n * heads], norms [k_dim]");
}

Need mla_rope_store(const KvShape& s, const Batch& b, const LatentParams& p, const Tensor& table, const Tensor& q,
                    const Tensor& latent, const Tensor& k_rope) {
  if (const Need need = mla_store(s, b, latent, k_rope); !need.empty()) return need;
  const bool fits = (q.empty() || is_f32(q)) && is_f32(table) && table.ne[0] == k_rope.ne[0] && table.ne[0] % 2 == 0 &&
                    table.ne[1] == latent.ne[1] && table.ne[2] == 1 &&
                    (q.empty() || (table.ne[0] <= q.ne[0] && q.ne[2] == latent.ne[1])) && p.norm && *p.norm &&
                    is_vector(*p.norm, s.v_dim);
  return fits ? Need() : Need("q [k_dim, heads, T], table [n, T], norm [v_dim]");
}

Need attention(const KvShape& s, const Batch& b, const Tensor& q, const Tensor& y) {
  if (s.kind != KvShape::Kind::gqa || !is_f32(q) || !is_f32(y) || q.ne[0] != s.k_dim || y.ne[0] != s.v_dim ||
      q.ne[1] != y.ne[1] || q.ne[1] <= 0 || q.ne[1] % s.kv_heads != 0 || q.ne[2] != y.ne[2]) {
    return "a gqa cache, q [k_dim, heads, T], y [v_dim, heads, T]";
  }
  return batch(b, q.ne[2]);
}

Need mla_attention(const KvShape& s, const Batch& b, const Tensor& q_latent, const Tensor& q_rope, const Tensor& y) {
  if (s.kind != KvShape::Kind::mla || !is_f32(q_latent) || !is_f32(q_rope) || !is_f32(y) || q_latent.ne[0] != s.v_dim ||
      q_rope.ne[0] != s.k_dim - s.v_dim || q_latent.ne[1] != q_rope.ne[1] || q_latent.ne[2] != q_rope.ne[2] ||
      y.ne != q_latent.ne || y.ne[1] <= 0) {
    return "an mla cache, q_latent and y [v_dim, heads, T], q_rope [k_dim - v_dim, heads, T]";
  }
  return batch(b, q_latent.ne[2]);
}

Need kv_copy_page(const KvShape& s, int64_t from, int64_t to) {
  return from >= 0 && from < s.pages && to >= 0 && to < s.pages ? Need() : Need("pages of the cache");
}

// ---- memory

int64_t kv_elements(const KvShape& s) {
  return s.kind == KvShape::Kind::mla ? s.k_dim : s.kv_heads * (s.k_dim + s.v_dim);
}

Result<uint64_t> kv_bytes(const KvShape& s) {
  if (s.type != Type::f32 && s.type != Type::f16 && s.type != Type::bf16) {
    return fail(ErrorCode::unsupported, "a cache holds F32, F16 or BF16");
  }
  const int64_t p = s.page_tokens;
  constexpr int64_t kLimit = 1 << 20;
  if (p < 16 || p > 256 || (p & (p - 1)) != 0) return fail(ErrorCode::usage, "page_tokens: a power of two, 16 to 256");
  if (s.pages < 1 || s.kv_heads < 1 || s.k_dim < 1 || s.v_dim < 1 || s.kv_heads > kLimit || s.k_dim > kLimit ||
      s.v_dim > kLimit || s.pages > (int64_t{1} << 31) ||
      (s.kind == KvShape::Kind::mla && (s.kv_heads != 1 || s.v_dim > s.k_dim))) {
    return fail(ErrorCode::malformed, "no cache has such a shape");
  }
  uint64_t bytes = 0;
  const auto page_bytes = static_cast<uint64_t>(p * kv_elements(s)) * block_bytes(s.type);
  if (__builtin_mul_overflow(page_bytes, static_cast<uint64_t>(s.pages), &bytes)) {
    return fail(ErrorCode::limit, "no memory for such a cache");
  }
  return bytes;
}

Result<StepShape> plan(const StepShape& before, const StepShape& shape) {
  const int64_t limit = int64_t{1} << 31;
  for (const int64_t n : {shape.tokens, shape.widest_input, shape.ffn_width, shape.experts, shape.experts_used}) {
    if (n < 0 || n > limit) return fail(ErrorCode::limit, "a step too large to plan");
  }
  StepShape out;
  out.tokens = std::max(before.tokens, shape.tokens);
  out.widest_input = std::max(before.widest_input, shape.widest_input);
  out.ffn_width = std::max(before.ffn_width, shape.ffn_width);
  out.experts = std::max(before.experts, shape.experts);
  out.experts_used = std::max(before.experts_used, shape.experts_used);
  return out;
}

Status planes(std::span<const TensorView> planes) {
  if (planes.empty()) return fail(ErrorCode::malformed, "a weight without planes");
  const TensorView& first = planes[0];
  for (const TensorView& view : planes) {
    if (view.type != first.type || view.ne != first.ne || view.row_stride != first.row_stride || view.ne[2] != 1) {
      return fail(ErrorCode::malformed, "the planes of a weight differ in type or shape");
    }
    // make() and groups() promise it; views can also be written by hand.
    const uint64_t end_row = view.first_row + view.ne[1];
    if (view.type == Type::i32 || !row_bytes(view.type, view.ne[0]) || end_row < view.ne[1] ||
        view.row_stride < *row_bytes(view.type, view.ne[0]) || end_row > view.bytes.size() / view.row_stride) {
      return fail(ErrorCode::malformed, "a weight is larger than its bytes");
    }
    if (view.type == Type::f8_e4m3) {
      constexpr uint64_t kBlock = TensorView::kScaleBlock;
      const uint64_t factors = (view.ne[0] + kBlock - 1) / kBlock * ((end_row + kBlock - 1) / kBlock);
      if (factors > view.scales.size() / 4) return fail(ErrorCode::malformed, "F8_E4M3 tensor lacks block factors");
    }
  }
  return {};
}

std::vector<TensorView> split_planes(const TensorView& view) {
  std::vector<TensorView> planes;
  for (uint64_t p = 0; p < view.ne[2]; ++p) {
    TensorView plane = view;
    plane.ne[2] = 1;
    plane.first_row = view.first_row + p * view.plane_rows;
    planes.push_back(plane);
  }
  return planes;
}

}  // namespace vitrine::door
