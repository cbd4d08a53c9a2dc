// Messages -> token ids, so that nothing a message says can forge a turn.
//
// A template renders one text in which its own control tokens and what people
// wrote stand side by side; reading all of it with control tokens, as servers do,
// lets a message that contains "<|im_end|>" end its turn. Here such places in
// messages are marked before rendering (with a noncharacter between the letters of
// the token), found again in the rendered text, and read as text. Messages without
// such places, nearly all, are rendered once and give the same ids as
// apply_chat_template of `transformers`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/chat_template.h"
#include "engine/reasoning.h"
#include "engine/tokenizer.h"

namespace vitrine {

struct ChatPrompt {
  std::string text;
  std::vector<TextRange> literal;  // ascending: where messages spelled added tokens
  std::vector<TokenId> ids;
  bool opens_reasoning = false;  // the answer starts inside the reasoning
};

// `input` is checked by nobody before this: strings under the key "role" are used
// as the template's own (templates build tokens from them), so callers accept known roles only.
// Reasoning tags in an assistant's messages are left to the template, which strips them from history.
// Not covered: a token whose letters come partly from the template and partly from a message.
// Fails as ChatTemplate::render() and Tokenizer::encode() do.
Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer, const ChatInput& input,
                                    const ReasoningTags& tags = {});

}  // namespace vitrine
