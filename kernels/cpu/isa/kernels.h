// What the files of this folder give to the operators of kernels/cpu: one table
// of functions per instruction set. Arguments have been checked by the caller.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tensor.h"

namespace vitrine::cpu {

// Rows of a weight that one call works on.
inline constexpr int64_t kPanel = 32;
inline constexpr int64_t kChunk = 256;
// Positions of the key-value cache that one softmax step takes; pages are multiples of it.
inline constexpr int64_t kKvBlock = 16;

constexpr int64_t rounded_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// 256 activations as 8-bit integers with one factor per 32 (for weights in blocks
// of 32) or per 256 (for K-quants): value = d * q. The sums let kernels work with
// unsigned weights, whose zero lies above zero.
struct PerBlock32 {
  float d[8];
  int32_t sum[8];  // of 32 q
};
struct PerBlock256 {
  float d;
  int16_t pair32[8];  // of 32 q: those of groups 0, 2, 1, 3, 4, 6, 5, 7
  int32_t unused[3];
  int16_t sum16[16];  // of 16 q
};
struct alignas(64) ActivationChunk {
  int8_t q[kChunk];
  union {
    PerBlock32 per32;
    PerBlock256 per256;
  };
};
static_assert(sizeof(ActivationChunk) == 320);

// acc[t][r] = row r · x of token t, for up to kPanel rows and `count` tokens.
struct MatrixArgs {
  Type type = Type::f32;
  const uint8_t* rows = nullptr;  // block types: kPanel rows are readable
  size_t row_stride = 0;          // bytes
  int64_t row_count = 0;          // 1 … kPanel
  int64_t n_in = 0;
  // f8_e4m3: factors (unaligned float32) and the position of row 0 among their rows.
  const uint8_t* scales = nullptr;
  int64_t scale_row = 0;

  // The activations: token t of the call is row index[t], or t without an index.
  const ActivationChunk* quantized = nullptr;  // block types: [n_in / 256 rounded up][quantized_rows]
  int64_t quantized_rows = 0;
  const float* x = nullptr;  // other types: rows x_stride floats apart
  int64_t x_stride = 0;
  const int32_t* index = nullptr;
  int64_t count = 0;

  float* acc = nullptr;   // [count][kPanel], overwritten
  float* tile = nullptr;  // scratch of kPanel * rounded_up(n_in, 16) floats; float types
  // Bytes wanted soon (the next panel), fetched a piece at a time.
  const uint8_t* next = nullptr;
  size_t next_bytes = 0;
};

// Attention of some queries over the pages of one sequence and kv head.
struct AttentionArgs {
  Type type = Type::f32;  // of the cache
  int64_t k_dim = 0, v_dim = 0;
  float scale = 1;
  int64_t queries = 0;
  const float* q = nullptr;        // [queries][k_padded], zeros beyond k_dim; k_padded = rounded_up(k_dim, 16)
  const int32_t* begin = nullptr;  // [queries] visible positions [begin, end), end > begin
  const int32_t* end = nullptr;
  int64_t first = 0, last = 0;  // the union of those: [first, last)
  // Per kKvBlock positions from position 0 on: where their keys and values lie.
  const uint8_t* const* keys = nullptr;
  const uint8_t* const* values = nullptr;   // null: the first v_dim elements of the keys (MLA)
  size_t key_stride = 0, value_stride = 0;  // bytes from position to position
  float* key_tile = nullptr;                // scratch [kKvBlock][k_padded]
  float* value_tile = nullptr;              // scratch [kKvBlock][v_padded]; unused when values is null
  float* largest = nullptr;                 // scratch [queries]
  float* total = nullptr;                   // scratch [queries]
  float* out = nullptr;                     // [queries][v_padded], overwritten
};

struct Kernels {
  // x: n floats; out: one chunk every `stride` chunks; n a multiple of 32 (256).
  void (*quantize_per32)(const float* x, int64_t n, ActivationChunk* out, int64_t stride);
  void (*quantize_per256)(const float* x, int64_t n, ActivationChunk* out, int64_t stride);
  void (*matrix_blocks)(const MatrixArgs& args);  // q4_0 … mxfp4
  void (*matrix_floats)(const MatrixArgs& args);  // f32, f16, bf16, f8_e4m3
  void (*attention)(const AttentionArgs& args);
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* y);
  void (*add)(const float* x, int64_t n, float* y);                       // y += x
  void (*add_scaled)(const float* x, float factor, int64_t n, float* y);  // y = fma(x, factor, y)
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* y);
  void (*softmax)(const float* x, int64_t n, float* y);
  void (*sigmoid)(const float* x, int64_t n, float* y);
};

// Null where the compiler had no such target.
extern const Kernels kPortableKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;

// Do block types of `type` want activations per 256?
constexpr bool is_block_type(Type type) { return type >= Type::q4_0 && type <= Type::mxfp4; }
constexpr bool wants_per256(Type type) { return type >= Type::q2_k && type <= Type::q6_k; }

}  // namespace vitrine::cpu
