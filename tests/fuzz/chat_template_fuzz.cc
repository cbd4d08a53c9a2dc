// A template from a stranger: parsing and rendering end within their bounds,
// and the same input renders the same text.
#include <cstdlib>

#include "engine/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  ChatLimits limits;
  limits.source_bytes = 1 << 16;
  limits.steps = 200'000;
  limits.output_bytes = 1 << 20;
  const auto chat = ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, limits);
  if (!chat) return 0;
  static const ChatValue values = *ChatValue::from_json(R"({
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "<b>가 'x' \"y\""},
                 {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": [1, 2.5, null]}}}]},
                 {"role": "tool", "content": "r"}, {"role": "user", "content": [{"type": "text", "text": "part"}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]})");
  ChatInput input;
  input.messages = *values.find("messages");
  input.tools = *values.find("tools");
  input.bos_token = "<s>";
  input.now = 1'700'000'000;
  const auto first = chat->render(input);
  if (first && first->size() > limits.output_bytes) std::abort();
  const auto second = chat->render(input);
  if (first.has_value() != second.has_value() || (first && *first != *second)) std::abort();
  return 0;
}
