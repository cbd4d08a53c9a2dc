// Separates what a reasoning model thinks from what it answers.
#pragma once

#include <string>
#include <string_view>

namespace vitrine {

struct ReasoningTags {
  std::string begin = "<think>";
  std::string end = "</think>";
};

// Whether `prompt` leaves the model inside its reasoning: templates such as the
// updated R1's end with "<think>\n", so that the answer holds only "</think>".
bool prompt_opens_reasoning(std::string_view prompt, const ReasoningTags& tags = {});

// Splits a stream. What push() and finish() return is final: text that may still
// turn out to be a tag is held back. Tags are dropped; so is the white space that
// stands around them (after <think>, around </think>).
class ReasoningSplitter {
 public:
  struct Piece {
    std::string reasoning, answer;
  };
  // `inside`: the prompt opened the reasoning (prompt_opens_reasoning()).
  // A begin tag counts only at the start of the text, before anything but white space.
  explicit ReasoningSplitter(bool inside, ReasoningTags tags = {});

  Piece push(std::string_view text);
  Piece finish();

 private:
  enum class Where { start, reasoning, answer };
  ReasoningTags tags_;
  Where where_;
  bool skip_space_;  // white space here belongs to a tag
  std::string held_;
};

// What goes back into the history: `content` without the reasoning in front.
// Text without an end tag is returned as it is.
std::string_view without_reasoning(std::string_view content, const ReasoningTags& tags = {});

}  // namespace vitrine
