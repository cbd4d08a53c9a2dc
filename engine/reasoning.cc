#include "engine/reasoning.h"

#include <algorithm>

#include "base/text.h"

namespace vitrine {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

size_t leading_space(std::string_view text) { return std::min(text.find_first_not_of(kSpace), text.size()); }

// The length of the longest end of `text` that could be the start of `tag`.
size_t open_end(std::string_view text, std::string_view tag) {
  for (size_t length = std::min(text.size(), tag.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == tag.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

bool prompt_opens_reasoning(std::string_view prompt, const ReasoningTags& tags) {
  return !tags.begin.empty() && trim(prompt).ends_with(tags.begin);
}

std::string_view without_reasoning(std::string_view content, const ReasoningTags& tags) {
  const size_t end = tags.end.empty() ? content.npos : content.rfind(tags.end);
  if (end == content.npos) return content;
  content.remove_prefix(end + tags.end.size());
  return content.substr(leading_space(content));
}

ReasoningSplitter::ReasoningSplitter(bool inside, ReasoningTags tags)
    : tags_(std::move(tags)), where_(inside ? Where::reasoning : Where::start), skip_space_(inside) {
  if (tags_.begin.empty() || tags_.end.empty()) where_ = Where::answer;
}

ReasoningSplitter::Piece ReasoningSplitter::push(std::string_view text) {
  Piece piece;
  held_.append(text);
  while (!held_.empty()) {
    if (skip_space_) {
      held_.erase(0, leading_space(held_));
      if (held_.empty()) break;
      skip_space_ = false;
    }
    if (where_ == Where::answer) {
      piece.answer += held_;
      held_.clear();
      break;
    }
    if (where_ == Where::start) {
      const size_t space = leading_space(held_);
      const std::string_view rest = std::string_view(held_).substr(space);
      if (rest.size() < tags_.begin.size() && tags_.begin.starts_with(rest)) break;  // may still become the tag
      if (rest.starts_with(tags_.begin)) {
        held_.erase(0, space + tags_.begin.size());
        where_ = Where::reasoning;
        skip_space_ = true;
      } else {
        where_ = Where::answer;
      }
      continue;
    }
    const size_t end = held_.find(tags_.end);
    // White space in front of the tag belongs to it; so does white space that
    // the tag may still follow.
    size_t certain = end != held_.npos ? end : held_.size() - open_end(held_, tags_.end);
    const size_t last = certain == 0 ? held_.npos : held_.find_last_not_of(kSpace, certain - 1);
    certain = last == held_.npos ? 0 : last + 1;
    piece.reasoning.append(held_, 0, certain);
    if (end == held_.npos) {
      held_.erase(0, certain);
      break;
    }
    held_.erase(0, end + tags_.end.size());
    where_ = Where::answer;
    skip_space_ = true;
  }
  return piece;
}

ReasoningSplitter::Piece ReasoningSplitter::finish() {
  Piece piece;
  const size_t last = held_.find_last_not_of(kSpace);
  if (where_ == Where::reasoning) {
    piece.reasoning = held_.substr(0, last == held_.npos ? 0 : last + 1);
  } else if (!skip_space_) {
    piece.answer = held_;
  }
  held_.clear();
  return piece;
}

}  // namespace vitrine
