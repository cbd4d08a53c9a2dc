// Storing keys and values in the paged cache: alone, and together with all that lies
// between a layer's projections and its attention (rope_store, mla_rope_store), where
// a block takes a head of a token. Both ways do the same arithmetic.
#include <algorithm>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/cache.h"
#include "kernels/cuda/prepare.h"
#include "kernels/cuda/rope.h"

namespace vitrine::cuda {
namespace {

// ---- storing

// Head h of token t of each of two tensors goes to a row; mla: both parts into one row.
struct StoreArgs {
  PageLayout layout;
  BatchMap batch;
  uint8_t* cache;
  const float *a, *b;
  int64_t a_head, a_token, b_head, b_token;
  int a_dim, b_dim;
  int* faults;
};

template <Type kType>
__global__ void store_kernel(StoreArgs args) {
  begin_kernel();
  const int64_t t = blockIdx.x, head = blockIdx.y;
  int32_t page = 0;
  if (!good(args.batch.look(t, args.layout, page), args.faults)) return;
  const int64_t offset = args.batch.pos[t] % args.layout.page_tokens;
  const float* a = args.a + head * args.a_head + t * args.a_token;
  const float* b = args.b + head * args.b_head + t * args.b_token;
  uint8_t* key = args.cache + args.layout.key(page, head, offset);
  const bool mla = args.layout.value_row == 0;
  const int key_numbers = static_cast<int>(args.layout.key_row / Cached<kType>::kBytes);
  for (int i = threadIdx.x; i < key_numbers; i += blockDim.x) {
    const int rest = i - args.a_dim;  // mla: the second part of the row
    Cached<kType>::store(key, i, rest < 0 ? a[i] : mla && rest < args.b_dim ? b[rest] : 0.0f);
  }
  if (mla) return;
  uint8_t* value = args.cache + args.layout.value(page, head, offset);
  const int value_numbers = static_cast<int>(args.layout.value_row / Cached<kType>::kBytes);
  for (int i = threadIdx.x; i < value_numbers; i += blockDim.x) {
    Cached<kType>::store(value, i, i < args.b_dim ? b[i] : 0.0f);
  }
}

// ---- from projections to attention

// A vector of f32, f16 or bf16; null: none.
struct Vector {
  const uint8_t* data = nullptr;
  Type type = Type::f32;

  __device__ float operator[](int i) const {
    if (type == Type::f32) return bits_to_float(load4(data + 4 * i));
    return type == Type::f16 ? half_to_float(load2(data + 2 * i)) : bfloat_to_float(load2(data + 2 * i));
  }
};

// A row of n floats into shared memory: plus a bias, then normed. All threads; ends with a barrier.
__device__ inline void load_row(const float* from, Vector bias, Vector norm, float eps, int n, float* row,
                                float* partial) {
  float squares = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const float v = bias.data ? from[i] + bias[i] : from[i];
    row[i] = v;
    squares = fmaf(v, v, squares);
  }
  if (norm.data) {
    const float mean = block_sum(squares, partial) / static_cast<float>(n);
    const float factor = 1.0f / sqrtf(mean + eps);
    for (int i = threadIdx.x; i < n; i += blockDim.x) row[i] = row[i] * factor * norm[i];
  }
  __syncthreads();
}

struct Rows3 {  // [n, heads, T]
  float* data;
  int64_t head, token;

