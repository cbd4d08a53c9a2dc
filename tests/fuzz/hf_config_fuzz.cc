// config.json: a configuration that is accepted has sizes that can be computed
// with: no zero where something divides, no product that overflows.
#include <cmath>
#include <cstdlib>

#include "engine/tensor_specs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = vitrine::config_from_hugging_face(vitrine::as_text({data, size}), "config.json");
  if (!config) {
    if (config.error().where.empty() || config.error().message.empty()) std::abort();
    return 0;
  }
  if (config->heads % config->kv_heads != 0 || config->k_dim == 0 || config->v_dim == 0) std::abort();
  if (!(config->attention_scale > 0) || !(config->rms_eps > 0)) std::abort();
  for (const float frequency : vitrine::rope_frequencies(config->rope)) {
    if (!std::isfinite(frequency)) std::abort();
  }
  for (const auto& spec : vitrine::tensor_specs(*config, vitrine::MlaLayout::combined)) {
    uint64_t product = spec.ne[0];
    if (__builtin_mul_overflow(product, spec.ne[1], &product)) std::abort();
    if (__builtin_mul_overflow(product, spec.ne[2], &product) || product == 0) std::abort();
  }
  if (vitrine::parameters_per_token(*config) == 0) std::abort();
  if (config->kv_bytes_per_token(vitrine::Type::f16) == 0) std::abort();
  return 0;
}
