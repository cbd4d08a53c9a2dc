// From logits to a token, as far as a processor and a GPU must agree on it to the last
// bit: random numbers, the exponential, weights. engine/sampler.cc and
// kernels/cuda/sample.cu are both made of these functions.
//
// Weights are integers: a sum of them is the same in any order, so that a thousand
// threads and one find the same token. A token less probable than the best by a factor
// of 2^kWeightBits has none.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/host_device.h"

namespace vitrine {

inline constexpr int kWeightBits = 44;
inline constexpr int64_t kMostSampled = 1 << 18;  // tokens whose weights surely add up within 64 bits

// Philox 4x32-10 (Salmon et al., 2011): random numbers by counter, not by state,
// so that a token's number depends on seed and position alone.
VITRINE_HOST_DEVICE inline void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  for (int i = 0; i < 4; ++i) out[i] = counter[i];
  uint32_t k[2] = {key[0], key[1]};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * out[0], b = uint64_t{0xCD9E8D57} * out[2];
    const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ out[1] ^ k[0], static_cast<uint32_t>(b),
                              static_cast<uint32_t>(a >> 32) ^ out[3] ^ k[1], static_cast<uint32_t>(a)};
    for (int i = 0; i < 4; ++i) out[i] = next[i];
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
}

// 53 random bits.
VITRINE_HOST_DEVICE inline uint64_t random_bits_at(uint64_t seed, uint64_t position) {
  const uint32_t counter[4] = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0, 0};
  const uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  uint32_t out[4];
  philox4x32(counter, key, out);
  return (uint64_t{out[0]} << 32 | out[1]) >> 11;
}

// exp(x) for x <= 0, relative error below 1e-14; 0 for x < -708 and NaN.
VITRINE_HOST_DEVICE inline double portable_exp(double x) {
  if (!(x >= -708)) return 0;
  if (x > 0) x = 0;
  // x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite), then the Taylor series
  // of exp(r): the term behind the last is below 2e-17.
  const double scaled = x * 1.4426950408889634 + 0.5;
  auto whole = static_cast<int64_t>(scaled);
  if (static_cast<double>(whole) > scaled) --whole;
  const auto n = static_cast<double>(whole);
  const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double sum = 1.0 / 6227020800;
  sum = sum * r + 1.0 / 479001600;
  sum = sum * r + 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 1.0 / 2;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  // 2^n: n is -1022 or more, so the number is a normal one.
  const uint64_t bits = static_cast<uint64_t>(whole + 1023) << 52;
  double power = 0;
  std::memcpy(&power, &bits, sizeof power);
  return sum * power;
}

// Of a token against the best one, which has 2^kWeightBits. Subtracting first keeps tiny temperatures finite.
VITRINE_HOST_DEVICE inline uint64_t token_weight(float logit, float best, float temperature) {
  const double x = (static_cast<double>(logit) - best) / static_cast<double>(temperature);
  if (!(x > -31)) return 0;  // e^-31 is below 2^-44
  return static_cast<uint64_t>(portable_exp(x) * static_cast<double>(uint64_t{1} << kWeightBits));
}

// The least whole weight that is not below `fraction` of `total`.
VITRINE_HOST_DEVICE inline uint64_t fraction_of(float fraction, uint64_t total) {
  const double exact = static_cast<double>(fraction) * static_cast<double>(total);
  auto whole = static_cast<uint64_t>(exact);
  if (static_cast<double>(whole) < exact) ++whole;
  return whole < total ? whole : total;
}

// Where in the sum `total` of all weights the draw falls: the token is the first, by its id, whose
// weight and those before add up to more.
VITRINE_HOST_DEVICE inline uint64_t draw_place(uint64_t seed, uint64_t position, uint64_t total) {
  const uint64_t bits = random_bits_at(seed, position) << 11;
#if defined(__CUDA_ARCH__)
  return __umul64hi(bits, total);
#else
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(bits) * total >> 64);
#endif
}

// A logit with what parameters and history ask of it.
struct LogitEdit {
  int32_t id = 0;
  float bias = 0;         // added; -100 or less: never this token
  int32_t seen = 0;       // in prompt or answer: the repetition penalty counts it
  int32_t generated = 0;  // times in the answer: presence and frequency do
};

// One row of logits: how its token is drawn. Plain words, as they lie in device memory.
struct SamplingRow {
  float temperature = 0;  // 0: the best
  float top_p = 1, min_p = 0;
  int32_t top_k = 0;
  float repetition = 1, presence = 0, frequency = 0;
  int32_t first_edit = 0, end_edit = 0;  // of the step's edits
  uint32_t seed[2] = {}, position[2] = {};
  int32_t unused[3] = {};  // sixteen words
};
static_assert(sizeof(SamplingRow) == 64 && sizeof(LogitEdit) == 16);

VITRINE_HOST_DEVICE inline float edited(float logit, const LogitEdit& edit, const SamplingRow& row) {
  float v = logit;
  if (edit.bias <= -100) return -__builtin_inff();
  v = v + edit.bias;
  if (edit.seen == 0) return v;
  v = v > 0 ? v / row.repetition : v * row.repetition;
  if (edit.generated > 0) v = v - (row.presence + row.frequency * static_cast<float>(edit.generated));
  return v;
}

}  // namespace vitrine
