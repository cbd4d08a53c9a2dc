// Matrices times rows.
#include "kernels/cuda/matmul.h"

#include <algorithm>
#include <optional>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/matrix_work.h"

namespace vitrine::cuda {
namespace {

// ---- activations

// A warp takes a unit.
__global__ void prepare_kernel(const float* x, int64_t plane_stride, int64_t row_stride, int planes, PreparedRows to) {
  begin_kernel();
  const int64_t r = blockIdx.x;
  const float* row = x + r % planes * plane_stride + r / planes * row_stride;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int unit = static_cast<int>(blockIdx.y) * warps + static_cast<int>(threadIdx.x) / kWarp;
  if (unit >= to.units()) return;
  prepare_unit(to, r, unit, static_cast<int>(threadIdx.x) % kWarp, [row](int i) { return row[i]; });
}

// ---- products

template <Type kType, int kTiles>
__global__ void __launch_bounds__(256) product_kernel(ProductArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  auto* parts = reinterpret_cast<float*>(shared);
  BlockRows at;
  if (!block_rows(args.rows, kTiles * kTokenTile, at)) return;
  int p = 0;
  while (p + 1 < args.products && static_cast<int>(blockIdx.x) >= args.first_tile[p + 1]) ++p;
  const Product product = args.product[p];
  const int first_row = (static_cast<int>(blockIdx.x) - args.first_tile[p]) * kRowTile;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;

  const Columns<kTiles> columns(args.rows, at, lane);
  float acc[kTiles][4] = {};
  part_of<kType, kTiles>(product.w, at.plane, first_row, args.x, columns, warp, warps, lane, acc);
  leave_part<kTiles>(acc, parts, warp, lane);
  __syncthreads();
  for (int v = threadIdx.x; v < kTiles * 4 * kWarp; v += blockDim.x) {
    const Place place = place_of(v);
    const int row = first_row + place.row, token = at.begin + place.token;
    if (row >= product.w.n_out || token >= at.end) continue;
    float* y = product.y + token * product.y_row + at.plane * product.y_plane + row;
    const float sum = collect<kTiles>(parts, warps, v);
    *y = args.accumulate ? *y + sum : sum;
  }
  if (args.finish.arrived && p == 0) {
    finish_columns(args.finish, at.plane * product.w.n_out + first_row, static_cast<int>(blockIdx.y), at.begin, at.end,
                   reinterpret_cast<int*>(shared));
  }
}

// f32 and f16: a warp takes a row, its lanes the columns; eight tokens at a time.
template <Type kType>
__global__ void __launch_bounds__(256) plain_kernel(ProductArgs args) {
  begin_kernel();
  BlockRows at;
  if (!block_rows(args.rows, kPlainTokens, at)) return;
  int p = 0;
  while (p + 1 < args.products && static_cast<int>(blockIdx.x) >= args.first_tile[p + 1]) ++p;
  const Product product = args.product[p];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int first_row = (static_cast<int>(blockIdx.x) - args.first_tile[p]) * kRowTile;
  for (int row = first_row + warp; row < first_row + kRowTile && row < product.w.n_out; row += warps) {
    for (int begin = at.begin; begin < at.end; begin += kTokenTile) {
      const float* x[kTokenTile];
      float acc[kTokenTile] = {};
#pragma unroll
      for (int i = 0; i < kTokenTile; ++i) {
        const int token = begin + i < at.end ? begin + i : at.end - 1;
        x[i] = args.x.x + source_row(args.rows, token) * args.x.x_stride + at.plane * args.x.x_plane;
      }
      for (int column = lane; column < product.w.n_in; column += kWarp) {
        const float w = element<kType>(product.w, at.plane, row, column);
#pragma unroll
        for (int i = 0; i < kTokenTile; ++i) acc[i] = fmaf(w, x[i][column], acc[i]);
      }
#pragma unroll
      for (int i = 0; i < kTokenTile; ++i) {
        const float sum = warp_sum(acc[i]);
        if (lane != 0 || begin + i >= at.end) continue;
        float* y = product.y + (begin + i) * product.y_row + at.plane * product.y_plane + row;
        *y = args.accumulate ? *y + sum : sum;
      }
    }
  }
}

// y = Σ_i x_i · row i, one fused multiply-add each, i ascending. A thread takes an output and eight tokens.
template <Type kType>
__global__ void transposed_kernel(Packed w, const float* x, int64_t x_head, int64_t x_token, float* y, int64_t y_head,
                                  int64_t y_token, int tokens) {
  begin_kernel();
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), head = static_cast<int>(blockIdx.z);
  if (column >= w.n_in) return;
  const int begin = static_cast<int>(blockIdx.y) * kTokenTile;
  float acc[kTokenTile] = {};
  for (int i = 0; i < w.n_out; ++i) {
    const float v = element<kType>(w, head, i, column);
#pragma unroll
    for (int k = 0; k < kTokenTile; ++k) {
      const int token = begin + k < tokens ? begin + k : tokens - 1;
      acc[k] = fmaf(v, x[head * x_head + token * x_token + i], acc[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < kTokenTile; ++k) {
    if (begin + k < tokens) y[head * y_head + (begin + k) * y_token + column] = acc[k];
  }
}

}  // namespace

// Memory for one form of rows of n elements.
bool MatrixWork::reserve(FormMemory& memory, Form form, int64_t n, int64_t rows, PreparedRows& to) {
  const int64_t chunks = chunks_of(n);
  to.n = static_cast<int32_t>(n), to.chunks = static_cast<int32_t>(chunks);
  if (form == Form::terms) {
    to.terms = ops.workspace<uint16_t>(memory.terms, kTerms * rows * chunks * kChunk, op);
    to.term_stride = rows * chunks * kChunk;
    return to.terms != nullptr;
  }
  const auto i = static_cast<size_t>(form);
  to.q[i] = ops.workspace<int8_t>(memory.q[i], rows * chunks * kChunk, op);
  to.factors[i] = ops.workspace<ActivationFactor>(memory.factors[i], rows * chunks * kGroups, op);
  return to.q[i] && to.factors[i];
}

Activations MatrixWork::activations(const PreparedRows& rows, Form form) {
  Activations out;
  if (form == Form::terms) {
    out.terms = rows.terms, out.term_stride = rows.term_stride;
  } else {
    out.q = rows.q[static_cast<size_t>(form)], out.factors = rows.factors[static_cast<size_t>(form)];
  }
  return out;
}

// x [n, H, T]: row h of token t is prepared row t * H + h.
bool MatrixWork::prepare(const Tensor& x, Type type, bool hidden, Activations& out) {
  const Form form = form_of(type);
  const auto* data = static_cast<const float*>(x.data);
  if (form == Form::plain) {
    out.x = data, out.x_stride = x.stride[2], out.x_plane = x.stride[1];
    return true;
  }
  const bool rounded = rounds(type);
  if (!hidden && ops.ready_.take(x, form, !rounded, out)) return true;
  const int64_t rows = x.ne[1] * x.ne[2];
  const auto planes = static_cast<int>(x.ne[1]);
  FormMemory& memory = hidden ? ops.matrix_.hidden_input : ops.matrix_.input;
  if (rounded) {
    RowsToRound to{
        data, x.stride[1], x.stride[2], planes, static_cast<int>(x.ne[0]), static_cast<int>(chunks_of(x.ne[0])), {}};
    if (!reserve(memory, type, to.chunks, rows, to.to)) return false;
    if (!hidden && to.to.terms) ops.ready_.overwrite(Form::terms);
    out = activations(to.to);
    return ops.check(launch_round(to, rows, ops.runtime_.stream()), op);
  }
  PreparedRows to;
  if (!reserve(memory, form, x.ne[0], rows, to)) return false;
  if (!hidden) ops.ready_.overwrite(form);
  out = activations(to, form);
  constexpr int kWarps = 4;
  return ops.check(launch(prepare_kernel,
                          dim3(static_cast<unsigned>(rows), static_cast<unsigned>((to.units() + kWarps - 1) / kWarps)),
                          dim3(kWarps * kWarp), 0, ops.runtime_.stream(), data, x.stride[1], x.stride[2], planes, to),
                   op);
}

// The blocks of a product whose output y [columns, rows] is announced prepare it as they go.
bool MatrixWork::finish(const PreparedRows& to, const float* y, int64_t y_row, int64_t row_blocks, Finish& out) {
  out.arrived = ops.workspace<int32_t>(ops.matrix_.arrived, row_blocks * to.units(), op);
  out.to = to;
  out.y = y, out.y_row = y_row;
  return out.arrived != nullptr;
}

bool MatrixWork::run(Type type, ProductArgs& args, int64_t planes, int64_t row_blocks) {
  if (rounds(type)) return run_prompt(type, args, planes, row_blocks);
  for (int i = 0; i < args.products; ++i) {
    args.first_tile[i + 1] = args.first_tile[i] + (args.product[i].w.n_out + kRowTile - 1) / kRowTile;
  }
  const dim3 grid(static_cast<unsigned>(args.first_tile[args.products]), static_cast<unsigned>(row_blocks),
                  static_cast<unsigned>(planes));
  const Stream stream = ops.runtime_.stream();
  cudaError_t error = cudaSuccess;
  if (type == Type::f32) {
    error = launch(plain_kernel<Type::f32>, grid, dim3(256), 0, stream, args);
  } else if (type == Type::f16) {
    error = launch(plain_kernel<Type::f16>, grid, dim3(256), 0, stream, args);
  } else {
    const int warps = warps_for(args.product[0].w.chunks);
    for_type<kAnyType>(type, [&](auto constant) {
      constexpr Type kType = decltype(constant)::value;
      if constexpr (kType != Type::f32 && kType != Type::f16) {
        error = token_tiles == 1
                    ? launch(product_kernel<kType, 1>, grid, dim3(static_cast<unsigned>(warps * kWarp)),
                             parts_bytes(1, warps), stream, args)
                    : launch(product_kernel<kType, kManyTiles>, grid, dim3(static_cast<unsigned>(warps * kWarp)),
                             parts_bytes(kManyTiles, warps), stream, args);
      }
    });
  }
  return ops.check(error, op);
}

bool CudaOps::producing(const void* data, int64_t n, int64_t rows, FormMemory& memory, std::string_view op,
                        PreparedRows& out) {
  const std::array<bool, kForms> wanted = ready_.wanted(data, n, rows);
  MatrixWork work(*this, op, 1, false);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] && !work.reserve(memory, static_cast<Form>(i), n, rows, out)) return false;
  }
  if (out.wanted()) ready_.written(data, out);
  return true;
}

