// GGUF files with random weights in a given shape, made as fast as the disk
// takes them: for tests and benchmarks. vitrine and llama.cpp load them.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/gguf_writer.h"
#include "engine/model_config.h"
#include "engine/tensor_specs.h"
#include "kernels/tensor.h"

namespace vitrine {

struct SyntheticOptions {
  Type type = Type::q8_0;                   // of matrices; norms, biases and routers are F32
  std::optional<Type> output_type = {};     // of the head; `type` without
  MlaLayout mla_layout = MlaLayout::split;  // split: attn_k_b and attn_v_b are BF16, because llama.cpp
                                            // aborts on quantized ones where it uses AMX
  uint64_t seed = 1;
  // All matrices are zeros: for a sink that leaves holes, and a backend that makes its own weights.
  bool hollow = false;
};

// A sink that makes a file with holes where it is given pages of zeros.
Result<GgufWriter::Sink> write_with_holes(const std::string& path);

// Writes keys (as llama.cpp's converters do), a byte-level tokenizer of
// config.vocabulary tokens (most of them unused) and the tensors. Weights have
// mean about 0 and standard deviation 1/sqrt(n_in). A matrix whose rows are no
// multiple of the type's block gets the type llama.cpp would fall back to.
// usage: a vocabulary under 300 tokens, or a rope scaling GGUF keys cannot say.
Status write_synthetic_model(const ModelConfig& config, const SyntheticOptions& options, GgufWriter::Sink sink);

}  // namespace vitrine
