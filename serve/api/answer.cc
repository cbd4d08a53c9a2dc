#include "serve/api/answer.h"

namespace vitrine::serve {

Answer::Answer(Options options) : options_(std::move(options)), splitter_(options_.inside_reasoning) {
  if (options_.tools) parser_.emplace(*options_.tools, options_.tool_names);
}

void Answer::take(Delta& delta, ToolCallParser::Piece piece) {
  delta.content += piece.text;
  for (ToolCall& call : piece.calls) {
    if (calls_ > 0 && !options_.parallel_calls) continue;
    delta.calls.push_back(std::move(call));
    ++calls_;
  }
}

Delta Answer::push(const SequenceOutput& output) {
  Delta delta;
  const bool last = output.finished.has_value();
  ReasoningSplitter::Piece piece;
  if (options_.split_reasoning) {
    piece = splitter_.push(output.text);
    if (last) {
      ReasoningSplitter::Piece rest = splitter_.finish();
      piece.reasoning += rest.reasoning;
      piece.answer += rest.answer;
    }
  } else {
    piece.answer = output.text;
  }
  delta.reasoning = std::move(piece.reasoning);
  if (!delta.reasoning.empty()) reasoning_tokens_ += static_cast<int64_t>(output.tokens.size());
  if (parser_) {
    take(delta, parser_->push(piece.answer));
    if (last) take(delta, parser_->finish());
  } else {
    delta.content = std::move(piece.answer);
  }
  if (options_.logprobs) delta.tokens = output.tokens;
  if (last) {
    delta.finish =
        calls_ > 0 && *output.finished == FinishReason::stop ? "tool_calls" : finish_reason_name(*output.finished);
  }
  return delta;
}

}  // namespace vitrine::serve
