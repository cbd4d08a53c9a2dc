#include "engine/tensor_specs.h"

namespace vitrine {
namespace {

class SpecBuilder {
 public:
  SpecBuilder(const ModelConfig& config, MlaLayout layout) : c_(config), layout_(layout) {}

  std::vector<TensorSpec> build() {
    add("token_embd.weight", TensorRole::embedding, c_.embedding, c_.vocabulary);
    for (layer_ = 0; layer_ < c_.layers; ++layer_) {
      prefix_ = "blk." + std::to_string(layer_) + ".";
      add("attn_norm.weight", TensorRole::norm, c_.embedding);
      if (c_.mla) {
        add_mla(*c_.mla);
      } else {
        add_attention();
      }
      add("ffn_norm.weight", TensorRole::norm, c_.embedding);
      if (c_.is_moe_layer(layer_)) {
        add_moe(*c_.moe);
      } else {
        add_ffn("", TensorRole::dense_ffn, c_.ffn, 1);
      }
    }
    layer_ = TensorSpec::kNoLayer;
    prefix_.clear();
    add("output_norm.weight", TensorRole::norm, c_.embedding);
    if (!c_.tied_output) add("output.weight", TensorRole::output, c_.embedding, c_.vocabulary);
    return std::move(specs_);
  }

 private:
  void add(const std::string& name, TensorRole role, uint64_t n_in, uint64_t n_out = 1, uint64_t planes = 1) {
    specs_.push_back({prefix_ + name, {n_in, n_out, planes}, role, layer_});
  }

  void add_attention() {
    const uint64_t q = uint64_t{c_.heads} * c_.k_dim, k = uint64_t{c_.kv_heads} * c_.k_dim;
    const uint64_t v = uint64_t{c_.kv_heads} * c_.v_dim;
    add("attn_q.weight", TensorRole::attention, c_.embedding, q);
    add("attn_k.weight", TensorRole::attention, c_.embedding, k);
    add("attn_v.weight", TensorRole::attention, c_.embedding, v);
    if (c_.qkv_bias) {
      add("attn_q.bias", TensorRole::norm, q);
      add("attn_k.bias", TensorRole::norm, k);
      add("attn_v.bias", TensorRole::norm, v);
    }
    if (c_.qk_norm) {
      add("attn_q_norm.weight", TensorRole::norm, c_.k_dim);
      add("attn_k_norm.weight", TensorRole::norm, c_.k_dim);
    }
    add("attn_output.weight", TensorRole::attention, uint64_t{c_.heads} * c_.v_dim, c_.embedding);
  }

  void add_mla(const MlaConfig& mla) {
    const uint64_t q = uint64_t{c_.heads} * c_.k_dim;
    if (mla.q_lora_rank == 0) {
      add("attn_q.weight", TensorRole::attention, c_.embedding, q);
    } else {
      add("attn_q_a.weight", TensorRole::attention, c_.embedding, mla.q_lora_rank);
      add("attn_q_a_norm.weight", TensorRole::norm, mla.q_lora_rank);
      add("attn_q_b.weight", TensorRole::attention, mla.q_lora_rank, q);
    }
    add("attn_kv_a_mqa.weight", TensorRole::attention, c_.embedding, uint64_t{mla.kv_lora_rank} + mla.qk_rope);
    add("attn_kv_a_norm.weight", TensorRole::norm, mla.kv_lora_rank);
    if (layout_ == MlaLayout::combined) {
      add("attn_kv_b.weight", TensorRole::attention, mla.kv_lora_rank, uint64_t{c_.heads} * (mla.qk_nope + mla.v_head));
    } else {
      add("attn_k_b.weight", TensorRole::attention, mla.qk_nope, mla.kv_lora_rank, c_.heads);
      add("attn_v_b.weight", TensorRole::attention, mla.kv_lora_rank, mla.v_head, c_.heads);
    }
    add("attn_output.weight", TensorRole::attention, uint64_t{c_.heads} * mla.v_head, c_.embedding);
  }

  void add_ffn(const std::string& suffix, TensorRole role, uint64_t width, uint64_t planes) {
    add("ffn_gate" + suffix + ".weight", role, c_.embedding, width, planes);
    add("ffn_up" + suffix + ".weight", role, c_.embedding, width, planes);
    add("ffn_down" + suffix + ".weight", role, width, c_.embedding, planes);
  }

  void add_moe(const MoeConfig& moe) {
    add("ffn_gate_inp.weight", TensorRole::router, c_.embedding, moe.experts);
    if (moe.selection_bias) add("exp_probs_b.bias", TensorRole::norm, moe.experts);
    add_ffn("_exps", TensorRole::routed_expert, moe.expert_ffn, moe.experts);
    if (moe.shared_experts > 0) add_ffn("_shexp", TensorRole::shared_expert, moe.shared_ffn(), 1);
  }

  const ModelConfig& c_;
  MlaLayout layout_;
  uint32_t layer_ = TensorSpec::kNoLayer;
  std::string prefix_;
  std::vector<TensorSpec> specs_;
};

}  // namespace

std::vector<TensorSpec> tensor_specs(const ModelConfig& config, MlaLayout layout) {
  return SpecBuilder(config, layout).build();
}

Type stored_type(const TensorSpec& spec, Type wanted) {
  const bool plain = block_elements(wanted) == 1;
  if (spec.role == TensorRole::norm) return Type::f32;
  if (spec.role == TensorRole::router) return plain && wanted != Type::f32 ? Type::bf16 : Type::f32;
  if (wanted == Type::f8_e4m3 && (spec.role == TensorRole::embedding || spec.role == TensorRole::output))
    return Type::bf16;
  if (spec.ne[0] % block_elements(wanted) == 0) return wanted;
  if (spec.ne[0] % 32 != 0) return Type::f16;
  switch (wanted) {
    case Type::q2_k:
    case Type::q3_k: return Type::q4_0;
    case Type::q4_k: return Type::q5_0;
    case Type::q5_k: return Type::q5_1;
    default: return Type::q8_0;
  }
}

uint64_t parameters(const ModelConfig& config) {
  uint64_t sum = 0;
  for (const TensorSpec& spec : tensor_specs(config, MlaLayout::split)) sum += spec.elements();
  return sum;
}

uint64_t parameters_per_token(const ModelConfig& config) {
  uint64_t sum = 0;
  for (const TensorSpec& spec : tensor_specs(config, MlaLayout::split)) {
    if (spec.role == TensorRole::embedding && !config.tied_output) continue;
    sum += spec.role == TensorRole::routed_expert ? spec.elements() / spec.ne[2] * config.moe->experts_used
                                                  : spec.elements();
  }
  return sum;
}

}  // namespace vitrine
