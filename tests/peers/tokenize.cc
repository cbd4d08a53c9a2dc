// Tokenizes strings for tests/peers/tokenizer_test.py.
//
//   tokenize TOKENIZER.json|MODEL.gguf < requests > answers
//
// Request: mode (u8: AddedTokens), length (u32, little-endian), bytes.
// Answer:  count (u32), ids (i32 each), length (u32), decoded bytes. A refusal
// is count 0xFFFFFFFF and its message in place of the decoded bytes.
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "engine/tokenizer.h"
#include "engine/tokenizer_gguf.h"
#include "engine/tokenizer_json.h"

namespace {

using namespace vitrine;

void put(uint32_t value) { std::fwrite(&value, sizeof value, 1, stdout); }

Result<Tokenizer> load(const std::string& path) {
  if (path.ends_with(".gguf")) {
    const auto model = GgufModel::open(path);
    if (!model) return tl::unexpected(model.error());
    auto data = read_tokenizer_gguf(*model);
    if (!data) return tl::unexpected(data.error());
    return Tokenizer::create(std::move(*data));
  }
  const auto text = read_file(path, uint64_t{256} << 20);
  if (!text) return tl::unexpected(text.error());
  auto data = read_tokenizer_json(*text);
  if (!data) return tl::unexpected(data.error());
  return Tokenizer::create(std::move(*data));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto tokenizer = load(argv[1]);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().to_string().c_str());
    return 1;
  }
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  ByteReader reader(as_bytes(input), false);
  while (!reader.empty()) {
    const auto mode = static_cast<AddedTokens>(reader.u8());
    const std::string_view text = as_text(reader.take(reader.u32()));
    const auto ids = tokenizer->encode(text, {.added = mode});
    const std::string decoded = ids ? tokenizer->decode(*ids) : ids.error().to_string();
    put(ids ? static_cast<uint32_t>(ids->size()) : ~uint32_t{0});
    if (ids) std::fwrite(ids->data(), sizeof(TokenId), ids->size(), stdout);
    put(static_cast<uint32_t>(decoded.size()));
    std::fwrite(decoded.data(), 1, decoded.size(), stdout);
  }
  return reader.failed() ? 1 : 0;
}
