// The JSON tokenizer: every token lies where it says, and what a document
// parser accepts is read to its end.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/json_tokenizer.h"

namespace {
void require(bool condition) {
  if (!condition) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  JsonTokenizer json(text, JsonTokenizer::kMaxDepth);
  JsonToken token;
  std::string scratch;
  uint64_t last_end = 0;
  uint32_t depth = 0;
  while (json.next(token)) {
    require(token.offset >= last_end && token.length > 0 && token.offset + token.length <= size);
    last_end = token.offset + token.length;
    if (token.raw.data() != nullptr && !token.raw.empty()) {
      require(token.raw.data() >= text.data() && token.raw.data() + token.raw.size() <= text.data() + size);
    }
    if (token.kind == JsonToken::Kind::key || token.kind == JsonToken::Kind::string) {
      const std::string_view value = unescaped(token, scratch);
      require(value.size() <= token.raw.size());
    }
    if (token.kind == JsonToken::Kind::begin_object || token.kind == JsonToken::Kind::begin_array) ++depth;
    if (token.kind == JsonToken::Kind::end_object || token.kind == JsonToken::Kind::end_array) --depth;
    require(depth == json.depth());
  }
  require(token.is_terminal() && token.offset <= size);
  if (token.kind == JsonToken::Kind::end) require(depth == 0);

  // skip() reaches the same end as reading token by token.
  JsonTokenizer skipping(text, JsonTokenizer::kMaxDepth);
  JsonToken first, last;
  if (skipping.next(first) && skipping.skip(last)) {
    skipping.next(last);
    require(last.kind == token.kind && last.offset == token.offset);
  }

  // To that parser a NUL is the end of the input.
  if (size <= 4096 && text.find('\0') == text.npos && token.kind != JsonToken::Kind::too_deep &&
      nlohmann::json::accept(text)) {
    require(token.kind == JsonToken::Kind::end && token.offset == size);
  }
  return 0;
}
