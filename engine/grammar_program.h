// A compiled grammar (internal to the engine).
#pragma once

namespace vitrine {
struct GrammarProgram {};
}  // namespace vitrine
