// Attention of prompts on matrix instructions (FlashAttention-2: arXiv 2307.08691), over
// 16-bit caches. A row is a query head of a token; a block takes 64 or 128 rows of one kv
// head, the heads of a token one after the other, and walks over tiles of 32 or 64
// positions, the next one on its way while one is computed:
//   scores   16 rows of a warp x a tile, float32; queries rounded to the cache's type once
//   softmax  in registers: running maximum and sum of a row (powers of two)
//   values   weights rounded to the cache's type, sums in float32
// Two warps share 16 rows of long keys (MLA): each half of a key's columns, whose sums they
// exchange, and half of the values' columns.
//
// The runs of a block (attend.h) are computed one after the other, each from its own positions
// alone: what is not finite in a sequence stays there. Within one it may reach earlier tokens
// of the block, whose weight for it is zero.
#include "kernels/cuda/attend.h"
#include "kernels/cuda/matrix_instructions.h"

namespace vitrine::cuda {
namespace {

constexpr int kStages = 2;
constexpr float kLog2E = 1.44269504f;

// Keys and values of up to so many numbers. kSharing: warps that share rows. kRowTiles: of 16 rows, of a warp. kHeld:
// 16-column steps of the queries that stay in registers, the others are read from shared memory for every tile.
template <int kKeys_, int kValues_, bool kMla_, int kSharing_, int kRowTiles_, int kRowWarps, int kTile_, int kHeld_>
struct Shape {
  static constexpr int kKeys = kKeys_, kValues = kValues_, kSharing = kSharing_, kRowTiles = kRowTiles_, kTile = kTile_;
  static constexpr int kHeld = kHeld_;
  static constexpr bool kMla = kMla_;  // values are the first numbers of the keys
  static constexpr int kThreads = kRowWarps * kSharing * kWarp, kRows = kRowWarps * kRowTiles * 16;
  static constexpr int kSteps = kKeys / 16 / kSharing, kColumns = kValues / 8 / kSharing;     // of a warp
  static constexpr int kKeyParts = kKeys / 8, kParts = kKeyParts + (kMla ? 0 : kValues / 8);  // of 16 bytes
  static constexpr int kKeyPitch = kKeys * 2, kValuePitch = kMla ? kKeyPitch : kValues * 2;
  static constexpr int kValuesAt = kMla ? 0 : kTile * kKeyPitch;
  static constexpr int kStageBytes = kTile * (kKeyPitch + (kMla ? 0 : kValuePitch));
  static constexpr int kScores = kRowTiles * kTile / 2;  // of a thread
  // Shared memory: stages, queries, sums on their way between two warps.
  static constexpr int kQueriesAt = kStages * kStageBytes, kSumsAt = kQueriesAt + kRows * kKeyPitch;
  static constexpr int kBytes = kSumsAt + (kSharing > 1 ? kScores * kThreads * 4 : 0);
  static_assert(kBytes <= kMostShared && kKeys % 64 == 0 && kColumns % 8 == 0);
};
using Narrow = Shape<64, 64, false, 1, 2, 4, 64, 0>;
using Usual = Shape<128, 128, false, 1, 2, 4, 32, 0>;
using Wide = Shape<256, 256, false, 1, 1, 8, 32, 0>;
using Latents = Shape<576, 512, true, 2, 1, 4, 32, 4>;

// Where 16 bytes of a row lie in shared memory: eight rows that are read together meet eight different groups of banks.
__device__ inline int place(int row, int part, int pitch) { return row * pitch + ((part ^ (row & 7)) * 16); }
// The same for a lane: `low` is place(row, the bits of the part that differ between lanes), `part` the others.
__device__ inline int place_of_part(int low, int part) { return (low ^ (part % 8 * 16)) + part / 8 * 128; }

template <Type kType>
__device__ inline uint32_t two(float a, float b) {
  const uint32_t low = kType == Type::f16 ? float_to_half(a) : float_to_bfloat(a);
  const uint32_t high = kType == Type::f16 ? float_to_half(b) : float_to_bfloat(b);
  return low | high << 16;
}
template <Type kType>
__device__ inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (kType == Type::f16) {
    mma_f16(c, a[0], a[1], a[2], a[3], b0, b1);
  } else {
    mma_bf16(c, a[0], a[1], a[2], a[3], b0, b1);
  }
}
// Over the four lanes that hold a row.
__device__ inline float row_max(float v) {
  for (int i = 1; i < 4; i *= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, i));
  return v;
}
__device__ inline float row_sum(float v) {
  for (int i = 1; i < 4; i *= 2) v = v + __shfl_xor_sync(kAllLanes, v, i);
  return v;
}

