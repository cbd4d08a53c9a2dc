// The paged key-value cache and attention over it (running softmax: arXiv 2112.05682,
// 2205.14135; splits and their combination: Flash-Decoding).
//
// A block takes up to 16 queries (heads of one kv head, and several tokens when there
// are many) and walks over tiles of 32 positions, which it brings to shared memory
// once; a warp computes two queries. For few tokens the stretches of a sequence go to
// blocks of their own, and a second kernel combines them; for many a block walks over
// all stretches and combines as it goes. Both do the same sums in the same order.
#include <algorithm>
#include <numeric>
#include <string>

#include "kernels/cuda/attend.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/matrix_work.h"
#include "kernels/cuda/prepare.h"

namespace vitrine::cuda {
namespace {

constexpr int kPerWarp = kQueries / kWarps;
// Steps up to so many tokens give each stretch a block; partial results are bounded by it.
constexpr int64_t kSplitTokens = 64;

// What a query has summed up over some positions.
template <int kPairs>
struct Sums {
  float largest = -INFINITY, total = 0;
  float out[kPairs][2] = {};

  __device__ void add(const Sums& other) {
    if (total == 0) {  // nothing yet
      *this = other;
      return;
    }
    const float top = fmaxf(largest, other.largest);
    const float mine = expf(largest - top), theirs = expf(other.largest - top);
    total = fmaf(other.total, theirs, total * mine);
    for (int i = 0; i < kPairs; ++i) {
      for (int k = 0; k < 2; ++k) out[i][k] = fmaf(other.out[i][k], theirs, out[i][k] * mine);
    }
    largest = top;
  }
};

struct Query {
  int token = 0, head = 0;
  bool live = false;
  int begin = 0, end = 0;            // positions it sees
  int first_tile = 0, end_tile = 0;  // of the stretch, or of all
  int stretch = 1;                   // tiles per stretch
};

// kPairs * 64 >= v_dim. kWalk: all stretches, combined here.
template <Type kType, int kPairs, bool kWalk>
__global__ void __launch_bounds__(kWarps* kWarp) attend_kernel(AttendArgs args) {
  begin_kernel();
  using Number = Cached<kType>;
  VITRINE_SHARED_BYTES(shared);
  const PageLayout& layout = args.layout;
  // Rows lie 16 bytes further apart than they are long: lanes that read the same column of
  // neighbouring rows meet different banks.
  const int key_pitch = static_cast<int>(layout.key_row) + 16;
  const int value_pitch = layout.value_row == 0 ? key_pitch : static_cast<int>(layout.value_row) + 16;
  const int q_pitch = static_cast<int>(layout.key_row) / Number::kBytes;
  uint8_t* keys = shared;
  uint8_t* values = layout.value_row == 0 ? keys : keys + kPositions * key_pitch;
  auto* queries = reinterpret_cast<float*>(values + kPositions * value_pitch);
  float* weights = queries + kQueries * q_pitch;  // [kQueries][kPositions]

  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int chunks = (args.group + args.block_heads - 1) / args.block_heads;
  const int kv_head = static_cast<int>(blockIdx.y) / chunks;
  const int first_head = kv_head * args.group + static_cast<int>(blockIdx.y) % chunks * args.block_heads;
  const int end_head = min(first_head + args.block_heads, (kv_head + 1) * args.group);
  const int first_token = static_cast<int>(blockIdx.x) * args.block_tokens;
  const int end_token = min(first_token + args.block_tokens, args.tokens);

  for (int n = threadIdx.x; n < kQueries * q_pitch; n += blockDim.x) {
    const int token = first_token + n / q_pitch / args.block_heads, head = first_head + n / q_pitch % args.block_heads;
    const int i = n % q_pitch;
    float v = 0;
    if (token < end_token && head < end_head && n / q_pitch < args.block_tokens * args.block_heads) {
      if (i < args.q_dim) {
        v = args.q[head * args.q_head + token * args.q_token + i];
      } else if (i < args.q_dim + args.rope_dim) {
        v = args.q_rope[head * args.rope_head + token * args.rope_token + i - args.q_dim];
      }
    }
    queries[n] = v;
  }

  Query mine[kPerWarp];
  Sums<kPairs> sums[kPerWarp], all[kWalk ? kPerWarp : 1];
  for (int k = 0; k < kPerWarp; ++k) {
    const int n = warp * kPerWarp + k;
    mine[k].token = first_token + n / args.block_heads;
    mine[k].head = first_head + n % args.block_heads;
    mine[k].live = n < args.block_tokens * args.block_heads && mine[k].token < end_token && mine[k].head < end_head;
  }

  // Tokens of one sequence, one after the other, are attended together.
  for (int run = first_token; run < end_token;) {
    int next = run + 1;
    while (next < end_token && args.batch.seq[next] == args.batch.seq[run]) ++next;
    int first_tile = 1 << 30, end_tile = 0, first = 1 << 30, end = 0;  // of the block
    bool elsewhere = false;                                            // another kernel takes the token
    for (int t = run; t < next; ++t) {
      int32_t page = 0;
      const BatchMap::Verdict verdict = args.batch.look(t, layout, page);
      if (kWalk && (t == run || !continues_run(args.batch, t))) elsewhere = in_prompt(args, t);
      const bool fine = good(verdict, args.faults) && !elsewhere;
      const int length = fine ? args.batch.pos[t] + 1 : 0;
      const int begin = args.window > 0 && args.window < length ? length - static_cast<int>(args.window) : 0;
      int from = begin / kPositions, to = tiles_of(length);
      if (!kWalk && fine) {
        const int stretch = tiles_per_split(length);
        from = max(from, static_cast<int>(blockIdx.z) * stretch);
        to = min(to, (static_cast<int>(blockIdx.z) + 1) * stretch);
      }
      for (int k = 0; k < kPerWarp; ++k) {
        if (mine[k].token != t || !mine[k].live) continue;
        if (kWalk && verdict == BatchMap::kPadding) {
          for (int i = lane; i < args.v_dim; i += kWarp) args.y[mine[k].head * args.y_head + t * args.y_token + i] = 0;
        }
        mine[k].live = fine;
        mine[k].begin = begin, mine[k].end = length;
        mine[k].first_tile = from, mine[k].end_tile = to;
        mine[k].stretch = fine ? tiles_per_split(length) : 1;
      }
      if (!fine || from >= to) continue;
      first_tile = min(first_tile, from);
      end_tile = max(end_tile, to);
      first = min(first, begin);
      end = max(end, length);
    }

    const int64_t sequence = args.batch.seq[run];
    for (int tile = first_tile; tile < end_tile; ++tile) {
      __syncthreads();  // the tile before has been read
      for (int p = warp; p < kPositions; p += kWarps) {
        const int position = tile * kPositions + p;
        int32_t page = -1;
        if (position >= first && position < end) {
          page = args.batch.table[sequence * args.batch.table_stride + position / layout.page_tokens];
          if (page < 0 || page >= layout.pages) {
            if (lane == 0) atomicOr(args.faults, kFaultPage);
            page = -1;
          }
        }
        const int64_t offset = position % layout.page_tokens;
        const uint4 zeros = make_uint4(0, 0, 0, 0);
        const uint8_t* key = args.cache + layout.key(page < 0 ? 0 : page, kv_head, offset);
        for (int i = lane * 16; i < layout.key_row; i += kWarp * 16) {
          *reinterpret_cast<uint4*>(keys + p * key_pitch + i) = page < 0 ? zeros : load16(key + i);
        }
        if (layout.value_row == 0) continue;
        const uint8_t* value = args.cache + layout.value(page < 0 ? 0 : page, kv_head, offset);
        for (int i = lane * 16; i < layout.value_row; i += kWarp * 16) {
          *reinterpret_cast<uint4*>(values + p * value_pitch + i) = page < 0 ? zeros : load16(value + i);
        }
      }
      __syncthreads();

      // Scores: a lane takes a position.
      float score[kPerWarp] = {};
      bool any = false;
      for (int k = 0; k < kPerWarp; ++k) {
        const bool inside = mine[k].live && mine[k].token >= run && mine[k].token < next &&
                            tile >= mine[k].first_tile && tile < mine[k].end_tile;
        any = any || inside;
      }
      if (!any) continue;  // the whole warp: its queries see nothing here
      const float* q = queries + warp * kPerWarp * q_pitch;
      for (int i = 0; i < q_pitch; i += Number::kPerLoad) {
        float key[Number::kPerLoad];
        Number::unpack(load16(keys + lane * key_pitch + i * Number::kBytes), key);
#pragma unroll
        for (int k = 0; k < kPerWarp; ++k) {
#pragma unroll
          for (int j = 0; j < Number::kPerLoad; ++j) score[k] = fmaf(q[k * q_pitch + i + j], key[j], score[k]);
        }
      }
      int from[kPerWarp], to[kPerWarp];
      for (int k = 0; k < kPerWarp; ++k) {
        from[k] = to[k] = 0;
        const Query& query = mine[k];
        if (!query.live || query.token < run || query.token >= next || tile < query.first_tile ||
            tile >= query.end_tile) {
          continue;
        }
        if (kWalk && tile % query.stretch == 0 && sums[k].total != 0) {  // a new stretch begins
          all[kWalk ? k : 0].add(sums[k]);
          sums[k] = Sums<kPairs>();
        }
        from[k] = max(0, query.begin - tile * kPositions);
        to[k] = min(kPositions, query.end - tile * kPositions);
        const bool visible = lane >= from[k] && lane < to[k];
        const float s = visible ? score[k] * args.scale : -INFINITY;
        const float top = fmaxf(sums[k].largest, warp_max(s));
        const float keep = sums[k].total != 0 ? expf(sums[k].largest - top) : 0.0f;
        const float w = visible ? expf(s - top) : 0.0f;
        weights[(warp * kPerWarp + k) * kPositions + lane] = w;
        sums[k].total = fmaf(sums[k].total, keep, warp_sum(w));
        sums[k].largest = top;
        for (int i = 0; i < kPairs; ++i) {
          for (int j = 0; j < 2; ++j) sums[k].out[i][j] = sums[k].out[i][j] * keep;
        }
      }
      __syncwarp();

      // Values: a lane takes pairs of numbers.
      int low = kPositions, high = 0;
      for (int k = 0; k < kPerWarp; ++k) {
        if (from[k] < to[k]) low = min(low, from[k]), high = max(high, to[k]);
      }
      for (int p = low; p < high; ++p) {
        float a[kPairs], b[kPairs];
#pragma unroll
        for (int i = 0; i < kPairs; ++i) {
          a[i] = b[i] = 0;
          if (2 * (lane + kWarp * i) < args.v_dim) Number::pair(values + p * value_pitch, lane + kWarp * i, a[i], b[i]);
        }
#pragma unroll
        for (int k = 0; k < kPerWarp; ++k) {
          if (p < from[k] || p >= to[k]) continue;
          const float w = weights[(warp * kPerWarp + k) * kPositions + p];
#pragma unroll
          for (int i = 0; i < kPairs; ++i) {
            sums[k].out[i][0] = fmaf(w, a[i], sums[k].out[i][0]);
            sums[k].out[i][1] = fmaf(w, b[i], sums[k].out[i][1]);
          }
        }
      }
    }
    run = next;
  }

  for (int k = 0; k < kPerWarp; ++k) {
    const Query& query = mine[k];
    if (!query.live) continue;
    if constexpr (kWalk) {
      if (sums[k].total != 0 || all[k].total == 0) all[k].add(sums[k]);
      float* y = args.y + query.head * args.y_head + query.token * args.y_token;
      for (int i = 0; i < kPairs; ++i) {
        for (int j = 0; j < 2; ++j) {
          const int at = 2 * (lane + kWarp * i) + j;
          if (at < args.v_dim) y[at] = all[k].out[i][j] / all[k].total;
        }
      }
    } else {
      float* out = args.partial +
                   ((int64_t{query.token} * args.heads + query.head) * args.splits + blockIdx.z) * (args.v_dim + 2);
      for (int i = 0; i < kPairs; ++i) {
        for (int j = 0; j < 2; ++j) {
          const int at = 2 * (lane + kWarp * i) + j;
          if (at < args.v_dim) out[at] = sums[k].out[i][j];
        }
      }
      if (lane == 0) out[args.v_dim] = sums[k].largest, out[args.v_dim + 1] = sums[k].total;
    }
  }
}

struct CombineSplits {
  AttendArgs attended;
  int heads;  // of a block, behind each other in y
  PreparedRows to;
  bool rows_of_heads;  // a prepared row is a head; else all heads of a token
};

// A block takes some heads of a token, a thread pairs of their numbers; stretches are added in their order.
__global__ void combine_splits_kernel(CombineSplits combine) {
  begin_kernel();
  const AttendArgs& args = combine.attended;
  const int64_t token = blockIdx.x;
  const int first_head = static_cast<int>(blockIdx.y) * combine.heads;
  float* y = args.y + first_head * args.y_head + token * args.y_token;
  int32_t page = 0;
  const BatchMap::Verdict verdict = args.batch.look(token, args.layout, page);
  if (verdict != BatchMap::kGood && verdict != BatchMap::kPadding) return;
  const int splits = verdict == BatchMap::kGood ? splits_of(args.batch.pos[token] + 1) : 0;
  const int pairs = (args.v_dim + 1) / 2;
  for (int n = threadIdx.x; n < combine.heads * pairs; n += blockDim.x) {
    const int head = n / pairs, i = 2 * (n % pairs);
    const float* partial = args.partial + (token * args.heads + first_head + head) * args.splits * (args.v_dim + 2);
    const bool both = i + 1 < args.v_dim;
    Sums<1> sums;
    for (int s = 0; s < splits; ++s) {
      const float* one = partial + s * (args.v_dim + 2);
      Sums<1> part;
      part.largest = one[args.v_dim], part.total = one[args.v_dim + 1];
      if (part.total == 0) continue;  // nothing there: before the window
      part.out[0][0] = one[i], part.out[0][1] = both ? one[i + 1] : 0.0f;
      sums.add(part);
    }
    float* out = y + head * args.y_head + i;
    out[0] = verdict == BatchMap::kPadding ? 0.0f : sums.out[0][0] / sums.total;
    if (both) out[1] = verdict == BatchMap::kPadding ? 0.0f : sums.out[0][1] / sums.total;
  }
  if (!combine.to.wanted()) return;
  __syncthreads();
  if (combine.rows_of_heads) {
    for (int head = 0; head < combine.heads; ++head) {
      const float* row = y + head * args.y_head;
      prepare_row(combine.to, token * args.heads + first_head + head, [row](int i) { return row[i]; });
    }
    return;
  }
  const float* row = args.y + token * args.y_token;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int begin = first_head * args.v_dim / kUnit,
            end = ((first_head + combine.heads) * args.v_dim + kUnit - 1) / kUnit;
  for (int unit = begin + warp; unit < end; unit += warps) {
    prepare_unit(combine.to, token, unit, static_cast<int>(threadIdx.x) % kWarp, [row](int i) { return row[i]; });
  }
}

__global__ void copy_page_kernel(uint8_t* to, const uint8_t* from, int64_t words) {
  begin_kernel();
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < words; i += int64_t{gridDim.x} * blockDim.x) {
    reinterpret_cast<uint4*>(to)[i] = load16(from + 16 * i);
  }
}

size_t attend_shared_bytes(const PageLayout& layout, int64_t element) {
  const int64_t key = layout.key_row + 16, value = layout.value_row == 0 ? 0 : layout.value_row + 16;
  return static_cast<size_t>(kPositions * (key + value) + kQueries * (layout.key_row / element) * 4 +
                             kQueries * kPositions * 4);
}

}  // namespace

