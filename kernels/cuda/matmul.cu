// Matrices times rows.
#include "kernels/cuda/matmul.h"

#include <algorithm>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/matrix_work.h"

namespace vitrine::cuda {
namespace {

// ---- activations

// A block of 128 threads takes 256 elements of a row: a warp two groups of 32.
__global__ void quantize_kernel(const float* x, int64_t plane_stride, int64_t row_stride, int planes, int n, int chunks,
                                bool per256, int8_t* q, ActivationFactor* factors) {
  VITRINE_SHARED_BYTES(shared);
  auto* extremes = reinterpret_cast<float*>(shared);  // [4], then [4] of "not finite"
  const int64_t r = blockIdx.x;
  const float* row = x + r % planes * plane_stride + r / planes * row_stride;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  float v[2], extreme[2], odd[2];
  for (int i = 0; i < 2; ++i) {
    const int at = static_cast<int>(blockIdx.y) * 256 + (warp * 2 + i) * kGroup + lane;
    v[i] = at < n ? row[at] : 0.0f;
    const float size = fabsf(v[i]);
    odd[i] = warp_max(size <= 3.402823466e38f ? 0.0f : 1.0f);
    extreme[i] = warp_max(size <= 3.402823466e38f ? size : 0.0f);
  }
  if (per256) {
    if (lane == 0) {
      extremes[warp] = fmaxf(extreme[0], extreme[1]);
      extremes[4 + warp] = fmaxf(odd[0], odd[1]);
    }
    __syncthreads();
    extreme[0] = fmaxf(fmaxf(extremes[0], extremes[1]), fmaxf(extremes[2], extremes[3]));
    odd[0] = fmaxf(fmaxf(extremes[4], extremes[5]), fmaxf(extremes[6], extremes[7]));
    extreme[1] = extreme[0], odd[1] = odd[0];
  }
  for (int i = 0; i < 2; ++i) {
    const int group = static_cast<int>(blockIdx.y) * 8 + warp * 2 + i;
    const float inverse = extreme[i] > 0 ? 127.0f / extreme[i] : 0.0f;
    const int code = odd[i] > 0 ? 0 : static_cast<int>(rintf(v[i] * inverse));
    int sum = code;
    for (int k = 8; k > 0; k /= 2) sum += __shfl_xor_sync(kAllLanes, sum, k);
    const int high = __shfl_sync(kAllLanes, sum, 16);
    if (group >= chunks * kGroups) continue;
    q[r * chunks * kChunk + group * kGroup + activation_place(lane)] = static_cast<int8_t>(code);
    if (lane == 0) {
      // A group with an infinity or NaN makes every product NaN.
      const float d = odd[i] > 0 ? bits_to_float(0x7fc00000u) : extreme[i] / 127.0f;
      factors[r * chunks * kGroups + group] = {d, static_cast<int16_t>(sum), static_cast<int16_t>(high)};
    }
  }
}

// x = first + second + third, each a bf16 number cut off, not rounded: so the sum is exact.
// `rounded`: the first alone, rounded.
__global__ void split_kernel(const float* x, int64_t plane_stride, int64_t row_stride, int planes, int n,
                             int64_t row_elements, int64_t term_stride, bool rounded, uint16_t* terms) {
  const int64_t r = blockIdx.x;
  const float* row = x + r % planes * plane_stride + r / planes * row_stride;
  const int64_t at = int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  if (at >= row_elements) return;
  float left = at < n ? row[at] : 0.0f;
  if (rounded) {
    terms[r * row_elements + at] = float_to_bfloat(left);
    return;
  }
  for (int term = 0; term < kTerms; ++term) {
    uint32_t bits = float_to_bits(left) & 0xffff0000u;
    if (left != left) bits = 0x7fc00000u;
    terms[term * term_stride + r * row_elements + at] = static_cast<uint16_t>(bits >> 16);
    const float rest = left - bits_to_float(bits);
    left = rest == rest ? rest : 0.0f;  // infinity and NaN are all in the first term
  }
}

// ---- products

template <Type kType, int kTiles>
__global__ void __launch_bounds__(256) product_kernel(ProductArgs args) {
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
}

// f32 and f16: a warp takes a row, its lanes the columns; eight tokens at a time.
template <Type kType>
__global__ void __launch_bounds__(256) plain_kernel(ProductArgs args) {
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

bool MatrixWork::quantize(const Tensor& x, bool per256, DeviceMemory& q, DeviceMemory& factors, Activations& out) {
  const int64_t chunks = chunks_of(x.ne[0]), rows = x.ne[1] * x.ne[2];
  auto* codes = ops.workspace<int8_t>(q, rows * chunks * kChunk, op);
  auto* numbers = ops.workspace<ActivationFactor>(factors, rows * chunks * kGroups, op);
  if (!codes || !numbers) return false;
  out.q = codes, out.factors = numbers;
  return ops.check(
      launch(quantize_kernel, dim3(static_cast<unsigned>(rows), static_cast<unsigned>((chunks + 1) / 2)), dim3(128),
             8 * sizeof(float), ops.runtime_.stream(), static_cast<const float*>(x.data), x.stride[1], x.stride[2],
             static_cast<int>(x.ne[1]), static_cast<int>(x.ne[0]), static_cast<int>(chunks), per256, codes, numbers),
      op);
}

bool MatrixWork::split(const Tensor& x, DeviceMemory& terms, Activations& out) {
  const int64_t row_elements = chunks_of(x.ne[0]) * kChunk, rows = x.ne[1] * x.ne[2];
  auto* numbers = ops.workspace<uint16_t>(terms, (prompt ? 1 : kTerms) * rows * row_elements, op);
  if (!numbers) return false;
  out.terms = numbers, out.term_stride = rows * row_elements;
  return ops.check(
      launch(split_kernel, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(row_elements / kChunk)),
             dim3(kChunk), 0, ops.runtime_.stream(), static_cast<const float*>(x.data), x.stride[1], x.stride[2],
             static_cast<int>(x.ne[1]), static_cast<int>(x.ne[0]), row_elements, out.term_stride, prompt, numbers),
      op);
}

// x [n, H, T]: row h of token t is prepared row t * H + h.
bool MatrixWork::prepare(const Tensor& x, Type type, bool hidden, Activations& out) {
  MatrixWorkspaces& m = ops.matrix_;
  if (packed_shape(type).bits != 0) {
    return quantize(x, block_elements(type) == 256, hidden ? m.hidden_q : m.q, hidden ? m.hidden_factors : m.factors,
                    out);
  }
  if (type == Type::bf16 || type == Type::f8_e4m3) return split(x, hidden ? m.hidden_terms : m.terms, out);
  out.x = static_cast<const float*>(x.data);
  out.x_stride = x.stride[2];
  out.x_plane = x.stride[1];
  return true;
}

bool MatrixWork::run(Type type, ProductArgs& args, int64_t planes, int64_t row_blocks) {
  if (prompt && is_prompt_type(type)) return run_prompt(type, args, planes, row_blocks);
  for (int i = 0; i < args.products; ++i) {
    args.first_tile[i + 1] = args.first_tile[i] + (args.product[i].w.n_out + kRowTile - 1) / kRowTile;
  }
  const dim3 grid(static_cast<unsigned>(args.first_tile[args.products]), static_cast<unsigned>(row_blocks),
                  static_cast<unsigned>(planes));
  const cudaStream_t stream = ops.runtime_.stream();
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
  int kind = -1;
  for (size_t begin = 0; begin < products.size();) {
    const Type type = products[begin].weight->type();
    ProductArgs args;
    size_t end = begin;
    for (; end < products.size() && args.products < kProducts && products[end].weight->type() == type; ++end) {
      const auto* w = get(*products[end].weight, "matmul");
      args.product[args.products++] = {w->packed, static_cast<float*>(products[end].y.data), products[end].y.stride[1],
                                       0};
    }
    const int wanted = packed_shape(type).bits == 0 ? (type == Type::bf16 || type == Type::f8_e4m3 ? 1 : 0)
                                                    : static_cast<int>(block_elements(type));
    if (wanted != kind && !work.prepare(rows, type, false, prepared)) return;
    kind = wanted;
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
  work.run(w->type, args, x.ne[1], work.row_blocks(w->type, x.ne[2]));
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
