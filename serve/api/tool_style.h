// How a model family spells calls of tools, in its prompt's template and in its answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/chat_request.h"

namespace vitrine::serve {

enum class ToolStyle : uint8_t {
  hermes,    // <tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>: Qwen 2.5 and 3, Hermes
  deepseek,  // <｜tool▁calls▁begin｜>…: V3, R1 (the fenced form)
  mistral,   // [TOOL_CALLS] [{"name": …, "arguments": {…}}]
  llama,     // {"name": …, "parameters": {…}}: Llama 3.1
};

// By what the template's source says; nothing when it knows no tools.
std::optional<ToolStyle> find_tool_style(std::string_view template_source);

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON of an object
};

// Splits an answer into text and calls while it grows. Text that may be the
// beginning of a call is held back; a call is given when it is complete. What
// turns out to be none (no JSON, an unknown tool) is text after all.
class ToolCallParser {
 public:
  struct Piece {
    std::string text;
    std::vector<ToolCall> calls;
  };
  // `names`: of the tools that were offered.
  ToolCallParser(ToolStyle style, std::vector<std::string> names);

  Piece push(std::string_view text);
  Piece finish();

 private:
  bool take_calls(std::string_view block, std::vector<ToolCall>& calls) const;
  Piece advance(bool end);

  ToolStyle style_;
  std::vector<std::string> names_;
  std::string held_;
  std::string space_;  // not given yet
  bool inside_ = false;
  bool after_call_ = false;  // nothing but white space since
  bool answered_ = false;    // text other than white space came before: llama's calls only begin an answer
};

// The texts around the arguments, for an answer that must be a call (engine/grammar.h).
struct CallSpelling {
  std::string begin, before, after, separator, end;  // `before` holds the name
};
CallSpelling spell_call(ToolStyle style, std::string_view name);

}  // namespace vitrine::serve
