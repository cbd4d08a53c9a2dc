// The tokenizer in a GGUF model file (keys tokenizer.ggml.*).
#pragma once

#include "base/result.h"
#include "engine/gguf.h"
#include "engine/tokenizer_data.h"

namespace vitrine {

// Models "gpt2" (byte-level BPE; tokenizer.ggml.pre must be known) and "llama"
// (SentencePiece). Everything else is refused by name. Errors name the key.
Result<TokenizerData> read_tokenizer_gguf(const GgufModel& model);

// tokenizer.chat_template; empty when the file has none.
std::string gguf_chat_template(const GgufModel& model);

}  // namespace vitrine
