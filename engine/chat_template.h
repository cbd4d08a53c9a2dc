// Chat templates: messages -> the prompt a model was trained on.
//
// Model files bring their template as Jinja source. That is code from strangers,
// and servers that ran it in a full engine had remote execution through it. Here
// it is interpreted by an interpreter of our own that knows only values (no
// attributes of objects, no imports, no files) and stops at bounds on size,
// nesting, steps and output. What it renders equals what python3-jinja2 renders
// in the sandbox that `transformers` uses (trim_blocks, lstrip_blocks).
//
//   auto chat = ChatTemplate::parse(source);
//   auto prompt = chat->render({.messages = …, .add_generation_prompt = true});
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/chat_value.h"

namespace vitrine {

struct ChatLimits {
  size_t source_bytes = 256 << 10;
  uint32_t nesting = 100;          // of blocks and of expressions in the source; of calls when it runs
  uint64_t steps = 4'000'000;      // nodes evaluated, and one more for each 64 bytes made or list items walked
  size_t output_bytes = 64 << 20;  // also bounds every single string
};

// Names are what templates call them.
struct ChatInput {
  ChatValue messages;  // a list of maps: role, content, tool_calls …
  ChatValue tools;     // a list, or none
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;
  // More variables ("enable_thinking", "thinking", "documents"); later ones win.
  ChatMap extra;
  // What strftime_now() shows, seconds since 1970 in UTC. Given, not read from
  // a clock: the same input renders the same prompt.
  int64_t now = 0;
};

class ChatTemplate {
 public:
  // Errors are `malformed` or `unsupported` (a statement, filter or test that is
  // not known, named) with "chat template, line N" in `where`.
  static Result<ChatTemplate> parse(std::string_view source, const ChatLimits& limits = {});
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // `usage` for raise_exception(): the template refuses these messages and says
  // why. `limit`: a bound was reached. `malformed`: the template does what its
  // values do not allow.
  Result<std::string> render(const ChatInput& input) const;

  // Whether the source mentions a variable, as a hint for what it understands
  // ("tools", "enable_thinking").
  bool uses(std::string_view variable) const;

 private:
  struct State;
  explicit ChatTemplate(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace vitrine
