// The functions of this instruction set.
#include "kernels/cpu/isa/kernels.h"

namespace vitrine::VITRINE_ISA {

void quantize_per32(const float* x, int64_t n, cpu::ActivationChunk* out, int64_t stride);
void quantize_per256(const float* x, int64_t n, cpu::ActivationChunk* out, int64_t stride);
void matrix_blocks(const cpu::MatrixArgs& args);
void matrix_floats(const cpu::MatrixArgs& args);
void attention(const cpu::AttentionArgs& args);
void rms_norm(const float* x, const float* weight, int64_t n, float eps, float* y);
void add(const float* x, int64_t n, float* y);
void add_scaled(const float* x, float factor, int64_t n, float* y);
void silu_mul(const float* gate, const float* up, int64_t n, float* y);
void softmax(const float* x, int64_t n, float* y);
void sigmoid(const float* x, int64_t n, float* y);

}  // namespace vitrine::VITRINE_ISA

namespace vitrine::cpu {

#if defined(VITRINE_ISA_AVX512)
#define VITRINE_TABLE kAvx512Kernels
#elif defined(VITRINE_ISA_AVX2)
#define VITRINE_TABLE kAvx2Kernels
#else
#define VITRINE_TABLE kPortableKernels
#endif

const Kernels VITRINE_TABLE = {
    VITRINE_ISA::quantize_per32, VITRINE_ISA::quantize_per256, VITRINE_ISA::matrix_blocks, VITRINE_ISA::matrix_floats,
    VITRINE_ISA::attention,      VITRINE_ISA::rms_norm,        VITRINE_ISA::add,           VITRINE_ISA::add_scaled,
    VITRINE_ISA::silu_mul,       VITRINE_ISA::softmax,         VITRINE_ISA::sigmoid,
};

}  // namespace vitrine::cpu