void CudaOps::prepare_for(const Tensor& y, std::span<const Weight* const> readers) { ready_.announce(y, readers); }

void CudaOps::matmul(const Weight& weight, const Tensor& x, const Tensor& y) {
  const Ops::Product product{&weight, y};
  matmul(std::span(&product, 1), x);
}

void CudaOps::matmul(std::span<const Ops::Product> products, const Tensor& x) {
  for (const Ops::Product& p : products) {
    if (!get(*p.weight, "matmul")) return;
  }
  if (!fits("matmul", door::matmul(products, x, planned_)) || x.ne[1] == 0 || products.empty()) return;
  MatrixWork work(*this, "matmul", x.ne[1], !options_.deterministic);
  const Tensor rows{x.type, x.data, {x.ne[0], 1, x.ne[1]}, {1, 0, x.stride[1]}};
  // Neighbours of one type go in one launch, and what is prepared serves all that want the same.
  Activations prepared;
  std::optional<Reads> reads;
  for (size_t begin = 0; begin < products.size();) {
    const Type type = products[begin].weight->type();
    ProductArgs args;
    size_t end = begin;
    for (; end < products.size() && args.products < kProducts && products[end].weight->type() == type; ++end) {
      const auto* w = get(*products[end].weight, "matmul");
      args.product[args.products++] = {w->packed, static_cast<float*>(products[end].y.data), products[end].y.stride[1],
                                       0};
    }
    // Announced rows count their readers one by one.
    const bool same = reads == work.reads(type);
    for (size_t i = same ? begin : begin + 1; i < end; ++i) ready_.skip(rows, form_of(type));
    if (!same && !work.prepare(rows, type, false, prepared)) return;
    reads = work.reads(type);
    args.x = prepared;
    args.rows.count = static_cast<int32_t>(x.ne[1]);
    args.rows.faults = runtime_.faults();
    if (!work.run(type, args, 1, work.row_blocks(type, x.ne[1]))) return;
    begin = end;
  }
}

