// A model's weights by one set of names, those of GGUF files, over both formats.
//
//   auto weights = Weights::open("model.gguf");            // or a folder with safetensors
//   auto q = weights->get("blk.0.attn_q.weight", {2048, 3072});
//
// Everything is a view of mapped files: weights lie in memory once. What differs
// between formats is either hidden here (names, stacked or separate experts, FP8
// scales) or stated: which elements rope pairs is config().rope.style, because
// GGUF files of llama models hold their rows permuted.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/gguf.h"
#include "engine/model_config.h"
#include "engine/safetensors.h"
#include "engine/tensor_specs.h"
#include "kernels/tensor.h"

namespace vitrine {

// MLA's up-projection of keys and values, per head, from either layout.
struct MlaUpProjection {
  TensorView k;  // [qk_nope, kv_lora_rank, heads], or transposed: [kv_lora_rank, qk_nope, heads]
  bool k_transposed = false;
  TensorView v;  // [kv_lora_rank, v_head, heads]
};

using ModelFiles = std::variant<GgufModel, SafetensorsModel>;

// `path`: a GGUF file (any part of a split one); or a folder, .safetensors or
// .index.json file.
Result<ModelFiles> open_model_files(const std::string& path);

class Weights {
 public:
  // Files and their configuration: GGUF keys, or config.json beside safetensors.
  static Result<Weights> open(const std::string& path);
  static Result<Weights> of(ModelFiles files);
  // Opened files with a configuration that is already read.
  static Weights from(GgufModel model, ModelConfig config) { return {std::move(model), std::move(config)}; }
  static Weights from(SafetensorsModel model, ModelConfig config) { return {std::move(model), std::move(config)}; }

  const ModelConfig& config() const { return config_; }
  // The file behind it, for tokenizer and chat template; one of the two.
  const GgufModel* gguf() const { return std::get_if<GgufModel>(&files_); }
  const SafetensorsModel* safetensors() const { return std::get_if<SafetensorsModel>(&files_); }
  MlaLayout mla_layout() const;

  bool has(std::string_view name) const;

  // The tensor, which must have shape `ne` (fastest dimension first, as in
  // GGUF). malformed: missing or of another shape, naming tensor, file, expected
  // and found; unsupported: a type no kernel knows. Views live as long as this.
  Result<TensorView> get(std::string_view name, std::span<const uint64_t> ne) const;
  Result<TensorView> get(std::string_view name, std::initializer_list<uint64_t> ne) const {
    return get(name, std::span(ne.begin(), ne.size()));
  }
  // Expert matrices [n_in, n_out, experts] by their stacked name: one view with
  // planes, or, where the file holds them one by one, one view per expert.
  Result<std::vector<TensorView>> experts(std::string_view name, uint64_t n_in, uint64_t n_out, uint32_t count) const;
  Result<MlaUpProjection> mla_up_projection(uint32_t layer) const;
  // output.weight; with tied_output and without such a tensor, the embedding.
  Result<TensorView> output() const;

  // The bytes of all tensors, in the order of the files.
  std::vector<Bytes> tensor_bytes() const;

  // Every tensor the configuration asks for is there, has its shape, and a type
  // some kernel knows. The first that is not.
  Status check() const;

 private:
  Weights(ModelFiles files, ModelConfig config) : files_(std::move(files)), config_(std::move(config)) {}

  Result<TensorView> view(const GgufTensor& tensor, std::span<const uint64_t> ne) const;
  Result<TensorView> view(const SafetensorsTensor& tensor, std::span<const uint64_t> ne) const;
  Result<Bytes> fp8_scales(const SafetensorsTensor& tensor) const;
  Result<std::vector<TensorView>> hf_experts(std::string_view name, uint64_t n_in, uint64_t n_out,
                                             uint32_t count) const;
  tl::unexpected<Error> missing(std::string_view name, std::span<const uint64_t> ne) const;

  ModelFiles files_;
  ModelConfig config_;
};

// The types of safetensors files that are types of weights.
std::optional<Type> type_from_safetensors(SafetensorsType type);

}  // namespace vitrine
