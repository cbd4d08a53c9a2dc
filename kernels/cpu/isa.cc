#if defined(VITRINE_X86)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/cpu/backend.h"

namespace vitrine {

#if defined(VITRINE_X86)
namespace isa_amx {
void matrix_blocks(const cpu::MatrixArgs& args);
}
#endif

namespace {

#if defined(VITRINE_X86)
// __builtin_cpu_supports knows "f16c" only from Clang 15 on.
bool converts_halves() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// Tiles of 8-bit integers, and the kernel's leave to use their 8 KiB of state, which a process must
// ask for (Linux 5.16, Documentation/arch/x86/xstate.rst). Asked once, for all threads.
bool has_tiles() {
  static const bool granted = [] {
    constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;  // leaf 7, edx
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTile) == 0 || (d & kInt8) == 0) return false;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return granted;
}
#endif

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable: return "portable";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::amx: return "amx";
  }
  return "?";
}

std::optional<Isa> isa_from_name(std::string_view name) {
  for (const Isa isa : kIsas) {
    if (isa_name(isa) == name) return isa;
  }
  return std::nullopt;
}

// __builtin_cpu_supports also asks the operating system (XGETBV).
bool isa_available(Isa isa) {
  if (isa == Isa::portable) return true;
#if defined(VITRINE_X86)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && converts_halves();
  if (isa == Isa::avx2) return avx2;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  return avx512 && (isa == Isa::avx512 || has_tiles());
#else
  return false;
#endif
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kIsas) {
    if (isa_available(isa)) isas.push_back(isa);
  }
  return isas;
}

namespace cpu {

const Kernels& kernels_for(Isa isa) {
#if defined(VITRINE_X86)
  if (isa == Isa::amx) {
    static const Kernels kernels = [] {
      Kernels with_tiles = kAvx512Kernels;
      with_tiles.matrix_blocks = isa_amx::matrix_blocks;
      return with_tiles;
    }();
    return kernels;
  }
  if (isa == Isa::avx512) return kAvx512Kernels;
  if (isa == Isa::avx2) return kAvx2Kernels;
#endif
  (void)isa;
  return kPortableKernels;
}

}  // namespace cpu
}  // namespace vitrine
