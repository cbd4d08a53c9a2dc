// Schemas from a stranger, then random answers by them: compiling ends within its bounds, errors are of the
// stated kinds, and an answer never comes to where nothing may follow and it may not end.
//
// Input: "schema" NUL "choices". Each byte of the choices picks one of the bytes that may come next.
#include <cstdlib>

#include "engine/grammar_matcher.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(text.find('\0'), text.size());
  const std::string_view schema = text.substr(0, end);
  GrammarOptions options;
  options.nodes = 2000;
  options.states = 20'000;
  options.steps = 300'000;
  for (const bool open : {false, true}) {
    options.open = open;
    options.document_depth = open ? 64 : 5;
    const auto grammar = compile_json_schema(schema, options);
    if (!grammar) {
      if (grammar.error().code == ErrorCode::internal || grammar.error().code == ErrorCode::unreadable) std::abort();
      if (grammar.error().message.empty()) std::abort();
      continue;
    }
    GrammarMatcher matcher(*grammar);
    std::string answer;
    const std::string_view choices = text.substr(std::min(end + 1, text.size())).substr(0, 256);
    for (const char choice : choices) {
      LevelArena arena;
      uint8_t possible[256];
      size_t count = 0;
      for (int byte = 0; byte < 256; ++byte) {
        const LevelArena::Mark mark = arena.mark();
        if (matcher.stepper().step(matcher.top(), static_cast<uint8_t>(byte), arena) != nullptr) {
          possible[count++] = static_cast<uint8_t>(byte);
        }
        arena.rewind(mark);
      }
      if (count == 0) {
        if (!matcher.may_end()) std::abort();
        break;
      }
      const char next = static_cast<char>(possible[static_cast<uint8_t>(choice) % count]);
      if (!matcher.accept({&next, 1})) std::abort();
      answer.push_back(next);
    }
    if (matches(**grammar, answer) != matcher.may_end()) std::abort();
  }
  return 0;
}
