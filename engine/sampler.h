// From logits to the next token. Pure functions of logits, history, parameters
// and position: the same on every machine and on a GPU, whatever else runs
// (kernels/sampling.h has the arithmetic).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/tokenizer_data.h"
#include "kernels/sampling.h"

namespace vitrine {

// Applied in this order: logit_bias, penalties, `allowed`, temperature, top_k,
// top_p, min_p (the order of Hugging Face's generate() and of vLLM).
struct SamplingParameters {
  float temperature = 1.0f;                  // 0 … 100. 0: greedy, the lowest id of equals
  int32_t top_k = 0;                         // the k best tokens, lower ids first of equals; 0: all
  float top_p = 1.0f;                        // (0, 1]. The fewest best tokens whose probabilities reach p
  float min_p = 0.0f;                        // [0, 1]. Tokens at least this fraction as probable as the best
  float repetition_penalty = 1.0f;           // (0, 100]. Keskar et al., 2019: divides positive logits of seen tokens,
                                             // multiplies negative ones
  float presence_penalty = 0.0f;             // [-2, 2]. OpenAI: subtracted once from tokens generated before
  float frequency_penalty = 0.0f;            // [-2, 2]. OpenAI: subtracted once per time
  std::map<TokenId, float> logit_bias = {};  // [-100, 100], added to the logit; -100: never
  uint64_t seed = 0;
  int32_t top_logprobs = -1;  // -1: no logprobs; 0: the chosen token's; up to 20 more
};

// usage, naming the parameter, for values out of range (NaN is).
Status check(const SamplingParameters& parameters);

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;  // natural logarithm of the model's own probability: before bias, penalties and temperature
};

struct Sampled {
  TokenId id = -1;
  float logprob = 0;              // when top_logprobs >= 0
  std::vector<TokenLogprob> top;  // best first, lower id first of equals
};

// One sequence's sampler. Owns the penalties' history. Not thread-safe.
class Sampler {
 public:
  // REQUIRES: check(parameters) passed.
  explicit Sampler(SamplingParameters parameters);

  // Tokens of the prompt: repetition_penalty counts them, the others do not.
  void see_prompt(std::span<const TokenId> ids);

  // Chooses the next token and remembers it. `logits`: [vocabulary], overwritten.
  // NaN counts as -inf; +inf leaves only such tokens. malformed when no token is
  // left. `allowed`, when not empty: one bit per token (word id/64, bit id%64);
  // the others are left out (tokens beyond its end too).
  Result<Sampled> next(std::span<float> logits, std::span<const uint64_t> allowed = {});

  // ---- where a device draws (Ops::sample), which knows neither `allowed` nor logprobs
  bool wants_logprobs() const { return parameters_.top_logprobs >= 0; }
  // How the next token is drawn; what changes logits is appended to `edits`.
  SamplingRow row(std::vector<LogitEdit>& edits) const;
  // Remembers the token that was drawn so. malformed: there was none (-1).
  Result<Sampled> drawn(TokenId id);

 private:
  struct Seen {
    bool in_prompt = false;
    uint32_t generated = 0;
  };
  using Candidate = std::pair<float, TokenId>;  // logit, id

  void adjust(std::span<float> logits, std::span<const uint64_t> allowed);
  void describe(std::span<const float> logits, Sampled& sampled) const;
  TokenId draw(std::span<const float> logits, float best);

  SamplingParameters parameters_;
  std::map<TokenId, Seen> seen_;
  uint64_t position_ = 0;              // tokens chosen so far
  std::vector<Candidate> candidates_;  // kept between calls
  std::vector<LogitEdit> edits_;       // likewise
};

}  // namespace vitrine
