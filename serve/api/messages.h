// Messages of the APIs -> what chat templates take.
#pragma once

#include "base/result.h"
#include "engine/chat_value.h"
#include "serve/api/chat_request.h"

namespace vitrine::serve {

// OpenAI's list: roles system, developer (as system), user, assistant, tool; content a
// string or a list of text parts; tool_calls, tool_call_id, name; DeepSeek's reasoning_content.
// Unknown roles and parts that are no text are refused by name.
Result<ChatValue> read_messages(const ChatValue& list);

// OpenAI's list of tools, into request.tools and request.tool_list.
Status read_tools(const ChatValue& list, ChatRequest& request);

// Arguments of earlier calls are JSON in a string (OpenAI). Most templates want the value
// itself; some join strings. The same messages with the values in place of the strings.
ChatValue with_argument_values(const ChatValue& messages);

}  // namespace vitrine::serve
