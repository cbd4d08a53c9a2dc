// Tile registers in plain C++, for tests on any processor. What the processor would raise an exception
// for ends the program.
#pragma once

#include "kernels/cpu/isa/tiles.h"

namespace vitrine::VITRINE_ISA {

struct TileState {
  bool configured;
  TileConfig config;
  uint8_t tiles[8][16][64];
};

struct Tiles {
  static void configure(const TileConfig& config) {
    bool fits = config.palette == 1 && config.start_row == 0;
    for (const uint8_t byte : config.reserved) fits = fits && byte == 0;
    for (int t = 0; t < 16; ++t) {
      const int rows = config.rows[t], bytes = config.row_bytes[t];
      fits = fits && (t < kTiles ? rows <= kRows && bytes <= kBytes && (rows == 0) == (bytes == 0) : rows + bytes == 0);
    }
    require(fits);
    state = TileState{};
    state.config = config;
    state.configured = true;
  }
  static void release() { state = TileState{}; }

  template <int tile>
  static void zero() {
    rows_of(tile);
    __builtin_memset(state.tiles[tile], 0, sizeof(state.tiles[tile]));
  }
  template <int tile>
  static void load(const void* p, size_t stride) {
    const int rows = rows_of(tile);
    zero<tile>();  // what lies outside of its shape
    for (int i = 0; i < rows; ++i) {
      __builtin_memcpy(state.tiles[tile][i], static_cast<const uint8_t*>(p) + static_cast<size_t>(i) * stride,
                       state.config.row_bytes[tile]);
    }
  }
  template <int tile>
  static void store(void* p, size_t stride) {
    const int rows = rows_of(tile);
    for (int i = 0; i < rows; ++i) {
      __builtin_memcpy(static_cast<uint8_t*>(p) + static_cast<size_t>(i) * stride, state.tiles[tile][i],
                       state.config.row_bytes[tile]);
    }
  }
  template <int c, int a, int b>
  static void dot_su() {
    static_assert(c != a && c != b && a != b, "the instruction refuses a tile named twice");
    const int m = rows_of(c), k = rows_of(b);
    const int n = state.config.row_bytes[c] / 4;
    require(rows_of(a) == m && state.config.row_bytes[a] == 4 * k && state.config.row_bytes[b] == 4 * n);
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        uint32_t sum = 0;
        __builtin_memcpy(&sum, &state.tiles[c][i][4 * j], 4);
        for (int l = 0; l < 4 * k; ++l) {
          const int product = static_cast<int8_t>(state.tiles[a][i][l]) * state.tiles[b][l / 4][4 * j + l % 4];
          sum += static_cast<uint32_t>(product);
        }
        __builtin_memcpy(&state.tiles[c][i][4 * j], &sum, 4);
      }
    }
  }

 private:
  static constexpr int kTiles = 8, kRows = 16, kBytes = 64;
  static inline thread_local TileState state = {};

  static void require(bool fits) {
    if (!fits) __builtin_trap();
  }
  static int rows_of(int tile) {
    require(state.configured && state.config.rows[tile] > 0);
    return state.config.rows[tile];
  }
};

}  // namespace vitrine::VITRINE_ISA
