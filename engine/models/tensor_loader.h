// Uploads a model's tensors by name. Keeps the first error, so that a model lists
// what it needs in one go and checks once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/models/model.h"

namespace vitrine {

class TensorLoader {
 public:
  // Borrows all of it.
  TensorLoader(const Weights& weights, Ops& ops, const LoadProgress& progress);

  Ops& ops() { return *ops_; }
  void use(Ops& ops) { ops_ = &ops; }  // for what is loaded from here on
  const Weights& weights() const { return weights_; }

  // Shapes as in GGUF, fastest first. After an error all give empty weights.
  Weight table(const std::string& name, uint64_t n, uint64_t rows);        // for embed
  Weight matrix(const std::string& name, uint64_t n_in, uint64_t n_out);   // for matmul and ffn
  Weight norm(const std::string& name, uint64_t n);                        // for rms_norm
  Weight bias(const std::string& name, uint64_t n);                        // for add_bias
  Weight experts(const std::string& name, uint64_t n_in, uint64_t n_out);  // for moe_ffn: [n_in, n_out, experts]
  Weight output();                                                         // [embedding, vocabulary]
  // MLA's up-projections, one plane per head.
  struct MlaUp {
    Weight k;                   // [qk_nope, kv_lora_rank, heads], or
    bool k_transposed = false;  // [kv_lora_rank, qk_nope, heads]
    Weight v;                   // [kv_lora_rank, v_head, heads]
  };
  MlaUp mla_up(uint32_t layer);
  // A vector as f32 numbers on the device.
  Buffer floats(const std::string& name, uint64_t n);
  // The rotary frequencies [rope.dimensions / 2], with rope_freqs.weight where the file has it.
  Buffer rope_frequencies();
  // Host numbers to the device.
  Buffer upload(std::span<const float> values);

  Status status() const { return error_ ? Status(tl::unexpected<Error>(*error_)) : Status(); }

 private:
  template <class T>
  std::optional<T> take(Result<T> result);
  Weight weight(const Result<TensorView>& view, const std::string& name, Op op);
  bool usable(const TensorView& view, const std::string& name, Op op);
  void count();

  const Weights& weights_;
  Ops* ops_;
  const LoadProgress& progress_;
  Weight table_;  // the last table(), of which bytes, for which backend
  const uint8_t* table_bytes_ = nullptr;
  const Ops* table_ops_ = nullptr;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
  std::optional<Error> error_;
};

}  // namespace vitrine