  explicit Rows3(const Tensor& t) : data(static_cast<float*>(t.data)), head(t.stride[1]), token(t.stride[2]) {}
  __device__ float* row(int64_t h, int64_t t) const { return data + h * head + t * token; }
};

struct HeadArgs {
  PageLayout layout;
  BatchMap batch;
  uint8_t* cache;
  Rows3 q, k, v;
  Vector q_bias, k_bias, v_bias, q_norm, k_norm;
  RowMap table;  // of angles
  float eps;
  int heads, kv_heads, k_dim, v_dim, half;  // half: pairs that are rotated
  bool halves;
  int* faults;
};

// blockIdx.y: query heads, then key heads, then value heads.
template <Type kType>
__global__ void rope_store_kernel(HeadArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  auto* row = reinterpret_cast<float*>(shared);
  float* partial = row + max(args.k_dim, args.v_dim);
  const int64_t t = blockIdx.x;
  const int y = static_cast<int>(blockIdx.y);
  const bool query = y < args.heads, key = !query && y < args.heads + args.kv_heads;
  const int head = query ? y : key ? y - args.heads : y - args.heads - args.kv_heads;
  int32_t page = 0;
  if (!query && !good(args.batch.look(t, args.layout, page), args.faults)) return;
  const int64_t offset = query ? 0 : args.batch.pos[t] % args.layout.page_tokens;
  const auto bias_of = [head](Vector bias, int n) {
    if (bias.data) bias.data += static_cast<int64_t>(head) * n * (bias.type == Type::f32 ? 4 : 2);
    return bias;
  };
  const auto store = [row](uint8_t* to, int n, int64_t bytes) {
    const int numbers = static_cast<int>(bytes / Cached<kType>::kBytes);
    for (int i = threadIdx.x; i < numbers; i += blockDim.x) Cached<kType>::store(to, i, i < n ? row[i] : 0.0f);
  };
  if (!query && !key) {
    load_row(args.v.row(head, t), bias_of(args.v_bias, args.v_dim), {}, 0, args.v_dim, row, partial);
    store(args.cache + args.layout.value(page, head, offset), args.v_dim, args.layout.value_row);
    return;
  }
  float* from = query ? args.q.row(head, t) : args.k.row(head, t);
  load_row(from, bias_of(query ? args.q_bias : args.k_bias, args.k_dim), query ? args.q_norm : args.k_norm, args.eps,
           args.k_dim, row, partial);
  const float* angles = args.table.row(t);
  for (int i = threadIdx.x; i < args.half; i += blockDim.x) rotate(row, i, args.half, args.halves, angles);
  __syncthreads();
  if (query) {
    for (int i = threadIdx.x; i < args.k_dim; i += blockDim.x) from[i] = row[i];
  } else {
    store(args.cache + args.layout.key(page, head, offset), args.k_dim, args.layout.key_row);
  }
}

struct LatentArgs {
  PageLayout layout;
  BatchMap batch;
  uint8_t* cache;
  Rows3 q;
  const float *latent, *k_rope;
  int64_t latent_token, k_rope_token;
  Vector norm;
  RowMap table;
  float eps;
  int heads, k_dim, v_dim, half;
  bool halves;
  PreparedRows q_nope;  // the part of a query in front of the rotated one, a row per head
  int* faults;
};

// blockIdx.y: query heads, then the latent with its key.
template <Type kType>
__global__ void mla_rope_store_kernel(LatentArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  auto* row = reinterpret_cast<float*>(shared);  // [v_dim + 2 * half]
  float* partial = row + args.v_dim + 2 * args.half;
  const int64_t t = blockIdx.x;
  const int head = static_cast<int>(blockIdx.y), rotated = 2 * args.half;
  const float* angles = args.table.row(t);
  if (head < args.heads) {
    float* q = args.q.row(head, t);
    float* part = q + args.k_dim - rotated;
    for (int i = threadIdx.x; i < args.half; i += blockDim.x) rotate(part, i, args.half, args.halves, angles);
    if (args.q_nope.wanted()) prepare_row(args.q_nope, t * args.heads + head, [q](int i) { return q[i]; });
    return;
  }
  int32_t page = 0;
  if (!good(args.batch.look(t, args.layout, page), args.faults)) return;
  const float* k_rope = args.k_rope + t * args.k_rope_token;
  for (int i = threadIdx.x; i < rotated; i += blockDim.x) row[args.v_dim + i] = k_rope[i];
  load_row(args.latent + t * args.latent_token, {}, args.norm, args.eps, args.v_dim, row, partial);
  for (int i = threadIdx.x; i < args.half; i += blockDim.x) {
    rotate(row + args.v_dim, i, args.half, args.halves, angles);
  }
  __syncthreads();
  uint8_t* key = args.cache + args.layout.key(page, 0, args.batch.pos[t] % args.layout.page_tokens);
  const int numbers = static_cast<int>(args.layout.key_row / Cached<kType>::kBytes);
  for (int i = threadIdx.x; i < numbers; i += blockDim.x) {
    Cached<kType>::store(key, i, i < args.v_dim + rotated ? row[i] : 0.0f);
  }
}

}  // namespace

// a, b [n, heads, T]
void CudaOps::store_rows(KvCache& cache, const Batch& batch, const Tensor& a, const Tensor& b, unsigned threads,
                         std::string_view op) {
  if (a.empty()) return;
  const StoreArgs args{page_layout(cache.shape, block_bytes(cache.shape.type)),
                       batch_map(batch),
                       static_cast<uint8_t*>(cache.data.data()),
                       static_cast<const float*>(a.data),
                       static_cast<const float*>(b.data),
                       a.stride[1],
                       a.stride[2],
                       b.stride[1],
                       b.stride[2],
                       static_cast<int>(a.ne[0]),
                       static_cast<int>(b.ne[0]),
                       runtime_.faults()};
  for_cache_type(cache.shape.type, [&](auto type) {
    check(launch(store_kernel<type.value>, dim3(static_cast<unsigned>(a.ne[2]), static_cast<unsigned>(a.ne[1])),
                 dim3(threads), 0, runtime_.stream(), args),
          op);
  });
}

