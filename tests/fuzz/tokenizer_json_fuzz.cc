// tokenizer.json from a stranger: whatever it says, reading it, making a
// tokenizer and using that ends in bounded time and memory, with ids in range.
#include <cstdlib>

#include "engine/tokenizer.h"
#include "engine/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)config_chat_template(text);
  auto read = read_tokenizer_json(text);
  if (!read) return 0;
  (void)apply_tokenizer_config(text, *read);
  const auto tokenizer = Tokenizer::create(std::move(*read));
  if (!tokenizer) return 0;
  constexpr std::string_view kSample = "Hello  world 123\n\tab<s>\xFF 가나 <x>";
  for (const AddedTokens added : {AddedTokens::none, AddedTokens::not_special, AddedTokens::all}) {
    const auto ids = tokenizer->encode(kSample, {.added = added, .add_bos = true});
    if (!ids) continue;
    for (const TokenId id : *ids) {
      if (id < 0 || static_cast<size_t>(id) >= tokenizer->size()) std::abort();
    }
    (void)tokenizer->decode(*ids, true);
  }
  return 0;
}
