// Renders chat templates for tests/peers/chat_template_test.py.
//
//   render_template < requests > answers
//
// Request: length (u32, little-endian) and a JSON object {"template": source,
// "input": {variables}, "now": seconds}. Answer: status (u8: 0 rendered, 1 the template
// refuses, 2 not supported, 3 any other error), length (u32), text.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/bytes.h"
#include "engine/chat_template.h"

namespace {

using namespace vitrine;

Result<std::string> answer(std::string_view request) {
  const auto json = ChatValue::from_json(request);
  if (!json) return tl::unexpected(json.error());
  const ChatValue* const source = json->find("template");
  const ChatValue* const variables = json->find("input");
  if (source == nullptr || source->as_string() == nullptr || variables == nullptr || variables->as_map() == nullptr) {
    return fail(ErrorCode::internal, "not a request");
  }
  const auto chat = ChatTemplate::parse(*source->as_string());
  if (!chat) return tl::unexpected(chat.error());
  ChatInput input;
  for (const auto& [name, value] : *variables->as_map()) {
    if (name == "messages") {
      input.messages = value;
    } else if (name == "tools") {
      input.tools = value;
    } else {
      input.extra.emplace_back(name, value);
    }
  }
  if (const ChatValue* now = json->find("now"); now != nullptr && now->as_integer() != nullptr)
    input.now = *now->as_integer();
  return chat->render(input);
}

}  // namespace

int main() {
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  ByteReader reader(as_bytes(input), false);
  while (!reader.empty()) {
    const auto rendered = answer(as_text(reader.take(reader.u32())));
    const std::string text = rendered ? *rendered : rendered.error().to_string();
    uint8_t status = 0;
    if (!rendered) {
      status = rendered.error().code == ErrorCode::usage ? 1 : rendered.error().code == ErrorCode::unsupported ? 2 : 3;
    }
    const auto length = static_cast<uint32_t>(text.size());
    std::fwrite(&status, 1, 1, stdout);
    std::fwrite(&length, sizeof length, 1, stdout);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  return reader.failed() ? 1 : 0;
}
