// An answer that may hold calls of tools: how it was cut must not show, and no text is lost.
#include <algorithm>
#include <cstdlib>

#include "serve/api/tool_style.h"

namespace {

using namespace vitrine::serve;

struct Parsed {
  std::string text, calls;
  bool operator==(const Parsed&) const = default;
};

Parsed parse(ToolStyle style, std::string_view answer, size_t cut, size_t step) {
  ToolCallParser parser(style, {"f", "g"});
  Parsed out;
  const auto take = [&](const ToolCallParser::Piece& piece) {
    out.text += piece.text;
    for (const ToolCall& call : piece.calls) out.calls += call.name + " " + call.arguments + "\n";
  };
  take(parser.push(answer.substr(0, cut)));
  for (size_t at = cut; at < answer.size(); at += step) take(parser.push(answer.substr(at, step)));
  take(parser.finish());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto style = static_cast<ToolStyle>(data[0] % 4);
  const std::string_view answer(reinterpret_cast<const char*>(data) + 2, std::min<size_t>(size - 2, 4096));
  const Parsed whole = parse(style, answer, answer.size(), 1);
  if (parse(style, answer, std::min<size_t>(data[1], answer.size()), answer.size() + 1) != whole) std::abort();
  if (parse(style, answer, 0, 1) != whole) std::abort();
  if (whole.calls.empty() && whole.text != answer) std::abort();
  return 0;
}
