#include "serve/api/tool_style.h"

#include <algorithm>

#include "base/json_writer.h"
#include "base/text.h"

namespace vitrine::serve {
namespace {

struct Marks {
  std::string_view begin, end;  // end empty: the answer's end
};

Marks marks_of(ToolStyle style) {
  switch (style) {
    case ToolStyle::hermes: return {"<tool_call>", "</tool_call>"};
    case ToolStyle::deepseek: return {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"};
    case ToolStyle::mistral: return {"[TOOL_CALLS]", ""};
    case ToolStyle::llama: return {"{", ""};
  }
  return {};
}

// How many bytes at the end of `text` may begin `mark`.
size_t partial_match(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

bool blank(std::string_view text) { return trim(text).empty(); }

std::string quoted(std::string_view name) {
  std::string out;
  append_json_string(out, name);
  return out;
}

}  // namespace

std::optional<ToolStyle> find_tool_style(std::string_view source) {
  const auto has = [&](std::string_view word) { return source.find(word) != source.npos; };
  if (!has("tools") && !has("tool_calls")) return std::nullopt;
  if (has("<｜tool▁calls▁begin｜>")) return ToolStyle::deepseek;
  if (has("<tool_call>")) return ToolStyle::hermes;
  if (has("[TOOL_CALLS]")) return ToolStyle::mistral;
  if (has("\"parameters\": ") && has("\"name\": ")) return ToolStyle::llama;
  return std::nullopt;
}

ToolCallParser::ToolCallParser(ToolStyle style, std::vector<std::string> names)
    : style_(style), names_(std::move(names)) {}

ToolCallParser::Piece ToolCallParser::push(std::string_view text) {
  held_.append(text);
  return advance(false);
}

ToolCallParser::Piece ToolCallParser::finish() { return advance(true); }

ToolCallParser::Piece ToolCallParser::advance(bool end) {
  const Marks marks = marks_of(style_);
  Piece out;
  // White space is given with what stands behind it: around calls it is theirs.
  const auto emit = [&](std::string_view text) {
    const size_t solid = text.find_last_not_of(" \t\r\n") + 1;
    if (solid > 0) {
      out.text.append(space_).append(text.substr(0, solid));
      space_.clear();
      answered_ = true;
      after_call_ = false;
    }
    space_.append(text.substr(solid));
  };
  for (;;) {
    if (!inside_) {
      size_t begin = held_.find(marks.begin);
      if (style_ == ToolStyle::llama && (answered_ || (begin != held_.npos && !blank(held_.substr(0, begin))))) {
        begin = held_.npos;  // braces within an answer
        emit(held_);
        held_.clear();
      }
      if (begin == held_.npos) {
        const size_t keep = end ? 0 : partial_match(held_, marks.begin);
        emit(std::string_view(held_).substr(0, held_.size() - keep));
        held_.erase(0, held_.size() - keep);
        if (end && !after_call_) out.text += std::exchange(space_, {});
        return out;
      }
      emit(std::string_view(held_).substr(0, begin));
      held_.erase(0, begin);
      inside_ = true;
    }
    const size_t close = marks.end.empty() ? held_.npos : held_.find(marks.end, marks.begin.size());
    if (close == held_.npos && !end) return out;
    const size_t length = close == held_.npos ? held_.size() : close + marks.end.size();
    const std::string block = held_.substr(0, length);
    held_.erase(0, length);
    inside_ = false;
    if (take_calls(block, out.calls)) {
      space_.clear();
      after_call_ = true;
    } else {
      emit(block);
    }
  }
}

// All calls of a block, or none.
bool ToolCallParser::take_calls(std::string_view block, std::vector<ToolCall>& calls) const {
  const Marks marks = marks_of(style_);
  const auto known = [&](std::string_view name) {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  };
  std::vector<ToolCall> found;
  const auto take = [&](const ChatValue& call) {
    const ChatValue* name = call.find("name");
    const ChatValue* arguments = call.find("arguments");
    if (arguments == nullptr) arguments = call.find("parameters");
    if (name == nullptr || name->as_string() == nullptr || !known(*name->as_string())) return false;
    if (arguments != nullptr && arguments->as_map() == nullptr) return false;
    found.push_back({*name->as_string(), arguments != nullptr ? to_json(*arguments) : "{}"});
    return true;
  };
  const auto read = [&](std::string_view text) { return ChatValue::from_json(trim(text)); };
  if (style_ == ToolStyle::deepseek) {
    // <｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nARGS\n```<｜tool▁call▁end｜>; V3.1 has neither type nor
    // fence.
    constexpr std::string_view kBegin = "<｜tool▁call▁begin｜>", kSeparator = "<｜tool▁sep｜>",
                               kEnd = "<｜tool▁call▁end｜>";
    for (size_t at = block.find(kBegin); at != block.npos; at = block.find(kBegin, at + 1)) {
      const size_t begin = at + kBegin.size();
      const size_t close = std::min(block.find(kEnd, begin), block.size());
      const std::string_view call = block.substr(begin, close - begin);
      const size_t split = call.find(kSeparator);
      if (split == call.npos) return false;
      std::string_view name = call.substr(0, split), rest = call.substr(split + kSeparator.size());
      if (const size_t fence = rest.find("```json"); fence != rest.npos) {
        name = trim(rest.substr(0, fence));
        rest = rest.substr(fence + 7);
        rest = rest.substr(0, rest.rfind("```"));
      }
      const auto arguments = read(rest);
      if (!known(trim(name)) || !arguments || arguments->as_map() == nullptr) return false;
      found.push_back({std::string(trim(name)), to_json(*arguments)});
    }
  } else {
    std::string_view text = block;
    if (style_ != ToolStyle::llama) text.remove_prefix(marks.begin.size());
    if (!marks.end.empty() && text.ends_with(marks.end)) text.remove_suffix(marks.end.size());
    const auto value = read(text);
    if (!value) return false;
    const ChatList one = {*value};
    for (const ChatValue& call : value->as_list() != nullptr ? *value->as_list() : one) {
      if (!take(call)) return false;
    }
  }
  calls.insert(calls.end(), found.begin(), found.end());
  return !found.empty();
}

CallSpelling spell_call(ToolStyle style, std::string_view name) {
  switch (style) {
    case ToolStyle::hermes:
      return {"", "<tool_call>\n{\"name\": " + quoted(name) + ", \"arguments\": ", "}\n</tool_call>", "\n", ""};
    case ToolStyle::deepseek:
      return {"<｜tool▁calls▁begin｜>",
              "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" + std::string(name) + "\n```json\n",
              "\n```<｜tool▁call▁end｜>", "\n", "<｜tool▁calls▁end｜>"};
    case ToolStyle::mistral:
      return {"[TOOL_CALLS] [", "{\"name\": " + quoted(name) + ", \"arguments\": ", "}", ", ", "]"};
    case ToolStyle::llama: return {"", "{\"name\": " + quoted(name) + ", \"parameters\": ", "}", "", ""};
  }
  return {};
}

}  // namespace vitrine::serve
