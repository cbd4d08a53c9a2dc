// The same model as a GGUF file, as converters write it: keys from the
// configuration, rows of llama's queries and keys permuted for neighbouring pairs,
// rope factors as a tensor, either layout of MLA's up-projection.
#pragma once

#include <string>

#include "engine/weights.h"

namespace vitrine {

// `type`: f32, f16, bf16, q8_0 or q4_0, of matrices whose rows are whole blocks; the others stay f32.
// `with_tokenizer`: token i is the byte 'A' + i, the last ends an answer. REQUIRES: a vocabulary of at most 64.
std::string gguf_from_weights(const Weights& weights, MlaLayout layout, Type type = Type::f32,
                              bool with_tokenizer = false);

}  // namespace vitrine
