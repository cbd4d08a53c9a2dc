// Bodies of the serving API: refused by name, or read; what was read is JSON that reads the same.
#include <cstdlib>

#include "serve/api/chat_request.h"
#include "serve/api/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  using namespace vitrine::serve;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr Result<ChatRequest> (*kReaders[])(std::string_view) = {read_openai_chat, read_openai_completion,
                                                                   read_ollama_chat, read_ollama_generate};
  const auto request = kReaders[data[0] % 4](body);
  if (!request) {
    if (request.error().message.empty()) std::abort();
    return 0;
  }
  if (!check(request->sampling)) std::abort();  // whatever is accepted the engine must take
  if (request->choices < 1 || request->choices > 16 || request->max_tokens < 0) std::abort();
  if (request->messages.is_none()) return 0;
  const std::string text = to_json(request->messages);
  const auto again = ChatValue::from_json(text);
  if (!again || to_json(*again) != text) std::abort();
  (void)with_argument_values(request->messages);
  return 0;
}