void CudaOps::matmul_heads(const Weight& weight, const Tensor& x, const Tensor& y) {
  const CudaWeight* w = get(weight, "matmul_heads");
  if (!w || !fits("matmul_heads", door::matmul_heads(weight, x, y, planned_)) || x.ne[2] == 0) return;
  MatrixWork work(*this, "matmul_heads", x.ne[2], !options_.deterministic);
  ProductArgs args;
  if (!work.prepare(x, w->type, false, args.x)) return;
  args.product[0] = {w->packed, static_cast<float*>(y.data), y.stride[2], y.stride[1]};
  args.products = 1;
  args.rows.count = static_cast<int32_t>(x.ne[2]);
  args.rows.per_source = static_cast<int32_t>(x.ne[1]);
  args.rows.per_plane = 1;
  args.rows.faults = runtime_.faults();
  const int64_t row_blocks = work.row_blocks(w->type, x.ne[2]), width = y.ne[0] * y.ne[1];
  if (form_of(w->type) != Form::plain && !work.prompt && y.ne[0] % kRowTile == 0 && y.stride[1] == y.ne[0]) {
    // A token's heads lie behind each other: one row for whoever reads them next.
    PreparedRows announced;
    if (!producing(y.data, width, y.ne[2], matrix_.finished, "matmul_heads", announced)) return;
    if (announced.wanted() &&
        !work.finish(announced, static_cast<const float*>(y.data), y.stride[2], row_blocks, args.finish)) {
      return;
    }
  }
  work.run(w->type, args, x.ne[1], row_blocks);
}

void CudaOps::matmul_heads_transposed(const Weight& weight, const Tensor& x, const Tensor& y) {
  const CudaWeight* w = get(weight, "matmul_heads_transposed");
  if (!w || !fits("matmul_heads_transposed", door::matmul_heads_transposed(weight, x, y, planned_)) || x.empty())
    return;
  const dim3 grid(static_cast<unsigned>((y.ne[0] + 127) / 128),
                  static_cast<unsigned>((x.ne[2] + kTokenTile - 1) / kTokenTile), static_cast<unsigned>(x.ne[1]));
  for_type<kAnyType>(w->type, [&](auto type) {
    check(launch(transposed_kernel<type.value>, grid, dim3(128), 0, runtime_.stream(), w->packed,
                 static_cast<const float*>(x.data), x.stride[1], x.stride[2], static_cast<float*>(y.data), y.stride[1],
                 y.stride[2], static_cast<int>(x.ne[2])),
          "matmul_heads_transposed");
  });
}

}  // namespace vitrine::cuda