template <Type kType, class S>
__global__ void __launch_bounds__(S::kThreads) attend_prompt_kernel(AttendArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  constexpr int kTiles = S::kRowTiles, kGroups = S::kTile / 8;
  const PageLayout& cache = args.layout;
  const BatchMap& batch = args.batch;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int g = lane / 4, t = lane % 4;
  const int sharer = warp % S::kSharing, kv_head = static_cast<int>(blockIdx.y);
  const int window = args.window < 1 << 30 ? static_cast<int>(args.window) : 1 << 30;  // 0: none
  const int page_bits = __popc(cache.page_tokens - 1);
  // The last tokens see the most: they begin.
  const int block_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * S::kRows;
  const int end_row = min(block_row + S::kRows, args.tokens * args.group);
  const int first_token = block_row / args.group, end_token = (end_row - 1) / args.group + 1;
  // Rows g and g + 8 of the warp's tiles.
  const auto row_of = [&](int m, int j) { return block_row + (warp / S::kSharing * kTiles + m) * 16 + g + 8 * j; };

  // Queries, scaled so that the largest number of a row (of the warp's columns) lies in [1, 2). A warp reads what it
  // has written itself: step by step, the columns of its 16 numbers in each 16 * kSharing.
  uint8_t* queries = shared + S::kQueriesAt + (warp / S::kSharing * kTiles * 16) * S::kKeyPitch;
  float scale[kTiles][2];
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int row = row_of(m, j);
      const bool live = row < end_row;
      const int token = live ? row / args.group : 0, head = kv_head * args.group + (live ? row % args.group : 0);
      const auto element = [&](int i) {
        if (!live || i >= args.q_dim + args.rope_dim) return 0.0f;
        return i < args.q_dim ? args.q[head * args.q_head + token * args.q_token + i]
                              : args.q_rope[head * args.rope_head + token * args.rope_token + i - args.q_dim];
      };
      const auto part_of = [&](int n) { return n / 2 * 2 * S::kSharing + 2 * sharer + n % 2; };
      float largest = 0;
      for (int n = 0; n < 2 * S::kSteps; ++n) {
        const int i = part_of(n) * 8 + 2 * t;
        largest = fmaxf(largest, fmaxf(fabsf(element(i)), fabsf(element(i + 1))));
      }
      // The power of two at or below it; zeros and what is not finite go as they are.
      const uint32_t exponent = float_to_bits(row_max(largest)) & 0x7f800000u;
      const bool usual = exponent > 0x00800000u && exponent < 0x7e800000u;
      const float power = usual ? bits_to_float(exponent) : 1.0f, inverse = 1.0f / power;
      for (int n = 0; n < 2 * S::kSteps; ++n) {
        const int i = part_of(n) * 8 + 2 * t;
        *reinterpret_cast<uint32_t*>(queries + place(16 * m + g + 8 * j, part_of(n), S::kKeyPitch) + 4 * t) =
            two<kType>(element(i) * inverse, element(i + 1) * inverse);
      }
      scale[m][j] = args.scale * kLog2E * power;
    }
  }
  __syncwarp();
  // This lane's rows of what load_matrices brings.
  const int query_row = lane / 8 % 2 * 8 + lane % 8, key_row = lane / 16 * 8 + lane % 8;
  const int query_low = place(query_row, 2 * sharer + lane / 16, S::kKeyPitch);
  const int key_low = place(key_row, 2 * sharer + lane / 8 % 2, S::kKeyPitch);
  const int value_low = place(query_row, lane / 16, S::kValuePitch) + sharer * S::kColumns * 16;
  const auto load_query = [&](uint32_t(&to)[4], int m, int step) {
    load_matrices(to, queries + 16 * m * S::kKeyPitch + place_of_part(query_low, 2 * S::kSharing * step));
  };
  uint32_t held[kTiles][S::kHeld > 0 ? S::kHeld : 1][4];
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int step = 0; step < S::kHeld; ++step) load_query(held[m][step], m, step);
  }

  for (int run = first_token, next; run < end_token; run = next) {
    next = run + 1 + run_after(batch, run, end_token, end_token);
    if (!run_reaches(batch, run, args.tokens, args.prompt_run)) continue;  // not for this kernel
    const int sequence = batch.seq[run];
    const bool known = sequence >= 0 && sequence < batch.sequences;
    // The tokens see the first `seen` positions, one more each; of positions before a window all have gone. What lies
    // between `begin` and `end` some token sees: it has been stored.
    const int most = batch.blocks * cache.page_tokens - 1;
    const int seen = min(batch.pos[run], most) + 1, end = known ? min(batch.pos[next - 1], most) + 1 : 0;
    const int begin = window > 0 ? max(seen - window, 0) : 0;
    for (int token = run + thread; token < next; token += S::kThreads) {
      int32_t page = 0;
      const BatchMap::Verdict verdict = batch.look(token, cache, page);
      if (verdict == BatchMap::kBadPage) atomicOr(args.faults, kFaultPage);
      if (verdict == BatchMap::kBadPosition) atomicOr(args.faults, kFaultPosition);
    }

    float out[kTiles][S::kColumns][4] = {}, largest[kTiles][2], total[kTiles][2] = {};
    for (int m = 0; m < kTiles; ++m) largest[m][0] = largest[m][1] = -INFINITY;

    const auto bring = [&](int tile) {
      uint8_t* stage = shared + tile % kStages * S::kStageBytes;
      const int32_t* table = batch.table + sequence * batch.table_stride;
#pragma unroll 2
      for (int n = thread; n < S::kTile * S::kParts; n += S::kThreads) {
        const int p = n / S::kParts, part = n % S::kParts, position = tile * S::kTile + p;
        int32_t page = -1;
        if (position >= begin && position < end) {
          page = table[position >> page_bits];
          if (page < 0 || page >= cache.pages) {
            atomicOr(args.faults, kFaultPage);
            page = -1;
          }
        }
        const int64_t number = page < 0 ? 0 : page, offset = position & (cache.page_tokens - 1);
        if (S::kMla || part < S::kKeyParts) {
          const bool inside = page >= 0 && part * 16 < cache.key_row;
          copy16_async(stage + place(p, part, S::kKeyPitch),
                       args.cache + cache.key(number, kv_head, offset) + (inside ? part * 16 : 0), inside);
        } else {
          const int value_part = part - S::kKeyParts;
          const bool inside = page >= 0 && value_part * 16 < cache.value_row;
          copy16_async(stage + S::kValuesAt + place(p, value_part, S::kValuePitch),
                       args.cache + cache.value(number, kv_head, offset) + (inside ? value_part * 16 : 0), inside);
        }
      }
      copies_commit();
    };

    int tile = begin / S::kTile;
    const int end_tile = (end + S::kTile - 1) / S::kTile;
    __syncthreads();  // the run before has been read
    if (tile < end_tile) bring(tile);
    for (; tile < end_tile; ++tile) {
      copies_wait<0>();
      __syncthreads();  // the tile has come, the one before has been read
      if (tile + 1 < end_tile) bring(tile + 1);
      const uint8_t* keys = shared + tile % kStages * S::kStageBytes;
      const uint8_t* values = keys + S::kValuesAt;

      // Scores, then weights.
      float s[kTiles][kGroups][4] = {};
#pragma unroll
      for (int step = 0; step < S::kSteps; ++step) {
        uint32_t read[kTiles][4];
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
          if (step >= S::kHeld) load_query(read[m], m, step);
        }
#pragma unroll
        for (int n = 0; n < kGroups; n += 2) {
          uint32_t b[4];
          load_matrices(b, keys + 8 * n * S::kKeyPitch + place_of_part(key_low, 2 * S::kSharing * step));
#pragma unroll
          for (int m = 0; m < kTiles; ++m) {
            const uint32_t(&a)[4] = step < S::kHeld ? held[m][step < S::kHeld ? step : 0] : read[m];
            multiply<kType>(s[m][n], a, b[0], b[1]);
            multiply<kType>(s[m][n + 1], a, b[2], b[3]);
          }
        }
      }
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) s[m][n][i] = s[m][n][i] * scale[m][i / 2];
        }
      }
      if constexpr (S::kSharing > 1) {
        static_assert(S::kSharing == 2);
        auto* sums = reinterpret_cast<float*>(shared + S::kSumsAt) + lane;  // [warp][score][lane]
        const auto sum_of = [](int of_warp, int m, int n, int i) {
          return (of_warp * S::kScores + (m * kGroups + n) * 4 + i) * kWarp;
        };
        for (int m = 0; m < kTiles; ++m) {
          for (int n = 0; n < kGroups; ++n) {
            for (int i = 0; i < 4; ++i) sums[sum_of(warp, m, n, i)] = s[m][n][i];
          }
        }
        __syncthreads();
        for (int m = 0; m < kTiles; ++m) {
          for (int n = 0; n < kGroups; ++n) {
            for (int i = 0; i < 4; ++i) s[m][n][i] = s[m][n][i] + sums[sum_of(warp ^ 1, m, n, i)];
          }
        }
      }
      // What rows of other runs get here is not looked at.
      const bool masked = (tile + 1) * S::kTile > seen || (window > 0 && tile * S::kTile < end - window);
      uint32_t weights[kTiles][kGroups / 2][4];
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          if (masked) {
            const int high = seen + row_of(m, j) / args.group - run - tile * S::kTile;
            const int low = window > 0 ? high - window : 0;
#pragma unroll
            for (int n = 0; n < 2 * kGroups; ++n) {
              const int position = 8 * (n / 2) + 2 * t + n % 2;
              if (position < low || position >= high) s[m][n / 2][2 * j + n % 2] = -INFINITY;
            }
          }
          float top = largest[m][j];
