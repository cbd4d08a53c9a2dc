// The tensors a model has, by its configuration: names as in GGUF, shapes, and
// what each is for. One list serves checking a file, counting parameters and
// bytes (engine/plan.h), and making synthetic files.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/model_config.h"

namespace vitrine {

enum class TensorRole : uint8_t {
  embedding,
  output,  // the head
  norm,    // and biases: small, never quantized
  attention,
  dense_ffn,
  router,
  shared_expert,
  routed_expert,
};

// How MLA's up-projection of keys and values lies in the file.
enum class MlaLayout : uint8_t {
  combined,  // attn_kv_b [kv_lora_rank, heads * (qk_nope + v_head)], Hugging Face's and older GGUF files'
  split,     // attn_k_b [qk_nope, kv_lora_rank, heads] (transposed per head), attn_v_b [kv_lora_rank, v_head, heads]
};

struct TensorSpec {
  static constexpr uint32_t kNoLayer = UINT32_MAX;

  std::string name;                        // "blk.3.ffn_gate_exps.weight"
  std::array<uint64_t, 3> ne = {1, 1, 1};  // fastest dimension first: [n_in, n_out, experts or heads]
  TensorRole role = TensorRole::norm;
  uint32_t layer = kNoLayer;

  uint64_t elements() const { return ne[0] * ne[1] * ne[2]; }
  // `ne` as files give it: without trailing ones.
  std::span<const uint64_t> shape() const { return {ne.data(), ne[2] > 1 ? 3u : ne[1] > 1 ? 2u : 1u}; }
};

// In file order: embedding, layers, final norm, head (unless tied).
std::vector<TensorSpec> tensor_specs(const ModelConfig& config, MlaLayout layout);

// The type a tensor has in a file whose matrices are of type `wanted`: norms and
// biases F32, routers F32 (BF16 beside BF16, F16 and FP8), embedding and head BF16
// beside FP8, and where a row is no multiple of the block, what llama.cpp falls
// back to (Q4_K -> Q5_0, Q5_K -> Q5_1, Q6_K -> Q8_0, Q2_K and Q3_K -> Q4_0, F16).
Type stored_type(const TensorSpec& spec, Type wanted);

// Elements of all tensors; of those read when one token is decoded: all but the
// embedding table (one row of which is read; all of it when it is also the head)
// and the experts that are not chosen.
uint64_t parameters(const ModelConfig& config);
uint64_t parameters_per_token(const ModelConfig& config);

}  // namespace vitrine
