// The CPU backend: every operator for x86-64, in portable C++, AVX2 and AVX-512
// VNNI. All three are compiled from the same sources over a 16-lane vector
// (kernels/cpu/isa/vec_*.h) and give the same bits; which one runs is chosen at run time.
// AMX is AVX-512 VNNI with quantized matrices of many tokens on tile registers.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"

namespace vitrine {

enum class Isa : uint8_t { portable, avx2, avx512, amx };
inline constexpr Isa kIsas[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::amx};  // the newest last

std::string_view isa_name(Isa isa);  // "portable", "avx2", "avx512", "amx"
std::optional<Isa> isa_from_name(std::string_view name);
bool isa_available(Isa isa);  // on this processor and operating system
std::vector<Isa> available_isas();

struct CpuOptions {
  int threads = 0;                        // 0: one per processor this process may run on
  std::optional<Isa> isa = std::nullopt;  // else the environment variable VITRINE_ISA, else the best there is
};

// usage: an unknown or unavailable instruction set, a negative thread count.
Result<std::unique_ptr<Ops>> make_cpu_ops(const CpuOptions& options = {});

}  // namespace vitrine
