// One choice of an answer while it grows: tokens in, what a client is told out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/reasoning.h"
#include "serve/api/tool_style.h"

namespace vitrine::serve {

// What one step added.
struct Delta {
  std::string reasoning, content;
  std::vector<ToolCall> calls;
  std::vector<Sampled> tokens;        // with logprobs, when asked for
  std::optional<std::string> finish;  // "stop", "length", "tool_calls"; "cancelled"
  bool empty() const { return reasoning.empty() && content.empty() && calls.empty() && tokens.empty() && !finish; }
};

class Answer {
 public:
  struct Options {
    bool split_reasoning = true;
    bool inside_reasoning = false;  // the prompt opened it
    std::optional<ToolStyle> tools;
    std::vector<std::string> tool_names;
    bool parallel_calls = true;  // false: only the first call counts
    bool logprobs = false;
  };
  explicit Answer(Options options);

  Delta push(const SequenceOutput& output);
  int64_t reasoning_tokens() const { return reasoning_tokens_; }
  int64_t calls() const { return calls_; }

 private:
  void take(Delta& delta, ToolCallParser::Piece piece);

  Options options_;
  ReasoningSplitter splitter_;
  std::optional<ToolCallParser> parser_;
  int64_t reasoning_tokens_ = 0;
  int64_t calls_ = 0;
};

}  // namespace vitrine::serve
