// GGUF files: what parses lies in the file, and every accessor holds on it; a
// configuration that is accepted has sizes that can be computed with.
#include <cmath>
#include <cstdlib>

#include "engine/plan.h"

namespace {

void check_model(vitrine::Bytes bytes) {
  auto model = vitrine::GgufModel::from_bytes(bytes, "fuzz");
  if (!model) return;
  const auto config = vitrine::config_from_gguf(*model);
  if (!config) {
    if (config.error().where.empty()) std::abort();
    return;
  }
  if (!(config->attention_scale > 0) || config->heads % config->kv_heads != 0) std::abort();
  if (config->rope.scaling != vitrine::RopeConfig::Scaling::divisors) {
    for (const float frequency : vitrine::rope_frequencies(config->rope)) {
      if (!std::isfinite(frequency)) std::abort();
    }
  }
  for (const auto& spec : vitrine::tensor_specs(*config, vitrine::MlaLayout::split)) {
    uint64_t product = 0;
    if (__builtin_mul_overflow(spec.ne[0], spec.ne[1], &product)) std::abort();
    if (__builtin_mul_overflow(product, spec.ne[2], &product) || product == 0) std::abort();
  }
  const auto weights = vitrine::Weights::from(std::move(*model), *config);
  (void)weights.check();
  (void)vitrine::WeightBytes::of(weights);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vitrine::Bytes bytes(data, size);
  const auto file = vitrine::GgufFile::parse(bytes, "fuzz");
  if (!file) {
    if (file.error().where.empty()) std::abort();  // an error names its file
    return 0;
  }
  uint64_t sum = 0;
  for (const auto& [key, value] : file->metadata()) {
    sum += value.as_unsigned().value_or(0) + static_cast<uint64_t>(value.as_integer().value_or(0));
    sum += value.as_bool().value_or(false) + value.as_string().value_or("").size();
    sum += value.as_real().has_value();
    if (const auto strings = value.as_strings()) {
      if (strings->size() != value.count()) std::abort();
      for (const auto text : *strings) sum += text.empty() ? 0 : static_cast<uint8_t>(text.back());
    }
    if (const auto numbers = value.as_integers(); numbers && numbers->size() != value.count()) std::abort();
    if (const auto numbers = value.as_reals(); numbers && numbers->size() != value.count()) std::abort();
    if (file->find(key) != &value) std::abort();
  }
  for (const auto& tensor : file->tensors()) {
    const auto content = vitrine::slice(bytes, tensor.offset, tensor.bytes);
    if (!content || content->empty()) std::abort();
    if (tensor.elements() / tensor.type.block_elements * tensor.type.block_bytes != tensor.bytes) std::abort();
    sum += content->front() + content->back();
  }
  check_model(bytes);
  asm volatile("" : : "r"(sum));  // the reads above happen
  return 0;
}
