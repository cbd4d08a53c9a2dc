// Hyper-parameters from GGUF keys, as llama.cpp's converters write them.
#include <cmath>

#include "base/text.h"
#include "engine/config_limits.h"
#include "engine/gguf.h"

namespace vitrine {
namespace {

constexpr ConfigNames kNames = {.kv_heads = "attention.head_count_kv",
                                .rope_dimensions = "rope.dimension_count",
                                .rope_theta = "rope.freq_base",
                                .experts_used = "expert_used_count",
                                .leading_dense = "leading_dense_block_count",
                                .groups = "expert_group_count",
                                .groups_used = "expert_group_used_count"};

ConfigValue value_of(const GgufValue* value) {
  using Kind = ConfigValue::Kind;
  if (value == nullptr) return {};
  if (const auto number = value->as_unsigned()) {
    return {.kind = Kind::integer, .integer = *number, .real = static_cast<double>(*number)};
  }
  if (const auto number = value->as_integer()) return {.kind = Kind::real, .real = static_cast<double>(*number)};
  if (const auto number = value->as_real()) return {.kind = Kind::real, .real = *number};
  if (const auto flag = value->as_bool()) return {.kind = Kind::boolean, .boolean = *flag};
  if (const auto text = value->as_string()) return {.kind = Kind::text, .text = *text};
  return {.kind = Kind::other};
}

Result<Architecture> architecture_of(const GgufModel& model) {
  const std::string where = model.path() + ", key general.architecture";
  const GgufValue* value = model.find("general.architecture");
  if (value == nullptr || !value->as_string()) return fail(ErrorCode::malformed, "is missing or no text", where);
  const std::string_view name = *value->as_string();
  if (name == "deepseek2") return Architecture::deepseek2;
  if (name == "qwen2") return Architecture::qwen2;
  if (name == "qwen3moe") return Architecture::qwen3moe;
  if (name == "llama") {
    const GgufValue* experts = model.find("llama.expert_count");
    return experts != nullptr && experts->as_unsigned() != 0u ? Architecture::mixtral : Architecture::llama;
  }
  return fail(ErrorCode::unsupported,
              "\"" + printable(name) +
                  "\" is not supported; deepseek2, llama (with or without experts), qwen2 and qwen3moe are",
              where);
}

class GgufConfigReader {
 public:
  GgufConfigReader(const GgufModel& model, Architecture architecture, const std::string& prefix)
      : model_(model),
        keys_([&model](std::string_view key) { return value_of(model.find(key)); }, model.path(), prefix) {
    config_.architecture = architecture;
  }

  Result<ModelConfig> read() {
    if (const GgufValue* name = model_.find("general.name")) config_.name = name->as_string().value_or("");
    read_sizes();
    if (config_.architecture == Architecture::deepseek2) {
      read_mla();
    } else {
      read_attention();
    }
    read_rope();
    if (config_.architecture != Architecture::llama && config_.architecture != Architecture::qwen2) read_moe();
    check_consistency(config_, kNames, keys_);
    if (keys_.failed()) return tl::make_unexpected(keys_.error());
    return config_;
  }

 private:
  void read_sizes() {
    config_.context = keys_.count("context_length", limits::kContext);
    config_.embedding = keys_.count("embedding_length", limits::kEmbedding);
    const uint32_t blocks = keys_.count("block_count", limits::kLayers);
    config_.mtp_layers = keys_.count_or_zero("nextn_predict_layers", limits::kLayers, 0);
    if (config_.mtp_layers >= blocks) keys_.fault("nextn_predict_layers", "must be less than block_count");
    config_.layers = keys_.failed() ? 1 : blocks - config_.mtp_layers;
    config_.heads = keys_.count("attention.head_count", limits::kHeads);
    config_.kv_heads = keys_.count("attention.head_count_kv", limits::kHeads, config_.heads);
    config_.ffn = keys_.count_or_zero("feed_forward_length", limits::kFfn, 0);
    config_.rms_eps = keys_.positive("attention.layer_norm_rms_epsilon");
    config_.tied_output = model_.find_tensor("output.weight") == nullptr;
    config_.qkv_bias = config_.architecture == Architecture::qwen2;
    config_.qk_norm = config_.architecture == Architecture::qwen3moe;
    if (keys_.count_or_zero("attention.sliding_window", limits::kContext, 0) != 0) {
      keys_.refuse("attention.sliding_window", "sliding windows are not supported");
    }
    const GgufValue* tokens = model_.find("tokenizer.ggml.tokens");
    const uint64_t listed = tokens != nullptr && tokens->type() == GgufType::array ? tokens->count() : 0;
    if (!keys_.has("vocab_size") && (listed == 0 || listed > limits::kVocabulary)) {
      keys_.fault("vocab_size", "is missing, and tokenizer.ggml.tokens does not tell it either");
    }
    config_.vocabulary = keys_.count("vocab_size", limits::kVocabulary, static_cast<uint32_t>(listed));
  }

