// Attention on matrix instructions, where several heads read the same keys: MLA (arXiv
// 2405.04434) and grouped queries. A block takes up to 16 heads of one token - rows of the tiles
// beyond them are zeros and go nowhere - over tiles of 32 positions:
//   scores  16 x 32: the warps share the columns of a key and add up in their order
//   softmax in float32, a warp two heads, as in attention.cu
//   values  16 x v_dim: each warp an eighth of the columns
// Queries and weights are split into terms of the cache's type that add up to 22 bits
// (f16) or the float itself (bf16), queries after scaling by a power of two: so what is
// lost against CUDA cores is the order of sums. All heads of a block are one token's:
// what a token gets does not depend on the others.
#include "kernels/cuda/attend.h"
#include "kernels/cuda/matrix_instructions.h"

namespace vitrine::cuda {
namespace {

constexpr int kPerWarp = kQueries / kWarps;
constexpr int kPad = 16;  // bytes behind a row in shared memory: rows that are read together meet different banks
constexpr int kWeightPitch = kPositions * 2 + kPad;

template <Type kType>
struct Terms {
  static constexpr int kCount = kType == Type::f16 ? 2 : 3;

  __device__ static void split(float v, uint8_t* to, int64_t term_bytes) {
    for (int term = 0; term < kCount; ++term) {
      const uint16_t bits = kType == Type::f16 ? float_to_half(v) : float_to_bfloat(v);
      *reinterpret_cast<uint16_t*>(to + term * term_bytes) = bits;
      v = v - (kType == Type::f16 ? half_to_float(bits) : bfloat_to_float(bits));
    }
  }
  __device__ static void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    if constexpr (kType == Type::f16) {
      mma_f16(c, a[0], a[1], a[2], a[3], b0, b1);
    } else {
      mma_bf16(c, a[0], a[1], a[2], a[3], b0, b1);
    }
  }
};

// Shared memory of a block, in bytes from its begin.
struct Layout {
  int key_pitch, value_pitch, q_pitch;
  int values, queries, parts, weights, numbers, bytes;

