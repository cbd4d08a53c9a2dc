// Tile registers as Intel's AMX has them (Software Developer's Manual, volume 1, chapter 18): eight
// of at most 16 rows of 64 bytes, palette 1. `Tiles` is the processor's (tiles_amx.h) or an exact
// emulation (tiles_emulated.h), one static function per instruction:
//   configure(c)      LDTILECFG: all tiles become zeros of these shapes
//   release()         TILERELEASE
//   zero<t>()         TILEZERO
//   load<t>(p, s)     TILELOADD: row i is the tile's bytes from p + i * s on
//   store<t>(p, s)    TILESTORED
//   dot_su<c, a, b>() TDPBSUD: C[m][n] += Σ_k Σ_i a[m][4 k + i] · b[k][4 n + i], a signed, b unsigned
//                     bytes, C 32-bit integers that wrap
#pragma once

#include <cstdint>

#include "kernels/cpu/isa/vec.h"

namespace vitrine::VITRINE_ISA {

// The operand of LDTILECFG.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(int tile, int count, int bytes) {
    rows[tile] = static_cast<uint8_t>(count);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace vitrine::VITRINE_ISA