  void read_attention() {
    const uint32_t even_share = config_.embedding / config_.heads;
    config_.k_dim = keys_.count("attention.key_length", limits::kHeadDim, even_share);
    config_.v_dim = keys_.count("attention.value_length", limits::kHeadDim, even_share);
    if (config_.k_dim == 0 || config_.v_dim == 0) keys_.fault("attention.head_count", "is more than embedding_length");
    config_.attention_scale = 1 / std::sqrt(static_cast<double>(config_.k_dim));
  }

  // Two layouts. Before spring 2025: key_length 192, value_length 128, per head.
  // Since then: key_length 576, value_length 512 describe the shared latent key of
  // absorbed attention, head_count_kv is 1, and *_mla hold the per-head sizes.
  void read_mla() {
    MlaConfig mla;
    mla.q_lora_rank = keys_.count_or_zero("attention.q_lora_rank", limits::kRank, 0);
    mla.kv_lora_rank = keys_.count("attention.kv_lora_rank", limits::kRank);
    mla.qk_rope = keys_.count("rope.dimension_count", limits::kHeadDim);
    const bool absorbed = keys_.has("attention.key_length_mla");
    config_.k_dim = keys_.count(absorbed ? "attention.key_length_mla" : "attention.key_length", limits::kHeadDim);
    config_.v_dim = keys_.count(absorbed ? "attention.value_length_mla" : "attention.value_length", limits::kHeadDim);
    if (config_.k_dim <= mla.qk_rope) keys_.fault("rope.dimension_count", "must be less than a head's key");
    if (absorbed && keys_.get("attention.key_length").integer != uint64_t{mla.kv_lora_rank} + mla.qk_rope) {
      keys_.fault("attention.key_length", "must be kv_lora_rank + rope.dimension_count beside key_length_mla");
    }
    mla.qk_nope = config_.k_dim > mla.qk_rope ? config_.k_dim - mla.qk_rope : 1;
    mla.v_head = config_.v_dim;
    config_.kv_heads = config_.heads;
    config_.attention_scale = 1 / std::sqrt(static_cast<double>(config_.k_dim));
    config_.mla = mla;
  }

  void read_rope() {
    RopeConfig& rope = config_.rope;
    const bool halves = config_.architecture == Architecture::qwen2 || config_.architecture == Architecture::qwen3moe;
    rope.style = halves ? RopeStyle::halves : RopeStyle::interleaved;
    rope.dimensions =
        keys_.count("rope.dimension_count", limits::kHeadDim, config_.mla ? config_.mla->qk_rope : config_.k_dim);
    rope.theta = keys_.positive("rope.freq_base", 10000);
    rope.factor = keys_.positive("rope.scaling.factor", 1);
    const std::string_view type = keys_.text("rope.scaling.type", "none");
    if (type == "yarn") {
      read_yarn(rope);
    } else if (type == "linear") {
      if (rope.factor != 1) rope.scaling = RopeConfig::Scaling::linear;
    } else if (type != "none") {
      keys_.refuse("rope.scaling.type", "\"" + printable(type) + "\" is not supported");
    }
    if (keys_.has("rope.scale_linear") && keys_.positive("rope.scale_linear", 1) != 1) {
      keys_.refuse("rope.scale_linear", "the old name of rope.scaling.factor is not supported");
    }
    if (model_.find_tensor("rope_freqs.weight") != nullptr) {
      if (rope.scaling != RopeConfig::Scaling::none) {
        keys_.refuse("rope.scaling.type", "together with a tensor rope_freqs.weight is not supported");
      }
      rope.scaling = RopeConfig::Scaling::divisors;
    }
  }

