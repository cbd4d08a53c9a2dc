// From logits to the next token. Pure functions of logits, history, parameters
// and a counter: the same on every machine, whatever else runs.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/tokenizer_data.h"

namespace vitrine {

struct SamplingParameters {
  float temperature = 1.0f;         // 0: greedy, the lowest id of equals
  int32_t top_k = 0;                // the k best tokens; 0: all
  float top_p = 1.0f;               // the fewest best tokens whose probabilities reach p; 1: all
  float min_p = 0.0f;               // tokens at least this fraction as probable as the best; 0: all
  float repetition_penalty = 1.0f;  // Keskar et al., 2019: divides positive, multiplies negative logits of seen tokens
  float presence_penalty = 0.0f;    // OpenAI: subtracted once from tokens generated before
  float frequency_penalty = 0.0f;   // OpenAI: subtracted once per time
  std::map<TokenId, float>
      logit_bias;  // added to the logit; -100 and below: never, +100 and above: as if only those were left
  uint64_t seed = 0;
  int32_t top_logprobs = -1;  // -1: none; 0: the chosen token's only; at most 20
};

// usage, naming the parameter, for values out of range (also NaN).
Status check(const SamplingParameters& parameters);

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;  // natural logarithm, of the softmax of the logits before penalties and temperature; see .cc
};

struct Sampled {
  TokenId id = -1;
  float logprob = 0;              // only when top_logprobs >= 0
  std::vector<TokenLogprob> top;  // best first, lower id first of equals; at most top_logprobs
};

// Philox 4x32-10 (Salmon et al., 2011): random numbers by counter, not by state,
// so that a token's number depends on seed and position alone.
// Returns a number in [0, 1) with 53 random bits.
double uniform_at(uint64_t seed, uint64_t position);

// One sequence's sampler. Owns the penalties' history.
class Sampler {
 public:
  // REQUIRES: check(parameters) passed.
  explicit Sampler(SamplingParameters parameters);

  // Tokens of the prompt: repetition_penalty counts them, the others do not.
  void see_prompt(std::span<const TokenId> ids);

  // Chooses the next token and remembers it. `logits`: [vocabulary], may be
  // changed. NaN counts as -inf. malformed when no token has a finite logit (or
  // +inf: then the lowest such id is chosen).
  // `allowed`, when not empty: one bit per token (word id/64, bit id%64); others are left out.
  Result<Sampled> next(std::span<float> logits, std::span<const uint64_t> allowed = {});

 private:
  struct Seen {
    bool prompt = false;
    uint32_t generated = 0;
  };
  SamplingParameters parameters_;
  std::map<TokenId, Seen> seen_;
  uint64_t position_ = 0;  // tokens chosen so far
  std::vector<std::pair<float, TokenId>> candidates_;
};

}  // namespace vitrine