#pragma unroll
          for (int n = 0; n < 2 * kGroups; ++n) top = fmaxf(top, s[m][n / 2][2 * j + n % 2]);
          top = row_max(top);
          const float base = top == -INFINITY ? 0.0f : top;  // nothing seen yet: all weights are zeros
          const float keep = exp2f(largest[m][j] - base);
          float sum = 0;
#pragma unroll
          for (int n = 0; n < 2 * kGroups; ++n) {
            float& v = s[m][n / 2][2 * j + n % 2];
            v = exp2f(v - base);
            sum = sum + v;
          }
          largest[m][j] = top;
          total[m][j] = fmaf(total[m][j], keep, sum);  // of this lane
#pragma unroll
          for (int n = 0; n < kGroups; ++n) {
            weights[m][n / 2][n % 2 * 2 + j] = two<kType>(s[m][n][2 * j], s[m][n][2 * j + 1]);
          }
#pragma unroll
          for (int n = 0; n < S::kColumns; ++n) {
            out[m][n][2 * j] = out[m][n][2 * j] * keep;
            out[m][n][2 * j + 1] = out[m][n][2 * j + 1] * keep;
          }
        }
      }

      // Values.
#pragma unroll
      for (int step = 0; step < S::kTile / 16; ++step) {
#pragma unroll
        for (int n = 0; n < S::kColumns; n += 2) {
          uint32_t b[4];
          load_matrices_transposed(b, values + 16 * step * S::kValuePitch + place_of_part(value_low, n));
#pragma unroll
          for (int m = 0; m < kTiles; ++m) {
            multiply<kType>(out[m][n], weights[m][step], b[0], b[1]);
            multiply<kType>(out[m][n + 1], weights[m][step], b[2], b[3]);
          }
        }
      }
    }