constexpr int64_t kMostValues = 512;

uint64_t CudaOps::kv_page_bytes(const KvShape& shape) const {
  return static_cast<uint64_t>(page_layout(shape, block_bytes(shape.type)).page);
}

Result<KvCache> CudaOps::alloc_kv(const KvShape& shape) {
  if (const Result<uint64_t> bytes = door::kv_bytes(shape); !bytes) return tl::unexpected(bytes.error());
  const PageLayout layout = page_layout(shape, block_bytes(shape.type));
  if (shape.v_dim > kMostValues || attend_shared_bytes(layout, block_bytes(shape.type)) > kMostShared) {
    return fail(ErrorCode::unsupported, "the CUDA backend attends over values of up to " + std::to_string(kMostValues) +
                                            " numbers and keys that fit a block's memory");
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(layout.page), static_cast<uint64_t>(shape.pages), &bytes)) {
    return fail(ErrorCode::limit, "no memory for such a cache");
  }
  Result<Buffer> data = alloc(bytes);
  if (!data) return tl::unexpected(data.error());
  return KvCache{shape, std::move(*data)};
}

void CudaOps::kv_copy_page(KvCache& cache, int64_t from, int64_t to) {
  if (!fits("kv_copy_page", door::kv_copy_page(cache.shape, from, to)) || from == to) return;
  const auto page = static_cast<int64_t>(kv_page_bytes(cache.shape));
  auto* base = static_cast<uint8_t*>(cache.data.data());
  check(launch(copy_page_kernel, dim3(static_cast<unsigned>(std::clamp<int64_t>(page / 16 / 256, 1, 256))), dim3(256),
               0, runtime_.stream(), base + to * page, static_cast<const uint8_t*>(base + from * page), page / 16),
        "kv_copy_page");
}