  VITRINE_HOST_DEVICE Layout(const PageLayout& cache, int terms) {
    const int key_row = static_cast<int>(cache.key_row), value_row = static_cast<int>(cache.value_row);
    key_pitch = q_pitch = key_row + kPad;
    value_pitch = value_row == 0 ? key_pitch : value_row + kPad;
    values = value_row == 0 ? 0 : kPositions * key_pitch;  // mla: keys and values are the same
    queries = kPositions * (key_pitch + (value_row == 0 ? 0 : value_pitch));
    parts = queries + terms * kQueries * q_pitch;
    weights = parts + kWarps * kQueries * kPositions * 4;
    numbers = weights + terms * kQueries * kWeightPitch;
    bytes = numbers + kNumbers * kQueries * 4;
  }
  // Of each query: the power of two its terms are scaled by; factors of what is summed up so far, of the
  // stretch's and of the others'; largest score and sum of weights.
  enum Number { kScale, kKeep, kMine, kTheirs, kLargest, kTotal, kNumbers };
};

// So many heads to a key, and more. Predicted: the 16 KB of a tile with k = v = 128 take 900 cycles at an SM's share
// of 4.3 TB/s. Here they cost 300 whatever the heads, in all eight warps (f16; 128 products at 2 cycles, 16 x 32 scores
// to exchange); CUDA cores take 130 a head (loads, conversions, fmaf), in half as many warps as heads.
constexpr int64_t kFewestHeads = 4;

// kTiles: 8-column tiles of a warp; v_dim = 64 * kTiles. kWalk: all stretches, combined here. Blocks of a
// multiprocessor: two where the compiler would spill for more, else its own choice (0).
template <Type kType, int kTiles, bool kWalk>
__global__ void __launch_bounds__(kWarps* kWarp, kTiles > 2 || kWalk ? 2 : 0) attend_mma_kernel(AttendArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  using Number = Terms<kType>;
  const PageLayout& cache = args.layout;
  const Layout at(cache, Number::kCount);
  auto* numbers = reinterpret_cast<float*>(shared + at.numbers);
  const auto number = [numbers](Layout::Number which, int query) -> float& {
    return numbers[which * kQueries + query];
  };
  auto* parts = reinterpret_cast<float*>(shared + at.parts);  // [warp][query][position]
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, t = lane % 4;
  const int token = static_cast<int>(blockIdx.x), chunks = (args.group + kQueries - 1) / kQueries;
  const int kv_head = static_cast<int>(blockIdx.y) / chunks;
  const int first_head = kv_head * args.group + static_cast<int>(blockIdx.y) % chunks * kQueries;
  const int end_head = min(first_head + kQueries, (kv_head + 1) * args.group);

  if (kWalk && in_prompt(args, token)) return;
  int32_t page = 0;
  const BatchMap::Verdict verdict = args.batch.look(token, cache, page);
  if (!good(verdict, args.faults)) {
    if (!kWalk || verdict != BatchMap::kPadding) return;  // combine_splits looks again
    for (int head = first_head + warp; head < end_head; head += kWarps) {
      for (int i = lane; i < args.v_dim; i += kWarp) args.y[head * args.y_head + token * args.y_token + i] = 0;
    }
    return;
  }
  const int length = args.batch.pos[token] + 1, stretch = tiles_per_split(length);
  const int begin = args.window > 0 && args.window < length ? length - static_cast<int>(args.window) : 0;
  int tile = begin / kPositions, end_tile = tiles_of(length);
  if (!kWalk) {
    tile = max(tile, static_cast<int>(blockIdx.z) * stretch);
    end_tile = min(end_tile, (static_cast<int>(blockIdx.z) + 1) * stretch);
  }

  // Queries: a warp brings two, scaled so that the largest number lies in [1, 2).
  const int k_dim = args.q_dim + args.rope_dim, columns = static_cast<int>(cache.key_row) / 2;
  for (int k = 0; k < kPerWarp; ++k) {
    const int query = warp * kPerWarp + k, head = first_head + query;
    const auto element = [&](int i) {
      if (head >= end_head || i >= k_dim) return 0.0f;
      return i < args.q_dim ? args.q[head * args.q_head + token * args.q_token + i]
                            : args.q_rope[head * args.rope_head + token * args.rope_token + i - args.q_dim];
    };
    float largest = 0;
    for (int i = lane; i < columns; i += kWarp) largest = fmaxf(largest, fabsf(element(i)));
    // The power of two at or below it; zeros and what is not finite go as they are.
    const uint32_t exponent = float_to_bits(warp_max(largest)) & 0x7f800000u;
    const bool usual = exponent > 0x00800000u && exponent < 0x7e800000u;
    const float scale = usual ? bits_to_float(exponent) : 1.0f;
    uint8_t* row = shared + at.queries + query * at.q_pitch;
    for (int i = lane; i < columns; i += kWarp) {
      Number::split(element(i) / scale, row + 2 * i, int64_t{kQueries} * at.q_pitch);
    }
    if (lane == 0) {
      number(Layout::kScale, query) = scale;
      number(Layout::kLargest, query) = -INFINITY;
      number(Layout::kTotal, query) = 0;
    }
  }

  float out[kTiles][4] = {}, all[kWalk ? kTiles : 1][4] = {};
  float all_largest[kPerWarp], all_total[kPerWarp] = {};  // of the warp's own queries
  for (int k = 0; k < kPerWarp; ++k) all_largest[k] = -INFINITY;
  bool any = false, any_before = false;  // the same in all threads

  // Adds what is summed up of a stretch to what is summed up of those before: Sums::add of attention.cu.
  const auto merge = [&] {
    for (int k = 0; k < kPerWarp; ++k) {
      const int query = warp * kPerWarp + k;
      const float largest = number(Layout::kLargest, query), total = number(Layout::kTotal, query);
      const float top = any_before ? fmaxf(all_largest[k], largest) : largest;
      const float mine = any_before ? expf(all_largest[k] - top) : 0.0f,
                  theirs = any_before ? expf(largest - top) : 1.0f;
      all_total[k] = any_before ? fmaf(total, theirs, all_total[k] * mine) : total;
      all_largest[k] = top;
      __syncwarp();
      if (lane == 0) {
        number(Layout::kMine, query) = mine, number(Layout::kTheirs, query) = theirs;
        number(Layout::kLargest, query) = -INFINITY, number(Layout::kTotal, query) = 0;
      }
    }
    __syncthreads();
    for (int n = 0; n < kTiles; ++n) {
      for (int i = 0; i < 4; ++i) {
        const int query = g + 8 * (i / 2);
        float& sum = all[kWalk ? n : 0][i];
        sum = any_before ? fmaf(out[n][i], number(Layout::kTheirs, query), sum * number(Layout::kMine, query))
                         : out[n][i];
        out[n][i] = 0;
      }
    }
    any = false;
    any_before = true;
  };

  for (; tile < end_tile; ++tile) {
    __syncthreads();  // the tile before has been read
    if (kWalk && any && tile % stretch == 0) merge();
    for (int p = warp; p < kPositions; p += kWarps) {
      const int position = tile * kPositions + p;
      int32_t from = -1;
      if (position >= begin && position < length) {
        from =
            args.batch.table[int64_t{args.batch.seq[token]} * args.batch.table_stride + position / cache.page_tokens];
        if (from < 0 || from >= cache.pages) {
          if (lane == 0) atomicOr(args.faults, kFaultPage);
          from = -1;
        }
      }
      const int64_t offset = position % cache.page_tokens, number_of = from < 0 ? 0 : from;
      const uint8_t* key = args.cache + cache.key(number_of, kv_head, offset);
      for (int i = lane * 16; i < cache.key_row; i += kWarp * 16) {
        copy16_async(shared + p * at.key_pitch + i, key + i, from >= 0);
      }
      if (cache.value_row == 0) continue;
      const uint8_t* value = args.cache + cache.value(number_of, kv_head, offset);
      for (int i = lane * 16; i < cache.value_row; i += kWarp * 16) {
        copy16_async(shared + at.values + p * at.value_pitch + i, value + i, from >= 0);
      }
    }
    copies_commit();
    copies_wait<0>();
    __syncthreads();

    // Scores of this warp's columns.
    float part[kPositions / 8][4] = {};
    for (int step = warp; step < columns / 16; step += kWarps) {
      uint32_t b[2][4];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int row = 16 * n + lane / 16 * 8 + lane % 8;
        load_matrices(b[n], shared + row * at.key_pitch + step * 32 + lane / 8 % 2 * 16);
      }
#pragma unroll
      for (int term = 0; term < Number::kCount; ++term) {
        uint32_t a[4];
        const int row = term * kQueries + lane / 8 % 2 * 8 + lane % 8;
        load_matrices(a, shared + at.queries + row * at.q_pitch + step * 32 + lane / 16 * 16);
#pragma unroll
        for (int n = 0; n < kPositions / 8; ++n) Number::mma(part[n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      }
    }
    for (int n = 0; n < kPositions / 8; ++n) {
      for (int i = 0; i < 4; ++i) {
        parts[(warp * kQueries + g + 8 * (i / 2)) * kPositions + 8 * n + 2 * t + i % 2] = part[n][i];
      }
    }
    __syncthreads();

    // Weights of this warp's queries: a lane takes a position.
    const bool visible = tile * kPositions + lane >= begin && tile * kPositions + lane < length;
    for (int k = 0; k < kPerWarp; ++k) {
      const int query = warp * kPerWarp + k;
      float score = 0;
      for (int w = 0; w < kWarps; ++w) score = score + parts[(w * kQueries + query) * kPositions + lane];
      const float s = visible ? score * number(Layout::kScale, query) * args.scale : -INFINITY;
      const float before = number(Layout::kLargest, query), total = number(Layout::kTotal, query);
      const float top = fmaxf(before, warp_max(s));
      const float keep = total != 0 ? expf(before - top) : 0.0f;
      const float w = visible ? expf(s - top) : 0.0f;
      Number::split(w, shared + at.weights + query * kWeightPitch + 2 * lane, int64_t{kQueries} * kWeightPitch);
      const float sum = fmaf(total, keep, warp_sum(w));
      if (lane == 0) {
        number(Layout::kKeep, query) = keep;
        number(Layout::kLargest, query) = top;
        number(Layout::kTotal, query) = sum;
      }
    }
    any = true;
    __syncthreads();

    // Values: this warp's columns.
    const float keep[2] = {number(Layout::kKeep, g), number(Layout::kKeep, g + 8)};
    for (int n = 0; n < kTiles; ++n) {
      for (int i = 0; i < 4; ++i) out[n][i] = out[n][i] * keep[i / 2];
    }
#pragma unroll
    for (int step = 0; step < kPositions / 16; ++step) {
      uint32_t a[Number::kCount][4];
#pragma unroll
      for (int term = 0; term < Number::kCount; ++term) {
        const int row = term * kQueries + lane / 8 % 2 * 8 + lane % 8;
        load_matrices(a[term], shared + at.weights + row * kWeightPitch + step * 32 + lane / 16 * 16);
      }
#pragma unroll
      for (int n = 0; n < kTiles; n += 2) {
        // A single tile of columns is loaded twice.
        constexpr int kColumnsRead = kTiles == 1 ? 0 : 8;
        uint32_t b[4];
        const int row = 16 * step + lane / 8 % 2 * 8 + lane % 8;
        const int column = (warp * kTiles + n) * 8 + lane / 16 * kColumnsRead;
        load_matrices_transposed(b, shared + at.values + row * at.value_pitch + column * 2);
#pragma unroll
        for (int term = 0; term < Number::kCount; ++term) {
          Number::mma(out[n], a[term], b[0], b[1]);
          if constexpr (kTiles > 1) Number::mma(out[n + 1], a[term], b[2], b[3]);
        }
      }
    }
  }

  __syncthreads();
  if constexpr (kWalk) {
    merge();
    for (int k = 0; k < kPerWarp; ++k) {
      __syncwarp();
      if (lane == 0) number(Layout::kTotal, warp * kPerWarp + k) = all_total[k];
    }
    __syncthreads();
  }
  for (int n = 0; n < kTiles; ++n) {
    for (int i = 0; i < 4; ++i) {
      const int query = g + 8 * (i / 2), head = first_head + query, column = (warp * kTiles + n) * 8 + 2 * t + i % 2;
      if (head >= end_head) continue;
      if constexpr (kWalk) {
        args.y[head * args.y_head + token * args.y_token + column] = all[n][i] / number(Layout::kTotal, query);
      } else {
        args.partial[((int64_t{token} * args.heads + head) * args.splits + blockIdx.z) * (args.v_dim + 2) + column] =
            out[n][i];
      }
    }
  }
  if constexpr (!kWalk) {
    const int query = static_cast<int>(threadIdx.x), head = first_head + query;
    if (query >= kQueries || head >= end_head) return;
    float* end = args.partial + ((int64_t{token} * args.heads + head) * args.splits + blockIdx.z) * (args.v_dim + 2) +
                 args.v_dim;
    end[0] = number(Layout::kLargest, query), end[1] = number(Layout::kTotal, query);
  }
}

}  // namespace

bool attends_by_mma(const KvShape& shape, int64_t group, int64_t shared_limit) {
  if ((shape.type != Type::f16 && shape.type != Type::bf16) || group < kFewestHeads || shape.k_dim % 16 != 0 ||
      (shape.v_dim != 64 && shape.v_dim != 128 && shape.v_dim != 256 && shape.v_dim != 512)) {
    return false;
  }
  return Layout(page_layout(shape, 2), shape.type == Type::f16 ? 2 : 3).bytes <= shared_limit;
}

cudaError_t launch_attend_mma(const KvShape& shape, const AttendArgs& args, dim3 grid, bool walk, Stream stream) {
  cudaError_t error = cudaSuccess;
  const auto with = [&]<Type kType, int kTiles>() {
    const auto kernel = walk ? attend_mma_kernel<kType, kTiles, true> : attend_mma_kernel<kType, kTiles, false>;
    error = launch(kernel, grid, dim3(kWarps * kWarp),
                   static_cast<size_t>(Layout(args.layout, Terms<kType>::kCount).bytes), stream, args);
  };
  const auto with_type = [&]<Type kType>() {
    switch (shape.v_dim) {
      case 64: with.template operator()<kType, 1>(); break;
      case 128: with.template operator()<kType, 2>(); break;
      case 256: with.template operator()<kType, 4>(); break;
      default: with.template operator()<kType, 8>(); break;
    }
  };
  if (shape.type == Type::f16) {
    with_type.template operator()<Type::f16>();
  } else {
    with_type.template operator()<Type::bf16>();
  }
  return error;
}

}  // namespace vitrine::cuda