#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float sum = row_sum(total[m][j]);
        const int row = row_of(m, j), token = row / args.group;
        if (row >= end_row || token < run || token >= next) continue;
        int32_t page = 0;
        const BatchMap::Verdict verdict = batch.look(token, cache, page);
        if (verdict != BatchMap::kGood && verdict != BatchMap::kPadding) continue;
        const float factor = verdict == BatchMap::kPadding ? 1.0f : 1.0f / sum;  // zeros
        float* y = args.y + (kv_head * args.group + row % args.group) * args.y_head + token * args.y_token;
#pragma unroll
        for (int n = 0; n < 2 * S::kColumns; ++n) {
          const int column = (sharer * S::kColumns + n / 2) * 8 + 2 * t + n % 2;
          if (column < args.v_dim) y[column] = out[m][n / 2][2 * j + n % 2] * factor;
        }
      }
    }
  }
}

template <class Function>
bool for_shape(const KvShape& shape, Function f) {
  const auto fits = [&]<class S>() {
    if ((shape.kind == KvShape::Kind::mla) != S::kMla || shape.k_dim > S::kKeys || shape.v_dim > S::kValues) {
      return false;
    }
    f.template operator()<S>();
    return true;
  };
  return fits.template operator()<Narrow>() || fits.template operator()<Usual>() || fits.template operator()<Wide>() ||
         fits.template operator()<Latents>();
}

}  // namespace

bool attends_prompts(const KvShape& shape) {
  return (shape.type == Type::f16 || shape.type == Type::bf16) && for_shape(shape, [&]<class S>() {});
}

cudaError_t launch_attend_prompt(const KvShape& shape, const AttendArgs& args, Stream stream) {
  cudaError_t error = cudaSuccess;
  for_shape(shape, [&]<class S>() {
    const int64_t rows = int64_t{args.tokens} * args.group;
    const dim3 grid(static_cast<unsigned>((rows + S::kRows - 1) / S::kRows), static_cast<unsigned>(shape.kv_heads));
    const auto kernel =
        shape.type == Type::f16 ? attend_prompt_kernel<Type::f16, S> : attend_prompt_kernel<Type::bf16, S>;
    error = launch(kernel, grid, dim3(S::kThreads), static_cast<size_t>(S::kBytes), stream, args);
  });
  return error;
}

}  // namespace vitrine::cuda