void CudaOps::attention(const AttentionParams& params, const Tensor& q, const KvCache& cache, const Batch& batch,
                        const Tensor& y) {
  if (!fits("attention", door::attention(cache.shape, batch, q, y))) return;
  run_attention(params, q, nullptr, cache, batch, y, "attention");
}

void CudaOps::mla_attention(const AttentionParams& params, const Tensor& q_latent, const Tensor& q_rope,
                            const KvCache& cache, const Batch& batch, const Tensor& y) {
  if (!fits("mla_attention", door::mla_attention(cache.shape, batch, q_latent, q_rope, y))) return;
  run_attention(params, q_latent, &q_rope, cache, batch, y, "mla_attention");
}

void CudaOps::run_attention(const AttentionParams& params, const Tensor& q, const Tensor* q_rope, const KvCache& cache,
                            const Batch& batch, const Tensor& y, std::string_view op) {
  const KvShape& shape = cache.shape;
  const int64_t tokens = q.ne[2], heads = q.ne[1], group = heads / shape.kv_heads;
  if (tokens == 0) return;
  AttendArgs args{};
  args.layout = page_layout(shape, block_bytes(shape.type));
  args.batch = batch_map(batch);
  args.cache = static_cast<const uint8_t*>(cache.data.data());
  args.q = static_cast<const float*>(q.data), args.q_head = q.stride[1], args.q_token = q.stride[2];
  args.q_dim = static_cast<int>(q.ne[0]);
  if (q_rope) {
    args.q_rope = static_cast<const float*>(q_rope->data);
    args.rope_head = q_rope->stride[1], args.rope_token = q_rope->stride[2];
    args.rope_dim = static_cast<int>(q_rope->ne[0]);
  }
  args.y = static_cast<float*>(y.data), args.y_head = y.stride[1], args.y_token = y.stride[2];
  args.v_dim = static_cast<int>(shape.v_dim);
  args.tokens = static_cast<int>(tokens), args.heads = static_cast<int>(heads), args.group = static_cast<int>(group);
  args.window = params.window, args.scale = params.scale;
  args.faults = runtime_.faults();

  // No sequence is longer than the block table says.
  const int64_t longest = batch.block_table.ne[0] * shape.page_tokens;
  const bool walk = tokens > kSplitTokens || longest <= kPositions;
  args.block_heads = static_cast<int>(std::min<int64_t>(group, kQueries));
  const bool mma = attends_by_mma(shape, group, kMostShared);
  args.block_tokens = walk && !mma ? std::max(1, kQueries / args.block_heads) : 1;
  args.splits = walk ? 1 : std::min<int>(kMostSplits, tiles_of(longest));
  if (!walk) {
    args.partial = workspace<float>(splits_, tokens * heads * args.splits * (shape.v_dim + 2), op);
    if (!args.partial) return;
  }
  // Prompts may meet queries and weights that are rounded. A step of one sequence is a run; other steps may have
  // shorter ones, whose tokens are taken one by one.
  if (tokens > kPromptTokens && !options_.deterministic && attends_prompts(shape)) {
    const bool all = batch.block_table.ne[1] == 1 || group >= kPromptRows;
    args.prompt_run = all ? 1 : static_cast<int>((kPromptRows + group - 1) / group);
    if (!check(launch_attend_prompt(shape, args, runtime_.stream()), op) || all) return;
  }
  const int64_t chunks = (group + args.block_heads - 1) / args.block_heads;
  const dim3 grid(static_cast<unsigned>((tokens + args.block_tokens - 1) / args.block_tokens),
                  static_cast<unsigned>(shape.kv_heads * chunks), static_cast<unsigned>(args.splits));
  const size_t shared = attend_shared_bytes(args.layout, block_bytes(shape.type));
  cudaError_t error = cudaSuccess;
  if (mma) {
    error = launch_attend_mma(shape, args, grid, walk, runtime_.stream());
  } else {
    for_cache_type(shape.type, [&](auto constant) {
      constexpr Type kType = decltype(constant)::value;
      const auto with = [&]<int kPairs>() {
        error = walk ? launch(attend_kernel<kType, kPairs, true>, grid, dim3(kWarps * kWarp), shared, runtime_.stream(),
                              args)
                     : launch(attend_kernel<kType, kPairs, false>, grid, dim3(kWarps * kWarp), shared,
                              runtime_.stream(), args);
      };
      if (shape.v_dim <= 64) {
        with.template operator()<1>();
      } else if (shape.v_dim <= 128) {
        with.template operator()<2>();
      } else {
        with.template operator()<8>();
      }
    });
  }
  if (!check(error, op) || walk) return;
  CombineSplits combine{args, 1, {}, true};
  const int64_t width = heads * shape.v_dim;
  if (!producing(y.data, shape.v_dim, heads * tokens, matrix_.input, op, combine.to)) return;
  if (!combine.to.wanted() && y.stride[1] == shape.v_dim) {
    // Whole units of a token's row to each block.
    combine.rows_of_heads = false;
    if (!producing(y.data, width, tokens, matrix_.input, op, combine.to)) return;
    if (combine.to.wanted()) {
      const auto with_units = static_cast<int64_t>(kUnit) / std::gcd(shape.v_dim, static_cast<int64_t>(kUnit));
      combine.heads = static_cast<int>(heads % with_units == 0 ? with_units : heads);
    }
  }
  const int64_t threads = std::clamp<int64_t>((combine.heads * shape.v_dim + 63) / 64 * 32, 32, 256);
  check(launch(combine_splits_kernel, dim3(static_cast<unsigned>(tokens), static_cast<unsigned>(heads / combine.heads)),
               dim3(static_cast<unsigned>(threads)), 0, runtime_.stream(), combine),
        op);
}

}  // namespace vitrine::cuda
