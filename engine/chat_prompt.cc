#include "engine/chat_prompt.h"

#include <utility>

#include "engine/unicode.h"

namespace vitrine {
namespace {

// U+FDD0: never a character of any text (Unicode 15, 23.7), but well-formed UTF-8.
constexpr std::string_view kMark = "\xEF\xB7\x90";
constexpr uint32_t kMaxNesting = 128;

// Which spelled tokens are marked.
class Marker {
 public:
  Marker(const Tokenizer& tokenizer, Tokenizer::Spelled which, const ReasoningTags& tags)
      : tokenizer_(tokenizer), which_(which), tags_(tags) {}

  bool marked_any() const { return marked_; }

  ChatValue mark(const ChatValue& value, uint32_t level = 0) {
    if (level > kMaxNesting) return value;  // rendering refuses it
    if (const auto* text = value.as_string()) return ChatValue(marked(*text));
    if (const auto* list = value.as_list()) {
      ChatList out;
      for (const ChatValue& item : *list) out.push_back(mark(item, level + 1));
      return out;
    }
    if (const auto* map = value.as_map()) {
      // Reasoning in what the model said before is the template's to find.
      const ChatValue* const role = value.find("role");
      const bool before = std::exchange(keep_tags_, keep_tags_ || (role != nullptr && role->as_string() != nullptr &&
                                                                   *role->as_string() == "assistant"));
      ChatMap out;
      for (const auto& [key, member] : *map)
        out.emplace_back(marked(key), key == "role" ? member : mark(member, level + 1));
      keep_tags_ = before;
      return out;
    }
    return value;
  }

 private:
  std::string marked(const std::string& raw) {
    std::string scratch, out;
    const std::string_view text = well_formed(raw, scratch);
    size_t done = 0;
    const bool has_mark = text.find(kMark) != text.npos;
    const auto copy = [&](size_t end) {
      if (!has_mark) {
        out.append(text.substr(done, end - done));
      } else {  // what is ours alone from here on
        for (size_t at = done; at < end;) {
          const size_t length = utf8_step(text, at).length;
          out.append(text.substr(at, length) == kMark ? kReplacement : text.substr(at, length));
          at += length;
        }
      }
      done = end;
    };
    for (const TextRange& found : tokenizer_.find_added(text, which_)) {
      const std::string_view token = text.substr(found.begin, found.end - found.begin);
      if (keep_tags_ && (token == tags_.begin || token == tags_.end)) continue;
      copy(found.begin);
      for (size_t at = found.begin; at < found.end;) {
        const size_t length = utf8_step(text, at).length;
        if (at != found.begin) out.append(kMark);
        out.append(text.substr(at, length));
        at += length;
      }
      if (token.size() == utf8_step(token, 0).length) out.append(kMark);  // a token of one character
      done = found.end;
      marked_ = true;
    }
    if (done == 0 && !has_mark) return std::string(text);
    copy(text.size());
    return out;
  }

  const Tokenizer& tokenizer_;
  Tokenizer::Spelled which_;
  const ReasoningTags& tags_;
  bool marked_ = false;
  bool keep_tags_ = false;
};

// Takes the marks out and notes the characters they stood between.
ChatPrompt unmarked(std::string_view text) {
  ChatPrompt prompt;
  size_t last = 0;  // start of the last character in prompt.text
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_step(text, at).length;
    const std::string_view character = text.substr(at, length);
    at += length;
    if (character != kMark) {
      last = prompt.text.size();
      prompt.text.append(character);
      continue;
    }
    // From the character in front to the one behind, which may be marked in turn.
    const size_t behind = at < text.size() && text.substr(at, kMark.size()) != kMark ? utf8_step(text, at).length : 0;
    const TextRange range{last, prompt.text.size() + behind};
    if (!prompt.literal.empty() && prompt.literal.back().end > range.begin) {
      prompt.literal.back().end = range.end;
    } else if (range.begin < range.end) {
      prompt.literal.push_back(range);
    }
  }
  return prompt;
}

Result<ChatPrompt> render_marked(const ChatTemplate& chat, const ChatInput& input, Marker marker, bool& any) {
  ChatInput marked = input;
  marked.messages = marker.mark(input.messages);
  marked.tools = marker.mark(input.tools);
  const ChatValue extra = marker.mark(ChatValue(input.extra));
  marked.extra = *extra.as_map();
  any = marker.marked_any();
  const auto text = chat.render(marked);
  if (!text) return tl::unexpected(text.error());
  return unmarked(*text);
}

}  // namespace

Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer, const ChatInput& input,
                                    const ReasoningTags& tags) {
  bool any = false;
  auto prompt = render_marked(chat, input, Marker(tokenizer, Tokenizer::Spelled::all, tags), any);
  if (any) {
    // A template may look at such places itself ("starts with <tool_response>").
    // When marks change what it renders, only control tokens stay marked.
    const auto plain = chat.render(input);
    if (!prompt || !plain || prompt->text != *plain) {
      prompt = render_marked(chat, input, Marker(tokenizer, Tokenizer::Spelled::special, tags), any);
    }
  }
  if (!prompt) return prompt;
  auto ids = tokenizer.encode(prompt->text,
                              {.added = AddedTokens::all, .literal = prompt->literal, .add_bos = tokenizer.add_bos()});
  if (!ids) return tl::unexpected(ids.error());
  prompt->ids = std::move(*ids);
  prompt->opens_reasoning = prompt_opens_reasoning(prompt->text, tags);
  return prompt;
}

}  // namespace vitrine
