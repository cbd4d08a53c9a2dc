// What any of the APIs asks for, checked and in one form.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/chat_value.h"
#include "engine/sampler.h"

namespace vitrine::serve {

struct Tool {
  std::string name;
  std::string parameters;  // JSON Schema as text; empty: any object
};

struct ChatRequest {
  enum class ToolChoice : uint8_t { none, automatic, required, named };
  enum class Format : uint8_t { text, json_object, json_schema };

  std::string model;  // as the client spelled it

  // One of the two: a conversation, or texts to continue as they are, each for itself, control tokens read as such.
  ChatValue messages;              // a list, as chat templates take it
  std::vector<std::string> texts;  // completions with a list of prompts have several
  bool echo = false;               // completions: each answer begins with its prompt

  ChatValue tools;  // as the client sent them, for the template; none without
  std::vector<Tool> tool_list;
  ToolChoice tool_choice = ToolChoice::automatic;
  std::string tool_name;  // named
  bool parallel_calls = true;
  ChatMap template_variables;  // enable_thinking, …

  SamplingParameters sampling;   // its seed is set when the request runs
  std::optional<uint64_t> seed;  // choice i gets seed + i; without, a random one
  int64_t max_tokens = 0;        // 0: what the context holds
  std::vector<std::string> stop;
  int64_t choices = 1;  // of the conversation, or of each text: answer i of text t has index t * choices + i
  Format format = Format::text;
  std::string schema;  // json_schema

  bool stream = false;
  bool include_usage = false;  // a last chunk with the counts (OpenAI)
  bool split_reasoning = true;

  size_t answers() const { return std::max<size_t>(texts.size(), 1) * static_cast<size_t>(choices); }
};

// Bodies of POST /v1/chat/completions and /v1/completions. Errors are usage (400), naming the
// parameter in `where`; unsupported for what no local model can do (images, audio).
Result<ChatRequest> read_openai_chat(std::string_view body);
Result<ChatRequest> read_openai_completion(std::string_view body);

// Bodies of POST /api/chat and /api/generate.
Result<ChatRequest> read_ollama_chat(std::string_view body);
Result<ChatRequest> read_ollama_generate(std::string_view body);

}  // namespace vitrine::serve
