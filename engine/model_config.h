// What a model file says about its model, the same for every format. Read from
// GGUF keys or from Hugging Face's config.json; a value this program does not know
// (architecture, rope type, activation, routing, quantization) is refused by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/rope.h"
#include "kernels/ops.h"

namespace vitrine {

class GgufModel;

enum class Architecture : uint8_t {
  deepseek2,  // DeepSeek-V2, V2-Lite, V3, R1: MLA, mixture of experts
  llama,      // Llama 2 and 3, SmolLM2, R1-Distill-Llama
  mixtral,    // llama with experts; GGUF files say "llama"
  qwen2,      // Qwen 2 and 2.5, R1-Distill-Qwen
  qwen3moe,
};
std::string_view architecture_name(Architecture architecture);

// Multi-head latent attention (arXiv 2405.04434, 2.1). Elements.
struct MlaConfig {
  uint32_t q_lora_rank = 0;  // 0: queries are projected directly (V2-Lite)
  uint32_t kv_lora_rank = 0;
  uint32_t qk_nope = 0;  // per head: without position …
  uint32_t qk_rope = 0;  // … and with; the latter is shared by all heads of a key
  uint32_t v_head = 0;
};

struct MoeConfig {
  uint32_t experts = 0;
  uint32_t experts_used = 0;
  uint32_t expert_ffn = 0;      // inner width of one expert
  uint32_t shared_experts = 0;  // always active; one MLP of shared_ffn() for all of them
  uint32_t leading_dense = 0;   // the first layers have a dense FFN
  Scoring scoring = Scoring::softmax;
  uint32_t groups = 1;
  uint32_t groups_used = 1;
  uint32_t group_top = 1;       // a group's score: the sum of its best 1 (V2) or 2 (V3) experts
  bool renormalize = false;     // weights of the chosen divided by their sum
  double scale = 1;             // and multiplied by this
  bool selection_bias = false;  // exp_probs_b: added for choosing only

  uint32_t shared_ffn() const { return shared_experts * expert_ffn; }
  RouteParams route() const;
};

struct ModelConfig {
  Architecture architecture = Architecture::llama;
  std::string name;  // what the file calls the model; may be empty
  uint32_t vocabulary = 0;
  uint32_t context = 0;  // tokens the model was made for
  uint32_t embedding = 0;
  uint32_t layers = 0;      // without MTP layers
  uint32_t mtp_layers = 0;  // further ones the file may hold; not computed
  uint32_t ffn = 0;         // inner width of dense FFNs; 0 when there is none
  uint32_t heads = 0;
  uint32_t kv_heads = 0;  // MLA: = heads
  uint32_t k_dim = 0;     // per head: of queries and keys (MLA: qk_nope + qk_rope)
  uint32_t v_dim = 0;     // per head: of values
  double rms_eps = 0;
  bool qkv_bias = false;       // qwen2
  bool qk_norm = false;        // qwen3moe: RMSNorm per head before rope
  bool tied_output = false;    // the head is the embedding, when the file has no output.weight
  double attention_scale = 0;  // of scores; YaRN's m² included
  RopeConfig rope;
  std::optional<MlaConfig> mla;
  std::optional<MoeConfig> moe;

  bool is_moe_layer(uint32_t layer) const { return moe && layer >= moe->leading_dense; }
  // Elements the cache holds per token and layer: keys and values, or MLA's
  // latent and shared key.
  uint64_t kv_elements() const;
  // Bytes per token over all layers. REQUIRES: a type of single elements.
  uint64_t kv_bytes_per_token(Type type) const;
};

// `where` of errors: "file, key K".
Result<ModelConfig> config_from_gguf(const GgufModel& model);
// `text`: config.json; `name` is for messages.
Result<ModelConfig> config_from_hugging_face(std::string_view text, const std::string& name);

}  // namespace vitrine
