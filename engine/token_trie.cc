#include "engine/token_trie.h"

#include <algorithm>

#include "engine/byte_dfa.h"

namespace vitrine {

TokenTrie::TokenTrie(std::vector<TokenId> tokens, const Tokenizer& tokenizer) : ids_(std::move(tokens)) {
  std::erase_if(ids_, [&](TokenId id) { return tokenizer.bytes(id).empty(); });
  std::sort(ids_.begin(), ids_.end(), [&](TokenId a, TokenId b) {
    const int order = tokenizer.bytes(a).compare(tokenizer.bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<uint32_t> path;  // nodes of the last token's bytes
  std::string_view last;
  for (uint32_t index = 0; index < ids_.size(); ++index) {
    const std::string_view bytes = tokenizer.bytes(ids_[index]);
    const auto common = static_cast<size_t>(
        std::mismatch(last.begin(), last.begin() + std::min(last.size(), bytes.size()), bytes.begin()).first -
        last.begin());
    for (; path.size() > common; path.pop_back()) nodes_[path.back()].skip = static_cast<uint32_t>(nodes_.size());
    for (size_t at = common; at < bytes.size(); ++at) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({static_cast<uint8_t>(bytes[at]), static_cast<uint32_t>(at + 1), 0, index, index});
    }
    nodes_[path.back()].last = index + 1;
    last = bytes;
  }
  for (const uint32_t node : path) nodes_[node].skip = static_cast<uint32_t>(nodes_.size());
}

Vocabulary::Vocabulary(const Tokenizer& tokenizer) : size(tokenizer.size()) {
  plain.assign((size + 63) / 64, 0);
  plain_length.assign(size, 0);
  std::vector<TokenId> texts, with_quotes;
  for (TokenId id = 0; id < static_cast<TokenId>(size); ++id) {
    if (tokenizer.ends_generation(id)) ends.push_back(id);
    const std::string_view bytes = tokenizer.bytes(id);
    if (bytes.empty()) continue;
    if (tokenizer.is_special(id)) {
      if (!tokenizer.ends_generation(id)) controls.push_back(id);
      continue;
    }
    texts.push_back(id);
    longest = std::max(longest, static_cast<uint32_t>(bytes.size()));
    const auto count = [&](char a, char b) {
      return static_cast<uint32_t>(std::count_if(bytes.begin(), bytes.end(), [=](char c) { return c == a || c == b; }));
    };
    most_closed = std::max(most_closed, count('}', ']'));
    most_opened = std::max(most_opened, count('{', '['));
    if (bytes.find_first_of("\"\\") != std::string_view::npos) {
      with_quotes.push_back(id);
      continue;
    }
    uint32_t state = kTextInside, length = 0;
    for (const char byte : bytes) {
      length += state == kTextInside;
      state = any_json_string().step(state, static_cast<uint8_t>(byte));
      if (state == ByteDfa::kDead) break;
    }
    if (state == ByteDfa::kDead || length > UINT16_MAX) continue;
    allow(plain, id);
    plain_length[static_cast<size_t>(id)] = static_cast<uint16_t>(length);
  }
  all = TokenTrie(std::move(texts), tokenizer);
  quoted = TokenTrie(std::move(with_quotes), tokenizer);
}

}  // namespace vitrine
