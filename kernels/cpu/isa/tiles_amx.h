// The processor's tile registers. Each instruction is written as it is: the compilers' intrinsics are
// macros over a tile's number, and g++ 12's _tile_loadconfig() names only 8 of the 64 bytes it reads.
#pragma once

#include "kernels/cpu/isa/tiles.h"

namespace vitrine::VITRINE_ISA {

struct Tiles {
  static void configure(const TileConfig& config) { asm volatile("ldtilecfg %0" ::"m"(config)); }
  static void release() { asm volatile("tilerelease"); }
  template <int tile>
  static VITRINE_INLINE void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(tile));
  }
  template <int tile>
  static VITRINE_INLINE void load(const void* p, size_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(tile), "r"(p), "r"(stride) : "memory");
  }
  template <int tile>
  static VITRINE_INLINE void store(void* p, size_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(tile), "r"(p), "r"(stride) : "memory");
  }
  template <int c, int a, int b>
  static VITRINE_INLINE void dot_su() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }
};

}  // namespace vitrine::VITRINE_ISA
