// The textual side of a model's files: tokenizer and chat template, from GGUF keys
// or from the files beside safetensors.
#pragma once

#include <string>

#include "base/result.h"
#include "engine/tokenizer.h"
#include "engine/weights.h"

namespace vitrine {

// Folders: tokenizer.json, with tokenizer_config.json and the eos_token_id of
// generation_config.json where they are.
Result<Tokenizer> load_tokenizer(const Weights& weights);

// Jinja source; empty when the files have none. Folders: chat_template.jinja,
// or what tokenizer_config.json holds.
Result<std::string> load_chat_template(const Weights& weights);

}  // namespace vitrine
