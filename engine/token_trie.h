// A vocabulary by its bytes, so that an automaton reads what tokens have in common only once
// (internal to the engine).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/tokenizer.h"

namespace vitrine {

// One bit per token: word id/64, bit id%64.
using TokenMask = std::vector<uint64_t>;
inline void allow(TokenMask& mask, TokenId id) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<size_t>(id) % 64);
}
inline bool allows(std::span<const uint64_t> mask, TokenId id) {
  const auto bit = static_cast<size_t>(id);
  return bit / 64 < mask.size() && (mask[bit / 64] >> (bit % 64) & 1) != 0;
}

// Nodes in the order of a walk: a node's descendants follow it, up to `skip`.
class TokenTrie {
 public:
  struct Node {
    uint8_t byte = 0;
    uint32_t depth = 0;            // bytes from the root, this one included
    uint32_t skip = 0;             // index of the next node that is no descendant
    uint32_t first = 0, last = 0;  // of ids(): tokens that end here
  };

  TokenTrie() = default;
  // `bytes` of each token; tokens without bytes are left out.
  TokenTrie(std::vector<TokenId> tokens, const Tokenizer& tokenizer);

  std::span<const Node> nodes() const { return nodes_; }
  std::span<const TokenId> ids() const { return ids_; }

 private:
  std::vector<Node> nodes_;
  std::vector<TokenId> ids_;
};

// What masks need to know of a vocabulary. Built once per tokenizer.
struct Vocabulary {
  explicit Vocabulary(const Tokenizer& tokenizer);

  size_t size = 0;   // ids are below
  TokenTrie all;     // tokens that are text
  TokenTrie quoted;  // those of them with a quote or a backslash
  // Tokens that, inside a JSON string, leave it as it is but for the characters added: no quote, no backslash,
  // no control character, well-formed UTF-8 that begins with a whole character. The last may be cut.
  TokenMask plain;
  std::vector<uint16_t> plain_length;         // per token: characters begun; 0 for others
  std::vector<TokenId> controls;              // control tokens with bytes: only texts around values may spell them
  std::vector<TokenId> ends;                  // tokens that end generation
  uint32_t longest = 0;                       // bytes of a token
  uint32_t most_closed = 0, most_opened = 0;  // brackets of a kind in one token
};

}  // namespace vitrine