void CudaOps::kv_store(KvCache& cache, const Batch& batch, const Tensor& k, const Tensor& v) {
  if (fits("kv_store", door::kv_store(cache.shape, batch, k, v))) store_rows(cache, batch, k, v, 64, "kv_store");
}

void CudaOps::mla_store(KvCache& cache, const Batch& batch, const Tensor& latent, const Tensor& k_rope) {
  if (!fits("mla_store", door::mla_store(cache.shape, batch, latent, k_rope))) return;
  store_rows(cache, batch, latent.heads(1), k_rope.heads(1), 128, "mla_store");
}

void CudaOps::rope_store(KvCache& cache, const Batch& batch, const HeadParams& params, const Tensor& table,
                         const Tensor& q, const Tensor& k, const Tensor& v) {
  constexpr std::string_view kOp = "rope_store";
  if (!fits(kOp, door::rope_store(cache.shape, batch, params, table, q, k, v)) || k.empty()) return;
  const int64_t heads = q.empty() ? 0 : q.ne[1];
  const Weight* const weights[] = {params.q_bias, params.k_bias, params.v_bias, params.q_norm, params.k_norm};
  Vector vectors[std::size(weights)];
  for (size_t i = 0; i < std::size(weights); ++i) {
    if (!weights[i]) continue;
    const CudaWeight* w = get(*weights[i], kOp);
    if (!w) return;
    vectors[i] = {w->packed.q, w->type};
  }
  const HeadArgs args{page_layout(cache.shape, block_bytes(cache.shape.type)),
                      batch_map(batch),
                      static_cast<uint8_t*>(cache.data.data()),
                      Rows3(q),
                      Rows3(k),
                      Rows3(v),
                      vectors[0],
                      vectors[1],
                      vectors[2],
                      vectors[3],
                      vectors[4],
                      RowMap(table),
                      params.eps,
                      static_cast<int>(heads),
                      static_cast<int>(k.ne[1]),
                      static_cast<int>(k.ne[0]),
                      static_cast<int>(v.ne[0]),
                      static_cast<int>(table.ne[0] / 2),
                      params.style == RopeStyle::halves,
                      runtime_.faults()};
  const dim3 grid(static_cast<unsigned>(k.ne[2]), static_cast<unsigned>(heads + 2 * k.ne[1]));
  const size_t shared = static_cast<size_t>(std::max(k.ne[0], v.ne[0]) + kWarp) * sizeof(float);
  for_cache_type(cache.shape.type, [&](auto type) {
    check(launch(rope_store_kernel<type.value>, grid, threads_for(k.ne[0]), shared, runtime_.stream(), args), kOp);
  });
}

void CudaOps::mla_rope_store(KvCache& cache, const Batch& batch, const LatentParams& params, const Tensor& table,
                             const Tensor& q, const Tensor& latent, const Tensor& k_rope) {
  constexpr std::string_view kOp = "mla_rope_store";
  if (!fits(kOp, door::mla_rope_store(cache.shape, batch, params, table, q, latent, k_rope)) || latent.empty()) {
    return;
  }
  const int64_t heads = q.empty() ? 0 : q.ne[1];
  const CudaWeight* norm = get(*params.norm, kOp);
  if (!norm) return;
  LatentArgs args{page_layout(cache.shape, block_bytes(cache.shape.type)),
                  batch_map(batch),
                  static_cast<uint8_t*>(cache.data.data()),
                  Rows3(q),
                  static_cast<const float*>(latent.data),
                  static_cast<const float*>(k_rope.data),
                  latent.stride[1],
                  k_rope.stride[1],
                  {norm->packed.q, norm->type},
                  RowMap(table),
                  params.eps,
                  static_cast<int>(heads),
                  static_cast<int>(q.ne[0]),
                  static_cast<int>(cache.shape.v_dim),
                  static_cast<int>(table.ne[0] / 2),
                  params.style == RopeStyle::halves,
                  {},
                  runtime_.faults()};
  if (heads > 0 && !producing(q.data, q.ne[0] - table.ne[0], q.ne[1] * q.ne[2], matrix_.input, kOp, args.q_nope)) {
    return;
  }
  const dim3 grid(static_cast<unsigned>(latent.ne[1]), static_cast<unsigned>(heads + 1));
  const size_t shared = static_cast<size_t>(cache.shape.v_dim + table.ne[0] + kWarp) * sizeof(float);
  for_cache_type(cache.shape.type, [&](auto type) {
    check(launch(mla_rope_store_kernel<type.value>, grid, threads_for(cache.shape.v_dim), shared, runtime_.stream(),
                 args),
          kOp);
  });
}

}  // namespace vitrine::cuda
