// Reads Hugging Face's tokenizer.json (and what tokenizer_config.json adds).
// Every component it does not know is a refusal that names it.
#pragma once

#include <string_view>

#include "base/result.h"
#include "engine/tokenizer_data.h"

namespace vitrine {

// Bounds: 256 MiB, nesting 64; ids below Tokenizer::kMaxTokens; the small parts
// (normalizer, pre_tokenizer …) 8 MiB each.
// Errors say which member is wrong (`where` = "tokenizer.json, model.merges").
Result<TokenizerData> read_tokenizer_json(std::string_view text);

// bos_token, eos_token, add_bos_token … of tokenizer_config.json on top of
// `data`. Missing members change nothing.
Status apply_tokenizer_config(std::string_view text, TokenizerData& data);

// The chat template of tokenizer_config.json: a string, or the one named
// "default" ("tool_use" when `tools` and there is one) of a list. Empty: none.
Result<std::string> config_chat_template(std::string_view text, bool tools = false);

}  // namespace vitrine
