#include "serve/api/messages.h"

#include <fmt/format.h>

#include "base/text.h"
#include "serve/api/members.h"

namespace vitrine::serve {
namespace {

constexpr size_t kMaxMessages = 10'000, kMaxTools = 512;

Result<std::string> content_text(const ChatValue& content, const std::string& where) {
  if (content.is_none()) return std::string();
  if (const auto* text = content.as_string()) return *text;
  const ChatList* parts = content.as_list();
  if (parts == nullptr) return fail(ErrorCode::usage, "must be a string or a list of parts", where);
  std::string text;
  for (size_t i = 0; i < parts->size(); ++i) {
    Members part((*parts)[i], fmt::format("{}[{}]", where, i));
    const auto type = part.text("type");
    if (type && *type != "text" && *type != "input_text" && *type != "refusal") {
      part.refuse("type", printable(*type) + " is not supported: text is all that this server reads",
                  ErrorCode::unsupported);
    }
    const auto piece = part.text(type && *type == "refusal" ? "refusal" : "text");
    if (!piece) part.refuse("text", "is missing");
    if (part.failed()) return part.error();
    text += *piece;
  }
  return text;
}

Result<ChatValue> read_calls(const ChatValue& calls, const std::string& where) {
  ChatList out;
  for (size_t i = 0; i < calls.as_list()->size(); ++i) {
    Members call((*calls.as_list())[i], fmt::format("{}[{}]", where, i));
    const auto id = call.text("id");
    if (const auto type = call.text("type"); type && *type != "function") call.refuse("type", "must be \"function\"");
    const ChatValue* function = call.object("function");
    if (function == nullptr) call.refuse("function", "is missing");
    if (call.failed()) return call.error();
    Members members(*function, call.place("function"));
    const auto name = members.text("name");
    if (!name) members.refuse("name", "is missing");
    const ChatValue* arguments = members.any("arguments");  // Ollama's clients send the object itself
    if (members.failed()) return members.error();
    ChatMap made;
    if (id) made.emplace_back("id", *id);
    made.emplace_back("type", "function");
    made.emplace_back("function",
                      ChatMap{{"name", *name}, {"arguments", arguments != nullptr ? *arguments : ChatValue("{}")}});
    out.push_back(std::move(made));
  }
  return ChatValue(std::move(out));
}

Result<ChatValue> read_message(const ChatValue& value, const std::string& where) {
  Members members(value, where);
  auto role = members.text("role");
  if (!role) members.refuse("role", "is missing");
  const ChatValue* content = members.any("content");
  const auto name = members.text("name");
  const auto call_id = members.text("tool_call_id");
  auto reasoning = members.text("reasoning_content");
  if (!reasoning) reasoning = members.text("thinking");  // Ollama
  const ChatValue* calls = members.list("tool_calls");
  if (const ChatValue* images = members.list("images"); images != nullptr && !images->as_list()->empty()) {
    members.refuse("images", "are not supported: text is all that this server reads", ErrorCode::unsupported);
  }
  const auto tool_name = members.text("tool_name");  // Ollama
  members.ignore({"refusal", "annotations", "audio", "function_call", "prefix"});
  members.refuse_others();
  if (members.failed()) return members.error();
  if (*role == "developer") role = "system";
  if (*role != "system" && *role != "user" && *role != "assistant" && *role != "tool") {
    return fail(ErrorCode::usage,
                "the role " + printable(*role) + " is none of system, developer, user, assistant, tool",
                members.place("role"));
  }
  ChatMap message;
  message.emplace_back("role", *role);
  auto text = content_text(content != nullptr ? *content : ChatValue(), members.place("content"));
  if (!text) return tl::make_unexpected(text.error());
  message.emplace_back("content", std::move(*text));
  if (name) message.emplace_back("name", *name);
  if (tool_name) message.emplace_back("name", *tool_name);
  if (call_id) message.emplace_back("tool_call_id", *call_id);
  if (reasoning) message.emplace_back("reasoning_content", *reasoning);
  if (calls != nullptr && !calls->as_list()->empty()) {
    auto made = read_calls(*calls, members.place("tool_calls"));
    if (!made) return made;
    message.emplace_back("tool_calls", std::move(*made));
  }
  return ChatValue(std::move(message));
}

ChatValue map_arguments(const ChatValue& value, bool inside_function) {
  if (const auto* list = value.as_list()) {
    ChatList out;
    for (const ChatValue& item : *list) out.push_back(map_arguments(item, false));
    return out;
  }
  const ChatMap* map = value.as_map();
  if (map == nullptr) return value;
  ChatMap out;
  for (const auto& [key, member] : *map) {
    if (inside_function && key == "arguments" && member.as_string() != nullptr) {
      auto read = ChatValue::from_json(*member.as_string());
      out.emplace_back(key, read ? std::move(*read) : member);
    } else if (key == "tool_calls" || key == "function") {
      out.emplace_back(key, map_arguments(member, key == "function"));
    } else {
      out.emplace_back(key, member);
    }
  }
  return out;
}

}  // namespace

Result<ChatValue> read_messages(const ChatValue& list) {
  const ChatList& items = *list.as_list();
  if (items.empty()) return fail(ErrorCode::usage, "must hold at least one message", "messages");
  if (items.size() > kMaxMessages) return fail(ErrorCode::usage, "holds more than 10,000 messages", "messages");
  ChatList out;
  for (size_t i = 0; i < items.size(); ++i) {
    auto message = read_message(items[i], fmt::format("messages[{}]", i));
    if (!message) return message;
    out.push_back(std::move(*message));
  }
  return ChatValue(std::move(out));
}

Status read_tools(const ChatValue& list, ChatRequest& request) {
  const ChatList& items = *list.as_list();
  if (items.empty()) return {};
  if (items.size() > kMaxTools) return fail(ErrorCode::usage, "holds more than 512 tools", "tools");
  for (size_t i = 0; i < items.size(); ++i) {
    Members tool(items[i], fmt::format("tools[{}]", i));
    if (const auto type = tool.text("type"); type && *type != "function") {
      tool.refuse("type", printable(*type) + ": only functions can be called", ErrorCode::unsupported);
    }
    const ChatValue* function = tool.object("function");
    if (function == nullptr) tool.refuse("function", "is missing");
    if (tool.failed()) return tool.error();
    Members members(*function, tool.place("function"));
    const auto name = members.text("name");
    if (!name || name->empty() || name->size() > 128) members.refuse("name", "must have 1 to 128 characters");
    const ChatValue* parameters = members.object("parameters");
    members.text("description");
    members.flag("strict");
    if (members.failed()) return members.error();
    request.tool_list.push_back({*name, parameters != nullptr ? to_json(*parameters) : std::string()});
  }
  request.tools = list;
  return {};
}

ChatValue with_argument_values(const ChatValue& messages) {
  ChatList out;
  for (const ChatValue& message : *messages.as_list()) out.push_back(map_arguments(message, false));
  return out;
}

}  // namespace vitrine::serve