  void read_yarn(RopeConfig& rope) {
    rope.scaling = RopeConfig::Scaling::yarn;
    rope.original_context = keys_.count("rope.scaling.original_context_length", limits::kContext);
    rope.beta_fast = keys_.positive("rope.scaling.yarn_beta_fast", 32);
    rope.beta_slow = keys_.positive("rope.scaling.yarn_beta_slow", 1);
    if (keys_.positive("rope.scaling.yarn_ext_factor", 1) != 1) {
      keys_.refuse("rope.scaling.yarn_ext_factor", "other values than 1 are not supported");
    }
    if (config_.mla) {
      // The key holds 0.1 * mscale_all_dim; m multiplies queries and keys, so the
      // scores m². cos and sin keep their size (mscale equals mscale_all_dim).
      const double m = yarn_mscale(rope.factor, 10 * keys_.not_negative("rope.scaling.yarn_log_multiplier", 0));
      config_.attention_scale *= m * m;
    } else {
      rope.magnitude = keys_.positive("rope.scaling.attn_factor", 1) * yarn_mscale(rope.factor, 1);
    }
  }

  void read_moe() {
    MoeConfig moe;
    const bool deepseek = config_.architecture == Architecture::deepseek2;
    moe.experts = keys_.count("expert_count", limits::kExperts);
    moe.experts_used = keys_.count("expert_used_count", limits::kExperts);
    // Mixtral's experts have the width of its (absent) dense FFN.
    moe.expert_ffn = config_.architecture == Architecture::mixtral
                         ? keys_.count("expert_feed_forward_length", limits::kFfn, config_.ffn)
                         : keys_.count("expert_feed_forward_length", limits::kFfn);
    if (moe.expert_ffn == 0) keys_.fault("feed_forward_length", "is missing");
    if (deepseek) {
      moe.shared_experts = keys_.count_or_zero("expert_shared_count", limits::kExperts, 0);
      moe.leading_dense = keys_.count_or_zero("leading_dense_block_count", limits::kLayers, 0);
      if (moe.leading_dense > 0 && config_.ffn == 0) keys_.fault("feed_forward_length", "is missing");
    } else {
      config_.ffn = 0;
    }
    read_gating(moe);
    const auto [groups, groups_used] = default_groups(moe);
    moe.groups = keys_.count("expert_group_count", limits::kExperts, groups);
    moe.groups_used = keys_.count("expert_group_used_count", limits::kExperts,
                                  keys_.has("expert_group_count") ? moe.groups : groups_used);
    moe.group_top = moe.scoring == Scoring::sigmoid && moe.groups > 1 ? 2 : 1;
    // Only DeepSeek's files say whether weights are divided by their sum; the
    // others' models always do.
    moe.renormalize = keys_.flag("expert_weights_norm", !deepseek);
    moe.scale = keys_.positive("expert_weights_scale", 1);
    moe.selection_bias =
        model_.find_tensor("blk." + std::to_string(moe.leading_dense) + ".exp_probs_b.bias") != nullptr;
    config_.moe = moe;
  }

  void read_gating(MoeConfig& moe) {
    const uint32_t function = keys_.count("expert_gating_func", 255, 1);  // files before 2025 lack it: softmax
    if (function == 2) {
      moe.scoring = Scoring::sigmoid;
    } else if (function != 1) {
      keys_.refuse("expert_gating_func",
                   std::to_string(function) + " is not supported; 1 (softmax) and 2 (sigmoid) are");
    }
  }

  // Files made before about October 2025 lack the group keys although the models
  // route by groups: DeepSeek-V3 and R1 (8 groups, 4 used), DeepSeek-V2 (8, 3).
  std::pair<uint32_t, uint32_t> default_groups(const MoeConfig& moe) const {
    if (config_.architecture != Architecture::deepseek2) return {1, 1};
    if (moe.experts == 256 && config_.layers == 61) return {8, 4};
    if (moe.experts == 160 && config_.layers == 60) return {8, 3};
    return {1, 1};
  }

  const GgufModel& model_;
  ConfigReader keys_;
  ModelConfig config_;
};

}  // namespace

Result<ModelConfig> config_from_gguf(const GgufModel& model) {
  const auto architecture = architecture_of(model);
  if (!architecture) return tl::make_unexpected(architecture.error());
  const std::string prefix(*model.find("general.architecture")->as_string());
  return GgufConfigReader(model, *architecture, prefix + ".").read();
}

}  // namespace vitrine
