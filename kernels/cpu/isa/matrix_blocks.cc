// Block-quantized weights times 8-bit activations.
//
// A panel is 32 rows, as two vectors of 16 rows, of which 256 columns are taken
// apart at a time (unpack.h): unsigned bytes, four columns of a row in each lane,
// so that one instruction does 16 rows × 4 columns for a broadcast of four
// activations. For up to kFewTokens tokens that happens in registers, for more in
// a tile that stays in the first-level cache while every token passes over it: each
// weight byte is read once, and in file order. The order of additions is the same
// for all: integers exact within a block, then fp32, one fused multiply-add per
// block (and one for the minimum), blocks in ascending order.
#include "kernels/cpu/isa/fetch.h"
#include "kernels/cpu/isa/kernels.h"
#include "kernels/cpu/isa/unpack.h"
#include "kernels/cpu/isa/vec.h"
#if defined(VITRINE_AMX)
#include "kernels/cpu/isa/tiles_amx.h"
#elif defined(VITRINE_AMX_EMULATED)
#include "kernels/cpu/isa/tiles_emulated.h"
#endif

namespace vitrine::VITRINE_ISA {
namespace {

using cpu::ActivationChunk;
using cpu::kChunk;
using cpu::kPanel;
using cpu::MatrixArgs;

template <bool condition, class A, class B>
struct SelectType {
  using Type = A;
};
template <class A, class B>
struct SelectType<false, A, B> {
  using Type = B;
};
template <bool condition, class A, class B>
using Select = typename SelectType<condition, A, B>::Type;

// Some tokens: their activations, and where their sums stand.
template <int kCount>
struct Tokens {
  const ActivationChunk* x[kCount];
  float* acc[kCount];  // [kPanel]
};

// ---- blocks of 32: acc += d · dx · (Σ w x - zero Σ x) [+ m · dx · Σ x]

// What a block's sum begins with, per block: -zero Σ x; formats with minimums: Σ x as a float.
template <class Format>
struct Start32 {
  alignas(64) uint32_t lanes[16];
  VITRINE_INLINE void set_to(const ActivationChunk& x) {
    // The eight sums are the upper half of this vector; nothing reads the lower one.
    const I sums = load(static_cast<const void*>(x.per32.d));
    if constexpr (Format::kHasMinimum) {
      store(reinterpret_cast<float*>(lanes), to_float(sums));
    } else {
      store(static_cast<void*>(lanes), sums * set(-Format::kZero));
    }
  }
  VITRINE_INLINE I start(int b) const { return Format::kHasMinimum ? set(0) : broadcast4(&lanes[8 + b]); }
  VITRINE_INLINE F total(int b) const { return as_float(broadcast4(&lanes[8 + b])); }
};

// One block's integer sum into the accumulator.
template <class Format>
VITRINE_INLINE F add_block(F acc, I sum, F d, F m, F total) {
  acc = fma(to_float(sum), d, acc);
  if constexpr (Format::kHasMinimum) acc = fma(m, total, acc);
  return acc;
}

struct Tile32 {  // up to eight blocks of 32; [2]: the two vectors of a panel
  I w[64][2];
  F d[8][2];
  F m[8][2];
};

template <class Format, int kCount>
void multiply_tile(const Tile32& tile, int blocks, const Tokens<kCount>& tokens) {
  F a[kCount][2];
  Start32<Format> starts[kCount];
  for (int t = 0; t < kCount; ++t) {
    a[t][0] = load(tokens.acc[t]), a[t][1] = load(tokens.acc[t] + 16);
    starts[t].set_to(*tokens.x[t]);
  }
  for (int b = 0; b < blocks; ++b) {
    I s[kCount][2];
    for (int t = 0; t < kCount; ++t) s[t][0] = s[t][1] = starts[t].start(b);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const I w0 = tile.w[8 * b + k][0], w1 = tile.w[8 * b + k][1];
#pragma GCC unroll 8
      for (int t = 0; t < kCount; ++t) {
        const I v = broadcast4(tokens.x[t]->q + 32 * b + 4 * k);
        s[t][0] = dot4<Format::kNarrow>(s[t][0], w0, v);
        s[t][1] = dot4<Format::kNarrow>(s[t][1], w1, v);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < kCount; ++t) {
      const F d = set(tokens.x[t]->per32.d[b]);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        a[t][h] = add_block<Format>(a[t][h], s[t][h], tile.d[b][h] * d, tile.m[b][h] * d, starts[t].total(b));
      }
    }
  }
  for (int t = 0; t < kCount; ++t) store(tokens.acc[t], a[t][0]), store(tokens.acc[t] + 16, a[t][1]);
}

// Eight blocks of each of 16 rows, of which the last ones may not exist: those are
// read from `copy`, so that nothing behind a row is touched. The words are another
// object than the copy: they have no address then and stay in registers.
template <class Format>
struct Copy32 {
  static constexpr size_t kRowBytes = 8 * Format::kBytes;
  alignas(64) uint8_t bytes[16 * kRowBytes];
};
template <class Format>
VITRINE_INLINE Words<Format::kBytes> words_of(const uint8_t* p, size_t stride, int blocks, Copy32<Format>& copy) {
  constexpr size_t kSize = Copy32<Format>::kRowBytes;
  Words<Format::kBytes> words;
  words.p = blocks == 8 ? p : copy.bytes;
  words.stride = blocks == 8 ? stride : kSize;
  if (blocks < 8) {
    const size_t bytes = static_cast<size_t>(blocks) * Format::kBytes;
    for (size_t r = 0; r < 16; ++r) {
      __builtin_memcpy(copy.bytes + r * kSize, p + r * stride, bytes);
      __builtin_memset(copy.bytes + r * kSize + bytes, 0, kSize - bytes);
    }
  }
  return words;
}

template <class Format>
void unpack(const uint8_t* p, size_t stride, int blocks, int h, Tile32& tile) {
  Copy32<Format> copy;
  Words<Format::kBytes> words = words_of<Format>(p, stride, blocks, copy);
  unrolled<8>([&]<int b>() VITRINE_INLINE_LAMBDA {
    words.template read<b>();
    Block32 block;
    Format::template take<b>(words, block);
    for (int j = 0; j < 8; ++j) tile.w[8 * b + j][h] = block.w[j];
    tile.d[b][h] = block.d;
    if constexpr (Format::kHasMinimum) tile.m[b][h] = block.m;
  });
}

// Takes 16 rows apart and multiplies at once.
template <class Format, int kCount>
void multiply_rows32(const uint8_t* p, size_t stride, int blocks, int h, const Tokens<kCount>& tokens, Fetch& fetch) {
  F a[kCount];
  Start32<Format> starts[kCount];
  for (int t = 0; t < kCount; ++t) {
    a[t] = load(tokens.acc[t] + 16 * h);
    starts[t].set_to(*tokens.x[t]);
  }
  Copy32<Format> copy;
  Words<Format::kBytes> words = words_of<Format>(p, stride, blocks, copy);
  unrolled<8>([&]<int b>() VITRINE_INLINE_LAMBDA {
    fetch.lines<16 * Format::kBytes>();
    words.template read<b>();
    if (b >= blocks) return;
    Block32 block;
    Format::template take<b>(words, block);
    unrolled<kCount>([&]<int t>() VITRINE_INLINE_LAMBDA {
      I s = starts[t].start(b);
      unrolled<8>([&]<int k>() VITRINE_INLINE_LAMBDA {
        s = dot4<Format::kNarrow>(s, block.w[k], broadcast4(tokens.x[t]->q + 32 * b + 4 * k));
      });
      const F d = set(tokens.x[t]->per32.d[b]);
      F m = set(0.0f);
      if constexpr (Format::kHasMinimum) m = block.m * d;
      a[t] = add_block<Format>(a[t], s, block.d * d, m, starts[t].total(b));
    });
  });
  for (int t = 0; t < kCount; ++t) store(tokens.acc[t] + 16 * h, a[t]);
}

// ---- blocks of 256: acc += d · dx · (Σ_j s_j Σ w x - zero part), or with minimums
// acc += d · dx · Σ_j s_j Σ w x, then acc -= dmin · dx · Σ_j m_j Σ x

struct Tile256 {
  I w[64][2];
  I s[16][2];  // per group of columns
  I m[8][2];   // Format::kPairs of them
  F d[2], dmin[2];
};

// The sums that go with Format::pair(i).
template <class Format>
VITRINE_INLINE I sums_of_pair(const ActivationChunk& x, int i) {
  return broadcast4(Format::kSumsOf32 ? x.per256.pair32 + 2 * i : x.per256.sum16 + 2 * i);
}

// `total` and `minimum` of a block into the accumulator.
template <class Format>
VITRINE_INLINE F add_block256(F acc, I total, I minimum, F d, F dmin, F dx) {
  if constexpr (Format::kHasMinimum) {
    acc = fma(to_float(total), d * dx, acc);
    return fma(to_float(set(0) - minimum), dmin * dx, acc);
  } else {  // what the zero adds is taken off as integers
    return fma(to_float(total - minimum), d * dx, acc);
  }
}

// The total of a tile's half into the accumulator.
template <class Format>
VITRINE_INLINE void add_tile256(const Tile256& tile, int h, const ActivationChunk& x, I total, float* acc) {
  I minimum = set(0);
  for (int i = 0; i < Format::kPairs; ++i) minimum = dot2(minimum, tile.m[i][h], sums_of_pair<Format>(x, i));
  store(acc, add_block256<Format>(load(acc), total, minimum, tile.d[h], tile.dmin[h], set(x.per256.d)));
}

template <class Format, int kCount>
void multiply_tile(const Tile256& tile, int, const Tokens<kCount>& tokens) {
  constexpr int kSteps = Format::kSub / 4;
  I total[kCount][2];
  for (int t = 0; t < kCount; ++t) total[t][0] = total[t][1] = set(0);
  for (int j = 0; j < kChunk / Format::kSub; ++j) {
    I s[kCount][2];
    for (int t = 0; t < kCount; ++t) s[t][0] = s[t][1] = set(0);
#pragma GCC unroll 8
    for (int k = 0; k < kSteps; ++k) {
      const I w0 = tile.w[kSteps * j + k][0], w1 = tile.w[kSteps * j + k][1];
#pragma GCC unroll 8
      for (int t = 0; t < kCount; ++t) {
        const I v = broadcast4(tokens.x[t]->q + Format::kSub * j + 4 * k);
        s[t][0] = dot4<true>(s[t][0], w0, v);
        s[t][1] = dot4<true>(s[t][1], w1, v);
      }
    }
    for (int t = 0; t < kCount; ++t) {
      total[t][0] = total[t][0] + s[t][0] * tile.s[j][0];
      total[t][1] = total[t][1] + s[t][1] * tile.s[j][1];
    }
  }
  for (int t = 0; t < kCount; ++t) {
    for (int h = 0; h < 2; ++h) add_tile256<Format>(tile, h, *tokens.x[t], total[t][h], tokens.acc[t] + 16 * h);
  }
}

template <class Format>
void unpack(const uint8_t* p, size_t stride, int, int h, Tile256& tile) {
  Header256 header;
  Format::header(p, stride, header);
  for (int j = 0; j < kChunk / Format::kSub; ++j) tile.s[j][h] = Format::factor(header, j);
  for (int i = 0; i < Format::kPairs; ++i) tile.m[i][h] = Format::pair(header, i);
  tile.d[h] = header.d;
  if constexpr (Format::kHasMinimum) tile.dmin[h] = header.dmin;
  typename Format::State state;
  unrolled<Format::kParts>([&]<int part>() VITRINE_INLINE_LAMBDA {
    I w[Format::kWords];
    Format::template take<part>(p, stride, state, w);
    for (int n = 0; n < Format::kWords; ++n) tile.w[Format::at(part, n)][h] = w[n];
  });
}

template <class Format, int kCount>
void multiply_rows256(const uint8_t* p, size_t stride, int h, const Tokens<kCount>& tokens, Fetch& fetch) {
  constexpr int kSteps = Format::kSub / 4;
  Header256 header;
  Format::header(p, stride, header);
  I total[kCount];
  for (int t = 0; t < kCount; ++t) total[t] = set(0);
  typename Format::State state;
  unrolled<Format::kParts>([&]<int part>() VITRINE_INLINE_LAMBDA {
    fetch.lines<16 * Format::kBytes / Format::kParts>();
    I w[Format::kWords];
    Format::template take<part>(p, stride, state, w);
    unrolled<Format::kWords / kSteps>([&]<int group>() VITRINE_INLINE_LAMBDA {
      constexpr int kAt = Format::at(part, group * kSteps);
      const I factor = Format::factor(header, kAt / kSteps);
      unrolled<kCount>([&]<int t>() VITRINE_INLINE_LAMBDA {
        I s = set(0);
        unrolled<kSteps>([&]<int k>() VITRINE_INLINE_LAMBDA {
          s = dot4<true>(s, w[group * kSteps + k], broadcast4(tokens.x[t]->q + 4 * (kAt + k)));
        });
        total[t] = total[t] + s * factor;
      });
    });
  });
  for (int t = 0; t < kCount; ++t) {
    I minimum = set(0);
    for (int i = 0; i < Format::kPairs; ++i) {
      minimum = dot2(minimum, Format::pair(header, i), sums_of_pair<Format>(*tokens.x[t], i));
    }
    float* acc = tokens.acc[t] + 16 * h;
    F dmin = header.d;
    if constexpr (Format::kHasMinimum) dmin = header.dmin;
    store(acc, add_block256<Format>(load(acc), total[t], minimum, header.d, dmin, set(tokens.x[t]->per256.d)));
  }
}

// ---- all tokens of a call

// f.template operator()<n>(), n in [1, kMost].
template <int kMost, class Function>
VITRINE_INLINE void with_count(int64_t n, Function f) {
  if constexpr (kMost > 1) {
    if (n < kMost) return with_count<kMost - 1>(n, f);
  }
  f.template operator()<kMost>();
}

// Tokens [first, first + kCount) at a chunk. Of those behind the last one, which only fill up a group, the
// sums go to `spare` [kPanel].
template <int kCount>
VITRINE_INLINE Tokens<kCount> tokens_at(const MatrixArgs& args, int64_t chunk, int64_t first, float* spare) {
  Tokens<kCount> out;
  const ActivationChunk* row = args.quantized + chunk * args.quantized_rows;
  for (int i = 0; i < kCount; ++i) {
    const int64_t t = first + i < args.count ? first + i : args.count - 1;
    out.x[i] = row + (args.index ? args.index[t] : t);
    out.acc[i] = first + i < args.count ? args.acc + t * kPanel : spare;
  }
  return out;
}

// Where 16 rows of a panel begin at a chunk, and how many blocks of 32 columns the chunk has.
template <class Format>
VITRINE_INLINE const uint8_t* rows_at(const MatrixArgs& args, int64_t chunk, int half) {
  return args.rows + static_cast<size_t>(chunk) * (kChunk / Format::kElements) * Format::kBytes +
         16 * static_cast<size_t>(half) * args.row_stride;
}
VITRINE_INLINE int blocks_at(const MatrixArgs& args, int64_t chunk) {
  const int64_t columns = args.n_in - chunk * kChunk;
  return static_cast<int>((columns < kChunk ? columns : kChunk) / 32);
}

// Takes the panel apart a chunk at a time, and calls each(tile, chunk, t) for t = 0, at_once, … What is
// fetched is spread over the work, so that memory is neither idle nor waited for: taking a tile apart
// lasts about as long as one group of tokens.
template <class Format, class Function>
VITRINE_INLINE void over_tiles(const MatrixArgs& args, int64_t chunks, int64_t at_once, Fetch& fetch, Function each) {
  const int64_t groups = (args.count + at_once - 1) / at_once;
  const size_t share = args.next_bytes / static_cast<size_t>(chunks * (groups + 1)) + 64;
  for (int64_t c = 0; c < chunks; ++c) {
    Select<Format::kElements == 32, Tile32, Tile256> tile;
    for (int h = 0; h < 2; ++h) {
      fetch.some(share / 2);
      unpack<Format>(rows_at<Format>(args, c, h), args.row_stride, blocks_at(args, c), h, tile);
    }
    for (int64_t t = 0; t < args.count; t += at_once) {
      fetch.some(share);
      each(tile, c, t);
    }
  }
}

#if defined(VITRINE_AMX) || defined(VITRINE_AMX_EMULATED)
// ---- sixteen tokens at once on tile registers (AMX), where there are some
//
// The integer sums of a group of columns are one instruction: 16 tokens, as their chunks hold them, are
// its A tile, and 16 rows, as unpack() leaves them, its B tile, since four columns of a row in each lane
// is what it asks of it. No weight is kept in another form. What follows is the arithmetic of the others.

constexpr int kTileGroup = 16;
// From so many tokens on; for fewer a tile is mostly empty.
constexpr int64_t kTilesFrom = 8;

struct TileGroup {
  alignas(64) int8_t q[kTileGroup][kChunk];                       // of the chunk
  alignas(64) int32_t sums[kChunk / 16][kTileGroup][kPanel / 2];  // of up to 16 groups of columns, over one half
};

// The sums of `groups` groups of kSub columns over half h of a panel.
template <int kSub>
void sum_on_tiles(TileGroup& group, const I (*w)[2], int groups, int h) {
  constexpr int kA = 0, kB = 1, kC = 2;
  for (int j = 0; j < groups; ++j) {
    Tiles::load<kA>(&group.q[0][kSub * j], kChunk);
    Tiles::load<kB>(&w[kSub / 4 * j][h], sizeof(w[0]));
    Tiles::zero<kC>();
    Tiles::dot_su<kC, kA, kB>();
    Tiles::store<kC>(group.sums[j], sizeof(group.sums[0][0]));
  }
}

// A [16 tokens][kSub bytes], B [kSub / 4][16 rows of four bytes], C [16 tokens][16 rows].
template <int kSub>
void configure_tiles() {
  TileConfig config;
  config.set(0, kTileGroup, kSub);
  config.set(1, kSub / 4, 64);
  config.set(2, kTileGroup, 64);
  Tiles::configure(config);
}

template <class Format>
void multiply_group(const Tile32& tile, int blocks, const Tokens<kTileGroup>& tokens, int64_t count, TileGroup& group) {
  for (int h = 0; h < 2; ++h) {
    sum_on_tiles<32>(group, tile.w, blocks, h);
    for (int64_t t = 0; t < count; ++t) {
      Start32<Format> starts;
      starts.set_to(*tokens.x[t]);
      float* acc = tokens.acc[t] + 16 * h;
      F a = load(acc);
      for (int b = 0; b < blocks; ++b) {
        const I sum = load(static_cast<const void*>(group.sums[b][t])) + starts.start(b);
        const F d = set(tokens.x[t]->per32.d[b]);
        a = add_block<Format>(a, sum, tile.d[b][h] * d, tile.m[b][h] * d, starts.total(b));
      }
      store(acc, a);
    }
  }
}

template <class Format>
void multiply_group(const Tile256& tile, int, const Tokens<kTileGroup>& tokens, int64_t count, TileGroup& group) {
  constexpr int kGroups = kChunk / Format::kSub;
  for (int h = 0; h < 2; ++h) {
    sum_on_tiles<Format::kSub>(group, tile.w, kGroups, h);
    for (int64_t t = 0; t < count; ++t) {
      I total = set(0);
      for (int j = 0; j < kGroups; ++j) {
        total = total + load(static_cast<const void*>(group.sums[j][t])) * tile.s[j][h];
      }
      add_tile256<Format>(tile, h, *tokens.x[t], total, tokens.acc[t] + 16 * h);
    }
  }
}

template <class Format>
void matrix_on_tiles(const MatrixArgs& args, int64_t chunks, Fetch& fetch) {
  TileGroup group;
  float spare[kPanel];  // of tokens that are not there; nothing is added to it
  if constexpr (Format::kElements == 32) {
    configure_tiles<32>();
  } else {
    configure_tiles<Format::kSub>();
  }
  over_tiles<Format>(args, chunks, kTileGroup, fetch, [&](const auto& tile, int64_t c, int64_t t) {
    const auto tokens = tokens_at<kTileGroup>(args, c, t, spare);
    for (int i = 0; i < kTileGroup; ++i) __builtin_memcpy(group.q[i], tokens.x[i]->q, kChunk);
    const int64_t count = args.count - t < kTileGroup ? args.count - t : kTileGroup;
    multiply_group<Format>(tile, blocks_at(args, c), tokens, count, group);
  });
  Tiles::release();
}
#endif

template <class Format>
void matrix(const MatrixArgs& args) {
  __builtin_memset(args.acc, 0, static_cast<size_t>(args.count * kPanel) * sizeof(float));
  const int64_t chunks = cpu::rounded_up(args.n_in, kChunk) / kChunk;
  Fetch fetch{args.next, args.next + args.next_bytes};
  if constexpr (kFewTokens > 0) {
    if (args.count <= kFewTokens) {
      with_count<kFewTokens>(args.count, [&]<int kCount>() VITRINE_INLINE_LAMBDA {
        for (int64_t c = 0; c < chunks; ++c) {
          const Tokens<kCount> tokens = tokens_at<kCount>(args, c, 0, nullptr);
          for (int h = 0; h < 2; ++h) {
            const uint8_t* p = rows_at<Format>(args, c, h);
            if constexpr (Format::kElements == 32) {
              multiply_rows32<Format, kCount>(p, args.row_stride, blocks_at(args, c), h, tokens, fetch);
            } else {
              multiply_rows256<Format, kCount>(p, args.row_stride, h, tokens, fetch);
            }
          }
        }
      });
      return;
    }
  }
#if defined(VITRINE_AMX) || defined(VITRINE_AMX_EMULATED)
  if (args.count >= kTilesFrom) return matrix_on_tiles<Format>(args, chunks, fetch);
#endif
  alignas(64) float spare[kPanel] = {};
  over_tiles<Format>(args, chunks, kTileTokens, fetch, [&](const auto& tile, int64_t c, int64_t t) {
    multiply_tile<Format, kTileTokens>(tile, blocks_at(args, c), tokens_at<kTileTokens>(args, c, t, spare));
  });
}

}  // namespace

void matrix_blocks(const MatrixArgs& args) {
  switch (args.type) {
    case Type::q4_0: return matrix<Q4_0>(args);
    case Type::q4_1: return matrix<Q4_1>(args);
    case Type::q5_0: return matrix<Q5_0>(args);
    case Type::q5_1: return matrix<Q5_1>(args);
    case Type::q8_0: return matrix<Q8_0>(args);
    case Type::mxfp4: return matrix<Mxfp4>(args);
    case Type::q2_k: return matrix<Q2K>(args);
    case Type::q3_k: return matrix<Q3K>(args);
    case Type::q4_k: return matrix<Q4K>(args);
    case Type::q5_k: return matrix<Q5K>(args);
    case Type::q6_k: return matrix<Q6K>(args);
    default: return;
  }
}

}  // namespace vitrine::VITRINE_ISA
