// Host side of a product: activations prepared for a type of weight, one launch.
#pragma once

#include <string_view>

#include "kernels/cuda/prompt.h"

namespace vitrine::cuda {

class CudaOps;
struct CudaWeight;

inline constexpr int kManyTiles = 4;          // of eight tokens in a block, where there are more than eight
inline constexpr int kPlainTokens = 64;       // of f32 and f16 weights in a block
inline constexpr int64_t kPromptTokens = 64;  // steps with more are prompts

inline constexpr int kMostExperts = 4096;

// (token, expert) pairs in the order of the experts, in the device's memory (moe_groups.cu).
struct ExpertGroups {
  const int4* tiles;  // expert, first pair, end pair
  const int32_t* tile_count;
  int64_t most_tiles;
  const int32_t* pair_token;  // [pairs]
  const int32_t* position;    // [tokens][used]: where a token's pair has gone; -1: no such expert
  const int32_t* live_pairs;  // one number
};

// What a product of a type reads.
struct Reads {
  Form form;
  bool rounded, e4m3;  // prompts
  bool operator==(const Reads&) const = default;
};

struct MatrixWork {
  // `may_round`: many tokens may be rounded (prompt.h).
  MatrixWork(CudaOps& o, std::string_view name, int64_t tokens, bool may_round)
      : ops(o),
        op(name),
        token_tiles(tokens <= kTokenTile ? 1 : kManyTiles),
        prompt(may_round && tokens > kPromptTokens) {}

  // Whether a prompt's activations are rounded for weights of that type.
  bool rounds(Type type) const;
  // A feed-forward layer rounds from x to y or not at all: gate and up of one type.
  void all_or_none(const CudaWeight& gate, const CudaWeight& up, const CudaWeight& down);
  Reads reads(Type type) const;
  // x [n, H, T] for weights of that type; `hidden`: in the second set of workspaces.
  bool prepare(const Tensor& x, Type type, bool hidden, Activations& out);
  // Tokens of a block, and blocks for so many.
  int64_t span(Type type) const {
    if (rounds(type)) return kPromptTile;
    return type == Type::f32 || type == Type::f16 ? kPlainTokens : token_tiles * kTokenTile;
  }
  int64_t row_blocks(Type type, int64_t tokens) const { return (tokens + span(type) - 1) / span(type); }
  bool run(Type type, ProductArgs& args, int64_t planes, int64_t row_blocks);

  // Of ids [used, tokens].
  bool group(const Tensor& ids, int32_t experts, ExpertGroups& out);
  // silu(gate x) * up x for the rows of a set, prepared for down (moe_ffn.cu); gate_up_floats: as floats.
  bool gate_up(const CudaWeight& gate, const CudaWeight& up, const CudaWeight& down, const Tensor& x,
               const RowSet& rows, int64_t bound, int64_t row_blocks, const int32_t* live_rows, Activations& out_rows);
  bool gate_up_floats(const CudaWeight& gate, const CudaWeight& up, const Tensor& x, const RowSet& rows, int64_t bound,
                      int64_t row_blocks, const int32_t* live_rows, Tensor& hidden, const PreparedRows& prepared);

  // prompt.h
  bool prompt_product(Type type, bool gate_up, int64_t planes, int64_t row_blocks, const PromptArgs& args);
  // Memory for rounded rows that weights of that type read.
  bool reserve(FormMemory& memory, Type type, int64_t chunks, int64_t rows, Rounded& to);
  static Activations activations(const Rounded& rows);
  bool run_prompt(Type type, const ProductArgs& args, int64_t planes, int64_t row_blocks);
  bool gate_up_prompt(const CudaWeight& gate, const CudaWeight& up, const CudaWeight& down, const Activations& x,
                      const RowSet& rows, int64_t bound, int64_t row_blocks, Activations& hidden);

  bool reserve(FormMemory& memory, Form form, int64_t n, int64_t rows, PreparedRows& to);
  static Activations activations(const PreparedRows& rows, Form form);
  bool finish(const PreparedRows& to, const float* y, int64_t y_row, int64_t row_blocks, Finish& out);

  CudaOps& ops;
  std::string_view op;
  int token_tiles;
  bool prompt;
};

}  // namespace vitrine::cuda
