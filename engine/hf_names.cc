#include "engine/hf_names.h"

#include <algorithm>
#include <iterator>

namespace vitrine {
namespace {

struct Row {
  std::string_view gguf, hugging_face;
};

constexpr Row kModel[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

// Behind "blk.N." and "model.layers.N.".
constexpr Row kLayer[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_q_a.weight", "self_attn.q_a_proj.weight"},
    {"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"},
    {"attn_q_b.weight", "self_attn.q_b_proj.weight"},
    {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
    {"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"},
    {"attn_kv_b.weight", "self_attn.kv_b_proj.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
    {"ffn_gate_exps.weight", "mlp.experts.{}.gate_proj.weight"},
    {"ffn_up_exps.weight", "mlp.experts.{}.up_proj.weight"},
    {"ffn_down_exps.weight", "mlp.experts.{}.down_proj.weight"},
};
constexpr Row kMixtralLayer[] = {
    {"ffn_gate_inp.weight", "block_sparse_moe.gate.weight"},
    {"ffn_gate_exps.weight", "block_sparse_moe.experts.{}.w1.weight"},
    {"ffn_up_exps.weight", "block_sparse_moe.experts.{}.w3.weight"},
    {"ffn_down_exps.weight", "block_sparse_moe.experts.{}.w2.weight"},
};

template <size_t N>
std::optional<std::string_view> lookup(const Row (&rows)[N], std::string_view name) {
  const auto* found = std::find_if(std::begin(rows), std::end(rows), [&](const Row& row) { return row.gguf == name; });
  if (found == std::end(rows)) return std::nullopt;
  return found->hugging_face;
}

}  // namespace

std::string HfName::of_expert(uint32_t expert) const {
  std::string out = name;
  return out.replace(out.find("{}"), 2, std::to_string(expert));
}

std::vector<HfName> hf_names(Architecture architecture, std::string_view gguf_name) {
  if (const auto found = lookup(kModel, gguf_name)) return {{std::string(*found)}};
  constexpr std::string_view kBlock = "blk.";
  if (gguf_name.substr(0, kBlock.size()) != kBlock) return {};
  gguf_name.remove_prefix(kBlock.size());
  const size_t dot = gguf_name.find('.');
  if (dot == std::string_view::npos) return {};
  const std::string prefix = "model.layers." + std::string(gguf_name.substr(0, dot)) + ".";
  const std::string_view tail = gguf_name.substr(dot + 1);

  std::vector<HfName> names;
  const auto add = [&](std::string_view name, HfName::Half half = HfName::Half::none) {
    names.push_back({prefix + std::string(name), half});
  };
  if (architecture == Architecture::mixtral) {
    if (const auto found = lookup(kMixtralLayer, tail)) add(*found);
  }
  if (const auto found = lookup(kLayer, tail)) add(*found);
  // All experts in one tensor, as transformers 5 may write them.
  if (tail == "ffn_gate_exps.weight") add("mlp.experts.gate_up_proj", HfName::Half::gate);
  if (tail == "ffn_up_exps.weight") add("mlp.experts.gate_up_proj", HfName::Half::up);
  if (tail == "ffn_down_exps.weight") add("mlp.experts.down_proj");
  return names;
}

}  // namespace vitrine
